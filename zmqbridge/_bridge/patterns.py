"""The half of each pattern that is the same on every loop: what a burst of messages means."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from math import inf
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import zmq

from zmqbridge._bridge.catchup import SETTLES
from zmqbridge._bridge.endpoint import Endpoint
from zmqbridge._bridge.receivingsocket import ReceivingSocket
from zmqbridge.core.checks import bytes_at_most, held_at_most, queued_at_most, seconds
from zmqbridge.core.framing import (
    BytesLike,
    Message,
    as_parts,
    pack_reply,
    require_parts,
    split_all,
    split_reply,
)
from zmqbridge.core.inbox import HIGH, Inbox, WeighedInbox
from zmqbridge.core.requests import RequestTable
from zmqbridge.core.statistics import Statistics
from zmqbridge.errors import (
    AlreadyReplied,
    HandshakeFailed,
    MalformedMessage,
    PeerUnreachable,
    RequestTimeout,
    SocketClosed,
)

if TYPE_CHECKING:
    from zmqbridge.arguments import Options

BLAMED = 1000  # peers whose refusals are reported once, before it begins anew

Item = TypeVar("Item")
Split = TypeVar("Split")


class Sending(Endpoint):
    """An endpoint with a send queue whose length its user may limit."""

    def _take(self, *, send_queue: float | None = None, **others: Any) -> None:
        if send_queue is not None:
            self.high: float = queued_at_most(send_queue)
        super()._take(**others)


class Receiving(Endpoint, Generic[Item]):
    """An endpoint whose messages wait in an inbox until somebody takes them."""

    _prefetch: int | None = None
    _prefetch_bytes: int | None = None
    _rcvhwm = HIGH  # which is libzmq's default, too
    _conflates = False
    _unclaimed = 0

    def _take(
        self, *, prefetch: int | None = None, prefetch_bytes: int | None = None, **others: Any
    ) -> None:
        if prefetch is not None:
            self._prefetch = held_at_most(prefetch)
        if prefetch_bytes is not None:
            self._prefetch_bytes = bytes_at_most(prefetch_bytes)
        super()._take(**others)

    def _prepare(self) -> None:
        self._inbox: Inbox[Item, Any] = Inbox()
        if self._prefetch_bytes is not None:
            self._inbox = WeighedInbox(self._prefetch_bytes, self._weigh)
        if self._prefetch is not None:
            self._set_limit()

    def _new_socket(self, context: zmq.Context[Any], kind: int) -> ReceivingSocket:
        socket = ReceivingSocket(context, kind)
        socket.tell(self._option_set)
        return socket

    def _option_set(self, socket: zmq.Socket[bytes], option: int, value: Any) -> None:
        # Whatever is set, a turn is scheduled, as it may silence the FD.
        if option == zmq.RCVHWM:
            self._rcvhwm = value or HIGH
        elif option == zmq.CONFLATE:
            self._conflates = bool(value)
        else:
            return
        self._set_limit()

    @staticmethod
    def _weigh(item: Any) -> int:
        """How many bytes an item has."""
        return sum(map(len, item))

    def _set_limit(self) -> None:
        prefetch = min(self._rcvhwm, HIGH) if self._prefetch is None else self._prefetch
        # libzmq keeps the newest for us, if we let it. A ROUTER has none of it.
        self._inbox.limit(0 if self._conflates and self.kind != zmq.ROUTER else prefetch)

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

    # Compiled, so it costs no frame.
    _room = property(attrgetter("_inbox.room"))

    def _deliver(self, burst: list[Message]) -> None:
        self._inbox.put(self._decode(burst))
        self._arrived()

    def _decode(self, burst: list[Message]) -> Iterable[Item]:
        """What the messages of a burst are to the user; here they are just their parts."""
        return burst  # type: ignore[return-value]

    def _decode_each(self, burst: list[Message], decode: Callable[[Message], Split]) -> list[Split]:
        items, malformed = split_all(decode, burst)
        self._reject(malformed)
        return items

    def _arrived(self) -> None:
        """There may be a message for somebody who waits."""
        self._wake(self._inbox.notify())

    def _disown(self) -> None:
        super()._disown()
        self._inbox.close()  # these messages are the parent's

    def _close_socket(self) -> list[Any]:
        self._unclaimed = len(self._inbox)
        return super()._close_socket() + self._inbox.close()

    def statistics(self) -> Statistics:
        inbox = self._inbox
        return (
            super()
            .statistics()
            ._replace(unread=len(inbox), unclaimed=self._unclaimed, unwanted=inbox.unwanted)
        )


class Requesting(Sending):
    """DEALER: requests out, each reply to the one who asked, or an error when its time is up."""

    kind: ClassVar[int] = zmq.DEALER
    # Without it a DEALER deals half of the requests to an endpoint where nobody listens.
    defaults: ClassVar[Options] = {zmq.IMMEDIATE: 1}
    # Every queued request belongs to a caller who waits, and leaves the queue with him.
    high = inf

    def __init__(self, timeout: float | None = None, **others: Any) -> None:
        self._timeout = inf if timeout is None else seconds(timeout)
        super().__init__(**others)

    def _prepare(self) -> None:
        self._table: RequestTable[Any] = RequestTable()

    @abstractmethod
    def _answer(self, waiters: Sequence[Any], replies: Sequence[Message]) -> None:
        """Give waiters their replies, each the one at its place."""

    def _open(self, waiter: Any, parts: Sequence[BytesLike], timeout: float | None) -> bytes:
        """Send a request for a waiter, and return the id by which it may be given up."""
        if not parts:
            require_parts(parts)
        deadline = self._now() + (self._timeout if timeout is None else seconds(timeout))
        table = self._table
        request_id = table.wait(waiter, deadline)
        try:
            # `pack_request`, without its frame.
            self._pump.send([request_id, b"", *parts], request_id)
        except Exception:
            table.forget(request_id)
            raise
        if deadline < table.armed:
            self._set_timer()
        return request_id

    def _give_up(self, request_id: bytes) -> None:
        """Nobody waits for this reply any more; if the request was not sent yet, it will not be."""
        self._table.forget(request_id)
        self._pump.discard(request_id)
        self._rest()

    def _set_timer(self) -> None:
        """Have the timer go off at the earliest deadline."""
        deadline = self._table.next_deadline()
        if deadline < self._table.armed:
            self._table.armed = deadline
            self._call_at(deadline)

    def _rest(self) -> None:
        """Stop the timer if no request needs it."""
        if not self._table.timed and self._table.armed < inf:
            self._table.armed = inf
            self._disarm()

    def _refused(self, error: HandshakeFailed) -> bool:
        refused = [
            self._table.forget(request_id)
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
        now = self._now()
        # A reply that has come in time must not lose against a loop that was held up.
        if not self._pump.caught_up(now - self._table.armed):
            self._call_at(now + SETTLES)
            return
        for request_id, waiter in self._table.expire(now):
            stage = "queued" if self._pump.discard(request_id) else "sent"
            self._fail([waiter], RequestTimeout(stage))
        self._set_timer()

    def _close_socket(self) -> list[Any]:
        waiters = super()._close_socket()
        waiters += self._table.close(self._remains)
        return waiters

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
        self.parts: Message = parts

    @property
    def peer(self) -> bytes:
        """The routing id of the peer it came from (a proxy, if one is in between)."""
        return self._route[0]

    @property
    def id(self) -> bytes:
        """The id as its sender chose it; ``b""`` from a plain REQ, which sends none."""
        return self._route[-1] if len(self._route) > 1 else b""

    def _answer(self, parts: tuple[BytesLike, ...]) -> Message:
        """The message that answers this request; it can be had once."""
        if not parts:
            require_parts(parts)
        message = pack_reply(self._route, as_parts(parts))
        if self._answered:
            raise AlreadyReplied(f"{self!r} was answered already")
        self._answered = True
        return message

    def __repr__(self) -> str:
        return f"<Request {self.id.hex()} from {self.peer.hex()}, {len(self.parts)} parts>"


class Routing(Endpoint):
    """ROUTER: a peer that is gone or full is an error or a wait, not a silent loss."""

    kind: ClassVar[int] = zmq.ROUTER
    defaults: ClassVar[Options] = {zmq.ROUTER_MANDATORY: 1}

    _patrols = True
    _patrol_at = inf

    def _prepare(self) -> None:
        super()._prepare()
        self._blamed: set[bytes] = set()

    def _stalled(self, queue: Any) -> None:
        self._set_patrol(self._pump.pause_of_patrols())

    def _alarm(self) -> None:
        self._patrol_at = inf
        self._set_patrol(self._pump.patrol())

    def _set_patrol(self, pause: float) -> None:
        due = self._now() + pause
        if due < self._patrol_at:
            self._patrol_at = due
            self._call_at(due)

    def _blame(self, error: BaseException) -> None:
        """Report what a handler let out; that its peer does not take the reply, once for each."""
        if self._closed:
            return  # so we know why it could not reply
        if isinstance(error, PeerUnreachable):
            if error.peer in self._blamed:
                return
            if len(self._blamed) >= BLAMED:
                self._blamed.clear()
            self._blamed.add(error.peer)
        self._report(error)

    @staticmethod
    def _weigh(item: Any) -> int:
        return sum(map(len, item.parts if isinstance(item, Request) else item[1]))
