"""The eight patterns for asyncio; `zmqbridge.twisted_backend.sockets` has the same with Deferreds.

What their constructors take is described in `zmqbridge.arguments`, and what all of them can do in
`Endpoint`.

Every call may raise `SocketClosed`, `ContextTerminated`, and `LoopError` when there is no running
loop or it is not the socket's own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Unpack, final

import zmq

from zmqbridge._bridge.patterns import Request as AnyRequest
from zmqbridge._bridge.patterns import Requesting, Routing
from zmqbridge._bridge.subscribing import Subscribing
from zmqbridge.asyncio_backend.loopsocket import (
    AnyWaiter,
    LoopExchange,
    LoopReceiver,
    LoopSender,
    LoopSocket,
)
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

if TYPE_CHECKING:
    from zmqbridge.arguments import Addresses, ReceiverArguments, SenderArguments


# The calls of a Dealer, and of a Pusher under another name: an alias costs no frame. It is `Final`,
# or type checkers would differ on what it is.
async def send(self: LoopSocket, *parts: BytesLike) -> None:
    """Send a message, waiting while the peers push back; cancelled in the wait, it is not sent.

    Raises:
        TypeError: a part is not bytes-like, e.g. a str.
        ValueError: there are no parts.
    """
    pump = self._pump
    if pump.sent >= self._yield_at or pump.queues or self._here() != self._place._thread_id:
        await self._clear_to_send(parts)
    pump.send(parts)


def send_nowait(self: LoopSocket, *parts: BytesLike) -> None:
    """Send a message, or queue it while the peers push back.

    Raises:
        QueueFull: the queue is at its high water mark; the error carries the message.
        TypeError, ValueError: as the call that waits.
    """
    self._send_nowait(parts)


@final
class Publisher(LoopSender):
    """PUB: to all subscribers who are there and want the tag; whoever is not, misses it."""

    kind: ClassVar[int] = zmq.PUB

    def publish(self, body: BytesLike, tag: Address = b"") -> None:
        """Publish `body` under `tag`. It never waits: a slow subscriber misses messages.

        Raises:
            TypeError: the body is not bytes-like, e.g. a str.
            ValueError: the tag holds a NUL byte.
        """
        if self._here() != self._place._thread_id:
            self._enter()
        if type(tag) is not bytes:
            tag = as_name(tag, "a tag")
        self._pump.send((join_topic(tag, body),))


@final
class Subscriber(Subscribing, LoopReceiver[tuple[bytes, bytes]]):
    """SUB: `receive` and ``async for`` give (tag, body).

    Args:
        tags: one prefix or several to subscribe to, as by `subscribe`; ``""`` is all.
        arguments: `zmqbridge.arguments.ReceiverArguments`.
    """

    def __init__(self, tags: Addresses = (), **arguments: Unpack[ReceiverArguments]) -> None:
        super().__init__(tags, **arguments)


@final
class Pusher(LoopSender):
    """PUSH: each message to one of the pullers, in turn."""

    kind: ClassVar[int] = zmq.PUSH

    push: Final = send
    push_nowait: Final = send_nowait


@final
class Puller(LoopReceiver[Message]):
    """PULL: `receive` and ``async for`` give the parts of a message, a list of bytes."""

    kind: ClassVar[int] = zmq.PULL


@final
class Requester(Requesting, LoopSocket):
    """Requests over DEALER: any number at once, each gets its own reply or a `RequestTimeout`.

    Args:
        timeout: seconds a request may take when the call says nothing; None is for ever.
        arguments: `zmqbridge.arguments.SenderArguments`.
    """

    def __init__(self, timeout: float | None = None, **arguments: Unpack[SenderArguments]) -> None:
        super().__init__(timeout, **arguments)

    _answering: Iterable[tuple[AnyWaiter, Message]] = ()  # those who are yet to be answered

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
        if self._here() != self._place._thread_id:
            self._enter()
        waiter: Awaitable[Message] = self._waiter(self._loop)
        request_id = self._open(waiter, parts, timeout)
        try:
            return await waiter
        except BaseException:
            self._give_up(request_id)
            raise

    def _answer(self, waiters: Sequence[AnyWaiter], replies: Sequence[Message]) -> None:
        self._answering = answering = zip(waiters, replies, strict=True)
        for waiter, parts in answering:
            if not waiter.done:
                waiter.set_result(parts)
            else:  # cancelled in this very turn
                self._table.late += 1
        self._answering = ()  # it holds on to the last reply

    def _tell_rest(self) -> None:
        super()._tell_rest()
        if rest := list(self._answering):
            self._answer(*zip(*rest, strict=True))


@final
class Request(AnyRequest):
    """A request that came to a `Replier`: `parts`, `peer`, `id`, and `reply`, once."""

    __slots__ = ()

    def reply(self, *parts: BytesLike) -> Coroutine[Any, Any, None]:
        """Answer it; await what this returns. It waits for no peer.

        A peer that does not read its replies must not hold up those for others. So they wait in
        the peer's own queue, and are refused when that is full.

        Raises:
            AlreadyReplied: it was answered before.
            PeerUnreachable: whoever asked has left.
            PeerStalled: whoever asked is connected and does not read.
            TypeError: a part is not bytes-like, e.g. a str.
            ValueError: there are no parts.
        """
        sent: Coroutine[Any, Any, None] = self._socket._send_or_refuse(self._answer(parts))
        return sent


@final
class Replier(Routing, LoopExchange[Request]):
    """Replies over ROUTER: `receive` and ``async for`` give requests, `serve` handles them."""

    async def serve(
        self, handler: Callable[[Request], Awaitable[object]], limit: int = 100
    ) -> None:
        """Call ``await handler(request)`` for each request, until the socket is closed.

        Each call is made in a copy of the context in which `serve` was called. What a handler
        raises is reported through the loop's exception handler, a cancellation too that nobody
        aimed at `serve`, and its request stays unanswered. That a peer does not take its replies
        is reported once for each peer. Cancelling `serve` cancels the handlers under way.

        Args:
            handler: answers by ``await request.reply(...)``.
            limit: how many handlers may be under way; further requests wait in the inbox.

        Raises:
            ValueError: the limit is less than one.
        """
        at_once(limit)
        from zmqbridge.asyncio_backend.serving import serve  # loaded by those who serve

        await serve(self, handler, limit, self._blame)

    def _decode(self, burst: list[Message]) -> Iterable[Request]:
        requests = self._decode_each(burst, split_request)
        return [Request(self, route, parts) for route, parts in requests]


@final
class Dealer(LoopExchange[Message]):
    """DEALER: messages to the peers in turn, and from all of them, as their parts."""

    kind: ClassVar[int] = zmq.DEALER

    send: Final = send
    send_nowait: Final = send_nowait


@final
class Router(Routing, LoopExchange[tuple[bytes, Message]]):
    """ROUTER: `receive` and ``async for`` give (peer, parts); `send` names the peer."""

    async def send(self, peer: BytesLike, *parts: BytesLike) -> None:
        """Send a message to one peer, waiting while that one pushes back; others are not held up.

        Raises:
            PeerUnreachable: no such peer is connected.
            TypeError: the peer or a part is not bytes-like, e.g. a str.
            ValueError: there are no parts.
        """
        await self._send(join_peer(peer, parts))

    def send_nowait(self, peer: BytesLike, *parts: BytesLike) -> None:
        """Send a message to one peer, or queue it while that one pushes back.

        Raises:
            QueueFull: this peer's queue is at its high water mark; the error carries the message.
            PeerUnreachable, TypeError, ValueError: as `send`.
        """
        self._send_nowait(join_peer(peer, parts))

    _decode = staticmethod(split_peers)
