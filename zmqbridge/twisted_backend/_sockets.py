"""The patterns for Twisted; `zmqbridge.asyncio_backend._sockets` has the same for asyncio.

Those of publications are in `_publisher` and `_publications`. What their constructors take is in
`zmqbridge.arguments`, and what all of them can do in `Link`.

A call raises errors of misuse itself (`TypeError`, `ValueError`, `QueueFull` of the ``_nowait``
calls). Errors of correct calls, as `SocketClosed` and `ContextTerminated`, come with the Deferred.
Cancelling a Deferred is always safe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar, Final, Unpack, final

import zmq
from twisted.internet.defer import Deferred, fail

from zmqbridge._bridge.keepers import Deadlines, Patrols, default_timeout
from zmqbridge._bridge.received import high_of
from zmqbridge._bridge.request import bytes_of, stop_all
from zmqbridge.core._checks import (
    check_handler,
    check_limit,
    check_optional_timeout,
    check_timeout,
)
from zmqbridge.core.framing import (
    BytesLike,
    Message,
    join_peer,
    split_peers,
    split_request,
)
from zmqbridge.core.patterns import Pattern, Requests, bytes_from_peer
from zmqbridge.errors import LoopError, SocketClosed, ZmqBridgeError
from zmqbridge.twisted_backend._base import Receiver, Socket
from zmqbridge.twisted_backend._clocks import steady
from zmqbridge.twisted_backend._producers import Producer, registerProducer, unregisterProducer
from zmqbridge.twisted_backend._request import Request
from zmqbridge.twisted_backend._sending import send, send_nowait, unheard
from zmqbridge.twisted_backend._waiters import Reply, Sent

if TYPE_CHECKING:
    from zmqbridge.arguments import (
        Options,
        ReactorExchangeArguments,
        ReactorReceiverArguments,
        ReactorSenderArguments,
    )


@final
class Pusher(Socket):
    """PUSH: each message to one of the pullers, in turn."""

    kind: ClassVar[int] = zmq.PUSH

    def __init__(self, **arguments: Unpack[ReactorSenderArguments]) -> None:
        """Each argument is described in `zmqbridge.arguments`."""
        super().__init__(Pattern(), arguments, high_of(arguments))
        self._producer = Producer(self._link)

    registerProducer: Final = registerProducer
    unregisterProducer: Final = unregisterProducer

    push: Final = send
    push_nowait: Final = send_nowait
    send: Final = send
    send_nowait: Final = send_nowait


@final
class Puller(Receiver[Message]):
    """PULL: `receive` and ``async for`` give the parts of a message, a list of bytes."""

    kind: ClassVar[int] = zmq.PULL

    def __init__(self, **arguments: Unpack[ReactorReceiverArguments[Message]]) -> None:
        """Each argument is described in `zmqbridge.arguments`."""
        super().__init__(arguments)


@final
class Requester(Socket):
    """Requests over DEALER: any number at once, each gets its own reply or a `RequestTimeout`.

    Args:
        timeout: seconds a request may take when the call says nothing; None is for ever.
        arguments: `zmqbridge.arguments.ReactorSenderArguments`.
    """

    kind: ClassVar[int] = zmq.DEALER
    # Without it a DEALER gives half of the requests to an address where no peer listens.
    defaults: ClassVar[Options] = {zmq.IMMEDIATE: 1}

    def __init__(
        self, timeout: float | None = None, **arguments: Unpack[ReactorSenderArguments]
    ) -> None:
        self._timeout = default_timeout(timeout)
        pattern: Requests[Reply] = Requests()
        # The caller of each queued request waits; with the call, its request leaves the queue.
        super().__init__(pattern, arguments, high_of(arguments, inf))
        link = self._link
        self._deadlines = Deadlines(
            pattern.table, self._pump, self._driver, link.fail, why=link.why_unsent
        )

    def request(self, *parts: BytesLike, timeout: float | None = None) -> Deferred[Message]:
        """Send a request, and fire with the parts of its reply.

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
        waiter = Reply(self._cancelled)
        try:
            if get_ident() != self._driver.home_thread:
                self._link.check_open()
            waiter.request_id = self._deadlines.open(
                waiter, parts, self._timeout if timeout is None else check_timeout(timeout)
            )
        except LoopError:
            raise
        except ZmqBridgeError as error:
            return fail(error)
        return waiter

    def _cancelled(self, waiter: Any) -> None:
        self._deadlines.give_up(waiter.request_id)


