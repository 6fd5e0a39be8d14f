"""Audience: the pattern of a Publisher: counts its subscriptions, and answers barriers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import zmq

from zmqbridge._bridge.calls import random_of
from zmqbridge._bridge.receivingsocket import OF_PUBLISHERS, Refused
from zmqbridge.core._pacing import LOOK, PART, PART_BYTES
from zmqbridge.core.framing import SEPARATOR, Address, Message, as_name
from zmqbridge.core.patterns import NOTHING, Pattern, Told
from zmqbridge.core.topics import (
    LONGEST,
    Change,
    Subscribed,
    Topics,
    answer_header,
    is_private,
    split_change,
)
from zmqbridge.errors import MalformedMessage, StateUnknown, TooFewSubscribers, ZmqBridgeError

if TYPE_CHECKING:
    from zmqbridge._bridge.link import Link
    from zmqbridge._bridge.listening import Listening
    from zmqbridge._bridge.replays import Replays
    from zmqbridge.core.lastvalues import LastValues
    from zmqbridge.core.outgoing import Outgoing

# Messages of a burst: to read and to handle so many subscriptions takes half a millisecond.
BURST = 50
UNREAD = 100_000  # changes that a slow listener may have still to read
# What counts the messages that are sent, also those of answers.
SENT = ("sent", "queued", "dropped", "withdrawn", "unreachable", "refused", "unroutable")

# With these, what is counted would not be what is there; an XPublisher counts nothing.
UNCOUNTED = "would make subscribers(), wanted() and wait_for() wrong, and leave barriers unanswered"
REFUSED: Refused = {
    **OF_PUBLISHERS,
    zmq.XPUB_VERBOSER: (lambda value: not value, f"{UNCOUNTED}; use an XPublisher"),
    # Of either value: each ends XPUB_VERBOSER.
    zmq.XPUB_VERBOSE: (lambda value: True, f"{UNCOUNTED}; use an XPublisher"),
    zmq.INVERT_MATCHING: (bool, f"{UNCOUNTED}; use an XPublisher"),
}


class Audience(Pattern):
    """XPUB: counts the subscriptions, and wakes calls that wait for them or listen to them.

    Mostly there are no such calls. Then subscriptions are read only when a burst of them comes, or
    when the program asks, and a publication costs as much as on PUB.

    Args:
        format: the format of the publications.
        barrier: whether subscribers that ask for a barrier get an answer.
        newest: whether libzmq keeps only the newest publication, which it does only for PUB.

    Attributes:
        topics: the prefixes that the subscribers want.
        outgoing: numbers the publications, if they have numbers.
        replays: answers subscribers that ask for publications again, if that is wanted.
        last_values: the publications that are sent again to new subscribers, if that is wanted.
        copy: makes the parts of a publication that is sent again.
    """

    __slots__ = (
        "__weakref__", "_barrier", "_link", "_listeners", "_read_at", "_tail", "_waiters", "copy",
        "last_values", "outgoing", "refused", "replays", "socket_type", "topics",
    )  # fmt: skip

    def __init__(self, format: str, *, barrier: bool = False, newest: bool = False) -> None:
        super().__init__(lambda: BURST)
        self.topics = Topics()
        self._barrier = barrier
        self._tail = SEPARATOR if format == "joined" else b""
        self._waiters: dict[Any, None] = {}
        self._listeners: WeakSet[Listening[Change]] = WeakSet()
        self._read_at = 0  # how many messages were sent when it last read
        self.socket_type = zmq.PUB if newest else 0
        # A PUB is not asked who subscribes.
        self.refused: Refused = OF_PUBLISHERS if newest else REFUSED
        self.outgoing: Outgoing | None = None
        self.replays: Replays | None = None
        self.last_values: LastValues | None = None
        self.copy: Callable[[Any], Sequence[bytes]] = list

    def joined(self, link: Link) -> None:
        self._link = link
        self._mind()

    def _mind(self) -> None:
        heeded = self._barrier or self._waiters or self._listeners or self.last_values is not None
        self._link.pump.mind_sending(bool(heeded))

    def feed(self, burst: list[Message]) -> Told:
        changes: list[Change] = []
        answers: list[bytes] = []
        values = self.last_values
        begun = values is not None and values.pending
        for change in self.split(split_change, burst):
            if is_private(change.tag):
                if self._barrier and type(change) is Subscribed:
                    (answers.append if values is None else values.then)(change.tag)
                continue
            if type(change) is Subscribed:
                self.topics.added(change.tag)
                if values is not None:
                    values.wanted(change.tag)
            else:
                self.topics.removed(change.tag)
            if len(change.tag) > LONGEST:
                self.malformed += 1
                text = f"a subscription of {len(change.tag)} bytes"
                self.rejected = MalformedMessage(text, [change.tag[:LONGEST]])
            else:
                changes.append(change)
        for listener in list(self._listeners):
            listener.put(changes)
        for tag in answers:
            self._answer(tag)
        if values is not None and values.pending and not begun:
            self._send_again(values)
        self._mind()
        return self._take_waiters(), NOTHING

    def _send_again(self, values: LastValues) -> None:
        # A part at a time; then the loop has its turn.
        while values.pending and not self._link.closed:
            publications, topics = values.part(PART, LOOK, PART_BYTES)
            for publication in publications:
                self._send(self.copy(publication))
            for tag in topics:
                self._answer(tag)
            if values.pending and self._link.driver.soon(lambda: self._send_again(values)):
                return

    def _answer(self, tag: bytes) -> None:
        # Each answer is another, so that those of several publishers, and of several ways to
        # one of them, can be counted.
        number = b"" if self.outgoing is None else self.outgoing.next_number()
        header = answer_header(tag, random_of(self._link.socket)(4))
        self._send([tag, header, number, b""])

    def _send(self, message: Sequence[bytes]) -> None:
        try:
            self._link.pump.send(message)
        except ZmqBridgeError:
            pass  # a turn meets the same, and tells the driver

    def look(self) -> Topics:
        """What is known now; what libzmq knows already is read first, if that may be hidden.

        Raises:
            StateUnknown: the socket is a PUB.
            SocketClosed: it is closed.
        """
        link = self._link
        link.check_open()
        if self.socket_type:
            raise StateUnknown(f"{link!r}: with zmq.CONFLATE libzmq does not tell who subscribes")
        pump = link.pump
        if self._read_at != pump.sent and not (self._waiters or self._listeners):
            self._read_at = pump.sent
            pump.turn()
        return self.topics

    def head(self, tag: Address) -> bytes:
        """What the first part of a publication under this tag begins with."""
        return (tag if type(tag) is bytes else as_name(tag, "a tag")) + self._tail

    async def until(self, tag: Address, count: int) -> None:
        """Wait until so many subscriptions meet a tag."""
        head = self.head(tag)
        topics = self.look()
        while topics.matching(head) < count:
            await self.arrival()

    def too_few(self, tag: Address, count: int, timeout: float) -> TooFewSubscribers:
        """The error when so many did not come in time."""
        head = self.head(tag)
        found = self.topics.matching(head)
        return TooFewSubscribers(head.removesuffix(self._tail), count, found, timeout)

    def listen(self) -> Listening[Change]:
        """Add a listener and return it."""
        self.look()
        from zmqbridge._bridge.listening import Listening  # few listen

        listener: Listening[Change] = Listening(self, UNREAD)
        self._listeners.add(listener)
        self._mind()
        return listener

    def arrival(self) -> Awaitable[None]:
        """Wait for the next changes."""
        self._link.check_open()
        arrival: Awaitable[None] = self._link.driver.room_in(self)
        return arrival

    def wait(self, waiter: Any) -> None:
        """Register a waiter, which the next changes wake."""
        self._waiters[waiter] = None
        self._mind()

    def forget(self, waiter: Any) -> None:
        """Remove a waiter that does not wait any more."""
        self._waiters.pop(waiter, None)
        self._mind()

    def wake(self) -> None:
        """Wake all waiters."""
        self._link.driver.tell(self._take_waiters())

    def _take_waiters(self) -> list[Any]:
        waiters = list(self._waiters)
        self._waiters.clear()
        return waiters

    def close(self, remains: list[Any]) -> list[Any]:
        self.topics.close()
        if self.last_values is not None:
            self.last_values.close()
        for listener in self._listeners:
            listener.drop()
        waiters = self._take_waiters()
        if self.replays is not None:
            waiters += self.replays.end()
        return waiters

    def counts(self) -> dict[str, int]:
        # Subscriptions are not counted as messages, and neither are questions.
        counts = {"malformed": self.malformed, "received": self.malformed}
        if self.replays is None:
            return counts
        answers, own = self.replays.counts(), self._link.pump
        counts = {name: count + answers[name] for name, count in counts.items()}
        return counts | {name: getattr(own, name) + answers[name] for name in SENT}


def count_wanted(count: int) -> int:
    """How many subscriptions to wait for.

    Raises:
        TypeError: it is no int.
        ValueError: it is less than one.
    """
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"count={count!r}: give a number of subscriptions")
    if count < 1:
        raise ValueError(f"count={count!r}: nothing to wait for")
    return count


def subscribers(self: Any, tag: Address = b"") -> int:
    """How many subscriptions a publication under `tag` meets now.

    A subscription of ``""`` meets all, and one of a prefix longer than the tag does not count. A
    subscriber with two subscriptions that meet it counts twice; a proxy counts once, however many
    are behind it. One of another library that subscribes to a tag several times counts as often;
    libzmq tells of one end alone, so the others stay counted.

    Raises:
        TypeError: the tag is neither str nor bytes-like.
        StateUnknown: the socket was made with ``zmq.CONFLATE``.
        SocketClosed: the socket is closed.
    """
    audience: Audience = self._audience
    return audience.look().matching(audience.head(tag))


def wanted(self: Any, tag: Address = b"") -> bool:
    """Whether a subscriber may receive a publication under `tag`; if not, do not even make it.

    Raises:
        TypeError: the tag is neither str nor bytes-like.
        StateUnknown: the socket was made with ``zmq.CONFLATE``.
        SocketClosed: the socket is closed.
    """
    audience: Audience = self._audience
    return audience.look().wanted(audience.head(tag))
