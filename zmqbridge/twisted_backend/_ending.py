"""end_context: ends the context that sockets share and waits for its end, on a reactor."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from zmqbridge._bridge import context
from zmqbridge._bridge.clock import monotonic
from zmqbridge.core._checks import check_optional_timeout
from zmqbridge.twisted_backend._clocks import steady
from zmqbridge.twisted_backend._reactors import global_reactor


def end_context(timeout: float | None = None, *, reactor: Any = None) -> Deferred[bool]:
    """End the context that all sockets of this process share, and fire when nothing lingers.

    Close the sockets first. The reactor goes on running, because contexts end in threads of their
    own. The call also waits for contexts that are ending already, including those of a `ZmqFactory`
    that was shut down. The next socket gets a new context.

    Args:
        timeout: in seconds; None waits as long as the largest linger of the closed sockets, with a
            linger of -1 for ever. Cancelling the Deferred only stops the waiting.
        reactor: None is the global one.

    Returns:
        Fires with True if all contexts have ended, and with False if the time was not enough; then
        they go on ending.

    Raises:
        ContextInUse: sockets are open, perhaps on another loop; the error names them, and the call
            did nothing. This error comes by the Deferred.
        TypeError, ValueError: the timeout is no number, or negative.
    """
    reactor = global_reactor() if reactor is None else reactor
    return Deferred.fromCoroutine(_end(monotonic() + check_optional_timeout(timeout), reactor))


async def _end(deadline: float, reactor: Any) -> bool:
    threads = context.shared.end()
    while any(thread.is_alive() for thread in threads):
        if monotonic() >= deadline:
            return False
        await deferLater(steady(reactor), context.LOOK)
    return True
