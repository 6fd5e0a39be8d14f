"""Sending: the sending calls of Pusher and Dealer."""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import DebugInfo, Deferred, fail

from zmqbridge.core.framing import BytesLike
from zmqbridge.errors import PeerUnreachable, ZmqBridgeError
from zmqbridge.twisted_backend._waiters import Sent

if TYPE_CHECKING:
    from zmqbridge.twisted_backend._base import Socket


class Unheard(DebugInfo):
    """What a Deferred logs if it is freed with a failure that no errback has handled.

    Twisted logs each such failure with its traceback. But a handler may reply to a client that has
    left, and not look at the Deferred. That is no fault of the program: one line is logged for it.
    """

    def __init__(self, blame: Callable[[BaseException], None]) -> None:
        self._blame = blame

    def __del__(self) -> None:
        failure: Any = self.failResult
        if failure is not None and failure.check(PeerUnreachable):
            self.failResult = None
            self._blame(failure.value)
        super().__del__()


def unheard(deferred: Deferred[None], blame: Callable[[BaseException], None]) -> Deferred[None]:
    """Have the Deferred of a reply log a line if the peer has left and no errback handles that."""
    told, teller = vars(deferred).get("_debugInfo"), Unheard(blame)
    if told is not None:
        teller.failResult, told.failResult = told.failResult, None
    vars(deferred)["_debugInfo"] = teller
    return deferred


# The calls of a Dealer, and of a Pusher under other names: an alias costs no frame. They are
# `Final`, because otherwise type checkers would differ on what they are.
def send(self: Socket, *parts: BytesLike) -> Deferred[None]:
    """Send a message, waiting while the peers push back; cancelled in the wait, it is not sent.

    Raises:
        TypeError: a part is not bytes-like, e.g. a str.
        ValueError: there are no parts.
    """
    pump, driver = self._pump, self._driver
    if pump.sent >= driver.yield_at or pump.queues or get_ident() != driver.home_thread:
        return self._send(parts)
    try:
        pump.send(parts)
    except ZmqBridgeError as error:
        return fail(error)
    return Sent()


def send_nowait(self: Socket, *parts: BytesLike) -> None:
    """Send a message, or queue it while the peers push back.

    Raises:
        QueueFull: the queue is at its high water mark; the error carries the message.
        TypeError, ValueError: as the call that waits.
    """
    self._link.check_open()
    self._pump.send(parts)
