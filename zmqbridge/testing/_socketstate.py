"""SocketState: what the simulated network keeps of a socket, and tells it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge._bridge.receivingsocket import Telling
from zmqbridge.testing._connecters import Connecter, Listener
from zmqbridge.testing._ends import NOWHERE, End
from zmqbridge.testing._handshake import CURVE, NULL, PLAIN
from zmqbridge.testing._kinds import Kind
from zmqbridge.testing._observer import Observer
from zmqbridge.testing._options import DEFAULTS
from zmqbridge.testing._types import KINDS

if TYPE_CHECKING:
    from zmqbridge.testing._context import SimContext
    from zmqbridge.testing.network import Network
    from zmqbridge.testing.nodes import Node

# The kinds that conflate; a SUB would conflate its subscriptions, too, in libzmq as here.
Command = Callable[[End], object]
CONFLATING = frozenset({zmq.DEALER, zmq.PULL, zmq.PUSH, zmq.PUB, zmq.SUB})
NO_END: Any = None


class SocketState:
    """The half of a simulated socket that the network deals with.

    Attributes:
        context, node, network: where it is.
        type: the kind, as ``zmq.DEALER``.
        kind: how that kind sends and receives.
        options: what was set, or the default.
        closed: by its user.
        rings: its FD is readable.
        number: its FD, unless the loop needs a real one.
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
        self.bell: Any = None  # a real descriptor, where the loop needs one
        self.number: int = self.network.number()
        self.kind: Kind = KINDS[kind](self)
        self._dead = False
        self._begun: list[bytes] = []  # the parts of the message that is being sent
        self._rest: deque[bytes] = deque()  # of the one that is being received
        self._ends: dict[End, None] = {}
        self._listeners: dict[str, Listener] = {}
        self._connecters: dict[str, list[Connecter]] = {}
        self.meetings: dict[str, list[End]] = {}  # by inproc address
        self._last = ""
        self._calls = 0  # of recv, since it has looked
        self._glanced = -1.0  # when it has looked in send
        self._observer: Observer | None = None

        self._commands: list[tuple[Command, End]] = []
        self._readable = self.kind.readable

    # The world that it is in; see `zmqbridge._bridge.calls`.

    def monotonic(self) -> float:
        """The time of the simulation, in seconds."""
        return self.network.now

    def urandom(self, size: int) -> bytes:
        """Random bytes that follow from the seed."""
        return self.network.random.randbytes(size)

    # What libzmq's I/O thread would do.

    @property
    def mechanism(self) -> int:
        """The security mechanism that its options say."""
        options = self.options
        if options[zmq.CURVE_SERVER] or options[zmq.CURVE_SERVERKEY]:
            return CURVE
        if options[zmq.PLAIN_SERVER] or options[zmq.PLAIN_USERNAME]:
            return PLAIN
        return NULL

    @property
    def held(self) -> bool:
        """Whether the library minds that what it wrote over ipc is read."""
        return isinstance(self, Telling)

    def new_end(self) -> End:
        """An end for one more peer."""
        options = self.options
        conflates = bool(options[zmq.CONFLATE]) and self.type in CONFLATING
        return End(self, options[zmq.RCVHWM], options[zmq.SNDHWM], conflates)

    # Commands, as libzmq's threads send them: the FD rings, and each is worked off when the user
    # calls something that looks.

    def post(self, command: Command, end: End) -> None:
        """Have a command worked off when the socket looks."""
        if self.closed:
            self._post_mortem(command, end)
            return
        self._commands.append((command, end))
        if not self.rings:
            self._ring()

    def attach(self, end: End) -> None:
        """A peer is there, or will be; the socket takes it now."""
        self._ends[end] = None
        self.kind.attach(end)

    def attach_later(self, end: End) -> None:
        """A peer is there."""
        self.post(self.attach, end)

    def comes(self, end: End) -> None:
        """An end has something to read."""
        self.post(self._readable, end)

    def drains(self, end: End) -> None:
        """An end has room."""
        if end.far is None:  # the thread that takes comes to it later
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
        """The connection of an end was lost, and is to be made again."""
        self.post(self._met_again, end)

    def _met_again(self, end: End) -> None:
        if self.options[zmq.IMMEDIATE]:
            self.leave(end)
        elif end.open:
            self.kind.met_again(end)

    def answers(self, end: End) -> None:
        """An end that was left is free."""
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
        """An end is no more."""
        self.post(self._gone, end)

    def _gone(self, end: End) -> None:
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
        """A command comes that changes nothing for the user."""
        self.post(_nothing, NO_END)

    def leave(self, end: End) -> None:
        """Want no more of an end."""
        if end.leave() and end.far is None:
            connection, end.connection = end.connection, None
            if connection is not None:
                connection.orphan(end.side)
            end.lead_to(NOWHERE, NOWHERE)
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
        # Work off the commands that came; by this the FD is silent.
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

    # How it ends.

    def _stop_listening(self) -> None:
        for listener in self._listeners.values():
            listener.close()
        here = self.context.meeting_places
        for name in [name for name, socket in here.items() if socket is self]:
            del here[name]

    def die(self) -> None:
        """Its process has ended."""
        if self._dead or self.closed:
            return
        self._dead = True
        self._observer = None
        self._stop_listening()
        for connecters in self._connecters.values():
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
    """What commands do that are libzmq's own affair."""
