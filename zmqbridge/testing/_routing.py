"""Routing: the simulated ROUTER, and REQ and REP, which remember the peer of a request."""

from __future__ import annotations

from collections.abc import Mapping
from struct import pack
from typing import TYPE_CHECKING, ClassVar

import zmq

from zmqbridge.testing._ends import End
from zmqbridge.testing._kinds import Dealer, ReadsAhead, again, probe, unreachable, wrong_state
from zmqbridge.testing._pipes import ROUTING_ID, Message

if TYPE_CHECKING:
    from zmqbridge.testing._socketstate import SocketState


class Router(ReadsAhead):
    """ROUTER (router.cpp): the first part names the peer."""

    names = True
    switches: ClassVar[Mapping[int, str]] = {
        zmq.ROUTER_MANDATORY: "mandatory",
        zmq.ROUTER_HANDOVER: "handover",
        zmq.PROBE_ROUTER: "probes",
    }
    probes = mandatory = handover = False

    def __init__(self, socket: SocketState) -> None:
        super().__init__(socket)
        self._peers: dict[bytes, End] = {}
        self._unnamed: set[End] = set()
        self._number = int.from_bytes(socket.urandom(4), "big")
        self._to: End | None = None

    def attach(self, end: End) -> None:
        self.ends[end] = None
        if self.probes:
            probe(end)
        self._unnamed.add(end)
        self.readable(end)

    def readable(self, end: End) -> None:
        if end not in self._unnamed:
            super().readable(end)
        elif not end.known:
            end.dry()  # so that the pipe tells when the peer sends its routing id
        elif self._name(end):
            self._unnamed.discard(end)
            self._in.add(end)

    def _name(self, end: End) -> bool:
        name = end.peer
        if not name:
            name = self._new_name()
        elif (other := self._peers.get(name)) is not None:
            if not self.handover:
                return False  # the peer is ignored
            other.peer = self._new_name()
            self._peers[other.peer] = other
            if self._half_read is other:
                self._half_read = None  # what was begun is read to its end
            self.socket.leave(other)
        end.peer = name
        self._peers[name] = end
        return True

    def _new_name(self) -> bytes:
        self._number = (self._number + 1) % 2**32
        return pack(">BI", 0, self._number)

    def gone(self, end: End) -> None:
        super().gone(end)
        self._unnamed.discard(end)
        if self._peers.get(end.peer) is end:
            del self._peers[end.peer]

    def _fetch(self, ahead: bool = False) -> Message | None:
        while (found := self._next(ahead)) is not None and found[1] is ROUTING_ID:
            pass
        return None if found is None else [found[0].peer, *found[1]]

    def has_out(self) -> bool:
        if not self.mandatory:
            return True
        return any(not end.outgoing.full() for end in self._peers.values())

    def begin(self, first: bytes, more: bool) -> None:
        self._to = None
        if not more:
            return  # a message that has only an address is lost
        end = self._peers.get(first)
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


class Rep(Router):
    """REP (rep.cpp): the reply goes to the peer of the request."""

    def __init__(self, socket: SocketState) -> None:
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
                # As in libzmq, the room for the reply is decided with the request.
                Router.begin(self, parts[0], True)
                return parts[bottom + 1 :]
        return None

    def has_in(self) -> bool:
        return self._route is None and super().has_in()

    def has_out(self) -> bool:
        return self._route is not None

    def begin(self, first: bytes, more: bool) -> None:
        if self._route is None:
            raise wrong_state()

    def send(self, message: Message) -> None:
        route, self._route = self._route, None
        if route is not None:
            super().send([*route, *message])


class Req(Dealer):
    """REQ (req.cpp): one request, then its reply."""

    switches: ClassVar[Mapping[int, str]] = {
        **Dealer.switches,
        zmq.REQ_CORRELATE: "correlates",
        zmq.REQ_RELAXED: "relaxed",
    }
    correlates = relaxed = False

    def __init__(self, socket: SocketState) -> None:
        super().__init__(socket)
        self._asked: End | None = None
        self._waits = False
        self._number = int.from_bytes(socket.urandom(4), "big")

    def gone(self, end: End) -> None:
        super().gone(end)
        if self._asked is end:
            self._asked = None

    def has_out(self) -> bool:
        return (not self._waits or self.relaxed) and super().has_out()

    def begin(self, first: bytes, more: bool) -> None:
        if self._waits and not self.relaxed:
            raise wrong_state()
        self._waits = False
        self._asked = None
        if self.correlates:
            self._number = (self._number + 1) % 2**32
        super().begin(first, more)

    def _head(self) -> Message:
        return [pack("=I", self._number), b""] if self.correlates else [b""]

    def send(self, message: Message) -> None:
        turns = self._out
        self._asked = turns.ends[turns.current] if super().has_out() else None
        super().send([*self._head(), *message])
        # Drop late replies to earlier requests: the next message is the reply to this one.
        while self._next() is not None:
            pass
        self._waits = True

    def has_in(self) -> bool:
        return self._waits and super().has_in()

    def receive(self) -> Message | None:
        if not self._waits:
            raise wrong_state()
        head = self._head()
        while (found := self._next()) is not None:
            end, message = found
            if self._asked is not None and end is not self._asked:
                continue
            if list(message[: len(head)]) == head and len(message) > len(head):
                self._waits = False
                return message[len(head) :]
        return None


def well_formed(message: Message) -> bool:
    """Whether a REQ's session accepts a message; if not, it hangs up (``push_msg`` in req.cpp)."""
    numbered = len(message[0]) == 4 and len(message) > 1
    rest = message[1:] if numbered else message
    return len(rest) > 1 and not rest[0]
