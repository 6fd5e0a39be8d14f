"""The eight patterns for Twisted; `zmqbridge.asyncio_backend.sockets` has the same for asyncio.

What their constructors take is described in `zmqbridge.arguments`, and what all of them can do in
`Endpoint`.

Misuse (`TypeError`, `ValueError`, `QueueFull` of the ``_nowait`` calls) is raised by the call;
what may happen to correct calls too, as `SocketClosed` and `ContextTerminated`, comes with the
Deferred. Cancelling a Deferred is always safe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import copy_context
from math import inf
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar, Final, Unpack, final

import zmq
from twisted.internet.defer import CancelledError, Deferred, fail

from zmqbridge._bridge.keepers import Deadlines, Patrols, default_timeout
from zmqbridge._bridge.received import high_of
from zmqbridge._bridge.request import Request as AnyRequest
from zmqbridge._bridge.request import bytes_of
from zmqbridge._bridge.subscribing import Subscribing, as_tags, subscribe, unsubscribe
from zmqbridge.core.checks import at_once, seconds
from zmqbridge.core.framing import (
    Address,
    BytesLike,
    Message,
    as_name,
    join_peer,
    join_topic,
    split_peers,
    split_request,
)
from zmqbridge.core.patterns import Pattern, Requests, bytes_from_peer
from zmqbridge.errors import LoopError, ZmqBridgeError
from zmqbridge.twisted_backend._base import Receiver, Sent, Socket
from zmqbridge.twisted_backend._driver import Waiter
from zmqbridge.twisted_backend._handlers import follow
from zmqbridge.twisted_backend._producers import Producer, registerProducer, unregisterProducer

if TYPE_CHECKING:
    from zmqbridge.arguments import (
        Addresses,
        Options,
        ReactorExchangeArguments,
        ReactorReceiverArguments,
        ReactorSenderArguments,
    )


# The calls of a Dealer, and of a Pusher under another name: an alias costs no frame. It is `Final`,
# or type checkers would differ on what it is.
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


@final
class Publisher(Socket):
    """PUB: to all subscribers that are there and want the tag; others miss the message."""

    kind: ClassVar[int] = zmq.PUB

    def __init__(self, **arguments: Unpack[ReactorSenderArguments]) -> None:
        """Each argument is described in `zmqbridge.arguments`."""
        super().__init__(Pattern(), arguments, high_of(arguments))

    def publish(self, body: BytesLike, tag: Address = b"") -> None:
        """Publish `body` under `tag`. It never waits: a slow subscriber misses messages.

        Raises:
            TypeError: the body is not bytes-like, e.g. a str.
            ValueError: the tag holds a NUL byte.
        """
        self._link.check_open()
        if type(tag) is not bytes:
            tag = as_name(tag, "a tag")
        self._pump.send((join_topic(tag, body),))


@final
class Subscriber(Receiver[tuple[bytes, bytes]]):
    """SUB: `receive` and ``async for`` give (tag, body).

    Args:
        tags: one prefix or several to subscribe to, as by `subscribe`; ``""`` is all.
        arguments: `zmqbridge.arguments.ReactorReceiverArguments`.
    """

    kind: ClassVar[int] = zmq.SUB
    # Subscriptions are messages to the publisher, and those above this mark libzmq drops.
    defaults: ClassVar[Options] = {zmq.SNDHWM: 0}

    def __init__(
        self,
        tags: Addresses = (),
        **arguments: Unpack[ReactorReceiverArguments[tuple[bytes, bytes]]],
    ) -> None:
        wanted = as_tags(tags, arguments)
        super().__init__(arguments, pattern_of=Subscribing)
        for tag in wanted:
            self.subscribe(tag)

    subscribe: Final = subscribe
    unsubscribe: Final = unsubscribe


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


@final
class Puller(Receiver[Message]):
    """PULL: `receive` and ``async for`` give the parts of a message, a list of bytes."""

    kind: ClassVar[int] = zmq.PULL

    def __init__(self, **arguments: Unpack[ReactorReceiverArguments[Message]]) -> None:
        """Each argument is described in `zmqbridge.arguments`."""
        super().__init__(arguments)


class Reply(Waiter):
    """Fires with the reply to a request, of which it knows the id.

    A canceller for each request, which would know it as well, takes four objects more.
    """

    request_id = b""


@final
class Requester(Socket):
    """Requests over DEALER: any number at once, each gets its own reply or a `RequestTimeout`.

    Args:
        timeout: seconds a request may take when the call says nothing; None is for ever.
        arguments: `zmqbridge.arguments.ReactorSenderArguments`.
    """

    kind: ClassVar[int] = zmq.DEALER
    # Without it a DEALER deals half of the requests to an endpoint where nobody listens.
    defaults: ClassVar[Options] = {zmq.IMMEDIATE: 1}

    def __init__(
        self, timeout: float | None = None, **arguments: Unpack[ReactorSenderArguments]
    ) -> None:
        self._timeout = default_timeout(timeout)
        pattern: Requests[Reply] = Requests()
        # Each queued request belongs to a caller who waits, and leaves the queue with the call.
        super().__init__(pattern, arguments, high_of(arguments, inf))
        link = self._link
        self._deadlines = Deadlines(pattern.table, self._pump, self._driver, link.fail)

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
                waiter, parts, self._timeout if timeout is None else seconds(timeout)
            )
        except LoopError:
            raise
        except ZmqBridgeError as error:
            return fail(error)
        return waiter

    def _cancelled(self, waiter: Any) -> None:
        self._deadlines.give_up(waiter.request_id)


@final
class Request(AnyRequest):
    """A request that came to a `Replier`: `parts`, `peer`, `id`, and `reply`, once."""

    __slots__ = ()

    def reply(self, *parts: BytesLike) -> Deferred[None]:
        """Answer it. It waits for no peer.

        A peer that does not read its replies must not hold up those for others. So they wait in
        the peer's own queue, and are refused when that is full.

        Raises:
            AlreadyReplied: it was answered before.
            PeerUnreachable: whoever asked has left.
            PeerStalled: whoever asked is connected and does not read.
            TypeError: a part is not bytes-like, e.g. a str.
            ValueError: there are no parts.
        """
        sent: Deferred[None] = self._send(self._answer(parts))
        return sent


@final
class Replier(Receiver[Request]):
    """Replies over ROUTER: `receive` and ``async for`` give requests, `serve` handles them."""

    kind: ClassVar[int] = zmq.ROUTER
    # A peer that is gone is an error, not a silent loss.
    defaults: ClassVar[Options] = {zmq.ROUTER_MANDATORY: 1}

    def __init__(self, **arguments: Unpack[ReactorExchangeArguments[Request]]) -> None:
        """Each argument is described in `zmqbridge.arguments`."""
        super().__init__(arguments, high_of(arguments))

    def _opened(self) -> None:
        super()._opened()
        self._patrols = Patrols(self._link)

    def serve(self, handler: Callable[[Request], object], limit: int = 100) -> Deferred[None]:
        """Call ``handler(request)`` for each request; fires when the socket is closed.

        The handler may return a Deferred or a coroutine. Each call is made in a copy of the
        context in which `serve` was called. What a handler raises or fails with is logged, a
        cancellation too that nobody aimed at `serve`, and its request stays unanswered. That a
        peer does not take its replies is logged once for each peer. Cancelling `serve` cancels
        the handlers under way.

        Args:
            handler: answers by ``request.reply(...)``.
            limit: how many handlers may be under way; further requests wait in the inbox.

        Raises:
            ValueError: the limit is less than one.
        """
        at_once(limit)
        return Deferred.fromCoroutine(self._serve(handler, limit))

    async def _serve(self, handler: Callable[[Request], object], limit: int) -> None:
        running: set[Deferred[object]] = set()
        room: Deferred[None] = Deferred()
        clean = copy_context()
        cancelled = False

        def report(error: BaseException) -> None:
            if not cancelled:
                self._patrols.blame(error)

        def call(request: Request) -> Deferred[object] | None:
            return follow(handler(request), report, ())

        def ended(result: object, handling: Deferred[object]) -> None:
            running.discard(handling)
            if not room.called:
                room.callback(None)

        try:
            async for request in self:
                try:
                    handling = clean.copy().run(call, request)
                except KeyboardInterrupt:
                    raise
                except BaseException as error:
                    report(error)
                    continue
                if handling is not None:
                    running.add(handling)
                    handling.addBoth(ended, handling)
                while len(running) >= limit:
                    room = Deferred()
                    await room
        except CancelledError:
            cancelled = True
            for handling in list(running):
                handling.cancel()
            raise

    def _decode(self, burst: list[Message]) -> Iterable[Request]:
        requests, reply = self._pattern.split(split_request, burst), self._reply
        return [Request(reply, route, parts) for route, parts in requests]

    _weigh = staticmethod(bytes_of)

    def _reply(self, message: Message) -> Deferred[None]:
        # It waits for no peer: what has no room any more is refused.
        pump, driver = self._pump, self._driver
        try:
            if pump.sent >= driver.yield_at or get_ident() != driver.home_thread:
                self._link.check_open()
                if driver.is_turn_of_others():
                    return Deferred.fromCoroutine(driver.send_or_refuse(message))
            pump.send(message)
        except LoopError:
            raise
        except ZmqBridgeError as error:
            return fail(error)
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
