"""The eight patterns for Twisted; `zmqbridge.asyncio_backend.sockets` has the same for asyncio.

What their constructors take is described in `zmqbridge.arguments`, and what all of them can do in
`Endpoint`.

Misuse (`TypeError`, `ValueError`, `QueueFull` of the ``_nowait`` calls) is raised by the call;
what may happen to correct calls too, as `SocketClosed` and `ContextTerminated`, comes with the
Deferred. Cancelling a Deferred is always safe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import copy_context
from math import inf
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar, Final, Unpack, final

import zmq
from twisted.internet.defer import CancelledError, Deferred, fail

from zmqbridge._bridge.patterns import Request as AnyRequest
from zmqbridge._bridge.patterns import Requesting, Routing
from zmqbridge._bridge.subscribing import Subscribing
from zmqbridge.core.checks import at_once
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
from zmqbridge.errors import LoopError, ZmqBridgeError
from zmqbridge.twisted_backend.handlers import follow
from zmqbridge.twisted_backend.producers import Paced
from zmqbridge.twisted_backend.reactorsocket import (
    ReactorExchange,
    ReactorReceiver,
    ReactorSender,
    ReactorSocket,
    Sent,
)

if TYPE_CHECKING:
    from zmqbridge.arguments import (
        Addresses,
        ReactorReceiverArguments,
        ReactorSenderArguments,
    )


# The calls of a Dealer, and of a Pusher under another name: an alias costs no frame. It is `Final`,
# or type checkers would differ on what it is.
def send(self: ReactorSocket, *parts: BytesLike) -> Deferred[None]:
    """Send a message, waiting while the peers push back; cancelled in the wait, it is not sent.

    Raises:
        TypeError: a part is not bytes-like, e.g. a str.
        ValueError: there are no parts.
    """
    pump = self._pump
    if pump.sent >= self._yield_at or pump.queues or get_ident() != self._home_thread:
        return self._send(parts)
    try:
        pump.send(parts)
    except ZmqBridgeError as error:
        return fail(error)
    return Sent()


def send_nowait(self: ReactorSocket, *parts: BytesLike) -> None:
    """Send a message, or queue it while the peers push back.

    Raises:
        QueueFull: the queue is at its high water mark; the error carries the message.
        TypeError, ValueError: as the call that waits.
    """
    self._send_nowait(parts)


@final
class Publisher(ReactorSender):
    """PUB: to all subscribers who are there and want the tag; whoever is not, misses it."""

    kind: ClassVar[int] = zmq.PUB

    def publish(self, body: BytesLike, tag: Address = b"") -> None:
        """Publish `body` under `tag`. It never waits: a slow subscriber misses messages.

        Raises:
            TypeError: the body is not bytes-like, e.g. a str.
            ValueError: the tag holds a NUL byte.
        """
        self._check_open()
        if type(tag) is not bytes:
            tag = as_name(tag, "a tag")
        self._pump.send((join_topic(tag, body),))


@final
class Subscriber(Subscribing, ReactorReceiver[tuple[bytes, bytes]]):
    """SUB: `receive` and ``async for`` give (tag, body).

    Args:
        tags: one prefix or several to subscribe to, as by `subscribe`; ``""`` is all.
        arguments: `zmqbridge.arguments.ReactorReceiverArguments`.
    """

    def __init__(
        self,
        tags: Addresses = (),
        **arguments: Unpack[ReactorReceiverArguments[tuple[bytes, bytes]]],
    ) -> None:
        super().__init__(tags, **arguments)


@final
class Pusher(Paced, ReactorSender):
    """PUSH: each message to one of the pullers, in turn."""

    kind: ClassVar[int] = zmq.PUSH

    push: Final = send
    push_nowait: Final = send_nowait


@final
class Puller(ReactorReceiver[Message]):
    """PULL: `receive` and ``async for`` give the parts of a message, a list of bytes."""

    kind: ClassVar[int] = zmq.PULL


class Reply(Deferred[Message]):
    """Fires with the reply to a request, of which it knows the id.

    A canceller for each request, which would know it as well, takes four objects more.
    """

    request_id = b""


@final
class Requester(Requesting, ReactorSocket):
    """Requests over DEALER: any number at once, each gets its own reply or a `RequestTimeout`.

    Args:
        timeout: seconds a request may take when the call says nothing; None is for ever.
        arguments: `zmqbridge.arguments.ReactorSenderArguments`.
    """

    def __init__(
        self, timeout: float | None = None, **arguments: Unpack[ReactorSenderArguments]
    ) -> None:
        super().__init__(timeout, **arguments)

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
            if get_ident() != self._home_thread:
                self._check_open()
            waiter.request_id = self._open(waiter, parts, timeout)
        except LoopError:
            raise
        except ZmqBridgeError as error:
            return fail(error)
        return waiter

    def _cancelled(self, waiter: Any) -> None:
        self._give_up(waiter.request_id)

    def _answer(self, waiters: Sequence[Deferred[Message]], replies: Sequence[Message]) -> None:
        for waiter, parts in zip(waiters, replies, strict=True):
            if not waiter.called:
                waiter.callback(parts)
            else:  # cancelled in this very turn
                self._table.late += 1
        # Not before: whoever asks again when he gets his reply needs the timer that is set.
        if self._timer is not None and not self._table.timed:
            self._rest()

    def _timer_lost(self) -> None:
        self._table.armed = inf  # the next request sets it anew


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
        sent: Deferred[None] = self._socket._send_or_refuse(self._answer(parts))
        return sent


@final
class Replier(Routing, ReactorExchange[Request]):
    """Replies over ROUTER: `receive` and ``async for`` give requests, `serve` handles them."""

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
                self._blame(error)

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
        requests = self._decode_each(burst, split_request)
        return [Request(self, route, parts) for route, parts in requests]


@final
class Dealer(ReactorExchange[Message], Paced):
    """DEALER: messages to the peers in turn, and from all of them, as their parts."""

    kind: ClassVar[int] = zmq.DEALER

    send: Final = send
    send_nowait: Final = send_nowait


@final
class Router(Routing, ReactorExchange[tuple[bytes, Message]]):
    """ROUTER: `receive` and ``async for`` give (peer, parts); `send` names the peer."""

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
        self._send_nowait(join_peer(peer, parts))

    _decode = staticmethod(split_peers)
