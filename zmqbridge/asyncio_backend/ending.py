"""end_context: ends the context that sockets share, and waits for that, where one awaits."""

from __future__ import annotations

import anyio

from zmqbridge._bridge import context
from zmqbridge._bridge.clock import monotonic
from zmqbridge._bridge.patterns import patience


async def end_context(timeout: float | None = None) -> bool:
    """End the context that all sockets of this process share, and wait until nothing lingers.

    Close the sockets first. The loop goes on meanwhile: contexts end in threads of their own. Those
    that end already are waited for, too, also those of a `ZmqFactory` that was shut down. The next
    socket gets a new context.

    Args:
        timeout: seconds; None is for as long as the largest linger of the closed sockets asks,
            with a linger of -1 for ever. Cancelling it gives up waiting, and nothing else.

    Returns:
        Whether all have ended. False: the time was not enough, and they go on ending.

    Raises:
        ContextInUse: sockets are open, whose loop may be another; it names them, and nothing was
            done.
        TypeError, ValueError: the timeout is no number, or negative.
    """
    deadline = monotonic() + patience(timeout)
    threads = context.shared.end()
    while any(thread.is_alive() for thread in threads):
        if monotonic() >= deadline:
            return False
        await anyio.sleep(context.LOOK)
    return True
