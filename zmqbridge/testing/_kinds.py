"""Kinds: how each kind of simulated socket chooses the peer that it sends to or reads from.

The rules are those of libzmq 4.3.5, whose file is named with each class.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from struct import pack
from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge.testing._ends import End, is_over, take
from zmqbridge.testing._pipes import Message

if TYPE_CHECKING:
    from zmqbridge.testing._sockets import SimSocket


def again() -> zmq.ZMQError:
    """What libzmq says when nothing can be sent or received now."""
    return zmq.Again()


def unreachable() -> zmq.ZMQError:
    """What a ROUTER says of a peer that it does not know."""
    return zmq.ZMQError(zmq.EHOSTUNREACH)


def wrong_state() -> zmq.ZMQError:
    """What REQ and REP say when it is the peer's turn."""
    return zmq.ZMQError(zmq.EFSM)


def unable() -> zmq.ZMQError:
    """What a socket says that can only receive, or only send."""
    return zmq.ZMQError(zmq.ENOTSUP)


class Kind:
    """What all kinds have: ends from which messages are taken in turn (fq.cpp).

    Attributes:
        ends: all that were attached and are not over, oldest first.
        hasty: what a peer sent before it went is not read any more.
    """

    hasty = False

    def __init__(self, socket: SimSocket) -> None:
        self.socket = socket
        self.ends: dict[End, None] = {}
        self._filled: deque[End] = deque()

    def attach(self, end: End) -> None:
        """A new end, to a peer that is there or will be."""
        self.ends[end] = None
        self.writable(end)
        if end.incoming.queue or end.incoming.ended:
            self.readable(end)

    def meet(self, end: End) -> None:
        """The peer of an end that was attached before is there now, perhaps again."""

    def detach(self, end: End) -> None:
        """An end is over."""
        self.ends.pop(end, None)
        for those in (self._filled,):
            if end in those:
                those.remove(end)
        end.reads = end.writes = False

    def readable(self, end: End) -> None:
        """An end has something to read."""
        if not end.reads:
            end.reads = True
            self._filled.append(end)

    def writable(self, end: End) -> None:
        """An end may have room."""

    def _next(self) -> tuple[End, Message] | None:
        filled = self._filled
        while filled:
            end = filled[0]
            message = take(end)
            if message is not None:
                filled.rotate(-1)
                return end, message
            filled.popleft()
            end.reads = False
            if is_over(end):
                self.detach(end)
        return None

    def _has(self) -> bool:
        filled = self._filled
        while filled:
            end = filled[0]
            if end.incoming.has():
                return True
            filled.popleft()
            end.reads = False
            if is_over(end):
                self.detach(end)
        return False

    def has_in(self) -> bool:
        """Whether `receive` has a message."""
        return self._has()

    def has_out(self) -> bool:
        """Whether `begin` would find room."""
        return False

    def receive(self) -> Message | None:
        """The next message for the user, None if there is none."""
        found = self._next()
        return None if found is None else found[1]

    def begin(self, first: bytes) -> None:
        """A message begins; it is decided whether there is room for it.

        Raises:
            zmq.ZMQError: as libzmq says it.
        """
        raise unable()

    def send(self, message: Message) -> None:
        """The message that was begun is whole."""
        raise unable()

    def set(self, option: int, value: Any) -> bool:
        """Take an option that only this kind has; False if it has no such option."""
        return False


class Pull(Kind):
    """PULL (pull.cpp)."""


class Balanced(Kind):
    """Those that send to their peers in turn (lb.cpp)."""

    def __init__(self, socket: SimSocket) -> None:
        super().__init__(socket)
        self._roomy: deque[End] = deque()

    def detach(self, end: End) -> None:
        if end in self._roomy:
            self._roomy.remove(end)
        super().detach(end)

    def writable(self, end: End) -> None:
        if not end.writes:
            end.writes = True
            self._roomy.append(end)

    def has_out(self) -> bool:
        roomy = self._roomy
        while roomy:
            if roomy[0].can_write():
                return True
            roomy.popleft().writes = False
        return False

    def begin(self, first: bytes) -> None:
        if not self.has_out():
            raise again()

    def send(self, message: Message) -> None:
        if self.has_out():  # else its peer left in mid-message
            end = self._roomy[0]
            self._roomy.rotate(-1)
            end.outgoing.write(message)


