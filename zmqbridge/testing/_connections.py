"""Connections of the simulated network over tcp and ipc: made, lost, and made again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge.testing._ends import NOWHERE, End
from zmqbridge.testing._handshake import Verdict, shake
from zmqbridge.testing._kinds import Subscriber, XSubscriber
from zmqbridge.testing._pipes import Message
from zmqbridge.testing._wires import Wire

if TYPE_CHECKING:
    from zmqbridge.testing._sockets import SimSocket
    from zmqbridge.testing.network import Network, Node

# How often the way must be made until a connection stands: tcp's handshake and ZMTP's.
TRIPS = 4


class Listener:
    """A socket that is bound to an address.

    Attributes:
        socket: the one that listens.
        name: the address, as libzmq resolves it.
        keys: under which the network finds it.
    """

    def __init__(self, socket: SimSocket, name: str, keys: Sequence[tuple[str, str]]) -> None:
        self.socket = socket
        self.name = name
        self.keys = keys
        self.transport = name.partition(":")[0]
        for key in keys:
            socket.network.listeners[key] = self

    def close(self) -> None:
        """Listen no more; the connections stay."""
        listeners = self.socket.network.listeners
        for key in self.keys:
            if listeners.get(key) is self:
                del listeners[key]


class Connecter:
    """The connecting end of an address: tries, and tries again, as long as it is wanted.

    Attributes:
        socket: the one that connects.
        name: the address, as it was given.
        end: what the socket has of the peer; None with IMMEDIATE while there is none.
        connection: to the peer, while there is one.
    """

    def __init__(self, socket: SimSocket, name: str, key: tuple[str, str]) -> None:
        self.socket = socket
        self.name = name
        self.key = key
        self.transport = name.partition(":")[0]
        self.end: End | None = None
        self.connection: Connection | None = None
        self._wanted = True
        self._pause = 0.0
        self._attempt = 0  # the number of the one that is under way
        if not socket.options[zmq.IMMEDIATE]:
            self._new_end()

    @property
    def network(self) -> Network:
        """Where it is."""
        return self.socket.network

    def _new_end(self) -> End:
        end = self.end = self.socket.new_end()
        end.connecter = self
        self.socket.attach(end)
        return end

    def begin(self) -> None:
        """Try now."""
        self._attempt += 1
        self.network.waiting.pop(self, None)
        listener = self.network.listeners.get(self.key)
        if self._blocked(listener):
            self.network.waiting[self] = None
            return
        self.socket.happened(zmq.Event.CONNECT_DELAYED, self.name, 115)  # EINPROGRESS
        way = self.network.pace(
            self.socket.node, listener.socket.node if listener else self.socket.node
        )[0]
        attempt = self._attempt
        if listener is None:
            self.network.after(way, lambda: self._current(attempt) and self._failed())
        else:
            self.network.after(way * TRIPS, lambda: self._current(attempt) and self._arrived())

    def _current(self, attempt: int) -> bool:
        return self._wanted and attempt == self._attempt and self.connection is None

    def _blocked(self, listener: Listener | None) -> bool:
        here = self.socket.node
        there = here if listener is None else listener.socket.node
        blocked = self.network.blocked
        return blocked(here, there) or blocked(there, here)

    def unblocked(self) -> None:
        """The way may be free."""
        self.begin()

    def _failed(self) -> None:
        self.socket.happened(zmq.Event.CLOSED, self.name, 0)
        self.retry()

    def retry(self) -> None:
        """Try again in a while."""
        options = self.socket.options
        interval = options[zmq.RECONNECT_IVL]
        if not self._wanted or interval < 0:
            return
        # As libzmq does (``get_new_reconnect_ivl`` in stream_connecter_base.cpp).
        most = options[zmq.RECONNECT_IVL_MAX]
        pause = self._pause or interval
        if most > interval:
            self._pause = min(pause * 2, most)
        else:
            pause += self.network.random.randrange(interval) if interval else 0
        self._attempt += 1
        attempt = self._attempt
        self.socket.happened(zmq.Event.CONNECT_RETRIED, self.name, int(pause))
        self.network.after(pause / 1000, lambda: self._current(attempt) and self.begin())

    def _arrived(self) -> None:
        listener = self.network.listeners.get(self.key)
        if listener is None or self._blocked(listener):
            self.begin()
            return
        self.socket.happened(zmq.Event.CONNECTED, self.name, 0)
        server = listener.socket
        server.happened(zmq.Event.ACCEPTED, listener.name, 0)
        attempt = self._attempt
        shake(
            self.socket,
            server,
            lambda verdict: self._current(attempt) and self._settle(listener, verdict),
        )

    def _settle(self, listener: Listener, verdict: Verdict) -> None:
        server = listener.socket
        if server.closed:
            self._failed()
            return
        if verdict.event:
            for socket, name in ((self.socket, self.name), (server, listener.name)):
                socket.happened(verdict.event, name, verdict.value)
                socket.happened(zmq.Event.DISCONNECTED, name, 0)
            self.network.fault("refused", self.socket.node.name, server.node.name, (), self.name)
            # A client that was refused by name gives up (``error_reason`` in libzmq's session).
            if verdict.final:
                self._wanted = False
            else:
                self.retry()
            return
        self._pause = 0.0
        end = self.end or self._new_end()
        self.connection = Connection(self, listener, end, server.new_end())

    def lost(self) -> None:
        """The connection was lost."""
        end, self.connection = self.end, None
        if end is not None:
            end.lead_to(NOWHERE, NOWHERE)
            if self.socket.options[zmq.IMMEDIATE]:
                self.end = None
                end.hang_up()
            elif isinstance(self.socket.kind, XSubscriber | Subscriber):
                end.outgoing.drop()
                self.socket.kind.subscribe_again(end)
        self.retry()

    def close(self, linger: float) -> None:
        """Try no more, after `linger` seconds for what waits to be sent."""
        end = self.end
        if self.connection is not None:
            self.connection.close(0, linger)
        if self.connection is None and end is not None and end.outgoing.queue and linger > 0:
            if linger < inf:
                self.network.after(linger, self.give_up)
        else:
            self.give_up()

    def give_up(self) -> None:
        """Try no more; what waits is lost."""
        self._wanted = False
        self.network.waiting.pop(self, None)
        if self.connection is not None:
            self.connection.give_up(0)


class Connection:
    """Two ends over tcp or ipc, with a wire each way; side 0 has connected, side 1 was bound.

    Attributes:
        nodes: of both sides.
        network: where it is.
    """

    def __init__(self, connecter: Connecter, listener: Listener, client: End, server: End) -> None:
        self.network = connecter.network
        self._connecter = connecter
        self._names = (connecter.name, listener.name)
        self._sockets = (connecter.socket, listener.socket)
        self.nodes: tuple[Node, Node] = (connecter.socket.node, listener.socket.node)
        self._kinds = (connecter.socket.kind_name, listener.socket.kind_name)
        self._transport = connecter.transport
        self.name = connecter.name
        self._ends: list[End | None] = [client, server]
        self._began = self.network.now
        self._blocks = 0  # how often it was blocked anew
        self.wires = [Wire(self, side, self._transport) for side in (0, 1)]
        self.network.connections[self] = None
        ends = (client, server)
        for side, end in enumerate(ends):
            other = ends[1 - side]
            self.wires[side].source = end.outgoing
            self.wires[side].target = other.incoming
            end.connection, end.side = self, side
            end.lead_to(self.wires[side], self.wires[1 - side])
        self.network.fault(
            "connected", self.nodes[0].name, self.nodes[1].name, (), " to ".join(self._kinds)
        )
        for side in (0, 1):
            self._sockets[side].happened(zmq.Event.HANDSHAKE_SUCCEEDED, self._names[side], 0)
        client.peer = self._sockets[1].options[zmq.ROUTING_ID]
        server.peer = self._sockets[0].options[zmq.ROUTING_ID]
        self._sockets[1].attach(server)
        self._sockets[0].meet(client)
        for side, end in enumerate(ends):
            self.wires[side].comes(end.outgoing)

    # What the wires ask.

    def blocked(self, side: int) -> bool:
        """Whether nothing gets from this side to the other."""
        return self.network.blocked(self.nodes[side], self.nodes[1 - side])

    def pace(self, side: int) -> tuple[float, float]:
        """How long the next message takes from this side, and the bytes a second."""
        return self.network.pace(self.nodes[side], self.nodes[1 - side])

    def verdict(self, side: int, message: Message) -> Iterable[float]:
        """When a message from this side is to be delivered, see `Network.verdict`."""
        kinds = (self._kinds[side], self._kinds[1 - side])
        return self.network.verdict(self.nodes[side], self.nodes[1 - side], kinds, message)

    def delivered(self, side: int, message: Message, sent: float) -> None:
        """A message from this side has arrived."""
        self.network.fault(
            "message", self.nodes[side].name, self.nodes[1 - side].name, message,
            f"{self._kinds[side]} to {self._kinds[1 - side]}", sent,
        )  # fmt: skip

    def hung_up(self, side: int) -> None:
        """All that this side has sent before it closed has arrived."""
        self.wires[side].ends = False
        self._detach(side)
        self._lose(1 - side)

    # How it ends.

    def _detach(self, side: int) -> End | None:
        end, self._ends[side] = self._ends[side], None
        self.wires[side].source = None
        self.wires[1 - side].target = None
        if self._ends == [None, None]:
            self.network.connections.pop(self, None)
        return end

    def _lost(self, wire: Wire, side: int, why: str) -> None:
        for message in wire.drop():
            self.network.fault(
                "lost", self.nodes[side].name, self.nodes[1 - side].name, message, why
            )

    def _lose(self, side: int) -> None:
        """One side learns that the connection is no more."""
        end = self._detach(side)
        if end is None:
            return
        end.connection = None
        self._lost(self.wires[side], side, "the connection was lost")
        socket = self._sockets[side]
        self.network.fault(
            "disconnected", self.nodes[side].name, self.nodes[1 - side].name, (),
            self._names[side],
        )  # fmt: skip
        socket.happened(zmq.Event.DISCONNECTED, self._names[side], 0)
        if end.connecter is not None:
            end.connecter.lost()
        else:
            end.hang_up()

    def reset(self, why: str) -> None:
        """Both sides lose it now."""
        for side in (0, 1):
            self._lost(self.wires[side], side, why)
        for side in (0, 1):
            self._lose(side)

    def close(self, side: int, linger: float) -> None:
        """The socket at this side closes: what it has sent leaves first, for so many seconds."""
        end = self._ends[side]
        if end is None:
            return
        wire, other = self.wires[side], self.wires[1 - side]
        other.target = None
        self._lost(other, 1 - side, "the receiver closed")
        if self._transport == "ipc" and wire.stalled and not self._sockets[side].held:
            self._lost(wire, side, "ipc, and the receiver was at its mark")
        if not linger:
            self._lost_in_pipe(end, side)
        elif linger < inf and end.outgoing.queue:
            self.network.after(linger, lambda: self.give_up(side))
        end.outgoing.ended = True
        wire.comes(end.outgoing)

    def give_up(self, side: int) -> None:
        """The linger of this side is over."""
        end = self._ends[side]
        if end is not None and end.outgoing.queue:
            self._lost_in_pipe(end, side)
            self.wires[side].comes(end.outgoing)

    def _lost_in_pipe(self, end: End, side: int) -> None:
        for message in end.outgoing.drop():
            names = (self.nodes[side].name, self.nodes[1 - side].name)
            self.network.fault("lost", *names, message, "linger was over")

    def die(self, side: int) -> None:
        """The process of this side has ended: the kernel sends what it has, and hangs up."""
        end = self._ends[side]
        if end is not None:
            self._lost_in_pipe(end, side)
            self.close(side, 0)

    # Silence.

    def blocked_anew(self) -> None:
        """A way may be blocked now: heartbeats are missed there after a while."""
        self._blocks += 1
        for side in (0, 1):
            if self._ends[side] is not None and self.blocked(1 - side):
                patience = self._patience(side)
                if patience < inf:
                    self._expect(side, self._blocks, patience)

    def _patience(self, side: int) -> float:
        # As in libzmq's zmtp_engine.cpp: a ping each interval, and so long for any answer.
        options = self._sockets[side].options
        interval = options[zmq.HEARTBEAT_IVL] / 1000
        if interval <= 0:
            return inf
        timeout = options[zmq.HEARTBEAT_TIMEOUT]
        since = (self.network.now - self._began) % interval
        return interval - since + (interval if timeout < 0 else timeout / 1000)

    def _expect(self, side: int, blocks: int, patience: float) -> None:
        def missed() -> None:
            if self._blocks == blocks and self.blocked(1 - side):
                self._lose(side)

        self.network.after(patience, missed)

    def unblocked(self) -> None:
        """The ways may be free again; a side whose peer has given up learns it now."""
        if not any(self.blocked(side) for side in (0, 1)):
            self._blocks += 1
        for side in (0, 1):
            wire = self.wires[side]
            if self._ends[side] is None and wire.target is not None and not wire.ends:
                if not self.blocked(side):
                    self._lose(1 - side)
            elif not self.blocked(side):
                wire.resume()


def is_simulated(socket: Any) -> bool:
    """Whether a socket is of a simulated network."""
    return hasattr(type(socket), "urandom")
