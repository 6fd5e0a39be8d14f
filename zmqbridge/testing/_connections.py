"""Connections of the simulated network over tcp and ipc, and how they are lost."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from math import inf
from typing import TYPE_CHECKING

import zmq

from zmqbridge.testing._ends import End
from zmqbridge.testing._pipes import Message
from zmqbridge.testing._routing import Req
from zmqbridge.testing._wires import Wire

if TYPE_CHECKING:
    from zmqbridge.testing._connecters import Connecter, Listener
    from zmqbridge.testing.network import Network
    from zmqbridge.testing.nodes import Node

# What a thread of libzmq has read from the kernel at the most, and a receiver at its mark has not.
BUFFER = 8192  # bytes
ALL = sys.maxsize  # bytes


class Connection:
    """Two ends over tcp or ipc, with a wire each way; side 0 has connected, side 1 was bound.

    Attributes:
        nodes: of both sides.
        network: where it is.
    """

    def __init__(
        self, connecter: Connecter, listener: Listener, client: End | None, server: End
    ) -> None:
        self.network: Network = connecter.network
        self._connecter = connecter
        self._listener = listener
        self._names = (connecter.name, listener.name)
        self._sockets = (connecter.socket, listener.socket)
        self.nodes: tuple[Node, Node] = (connecter.socket.node, listener.socket.node)
        self._kinds = (connecter.socket.kind_name, listener.socket.kind_name)
        self._transport = connecter.transport
        self.name: str = connecter.name
        self._ends: list[End | None] = [client, server]
        self._stands = [True, True]  # what each side thinks
        self._began = self.network.now
        self._blocks = 0  # how often it was blocked anew
        self.wires: list[Wire] = [Wire(self, side, self._transport) for side in (0, 1)]
        self.network.connections[self] = None
        connecter.connection = self
        listener.connections[self] = None
        self.network.fault(
            "connected", self.nodes[0].name, self.nodes[1].name, (), " to ".join(self._kinds)
        )
        for side, end in enumerate(self._ends):
            self._sockets[side].happened(zmq.Event.HANDSHAKE_SUCCEEDED, self._names[side], 0)
            if end is not None:
                self._tie(side, end)
        server.owner.attach_later(server)  # type: ignore[attr-defined]
        for side, end in enumerate(self._ends):
            if end is not None:
                self.wires[side].comes(end.outgoing)

    def _tie(self, side: int, end: End) -> None:
        near, far = self.wires[side], self.wires[1 - side]
        near.source = end.outgoing
        end.connection, end.side = self, side
        end.lead_to(near, far)
        if not end.left:
            far.target = end.incoming
        end.peer = self._sockets[1 - side].options[zmq.ROUTING_ID]
        end.known = True
        kind = self._sockets[side].kind
        far.picky = isinstance(kind, Req)
        far.most = self._sockets[side].options[zmq.MAXMSGSIZE]
        if kind.names:
            end.incoming.wake()

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
        self._detach(side)
        self._lose(1 - side)

    def read_no_more(self, side: int, emptied: Callable[[], object]) -> None:
        """The socket at this side has left, and what it has sent is still to leave."""
        self.wires[1 - side].target = None
        self.wires[side].emptied = emptied

    def misunderstood(self, side: int) -> None:
        """This side has heard what no peer may say, and hangs up for good."""
        self._stands[side] = False
        end = self._detach(side)
        wire = self.wires[side]
        self._lost(wire, side, "the sender hung up", BUFFER if self._transport == "ipc" else ALL)
        self._sockets[side].happened(zmq.Event.DISCONNECTED, self._names[side], 0)
        if side == 0:
            self._connecter.broken()
        elif end is not None:
            end.hang_up()
        wire.finish()

    # How it ends.

    def orphan(self, side: int) -> None:
        """The socket at this side wants no more of its end; nobody else is told."""
        self._ends[side] = None
        self.wires[side].source = None
        self.wires[1 - side].target = None

    def _detach(self, side: int) -> End | None:
        end = self._ends[side]
        self.orphan(side)
        if not any(self._stands):
            self.network.connections.pop(self, None)
        if side == 1:
            self._listener.connections.pop(self, None)
        return end

    def _lost(self, wire: Wire, side: int, why: str, kept: int = 0) -> None:
        for message in wire.drop(kept):
            self.network.fault(
                "lost", self.nodes[side].name, self.nodes[1 - side].name, message, why
            )

    def _lose(self, side: int) -> None:
        """One side learns that the connection is no more."""
        if not self._stands[side]:
            return
        self._stands[side] = False
        end = self._detach(side)
        self._lost(self.wires[side], side, "the connection was lost")
        self.network.fault(
            "disconnected", self.nodes[side].name, self.nodes[1 - side].name, (),
            self._names[side],
        )  # fmt: skip
        self._sockets[side].happened(zmq.Event.DISCONNECTED, self._names[side], 0)
        if side == 0:
            self._connecter.lost()
        elif end is not None:
            end.hang_up()

    def reset(self, why: str) -> None:
        """Both sides lose it now."""
        for side in (0, 1):
            self._lost(self.wires[side], side, why)
        for side in (0, 1):
            self._lose(side)

    def close(self, side: int, linger: float) -> None:
        """The socket at this side closes: what it has sent leaves first, for so many seconds."""
        if not self._stands[side]:
            return
        self._stands[side] = False
        end = self._ends[side]
        wire, other = self.wires[side], self.wires[1 - side]
        other.target = None
        self._lost(other, 1 - side, "the receiver closed")
        if self._transport == "ipc" and wire.stalled and not self._sockets[side].held:
            self._lost(wire, side, "ipc, and the receiver was at its mark", BUFFER)
        if end is None:
            wire.finish()
            return
        if not linger:
            self._lost_in_pipe(end, side)
        elif linger < inf and end.outgoing.queue:
            self.network.after(linger, lambda: self.give_up(side))
        end.outgoing.ended = True
        wire.comes(end.outgoing)

    def shut(self, side: int) -> None:
        """This side is to close, once the socket has let go of its end."""
        end = self._ends[side]
        if end is None:
            self.close(side, 0)
        else:
            self._lost_in_pipe(end, side)
            end.then = lambda: self.close(side, 0)
            end.hang_up()
            self.orphan(side)

    def give_up(self, side: int) -> None:
        """The linger of this side is over."""
        end = self._ends[side]
        if end is not None and end.outgoing.queue and not self._stands[side]:
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
            if self._stands[side] and self.blocked(1 - side):
                patience = self._patience(side)
                if patience < inf:
                    self._expect(side, self._blocks, patience)

    def _patience(self, side: int) -> float:
        # As in libzmq's zmtp_engine.cpp: a ping each interval, and so long for any answer.
        options = self._sockets[side].options
        interval: float = options[zmq.HEARTBEAT_IVL] / 1000
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
            if not self._stands[side] and self._stands[1 - side] and not wire.ends:
                if not self.blocked(side):
                    self._lose(1 - side)
            elif not self.blocked(side):
                wire.resume()
