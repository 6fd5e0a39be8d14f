"""Routing: the simulated ROUTER, and REQ and REP, who remember where to answer."""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge.testing._ends import End
from zmqbridge.testing._kinds import Dealer, Kind, again, probe, unreachable, wrong_state
from zmqbridge.testing._pipes import Message

if TYPE_CHECKING:
    from zmqbridge.testing._socketstate import SocketState


class Router(Kind):
    """ROUTER (router.cpp): the first part names the peer."""

    probes = mandatory = handover = False

    def __init__(self, socket: SocketState) -> None:
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


class Rep(Router):
    """REP (rep.cpp): the answer goes where the request came from."""

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

    def __init__(self, socket: SocketState) -> None:
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
