"""The half of each pattern that is the same on every loop: what a burst of messages means."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import zmq

from zmqbridge.core.framing import (
    Message,
    as_bytes,
    as_name,
    as_parts,
    pack_reply,
    split_all,
    split_reply,
    split_topic,
)
from zmqbridge.core.inbox import Inbox
from zmqbridge.core.requests import RequestTable
from zmqbridge.core.statistics import Statistics
from zmqbridge.endpoint import Address, Endpoint, Options, several
from zmqbridge.errors import (
    AlreadyReplied,
    HandshakeFailed,
    MalformedMessage,
    RequestTimeout,
    SocketClosed,
)

if TYPE_CHECKING:
    from zmqbridge.security import Security

Item = TypeVar("Item")
Split = TypeVar("Split")


def some(parts: Sequence[Any]) -> None:
    """Refuse a message of no parts at all.

    Raises:
        ValueError: there is none.
    """
    if not parts:
        raise ValueError("a message has at least one part; an empty part is b''")


def seconds(timeout: float) -> float:
    """A timeout as it was given by the user.

    Raises:
        TypeError: it is no number.
        ValueError: it is not greater than zero.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout={timeout!r}: give seconds, or math.inf for ever")
    if not timeout > 0:
        raise ValueError(f"timeout={timeout!r}: give more than 0 seconds, or math.inf for ever")
    return timeout


def patience(timeout: float | None) -> float:
    """A timeout that may be nothing at all, or None for ever; raises as `seconds`."""
    return inf if timeout is None else timeout and seconds(timeout)


