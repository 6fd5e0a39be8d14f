"""Connections of the simulated network over tcp and ipc, and how they are lost."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial
from math import inf
from typing import TYPE_CHECKING

import zmq

from zmqbridge.testing._ends import End
from zmqbridge.testing._pipes import Message
from zmqbridge.testing._routing import Req
from zmqbridge.testing._wires import BUFFER, Wire

if TYPE_CHECKING:
    from zmqbridge.testing._connecters import Connecter, Listener
    from zmqbridge.testing._network import Network
    from zmqbridge.testing._nodes import Node

ALL = sys.maxsize  # bytes
# What Linux takes if an option is not set (tcp_keepalive_time and others in tcp(7)).
KEEPALIVE: dict[int, int] = {
    zmq.TCP_KEEPALIVE_IDLE: 7200, zmq.TCP_KEEPALIVE_INTVL: 75, zmq.TCP_KEEPALIVE_CNT: 9,
}  # fmt: skip


class Connection:
    """A connection over tcp or ipc: two ends and two wires; side 0 connected, side 1 was bound.

    Attributes:
        nodes: the nodes of both sides.
        network: the simulated network.
        name: the address, as the connecting side gave it.
        wires: the two directions; wire 0 leads from side 0 to side 1.
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
        self._stands = [True, True]  # whether each side takes the connection to be alive
        self._began = self.network.now
        self._blocks = 0  # a count; a timer of an earlier silence sees that it is out of date
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
        end.connection, end.side, end.beyond = self, side, self.nodes[1 - side].name
        end.lead_to(near, far)
        if not end.left:
            far.target = end.incoming
        if not end.known:  # a ROUTER's name for a peer outlives the connection, as its pipe does
            end.peer = self._sockets[1 - side].options[zmq.ROUTING_ID]
            end.known = True
        kind = self._sockets[side].kind
        far.picky = isinstance(kind, Req)
        far.most = self._sockets[side].options[zmq.MAXMSGSIZE]
        if kind.names:
            end.incoming.wake()

    # Methods that the wires call.

    def blocked(self, side: int) -> bool:
        """Whether no message can get from this side to the other now."""
        return self.network.blocked(self.nodes[side], self.nodes[1 - side])

    def pace(self, side: int) -> tuple[float, float]:
        """The latency of the next message from this side in seconds, and the bytes per second."""
        return self.network.pace(self.nodes[side], self.nodes[1 - side])

    def verdict(self, side: int, message: Message) -> Iterable[float]:
        """The delays after which to deliver a message from this side, see `Network.verdict`."""
        kinds = (self._kinds[side], self._kinds[1 - side])
        return self.network.verdict(self.nodes[side], self.nodes[1 - side], kinds, message)

    def delivered(self, side: int, message: Message, sent: float) -> None:
        """Record that a message from this side has arrived."""
        self.network.fault(
            "message", self.nodes[side].name, self.nodes[1 - side].name, message,
            f"{self._kinds[side]} to {self._kinds[1 - side]}", sent,
        )  # fmt: skip

    def hung_up(self, side: int) -> None:
        """End the connection: all messages that this side sent before it closed have arrived."""
        self._detach(side)
        self._lose(1 - side)

    def at_the_mark(self, side: int) -> None:
        """Messages from this side have to wait: the other side does not read on.

        Over ipc the kernel tells it nevertheless that this side has closed. Then libzmq's engine
        gives up the descriptor, and stays until all that it holds itself was read
        (``in_event_internal`` in stream_engine_base.cpp).
        """
        if self._transport == "ipc" and self.wires[side].ends:
            self.wires[1 - side].refused = True

    def came_too_late(self, side: int) -> None:
        """A message from this side has arrived, and the other side may have closed before.

        Then the kernel answers with a reset, of which also a side is told that does not read.
        """
        far = self.wires[1 - side]
        if far.ends and not self.wires[side].refused:
            self.wires[side].refused = True
            self._lost(far, 1 - side, "the receiver was at its mark, and was reset", BUFFER)

    def read_no_more(self, side: int, emptied: Callable[[], object]) -> None:
        """Deliver nothing more to this side; call `emptied` when all that it sent has gone out."""
        self.wires[1 - side].target = None
        self.wires[side].emptied = emptied

    def misunderstood(self, side: int) -> None:
        """Hang up for good: this side has received what the protocol does not allow."""
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

    # The end of a connection.

    def orphan(self, side: int) -> None:
        """Part this side from its socket, without a word to the other side."""
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
        """Tell one side that the connection is lost."""
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
        """Break the connection now, for both sides."""
        for side in (0, 1):
            self._lost(self.wires[side], side, why)
        for side in (0, 1):
            self._lose(side)

    def close(self, side: int, linger: float) -> None:
        """Close this side; messages that it has sent have `linger` seconds to go out."""
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

    def shut(self, side: int, then: Callable[[], object] | None = None) -> None:
        """Close this side, or call `then` instead, as soon as its socket has let the end go."""
        self.wires[1 - side].catch_up()
        end = self._ends[side]
        if end is None:
            self.close(side, 0)
        else:
            self._lost_in_pipe(end, side)
            end.then = then or partial(self.close, side, 0)
            end.hang_up()
            self.orphan(side)

    def give_up(self, side: int) -> None:
        """Drop what this side still has to send: its linger is over."""
        end = self._ends[side]
        if end is not None and end.outgoing.queue and not self._stands[side]:
            self._lost_in_pipe(end, side)
            self.wires[side].comes(end.outgoing)

    def _lost_in_pipe(self, end: End, side: int) -> None:
        for message in end.outgoing.drop():
            names = (self.nodes[side].name, self.nodes[1 - side].name)
            self.network.fault("lost", *names, message, "linger was over")

    def die(self, side: int) -> None:
        """End with the process of this side: the kernel sends its buffers, then hangs up."""
        end = self._ends[side]
        if end is not None:
            self._lost_in_pipe(end, side)
        self.close(side, 0)

    # Silence.

    def blocked_anew(self) -> None:
        """A direction may be blocked now: from now on heartbeats are missed there."""
        self._blocks += 1
        for side in (0, 1):
            if self._stands[side] and self.blocked(1 - side):
                timeout = self._timeout(side)
                if timeout < inf:
                    self._lose_after(side, self._blocks, timeout)

    def _timeout(self, side: int) -> float:
        """After how many seconds of silence a side gives the connection up."""
        return min(self._heartbeat_timeout(side), self._keepalive_timeout(side))

    def _keepalive_timeout(self, side: int) -> float:
        # The kernel's: it probes an idle connection, see tcp(7).
        options = self._sockets[side].options
        if options[zmq.TCP_KEEPALIVE] < 1 or self._transport != "tcp":
            return inf
        given = [options[option] for option in KEEPALIVE]
        idle, interval, count = (
            own if each <= 0 else each for each, own in zip(given, KEEPALIVE.values(), strict=True)
        )
        return float(idle + interval * count)

    def _heartbeat_timeout(self, side: int) -> float:
        # As in libzmq's zmtp_engine.cpp: a ping in each interval, then a timeout for any answer.
        options = self._sockets[side].options
        interval: float = options[zmq.HEARTBEAT_IVL] / 1000
        if interval <= 0:
            return inf
        timeout = options[zmq.HEARTBEAT_TIMEOUT]
        since = (self.network.now - self._began) % interval
        return interval - since + (interval if timeout < 0 else timeout / 1000)

    def _lose_after(self, side: int, blocks: int, timeout: float) -> None:
        def missed() -> None:
            if self._blocks == blocks and self.blocked(1 - side):
                self._lose(side)

        self.network.after(timeout, missed)

    def unblocked(self) -> None:
        """Both directions may be free again: a side whose peer has given up learns it now."""
        if not any(self.blocked(side) for side in (0, 1)):
            self._blocks += 1
        for side in (0, 1):
            wire = self.wires[side]
            if not self._stands[side] and self._stands[1 - side] and not wire.ends:
                if not self.blocked(side):
                    self._lose(1 - side)
            elif not self.blocked(side):
                wire.resume()