class Push(Balanced):
    """PUSH (push.cpp)."""

    hasty = True

    def has_in(self) -> bool:
        return False

    def receive(self) -> Message | None:
        raise unable()


class Dealer(Balanced):
    """DEALER (dealer.cpp)."""

    probes = False

    def attach(self, end: End) -> None:
        super().attach(end)
        if self.probes:
            probe(end)

    def set(self, option: int, value: Any) -> bool:
        if option == zmq.PROBE_ROUTER:
            self.probes = bool(value)
            return True
        return False


def probe(end: End) -> None:
    """The empty message that PROBE_ROUTER sends to each new peer."""
    if end.can_write():
        end.outgoing.write([b""])


class Pair(Kind):
    """PAIR (pair.cpp): one peer; a second is turned away."""

    def attach(self, end: End) -> None:
        if self.ends:
            self.socket.turn_away(end)
        else:
            super().attach(end)

    def _only(self) -> End | None:
        return next(iter(self.ends), None)

    def has_out(self) -> bool:
        end = self._only()
        return end is not None and end.can_write()

    def begin(self, first: bytes) -> None:
        if not self.has_out():
            raise again()

    def send(self, message: Message) -> None:
        end = self._only()
        if end is not None and end.can_write():
            end.outgoing.write(message)


class Router(Kind):
    """ROUTER (router.cpp): the first part names the peer."""

    probes = mandatory = handover = False

    def __init__(self, socket: SimSocket) -> None:
        super().__init__(socket)
        self._peers: dict[bytes, End] = {}
        self._unnamed: list[End] = []
        self._number = int.from_bytes(socket.urandom(4), "big")
        self._ahead: Message | None = None
        self._to: End | None = None

    def attach(self, end: End) -> None:
        self.ends[end] = None
        if self.probes:
            probe(end)
        # Of a peer that this socket connects to the routing id is not known before it is there.
        if end.connecter is None or end.far is not None:
            self.meet(end)
        else:
            self._unnamed.append(end)

    def meet(self, end: End) -> None:
        if end in self._unnamed:
            self._unnamed.remove(end)
        if self._peers.get(self._id_of(end)) is end:
            return
        name = end.peer
        if not name:
            self._number = (self._number + 1) % 2**32
            name = pack(">BI", 0, self._number)
        elif (other := self._peers.get(name)) is not None:
            if not self.handover:
                self._unnamed.append(end)  # it is not heard
                return
            del self._peers[name]
            self.socket.turn_away(other)
        end.peer = name
        self._peers[name] = end
        if end.incoming.queue or end.incoming.ended:
            self.readable(end)

    def _id_of(self, end: End) -> bytes:
        return end.peer

    def detach(self, end: End) -> None:
        super().detach(end)
        if end in self._unnamed:
            self._unnamed.remove(end)
        if self._peers.get(end.peer) is end:
            del self._peers[end.peer]

    def readable(self, end: End) -> None:
        if end not in self._unnamed:
            super().readable(end)
        elif end.incoming.ended and not end.incoming.queue:
            self.detach(end)

    def has_in(self) -> bool:
        if self._ahead is None:
            self._ahead = self._fetch()
        return self._ahead is not None

    def _fetch(self) -> Message | None:
        found = self._next()
        return None if found is None else [found[0].peer, *found[1]]

    def receive(self) -> Message | None:
        ahead, self._ahead = self._ahead, None
        return ahead or self._fetch()

    def has_out(self) -> bool:
        if not self.mandatory:
            return True
        return any(end.can_write() for end in self._peers.values())

    def begin(self, first: bytes) -> None:
        end = self._peers.get(first)
        self._to = None
        if end is not None and end.can_write():
            self._to = end
        elif self.mandatory:
            if end is not None and end.outgoing.full():
                raise again()
            raise unreachable()

    def send(self, message: Message) -> None:
        to, self._to = self._to, None
        if to is not None and to.can_write() and len(message) > 1:
            to.outgoing.write(message[1:])

    def set(self, option: int, value: Any) -> bool:
        name = {
            zmq.ROUTER_MANDATORY: "mandatory",
            zmq.ROUTER_HANDOVER: "handover",
            zmq.PROBE_ROUTER: "probes",
        }.get(option)  # type: ignore[call-overload]
        if name:
            setattr(self, name, bool(value))
        return bool(name)


