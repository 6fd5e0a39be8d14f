"""end_context: ends the context that sockets share and waits for its end, on asyncio or trio."""

from __future__ import annotations

import anyio

from zmqbridge._bridge import context
from zmqbridge._bridge.clock import monotonic
from zmqbridge.core._checks import check_optional_timeout


async def end_context(timeout: float | None = None) -> bool:
    """End the context that all sockets of this process share, and wait until nothing lingers.

    Close the sockets first. The loop goes on running, because contexts end in threads of their own.
    The call also waits for contexts that are ending already, including those of a `ZmqFactory` that
    was shut down. The next socket gets a new context.

    Args:
        timeout: in seconds; None waits as long as the largest linger of the closed sockets, with a
            linger of -1 for ever. Cancelling the call only stops the waiting.

    Returns:
        True if all contexts have ended. False if the time was not enough; then they go on ending.

    Raises:
        ContextInUse: sockets are open, perhaps on another loop; the error names them, and the call
            did nothing.
        TypeError, ValueError: the timeout is no number, or negative.
    """
    deadline = monotonic() + check_optional_timeout(timeout)
    threads = context.shared.end()
    while any(thread.is_alive() for thread in threads):
        if monotonic() >= deadline:
            return False
        await anyio.sleep(context.LOOK)
    return True
