"""Requester: asks, and gets each reply where its request was made."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Unpack, final

import zmq

from zmqbridge._bridge.keepers import Deadlines, default_timeout
from zmqbridge._bridge.received import high_of
from zmqbridge.asyncio_backend._base import Socket
from zmqbridge.core._checks import check_timeout
from zmqbridge.core.framing import BytesLike, Message
from zmqbridge.core.patterns import Requests
from zmqbridge.errors import ZmqBridgeError

if TYPE_CHECKING:
    from zmqbridge.arguments import Options, SenderArguments


@final
class Requester(Socket):
    """Requests over DEALER: any number at once, each gets its own reply or a `RequestTimeout`.

    Args:
        timeout: seconds a request may take when the call says nothing; None is for ever.
        arguments: `zmqbridge.arguments.SenderArguments`.
    """

    kind: ClassVar[int] = zmq.DEALER
    # Without it a DEALER gives half of the requests to an address where no peer listens.
    defaults: ClassVar[Options] = {zmq.IMMEDIATE: 1}

    def __init__(self, timeout: float | None = None, **arguments: Unpack[SenderArguments]) -> None:
        self._timeout = default_timeout(timeout)
        pattern: Requests[Any] = Requests()
        # The caller of each queued request waits; with the call, its request leaves the queue.
        super().__init__(pattern, arguments, high_of(arguments, inf))
        link = self._link
        self._deadlines = Deadlines(
            pattern.table, self._pump, self._driver, link.fail, why=link.why_unsent
        )

    async def request(self, *parts: BytesLike, timeout: float | None = None) -> Message:
        """Send a request and wait for the parts of its reply.

        Cancelling it, like its timeout, takes it out of the queue if it was not sent yet; a reply
        that comes later is dropped and counted.

        Args:
            parts: at least one, bytes-like.
            timeout: seconds for everything, waiting in the queue included; None means the
                socket's own default, ``math.inf`` for ever.

        Raises:
            RequestTimeout: no reply in time; its `stage` tells how far the request got.
            HandshakeFailed: it was not sent, because every server has refused this socket.
            QueueFull: as many as `send_queue` says wait to be sent already.
            TypeError: a part is not bytes-like, or the timeout is no number.
            ValueError: there are no parts, or the timeout is not greater than zero.
        """
        driver = self._driver
        current = driver.current
        if current() != driver.token._thread_id:
            driver.enter()
        wait = driver.waiter
        waiter: Any = wait(driver.loop)
        request_id = self._deadlines.open(
            waiter, parts, self._timeout if timeout is None else check_timeout(timeout)
        )
        try:
            return await waiter  # type: ignore[no-any-return]
        except ZmqBridgeError:  # then the request is closed
            raise
        except BaseException:
            self._deadlines.give_up(request_id, waiter.answered)
            raise