class Topics:
    """The topics of a publisher or a subscriber, each with what has subscribed to it (mtrie.cpp)."""

    def __init__(self) -> None:
        self.of: dict[bytes, dict[Any, int]] = {}
        self._lengths: dict[int, int] = {}

    def add(self, topic: bytes, by: Any) -> bool:
        """Add one; True if it is the first of this topic."""
        first = topic not in self.of
        if first:
            self.of[topic] = {}
            self._lengths[len(topic)] = self._lengths.get(len(topic), 0) + 1
        those = self.of[topic]
        those[by] = those.get(by, 0) + 1
        return first

    def remove(self, topic: bytes, by: Any, all_of_it: bool = False) -> bool | None:
        """Remove one; True if it was the last of its topic, None if it was not there."""
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
        """What has subscribed to any beginning of this."""
        of = self.of
        for length in self._lengths:
            if length <= len(first):
                those = of.get(first[:length])
                if those:
                    yield those


def distribute(ends: Iterable[End], message: Message) -> None:
    """Send to all that have room; the others miss it (dist.cpp)."""
    for end in ends:
        if end.can_write():
            end.outgoing.write(message)


class XPublisher(Kind):
    """XPUB (xpub.cpp)."""

    tells = True
    verbose = verboser = keeps = False

    def __init__(self, socket: SimSocket) -> None:
        super().__init__(socket)
        self._topics = Topics()
        self._news: deque[Message] = deque()

    def readable(self, end: End) -> None:
        # Subscriptions are worked off as the command comes, before anybody asks.
        while (message := take(end)) is not None:
            self._take_in(end, message)
        if is_over(end):
            self.detach(end)

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

    def detach(self, end: End) -> None:
        super().detach(end)
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

    def begin(self, first: bytes) -> None:
        if self.keeps and not all(end.can_write() for end in self._wanting(first)):
            raise again()

    def send(self, message: Message) -> None:
        distribute(self._wanting(message[0]), message)

    def set(self, option: int, value: Any) -> bool:
        name = {
            zmq.XPUB_VERBOSE: "verbose",
            zmq.XPUB_VERBOSER: "verboser",
            zmq.XPUB_NODROP: "keeps",
        }.get(option)  # type: ignore[call-overload]
        if name:
            setattr(self, name, bool(value))
        return bool(name)


class Publisher(XPublisher):
    """PUB (pub.cpp)."""

    tells = False

    def receive(self) -> Message | None:
        raise unable()


class XSubscriber(Kind):
    """XSUB (xsub.cpp)."""

    filters = False

    def __init__(self, socket: SimSocket) -> None:
        super().__init__(socket)
        self._topics = Topics()
        self._ahead: Message | None = None

    def attach(self, end: End) -> None:
        super().attach(end)
        self.subscribe_again(end)

    def subscribe_again(self, end: End) -> None:
        """Tell a peer of all topics; those beyond its mark are lost (zeromq/libzmq#4064)."""
        for topic in sorted(self._topics.of):
            if end.can_write():
                end.outgoing.write([b"\1" + topic])

    def _fetch(self) -> Message | None:
        while (message := super().receive()) is not None:
            if not self.filters or any(True for _ in self._topics.matching(message[0])):
                return message
        return None

    def has_in(self) -> bool:
        if self._ahead is None:
            self._ahead = self._fetch()
        return self._ahead is not None

    def receive(self) -> Message | None:
        ahead, self._ahead = self._ahead, None
        return ahead or self._fetch()

    def has_out(self) -> bool:
        return True

    def begin(self, first: bytes) -> None:
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

    def begin(self, first: bytes) -> None:
        raise unable()

    def set(self, option: int, value: Any) -> bool:
        if option not in (zmq.SUBSCRIBE, zmq.UNSUBSCRIBE):
            return False
        topic = value.encode() if isinstance(value, str) else bytes(value)
        self.send([(b"\1" if option == zmq.SUBSCRIBE else b"\0") + topic])
        return True