@final
class Replier(Receiver[Request]):
    """Replies over ROUTER: `receive` and ``async for`` give requests, `serve` handles them."""

    kind: ClassVar[int] = zmq.ROUTER
    # A reply to a peer that is gone raises an error, and is not lost in silence.
    defaults: ClassVar[Options] = {zmq.ROUTER_MANDATORY: 1}

    def __init__(self, **arguments: Unpack[ReactorExchangeArguments[Request]]) -> None:
        """Each argument is described in `zmqbridge.arguments`."""
        super().__init__(arguments, high_of(arguments))

    def _opened(self) -> None:
        super()._opened()
        self._patrols = Patrols(self._link)
        self._serving: list[Any] = []  # each `Serving`, or the one `Handling`
        if self._handler is not None:
            from zmqbridge.twisted_backend._serving import Handling

            clock = steady(self._driver.reactor)
            handling = Handling(self._inbox, self._halted, self._patrols.blame, clock)
            self._follow = handling.follow
            self._serving.append(handling)

    def serve(self, handler: Callable[[Request], object], limit: int = 100) -> Deferred[None]:
        """Call ``handler(request)`` for each request; fires when the socket is closed or stopped.

        The handler may return a Deferred or a coroutine. Each call is made in a copy of the
        context in which `serve` was called. What a handler raises or fails with is logged, also a
        cancellation that was not meant for `serve`; the request stays unanswered. A peer that does
        not take its replies is logged once. Cancelling `serve` cancels the handlers under way.

        Args:
            handler: answers by ``request.reply(...)``.
            limit: how many handlers may be under way; further requests wait in the inbox.

        Raises:
            TypeError: the handler cannot be called.
            ValueError: the limit is less than one, or this was made with a ``handler``.
        """
        check_limit(limit)
        check_handler(handler)
        if self._handler is not None:
            raise ValueError(f"{self!r} has a handler=, which gets the requests: leave one out")
        from zmqbridge.twisted_backend._serving import Serving  # loaded by programs that serve

        clock = steady(self._driver.reactor)
        serving = Serving(self, handler, limit, self._patrols.blame, clock)
        self._serving.append(serving)
        return Deferred.fromCoroutine(serving.run())

    def stop_serving(self, timeout: float | None = None) -> Deferred[list[Request]]:
        """Take no more requests from libzmq, let those that are here be handled, and end `serve`.

        With ``handler=`` it waits in the same way until the Deferreds of the handler have fired.
        From then on the socket can still reply, and should be closed: `aclose` gives the clients a
        tenth of a second to read the last replies. Another `serve` fires at once. Requests that
        libzmq has already received stay there, and are lost when it is closed: see "Leave on
        SIGTERM" in the documentation for how to have few of them. A handler whose Deferred waits
        for this would wait for itself: let it call this without waiting.

        Args:
            timeout: seconds for the handlers; then those under way are cancelled. None waits as
                long as they take.

        Returns:
            Fires with the requests that were not answered, oldest first, those of cancelled
            handlers before the others. They can be answered until the socket is closed.

        Raises:
            SocketClosed: the socket is closed.
            TypeError, ValueError: the timeout is no number, or negative.
        """
        timeout = check_optional_timeout(timeout)
        try:
            self._link.check_open()
        except SocketClosed as error:
            return fail(error)
        for serving in self._serving:
            serving.stopping = True
        return Deferred.fromCoroutine(stop_all(self._serving, self._link, self._inbox, timeout))

    def _decode(self, burst: list[Message]) -> Iterable[Request]:
        requests, reply = self._pattern.split(split_request, burst), self._reply
        return [Request(reply, route, parts) for route, parts in requests]

    _weigh = staticmethod(bytes_of)

    def _reply(self, message: Message) -> Deferred[None]:
        # This waits for no peer: a reply for which there is no room is refused.
        pump, driver = self._pump, self._driver
        try:
            if pump.sent >= driver.yield_at or get_ident() != driver.home_thread:
                self._link.check_open()
                if driver.is_turn_of_others():
                    later = Deferred.fromCoroutine(driver.send_or_refuse(message))
                    return unheard(later, self._patrols.blame)
            pump.send(message)
        except LoopError:
            raise
        except ZmqBridgeError as error:
            return unheard(fail(error), self._patrols.blame)
        return Sent()


@final
class Dealer(Receiver[Message]):
    """DEALER: messages to the peers in turn, and from all of them, as their parts."""

    kind: ClassVar[int] = zmq.DEALER

    def __init__(self, **arguments: Unpack[ReactorExchangeArguments[Message]]) -> None:
        """Each argument is described in `zmqbridge.arguments`."""
        super().__init__(arguments, high_of(arguments))
        self._producer = Producer(self._link)

    registerProducer: Final = registerProducer
    unregisterProducer: Final = unregisterProducer

    send: Final = send
    send_nowait: Final = send_nowait


@final
class Router(Receiver[tuple[bytes, Message]]):
    """ROUTER: `receive` and ``async for`` give (peer, parts); `send` names the peer."""

    kind: ClassVar[int] = zmq.ROUTER
    defaults: ClassVar[Options] = {zmq.ROUTER_MANDATORY: 1}

    def __init__(
        self, **arguments: Unpack[ReactorExchangeArguments[tuple[bytes, Message]]]
    ) -> None:
        """Each argument is described in `zmqbridge.arguments`."""
        super().__init__(arguments, high_of(arguments))

    def _opened(self) -> None:
        super()._opened()
        self._patrols = Patrols(self._link)

    def send(self, peer: BytesLike, *parts: BytesLike) -> Deferred[None]:
        """Send a message to one peer, waiting while that one pushes back; others are not held up.

        Raises:
            PeerUnreachable: no such peer is connected.
            TypeError: the peer or a part is not bytes-like, e.g. a str.
            ValueError: there are no parts.
        """
        return self._send(join_peer(peer, parts))

    def send_nowait(self, peer: BytesLike, *parts: BytesLike) -> None:
        """Send a message to one peer, or queue it while that one pushes back.

        Raises:
            QueueFull: this peer's queue is at its high water mark; the error carries the message.
            PeerUnreachable, TypeError, ValueError: as `send`.
        """
        send_nowait(self, *join_peer(peer, parts))

    _decode = staticmethod(split_peers)
    _weigh = staticmethod(bytes_from_peer)


@final
class Pair(Receiver[Message]):
    """PAIR: messages to the one peer that there can be, and from it, as their parts.

    For two threads or tasks of one program, over inproc. A second peer is refused in silence.
    """

    kind: ClassVar[int] = zmq.PAIR

    def __init__(self, **arguments: Unpack[ReactorExchangeArguments[Message]]) -> None:
        """Each argument is described in `zmqbridge.arguments`."""
        super().__init__(arguments, high_of(arguments))
        self._producer = Producer(self._link)

    registerProducer: Final = registerProducer
    unregisterProducer: Final = unregisterProducer

    send: Final = send
    send_nowait: Final = send_nowait
