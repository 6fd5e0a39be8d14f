"""SocketState: what the simulated network keeps of a socket, and tells it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge._bridge.receivingsocket import Telling
from zmqbridge.testing._connecters import Connecter, Listener
from zmqbridge.testing._ends import End, is_over, part
from zmqbridge.testing._handshake import CURVE, NULL, PLAIN
from zmqbridge.testing._kinds import Kind
from zmqbridge.testing._observer import Observer
from zmqbridge.testing._options import DEFAULTS
from zmqbridge.testing._types import KINDS

if TYPE_CHECKING:
    from zmqbridge.testing._context import SimContext

# The kinds that conflate; a SUB would conflate its subscriptions, too, in libzmq as here.
CONFLATING = frozenset({zmq.DEALER, zmq.PULL, zmq.PUSH, zmq.PUB, zmq.SUB})


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
        self.node = context.node
        self.network = context.node.network
        self.type = zmq.SocketType(kind)
        self.kind_name = self.type.name
        self.options: dict[int, Any] = dict(DEFAULTS)
        self.closed = False
        self.rings = False
        self.bell: Any = None  # a real descriptor, where the loop needs one
        self.number = self.network.number()
        self.kind: Kind = KINDS[kind](self)
        self._dead = False
        self._begun: list[bytes] = []  # the parts of the message that is being sent
        self._rest: deque[bytes] = deque()  # of the one that is being received
        self._ends: dict[End, None] = {}
        self._listeners: dict[str, Listener] = {}
        self._connecters: dict[str, list[Connecter]] = {}
        self.meetings: dict[str, list[End]] = {}  # by inproc address
        self._last = ""
        self._observer: Observer | None = None

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

    def attach(self, end: End) -> None:
        """A peer is there, or will be."""
        self._ends[end] = None
        self.kind.attach(end)
        self._ring()

    def meet(self, end: End) -> None:
        """The peer of an end has come (again)."""
        self.kind.meet(end)

    def turn_away(self, end: End) -> None:
        """End a connection that this socket does not want."""
        self._ends.pop(end, None)
        self.network.after(0, lambda: self._part(end, 0))

    def comes(self, end: End) -> None:
        """An end has something to read."""
        self.kind.readable(end)
        self._ring()

    def drains(self, end: End) -> None:
        """An end has room."""
        self.kind.writable(end)
        self._ring()

    def hangs_up(self, end: End) -> None:
        """The peer of an end is gone."""
        if self.kind.hasty or is_over(end):
            self.kind.detach(end)
            self._ends.pop(end, None)
        self._ring()

    def _ring(self) -> None:
        if not self.rings and not self.closed:
            self.rings = True
            self.network.rung[self] = None
            if self.bell is not None:
                self.bell.set()

    def _command(self) -> None:
        # Each call works off the commands that came, and by this silences the FD.
        if self.closed:
            raise zmq.ZMQError(zmq.ENOTSOCK)
        if self._dead:
            raise zmq.ContextTerminated
        if self.rings:
            self.rings = False
            self.network.rung.pop(self, None)
            if self.bell is not None:
                self.bell.clear()

    def _drop(self, end: End) -> None:
        self._ends.pop(end, None)
        end.incoming.drop()
        self.kind.detach(end)
        part(end)

    def _command_quietly(self) -> None:
        self.rings = False
        self.network.rung.pop(self, None)

    def _leave(self) -> None:
        for listener in self._listeners.values():
            listener.close()
        here = self.context.meeting_places
        for name in [name for name, socket in here.items() if socket is self]:
            del here[name]

    def _part(self, end: End, linger: float) -> None:
        if end.connection is not None:
            if end.connecter is None or self.closed is False:
                end.connection.close(end.side, linger)
        else:
            part(end)

    def die(self) -> None:
        """Its process has ended."""
        if self._dead or self.closed:
            return
        self._dead = True
        self._observer = None
        self._leave()
        for connecters in self._connecters.values():
            for connecter in connecters:
                connecter.give_up()
        for end in list(self._ends):
            if end.connection is not None:
                end.connection.die(end.side)
            part(end)
        self._ring()