class Rep(Router):
    """REP (rep.cpp): the answer goes where the request came from."""

    def __init__(self, socket: SimSocket) -> None:
        super().__init__(socket)
        self._route: Message | None = None

    def receive(self) -> Message | None:
        if self._route is not None:
            raise wrong_state()
        while (message := super().receive()) is not None:
            parts = list(message)
            if b"" in parts[1:-1]:
                bottom = parts.index(b"", 1)
                self._route = parts[: bottom + 1]
                return parts[bottom + 1 :]
        return None

    def has_in(self) -> bool:
        return self._route is None and super().has_in()

    def has_out(self) -> bool:
        return self._route is not None

    def begin(self, first: bytes) -> None:
        if self._route is None:
            raise wrong_state()

    def send(self, message: Message) -> None:
        route, self._route = self._route, None
        if route is not None:
            Router.begin(self, route[0])
            Router.send(self, [*route, *message])


class Req(Dealer):
    """REQ (req.cpp): one request, then its answer."""

    correlates = relaxed = False

    def __init__(self, socket: SimSocket) -> None:
        super().__init__(socket)
        self._asked: End | None = None
        self._waits = False
        self._number = int.from_bytes(socket.urandom(4), "big")
        self._ahead: Message | None = None

    def has_out(self) -> bool:
        return (not self._waits or self.relaxed) and super().has_out()

    def begin(self, first: bytes) -> None:
        if self._waits and not self.relaxed:
            raise wrong_state()
        self._waits = False
        if not super().has_out():
            raise again()

    def _head(self) -> Message:
        return [pack("=I", self._number)] if self.correlates else []

    def send(self, message: Message) -> None:
        self._number = (self._number + 1) % 2**32
        self._ahead = None
        self._asked = self._roomy[0] if super().has_out() else None
        self._waits = True
        super().send([*self._head(), b"", *message])

    def _fetch(self) -> Message | None:
        head = [*self._head(), b""]
        while (found := self._next()) is not None:
            end, message = found
            if end is self._asked and list(message[: len(head)]) == head and message[len(head) :]:
                return message[len(head) :]
        return None

    def has_in(self) -> bool:
        if not self._waits:
            return False
        if self._ahead is None:
            self._ahead = self._fetch()
        return self._ahead is not None

    def receive(self) -> Message | None:
        if not self._waits:
            raise wrong_state()
        ahead, self._ahead = self._ahead, None
        message = ahead or self._fetch()
        if message is not None:
            self._waits = False
        return message

    def set(self, option: int, value: Any) -> bool:
        name = {zmq.REQ_CORRELATE: "correlates", zmq.REQ_RELAXED: "relaxed"}.get(option)  # type: ignore[call-overload]
        if name:
            setattr(self, name, bool(value))
            return True
        return super().set(option, value)


KINDS: dict[int, Callable[[SimSocket], Kind]] = {
    zmq.PAIR: Pair, zmq.PUB: Publisher, zmq.SUB: Subscriber, zmq.REQ: Req, zmq.REP: Rep,
    zmq.DEALER: Dealer, zmq.ROUTER: Router, zmq.PULL: Pull, zmq.PUSH: Push, zmq.XPUB: XPublisher,
    zmq.XSUB: XSubscriber,
}  # fmt: skip

# Which kinds talk to each other (``check_socket_type`` in libzmq's mechanism.cpp).
FITS: dict[int, frozenset[int]] = {
    zmq.PAIR: frozenset({zmq.PAIR}),
    zmq.PUB: frozenset({zmq.SUB, zmq.XSUB}),
    zmq.SUB: frozenset({zmq.PUB, zmq.XPUB}),
    zmq.XPUB: frozenset({zmq.SUB, zmq.XSUB}),
    zmq.XSUB: frozenset({zmq.PUB, zmq.XPUB}),
    zmq.REQ: frozenset({zmq.REP, zmq.ROUTER}),
    zmq.REP: frozenset({zmq.REQ, zmq.DEALER}),
    zmq.DEALER: frozenset({zmq.REP, zmq.DEALER, zmq.ROUTER}),
    zmq.ROUTER: frozenset({zmq.REQ, zmq.DEALER, zmq.ROUTER}),
    zmq.PULL: frozenset({zmq.PUSH}),
    zmq.PUSH: frozenset({zmq.PULL}),
}
