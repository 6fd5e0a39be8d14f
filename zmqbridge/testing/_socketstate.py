"""SocketState: the half of a simulated socket that the network calls: its peers and commands."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge._bridge.receivingsocket import Telling
from zmqbridge.testing._connecters import Connecter, Listener
from zmqbridge.testing._ends import NO_PEER, End
from zmqbridge.testing._errors import NotSimulated
from zmqbridge.testing._handshake import CURVE, NULL, PLAIN
from zmqbridge.testing._kinds import Kind
from zmqbridge.testing._observer import Observer
from zmqbridge.testing._options import DEFAULTS
from zmqbridge.testing._types import KINDS

if TYPE_CHECKING:
    from zmqbridge.testing._context import SimContext
    from zmqbridge.testing._network import Network
    from zmqbridge.testing._nodes import Node

Command = Callable[[End], object]
# The kinds that conflate. A SUB conflates its subscriptions as well, as in libzmq.
CONFLATING = frozenset({zmq.DEALER, zmq.PULL, zmq.PUSH, zmq.PUB, zmq.SUB})
NO_END: Any = None
NOBODY = ", where nothing listens"


class SocketState:
    """The half of a simulated socket that the network calls.

    Attributes:
        context, node, network: what the socket belongs to.
        type: the socket type, as ``zmq.DEALER``.
        kind: how this type sends and receives.
        options: the options of the socket, with libzmq's defaults.
        closed: whether its user has closed it.
        rings: whether its FD is readable.
        bell: the real descriptor, if the loop needs one.
        number: identifies the socket on the network; the FD follows from it.
        meetings: its ends by inproc address.
        parting: what is disconnected, and still has messages to send or an end to let go.
    """

    def __init__(self, context: SimContext, kind: int) -> None:
        self.context = context
        self.node: Node = context.node
        self.network: Network = context.node.network
        self.type: zmq.SocketType = zmq.SocketType(kind)
        self.kind_name = self.type.name
        self.options: dict[int, Any] = dict(DEFAULTS)
        self.closed = False
        self.rings: bool = False
        self.bell: Any = None
        self.number: int = self.network.number()
        if kind not in KINDS:
            raise NotSimulated(f"a socket of the type {self.kind_name} is not simulated")
        self.kind: Kind = KINDS[kind](self)
        self._dead = False
        self._begun: list[bytes] = []  # the parts of the message that is being sent
        self._drops = False  # the rest of that message, as its peer has left
        self._rest: deque[bytes] = deque()  # the unread parts of the message that is being received
        self._ends: dict[End, None] = {}
        self._listeners: dict[str, Listener] = {}
        self._connecters: dict[str, list[Connecter]] = {}
        self.parting: dict[Connecter, None] = {}
        self.meetings: dict[str, list[End]] = {}
        self._last = ""  # LAST_ENDPOINT
        self._calls = 0  # of recv, since the commands were last worked off there
        self._glanced = -1.0  # when the commands were last worked off in send
        self._observer: Observer | None = None
        self._commands: list[tuple[Command, End]] = []
        self._readable = self.kind.readable

    # The clock and the random numbers of this world; see `zmqbridge._bridge.calls`.

    def monotonic(self) -> float:
        """The time of the simulation, in seconds."""
        return self.network.now

    def urandom(self, size: int) -> bytes:
        """Random bytes that follow from the seed."""
        return self.network.random.randbytes(size)

    # The part of libzmq's I/O thread.

    @property
    def mechanism(self) -> int:
        """The security mechanism that follows from the options."""
        options = self.options
        if options[zmq.CURVE_SERVER] or options[zmq.CURVE_SERVERKEY]:
            return CURVE
        if options[zmq.PLAIN_SERVER] or options[zmq.PLAIN_USERNAME]:
            return PLAIN
        return NULL

    @property
    def held(self) -> bool:
        """Whether the library waits until the peer has read what was written over ipc."""
        return isinstance(self, Telling)

    def hosts(self) -> list[str]:
        """The hosts that it is to connect to over tcp; "" is the loopback."""
        return [
            each.key[0]
            for connecters in self._connecters.values()
            for each in connecters
            if each.transport == "tcp"
        ]

    def where(self) -> str:
        """The addresses that it is bound and connected to, in words."""
        bound = [name for name, socket in self.context.meeting_places.items() if socket is self]
        places = [f"bound to {name}" for name in [*self._listeners, *bound]]
        there = self.network.listeners
        for name, connecters in self._connecters.items():
            heard = any(each.connection is not None or each.key in there for each in connecters)
            places.append(f"connected to {name}{'' if heard else NOBODY}")
        for name in self.meetings:
            if name not in bound:
                heard = name in self.context.meeting_places
                places.append(f"connected to {name}{'' if heard else NOBODY}")
        return ", ".join(places) or "neither bound nor connected"

    def new_end(self) -> End:
        """Make an end for a new peer."""
        options = self.options
        conflates = bool(options[zmq.CONFLATE]) and self.type in CONFLATING
        return End(self, options[zmq.RCVHWM], options[zmq.SNDHWM], conflates)

    # Commands, as libzmq's threads send them: they make the FD readable, and are worked off when
    # the user next calls a method that does so.

    def post(self, command: Command, end: End) -> None:
        """Add a command to those that are to be worked off."""
        if self.closed:
            self._post_mortem(command, end)
            return
        self._commands.append((command, end))
        if not self.rings:
            self._ring()

    def attach(self, end: End) -> None:
        """Take the end of a new peer now."""
        self._ends[end] = None
        self.kind.attach(end)

    def attach_later(self, end: End) -> None:
        """Take the end of a new peer when the commands are worked off."""
        self.post(self.attach, end)

    def comes(self, end: End) -> None:
        """An end has a message to read."""
        self.post(self._readable, end)

    def drains(self, end: End) -> None:
        """An end has room."""
        if end.far is None:  # over a wire the I/O thread tells this a moment later
            self.network.after(0, lambda: self.post(self._drained, end))
        else:
            self.post(self._drained, end)

    def _drained(self, end: End) -> None:
        end.outgoing.learn()
        self.kind.writable(end)

    def hangs_up(self, end: End) -> None:
        """The peer of an end is gone."""
        self.post(self._hear, end)

    def _hear(self, end: End) -> None:
        end.hear(self.kind.hasty)

    def meets_again(self, end: End) -> None:
        """The connection of an end was lost, and begins again."""
        self.post(self._met_again, end)

    def _met_again(self, end: End) -> None:
        if self.options[zmq.IMMEDIATE]:
            self.leave(end)
        elif end.open:
            self.kind.met_again(end)

    def answers(self, end: End) -> None:
        """The far side has confirmed the close of an end that this socket has left."""
        if self.closed or end.far is None:
            self.network.after(0, lambda: self._answered(end))
            if end.then is not None:
                self.network.after(0, end.then)
        else:
            self.post(self._answered, end)

    def _answered(self, end: End) -> None:
        far = end.far
        self.let_go(end)
        if far is not None and not far.asked:
            far.owner.let_go(far)

    def let_go(self, end: End) -> None:
        """Forget an end: both sides have closed it."""
        self.post(self._gone, end)

    def _gone(self, end: End) -> None:
        if end.beyond:
            for message in end.outgoing.drop():
                self.network.fault("lost", self.node.name, end.beyond, message, "its peer has left")
        if end in self._ends:
            del self._ends[end]
            self.kind.gone(end)
            for name in [name for name, ends in self.meetings.items() if end in ends]:
                self.meetings[name].remove(end)
                if not self.meetings[name]:
                    del self.meetings[name]
        if end.connecter is not None:
            end.connecter.let_go(end)

    def spurious(self) -> None:
        """Post a command without effect: libzmq's threads send such ones, and the FD rings."""
        self.post(_nothing, NO_END)

    def leave(self, end: End) -> None:
        """Close an end from this side."""
        if end.leave() and end.far is None:
            connection, end.connection = end.connection, None
            if connection is not None:
                connection.orphan(end.side)
            end.lead_to(NO_PEER, NO_PEER)
            self.network.after(0, lambda: self.let_go(end))

    def _post_mortem(self, command: Command, end: End) -> None:
        if command == self._hear:
            end.hear(hasty=True)
        elif command == self._answered:
            self._answered(end)
        elif command == self._gone and end.connecter is not None:
            end.connecter.let_go(end)

    def _ring(self) -> None:
        self.rings = True
        self.network.rung[self] = None
        if self.bell is not None:
            self.bell.set()

    def _look(self) -> None:
        # Work off the commands; after that the FD is not readable.
        if self.closed:
            raise zmq.ZMQError(zmq.ENOTSOCK)
        if self._dead:
            raise zmq.ContextTerminated
        while self.rings:
            self._silence()
            commands, self._commands = self._commands, []
            for command, end in commands:
                command(end)

    def _silence(self) -> None:
        self.rings = False
        self.network.rung.pop(self, None)
        if self.bell is not None:
            self.bell.clear()

    # The end of a socket.

    def _stop_listening(self) -> None:
        for listener in self._listeners.values():
            listener.close()
        here = self.context.meeting_places
        for name in [name for name, socket in here.items() if socket is self]:
            del here[name]

    def die(self) -> None:
        """End with the process of the socket."""
        if self._dead or self.closed:
            return
        self._dead = True
        self._observer = None
        self._stop_listening()
        for connecters in [*self._connecters.values(), list(self.parting)]:
            for connecter in connecters:
                connecter.die()
        for listener in self._listeners.values():
            for connection in list(listener.connections):
                connection.die(1)
        for end in list(self._ends):
            if end.connecter is None and end.connection is None:
                end.leave()
        self._ring()


def _nothing(end: End) -> None:
    """Do nothing: the command of `spurious`."""