class Receiving(Endpoint, Generic[Item]):
    """An endpoint whose messages wait in an inbox until somebody takes them."""

    _unclaimed = 0

    def _prepare(self) -> None:
        self._inbox: Inbox[Item, Any] = Inbox()

    @abstractmethod
    def receive(self) -> Awaitable[Item]:
        """Wait for the next message."""

    @abstractmethod
    def _next(self) -> Awaitable[Item]:
        """The same, once it is known that `Inbox.pop` gives none."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        # What most calls come to is done here.
        try:
            return self._inbox.pop()
        except IndexError:
            pass
        try:
            return await self._next()
        except SocketClosed:
            raise StopAsyncIteration from None

    def _room(self) -> float:
        return self._inbox.room()

    def _deliver(self, burst: list[Message]) -> None:
        self._inbox.put(self._decode(burst))
        self._arrived()

    def _decode(self, burst: list[Message]) -> Iterable[Item]:
        """What the messages of a burst are to the user; here they are just their parts."""
        return burst  # type: ignore[return-value]

    def _decode_each(
        self, burst: list[Message], decode: Callable[[Message], Split]
    ) -> Iterable[Split]:
        items, malformed = split_all(decode, burst)
        self._reject(malformed)
        return items

    def _arrived(self) -> None:
        """There may be a message for somebody who waits."""
        self._wake(self._inbox.notify())

    def _disown(self) -> None:
        super()._disown()
        self._inbox.clear()  # these messages are the parent's

    def _close_socket(self) -> list[Any]:
        self._unclaimed = len(self._inbox)
        return super()._close_socket() + self._inbox.clear()

    def statistics(self) -> Statistics:
        return super().statistics()._replace(unread=len(self._inbox), unclaimed=self._unclaimed)


class Subscribing(Receiving[tuple[bytes, bytes]]):
    """SUB: publications as (tag, body)."""

    kind = zmq.SUB

    def __init__(
        self,
        tags: Address | Iterable[Address] = (),
        *,
        bind: Address | Iterable[Address] = (),
        connect: Address | Iterable[Address] = (),
        context: zmq.Context[Any] | None = None,
        options: Options | None = None,
        security: Security | None = None,
        **backend: Any,
    ) -> None:
        wanted = [as_name(tag, "a tag") for tag in several(tags)]
        super().__init__(
            bind=bind,
            connect=connect,
            context=context,
            options=options,
            security=security,
            **backend,
        )
        for tag in wanted:
            self.subscribe(tag)

    def subscribe(self, tag: Address = b"") -> None:
        """Take publications whose tag starts with `tag`, from now on; ``""`` means all.

        Raises:
            TypeError: the tag is neither str nor bytes-like.
            SocketClosed: the socket is closed.
        """
        self._check_open()
        self._socket.setsockopt(zmq.SUBSCRIBE, as_name(tag, "a tag"))

    def unsubscribe(self, tag: Address = b"") -> None:
        """Undo one `subscribe`; a tag that was never subscribed is fine.

        Raises:
            TypeError: the tag is neither str nor bytes-like.
            SocketClosed: the socket is closed.
        """
        self._check_open()
        self._socket.setsockopt(zmq.UNSUBSCRIBE, as_name(tag, "a tag"))

    def _decode(self, burst: list[Message]) -> Iterable[tuple[bytes, bytes]]:
        return self._decode_each(burst, split_topic)


class Requesting(Endpoint):
    """DEALER: requests out, each reply to the one who asked, or an error when its time is up."""

    kind = zmq.DEALER
    # Without it a DEALER deals half of the requests to an endpoint where nobody listens.
    defaults: ClassVar[Options] = {zmq.IMMEDIATE: 1}
    # Every queued request belongs to a caller who waits, and leaves the queue with him.
    high = inf

    def __init__(
        self,
        timeout: float | None = None,
        *,
        bind: Address | Iterable[Address] = (),
        connect: Address | Iterable[Address] = (),
        context: zmq.Context[Any] | None = None,
        options: Options | None = None,
        security: Security | None = None,
        **backend: Any,
    ) -> None:
        self._timeout = inf if timeout is None else seconds(timeout)
        super().__init__(
            bind=bind,
            connect=connect,
            context=context,
            options=options,
            security=security,
            **backend,
        )

    def _prepare(self) -> None:
        self._table: RequestTable[Any] = RequestTable()

    @abstractmethod
    def _answer(self, waiters: Sequence[Any], replies: Sequence[Message]) -> None:
        """Give waiters their replies, each the one at its place."""

    def _open(self, waiter: Any, parts: Sequence[bytes], timeout: float | None) -> bytes:
        """Send a request for a waiter, and return the id by which it may be given up."""
        if not parts:
            some(parts)
        deadline = self._now() + (self._timeout if timeout is None else seconds(timeout))
        table = self._table
        request_id = table.open(waiter, deadline)
        try:
            self._pump.send([request_id, b"", *parts], request_id)
        except Exception:
            table.cancel(request_id)
            raise
        if deadline < table.armed:
            self._call_at(table.arm())
        return request_id

    def _give_up(self, request_id: bytes) -> None:
        """Nobody waits for this reply any more; if the request was not sent yet, it will not be."""
        self._table.cancel(request_id)
        self._pump.discard(request_id)
        self._rest()

    def _rest(self) -> None:
        """Stop the timer if no request needs it."""
        if not self._table.timed and self._table.armed < inf:
            self._table.armed = inf
            self._disarm()

    def _refused(self, error: HandshakeFailed) -> bool:
        refused = [
            self._table.cancel(request_id)
            for request_id in self._table.waiters()
            if self._pump.discard(request_id)
        ]
        self._rest()
        self._fail(refused, error)
        return bool(refused)

    def _deliver(self, burst: list[Message]) -> None:
        # Two lists, for a list of pairs would be as many more objects to collect.
        waiters, replies, malformed = [], [], []
        match = self._table.match
        for message in burst:
            try:
                request_id, parts = split_reply(message)
            except MalformedMessage as error:
                malformed.append(error)
                continue
            waiter = match(request_id)
            if waiter is not None:
                waiters.append(waiter)
                replies.append(parts)
        self._reject(malformed)
        self._answer(waiters, replies)

    def _alarm(self) -> None:
        for request_id, waiter in self._table.expire(self._now()):
            stage = "queued" if self._pump.discard(request_id) else "sent"
            self._fail([waiter], RequestTimeout(stage))
        deadline = self._table.arm()
        if deadline < inf:
            self._call_at(deadline)

    def _close_socket(self) -> list[Any]:
        return super()._close_socket() + self._table.close()

    def statistics(self) -> Statistics:
        return (
            super()
            .statistics()
            ._replace(open_requests=len(self._table), late_replies=self._table.late)
        )


class Request:
    """A request that came to a Replier, to be answered once.

    Attributes:
        parts: what was sent, a list of bytes.
    """

    __slots__ = ("_answered", "_route", "_socket", "parts")

    def __init__(self, socket: Any, route: Message, parts: Message) -> None:
        self._socket = socket
        self._route = route
        self._answered = False
        self.parts = parts

    @property
    def peer(self) -> bytes:
        """The routing id of the peer it came from (a proxy, if one is in between)."""
        return self._route[0]

    @property
    def id(self) -> bytes:
        """The id as its sender chose it; ``b""`` from a plain REQ, which sends none."""
        return self._route[-1] if len(self._route) > 1 else b""

    def _answer(self, parts: tuple[bytes, ...]) -> Message:
        """The message that answers this request; it can be had once."""
        if not parts:
            some(parts)
        message = pack_reply(self._route, as_parts(parts))
        if self._answered:
            raise AlreadyReplied(f"{self!r} was answered already")
        self._answered = True
        return message

    def __repr__(self) -> str:
        return f"<Request {self.id.hex()} from {self.peer.hex()}, {len(self.parts)} parts>"


class Routing(Endpoint):
    """ROUTER: a peer that is gone or full is an error or a wait, not a silent loss."""

    kind = zmq.ROUTER
    defaults: ClassVar[Options] = {zmq.ROUTER_MANDATORY: 1}

    @staticmethod
    def _addressed(peer: bytes, parts: tuple[bytes, ...]) -> Message:
        some(parts)
        return [as_bytes(peer, "a peer"), *parts]
