"""The eight patterns for asyncio; `zmqbridge.twisted_backend.sockets` has the same with Deferreds.

Constructor arguments, the same for all: ``bind`` and ``connect`` take one address or several,
``context`` another libzmq context than the one the library owns, ``options`` a mapping of
``zmq`` option to value, set before any address, ``security`` one of `zmqbridge.security`. See
`Endpoint` for what all of them can do.

Those that receive take ``prefetch``: how many messages may wait in the inbox that nobody has asked
for yet, 0 for none; by default ``zmq.RCVHWM``, but at most 1,000; and ``prefetch_bytes``, with how
many bytes of them reading pauses, too. Those that send take ``send_queue``: how many messages may
wait in the send queue, of each peer where the peer is named; by default 1,000. See
docs/what-is-held.md.

Every call may raise `SocketClosed`, `ContextTerminated`, and `LoopError` when there is no running
loop or it is not the socket's own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, final

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
from zmqbridge.core.framing import Message, as_name, join_topic, split_request


@final
class Publisher(LoopSender):
    """PUB: to all subscribers who are there and want the tag; whoever is not, misses it."""

    kind = zmq.PUB

    def publish(self, body: bytes, tag: str | bytes = b"") -> None:
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
    """SUB: `receive` and ``async for`` give (tag, body)."""


@final
class Pusher(LoopSender):
    """PUSH: each message to one of the pullers, in turn."""

    kind = zmq.PUSH

    async def push(self, *parts: bytes) -> None:
        """Send a message, waiting while the peers push back; cancelled in the wait, it is not sent.

        Raises:
            TypeError: a part is not bytes-like, e.g. a str.
            ValueError: there are no parts.
        """
        pump = self._pump
        if pump.sent >= self._yield_at or pump.queues or self._here() != self._place._thread_id:
            await self._clear_to_send(parts)
        pump.send(parts)

    def push_nowait(self, *parts: bytes) -> None:
        """Send a message, or queue it while the peers push back.

        Raises:
            QueueFull: the queue is at its high water mark; the error carries the message.
            TypeError, ValueError: as `push`.
        """
        self._send_nowait(parts)


@final
class Puller(LoopReceiver[Message]):
    """PULL: `receive` and ``async for`` give the parts of a message, a list of bytes."""

    kind = zmq.PULL


@final
class Requester(Requesting, LoopSocket):
    """Requests over DEALER: any number at once, each gets its own reply or a `RequestTimeout`.

    Args:
        timeout: seconds a request may take when the call says nothing; None is for ever.
        send_queue: how many requests may wait to be sent; no limit by default, as each has a
            caller who waits.
    """

    _answering: Iterable[tuple[AnyWaiter, Message]] = ()  # those who are yet to be answered

    async def request(self, *parts: bytes, timeout: float | None = None) -> Message:
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

    def reply(self, *parts: bytes) -> Coroutine[Any, Any, None]:
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
        if limit < 1:
            raise ValueError(f"limit={limit!r}: at least one handler must be able to run")
        from zmqbridge.asyncio_backend.serving import serve  # loaded by those who serve

        await serve(self, handler, limit, self._blame)

    def _decode(self, burst: list[Message]) -> Iterable[Request]:
        requests = self._decode_each(burst, split_request)
        return [Request(self, route, parts) for route, parts in requests]


@final
class Dealer(LoopExchange[Message]):
    """DEALER: messages to the peers in turn, and from all of them, as their parts."""

    kind = zmq.DEALER

    async def send(self, *parts: bytes) -> None:
        """Send a message, waiting while the peers push back; cancelled in the wait, it is not sent.

        Raises:
            TypeError: a part is not bytes-like, e.g. a str.
            ValueError: there are no parts.
        """
        pump = self._pump
        if pump.sent >= self._yield_at or pump.queues or self._here() != self._place._thread_id:
            await self._clear_to_send(parts)
        pump.send(parts)

    def send_nowait(self, *parts: bytes) -> None:
        """Send a message, or queue it while the peers push back.

        Raises:
            QueueFull: the queue is at its high water mark; the error carries the message.
            TypeError, ValueError: as `send`.
        """
        self._send_nowait(parts)


@final
class Router(Routing, LoopExchange[tuple[bytes, Message]]):
    """ROUTER: `receive` and ``async for`` give (peer, parts); `send` names the peer."""

    async def send(self, peer: bytes, *parts: bytes) -> None:
        """Send a message to one peer, waiting while that one pushes back; others are not held up.

        Raises:
            PeerUnreachable: no such peer is connected.
            TypeError: the peer or a part is not bytes-like, e.g. a str.
            ValueError: there are no parts.
        """
        await self._send(self._addressed(peer, parts))

    def send_nowait(self, peer: bytes, *parts: bytes) -> None:
        """Send a message to one peer, or queue it while that one pushes back.

        Raises:
            QueueFull: this peer's queue is at its high water mark; the error carries the message.
            PeerUnreachable, TypeError, ValueError: as `send`.
        """
        self._send_nowait(self._addressed(peer, parts))

    def _decode(self, burst: list[Message]) -> Iterable[tuple[bytes, Message]]:
        return [(message[0], message[1:]) for message in burst]
