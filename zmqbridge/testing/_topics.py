"""Topics: the simulated PUB, XPUB, SUB and XSUB, and their table of subscriptions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import zmq

from zmqbridge.testing._ends import End
from zmqbridge.testing._kinds import Kind, ReadsAhead, again, unable
from zmqbridge.testing._pipes import Message

if TYPE_CHECKING:
    from zmqbridge.testing._socketstate import SocketState


class SubscriptionTable:
    """The topics of a publisher or a subscriber, each with its subscribers (mtrie.cpp)."""

    def __init__(self) -> None:
        self.of: dict[bytes, dict[Any, int]] = {}
        self._lengths: dict[int, int] = {}

    def add(self, topic: bytes, by: Any) -> bool:
        """Add a subscription; True if it is the first one to this topic."""
        first = topic not in self.of
        if first:
            self.of[topic] = {}
            self._lengths[len(topic)] = self._lengths.get(len(topic), 0) + 1
        those = self.of[topic]
        those[by] = those.get(by, 0) + 1
        return first

    def remove(self, topic: bytes, by: Any, all_of_it: bool = False) -> bool | None:
        """Remove a subscription; True if its topic has no more of them, None if it is unknown."""
        those = self.of.get(topic, {})
        if by not in those:
            return None
        those[by] -= 1
        if all_of_it or not those[by]:
            del those[by]
        if those:
            return False
        del self.of[topic]
        self._lengths[len(topic)] -= 1
        if not self._lengths[len(topic)]:
            del self._lengths[len(topic)]
        return True

    def matching(self, first: bytes) -> Iterable[dict[Any, int]]:
        """The subscribers to each topic that this first part begins with."""
        of = self.of
        for length in self._lengths:
            if length <= len(first):
                those = of.get(first[:length])
                if those:
                    yield those


def distribute(ends: Iterable[End], message: Message) -> None:
    """Send a message to all ends that have room; the others miss it (dist.cpp)."""
    for end in ends:
        if end.can_write():
            end.outgoing.write(message)


class XPublisher(Kind):
    """XPUB (xpub.cpp)."""

    switches: ClassVar[Mapping[int, str]] = {
        zmq.XPUB_VERBOSE: "verbose",
        zmq.XPUB_VERBOSER: "verboser",
        zmq.XPUB_NODROP: "keeps",
    }
    tells = True
    verbose = verboser = keeps = False

    def __init__(self, socket: SocketState) -> None:
        super().__init__(socket)
        self._topics = SubscriptionTable()
        self._news: deque[Message] = deque()

    def attach(self, end: End) -> None:
        self.ends[end] = None
        self.readable(end)

    def readable(self, end: End) -> None:
        # Subscriptions are read as soon as they come, before the user calls `receive`.
        while end.can_read():
            self._take_in(end, end.incoming.read())
        end.dry()

    def _take_in(self, end: End, message: Message) -> None:
        first = message[0]
        if first[:1] not in (b"\0", b"\1") or len(message) > 1:
            self._tell(message)
            return
        topic = first[1:]
        if first[0]:
            news = self._topics.add(topic, end) or self.verbose or self.verboser
            end.subscribed.add(topic)
        else:
            end.subscribed.discard(topic)
            news = self._topics.remove(topic, end, all_of_it=True) is not False or self.verboser
        if news:
            self._tell([first])

    def _tell(self, message: Message) -> None:
        if self.tells:
            self._news.append(message)

    def gone(self, end: End) -> None:
        super().gone(end)
        for topic in sorted(end.subscribed):
            if self._topics.remove(topic, end, all_of_it=True) or self.verboser:
                self._tell([b"\0" + topic])
        end.subscribed.clear()

    def has_in(self) -> bool:
        return bool(self._news)

    def receive(self) -> Message | None:
        return self._news.popleft() if self._news else None

    def _wanting(self, first: bytes) -> dict[End, None]:
        return {end: None for those in self._topics.matching(first) for end in those}

    def has_out(self) -> bool:
        return True

    def begin(self, first: bytes, more: bool) -> None:
        if self.keeps and any(end.outgoing.full() for end in self._wanting(first)):
            raise again()

    def send(self, message: Message) -> None:
        distribute(self._wanting(message[0]), message)


class Publisher(XPublisher):
    """PUB (pub.cpp)."""

    tells = False
    hasty = True

    def receive(self) -> Message | None:
        raise unable()


class XSubscriber(ReadsAhead):
    """XSUB (xsub.cpp)."""

    filters = False

    def __init__(self, socket: SocketState) -> None:
        super().__init__(socket)
        self._topics = SubscriptionTable()

    def attach(self, end: End) -> None:
        super().attach(end)
        self._subscribe(end)

    def met_again(self, end: End) -> None:
        end.outgoing.drop()
        end.outgoing.outdated = False
        self._subscribe(end)

    def _subscribe(self, end: End) -> None:
        # Subscriptions beyond the high water mark are lost (zeromq/libzmq#4064).
        for topic in sorted(self._topics.of):
            if end.can_write():
                end.outgoing.write([b"\1" + topic])

    def _fetch(self, ahead: bool = False) -> Message | None:
        while (found := self._next(ahead)) is not None:
            message = found[1]
            if not self.filters or any(True for _ in self._topics.matching(message[0])):
                return message
            self._whole()
        return None

    def has_out(self) -> bool:
        return True

    def begin(self, first: bytes, more: bool) -> None:
        pass

    def send(self, message: Message) -> None:
        first = message[0]
        if first[:1] == b"\1":
            self._topics.add(first[1:], self)
        elif first[:1] == b"\0" and not self._topics.remove(first[1:], self):
            return
        distribute(self.ends, message)


class Subscriber(XSubscriber):
    """SUB (sub.cpp)."""

    filters = True

    def has_out(self) -> bool:
        return False

    def begin(self, first: bytes, more: bool) -> None:
        raise unable()

    def set(self, option: int, value: Any) -> bool:
        if option not in (zmq.SUBSCRIBE, zmq.UNSUBSCRIBE):
            return False
        topic = value.encode() if isinstance(value, str) else bytes(value)
        self.send([(b"\1" if option == zmq.SUBSCRIBE else b"\0") + topic])
        return True
