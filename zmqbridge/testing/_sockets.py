"""SimSocket: a socket of the simulated network, with the methods of pyzmq's that the library calls.

What blocks in libzmq is `NotSimulated`: in one thread nothing could end the wait.
"""

from __future__ import annotations

from collections import deque
from math import inf
from struct import pack
from typing import TYPE_CHECKING, Any, ClassVar

import zmq

from zmqbridge._bridge.lingers import LINGER_IS_GIVEN
from zmqbridge._bridge.receivingsocket import Telling
from zmqbridge.testing import _addresses
from zmqbridge.testing._connections import Connecter, Listener
from zmqbridge.testing._ends import End, is_over, join, part
from zmqbridge.testing._handshake import CURVE, NULL, PLAIN
from zmqbridge.testing._kinds import KINDS, Kind
from zmqbridge.testing._options import DEFAULTS, checked
from zmqbridge.testing._pipes import Message
from zmqbridge.testing.errors import NotSimulated

if TYPE_CHECKING:
    from zmqbridge.testing._context import SimContext

SNDMORE, DONTWAIT = int(zmq.SNDMORE), int(zmq.DONTWAIT)
EVENTS, FD, RCVMORE = int(zmq.EVENTS), int(zmq.FD), int(zmq.RCVMORE)
POLLIN, POLLOUT = int(zmq.POLLIN), int(zmq.POLLOUT)
# The kinds that conflate; a SUB would conflate its subscriptions, too, in libzmq as here.
CONFLATING = frozenset({zmq.DEALER, zmq.PULL, zmq.PUSH, zmq.PUB, zmq.SUB})
# How long the library's sockets linger over ipc, unless they were told.
IPC_LINGER = 5.0  # seconds


class SimFrame:
    """One part of a received message."""

    __slots__ = ("bytes", "more")

    def __init__(self, content: bytes, more: bool) -> None:
        self.bytes = content
        self.more = more

    @property
    def buffer(self) -> memoryview:
        """The part, without a copy."""
        return memoryview(self.bytes)

    def __bytes__(self) -> bytes:
        return self.bytes

    def __len__(self) -> int:
        return len(self.bytes)


class SimSocket:
    """What a simulated socket does, by the calls that pyzmq's compiled class has.

    Attributes:
        context, node, network: where it is.
        type: the kind, as ``zmq.DEALER``.
        kind: how that kind sends and receives.
        options: what was set, or the default.
        closed: by its user.
        rings: its FD is readable.
        number: its FD, unless the loop needs a real one.
    """

    raw: ClassVar[Any]
    _shadow = False

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
        self._meetings: dict[str, list[End]] = {}  # by inproc address
        self._last = ""
        self._observer: Any = None
        self._observed = 0

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

    # What pyzmq's socket can do.

    def send(
        self, data: Any, flags: int = 0, copy: bool = True, track: bool = False, **kwargs: Any
    ) -> None:
        """Send one part, as ``zmq.Socket.send``."""
        if self.closed or self._dead or self.rings:
            self._command()
        part = data if type(data) is bytes else getattr(data, "bytes", None) or bytes(data)
        begun = self._begun
        if not begun:
            try:
                self.kind.begin(part)
            except zmq.Again:
                if not flags & DONTWAIT:
                    self._would_block("send")
                raise
        if flags & SNDMORE:
            begun.append(part)
        elif begun:
            begun.append(part)
            self._begun = []
            self.kind.send(begun)
        else:
            self.kind.send([part])

    def recv(self, flags: int = 0, copy: bool = True, track: bool = False) -> Any:
        """Receive one part, as ``zmq.Socket.recv``."""
        rest = self._rest
        if rest:
            part = rest.popleft()
        else:
            if self.closed or self._dead or self.rings:
                self._command()
            message = self.kind.receive()
            if message is None:
                if not flags & DONTWAIT:
                    self._would_block("recv")
                raise zmq.Again
            part = message[0]
            if len(message) > 1:
                rest.extend(message[1:])
        return part if copy else SimFrame(part, bool(rest))

    def _would_block(self, call: str) -> None:
        raise NotSimulated(f"{call} would block, and so would the simulation: pass zmq.DONTWAIT")

    def send_multipart(self, parts: Any, flags: int = 0, **kwargs: Any) -> None:
        """Send a message whole."""
        *first, last = list(parts)
        for part in first:
            self.send(part, flags | SNDMORE)
        self.send(last, flags)

    def recv_multipart(self, flags: int = 0, **kwargs: Any) -> list[bytes]:
        """Receive a message whole."""
        message = [self.recv(flags)]
        while self._rest:
            message.append(self.recv(flags))
        return message

    def poll(self, timeout: float | None = None, flags: int = POLLIN) -> int:
        """What can be done now; it does not wait."""
        if timeout != 0:
            self._would_block("poll")
        return int(self.get(EVENTS)) & flags

    def get(self, option: int) -> Any:
        """An option, as ``zmq.Socket.get``."""
        if option == EVENTS:
            self._command()
            can = POLLIN if self._rest or self.kind.has_in() else 0
            return can | POLLOUT if self.kind.has_out() else can
        if option == RCVMORE:
            return int(bool(self._rest))
        self._command()
        if option == FD:
            return self.network.descriptor(self)
        if option == zmq.TYPE:
            return int(self.type)
        if option == zmq.LAST_ENDPOINT:
            return self._last.encode() + b"\0"
        if option == zmq.MECHANISM:
            return self.mechanism
        value = checked(option, self.options.get(option))
        return value + b"\0" if option == zmq.ZAP_DOMAIN else value

    def set(self, option: int, optval: Any) -> None:
        """Set an option, as ``zmq.Socket.set``."""
        self._command()
        if not self.kind.set(option, optval):
            self.options[option] = checked(option, optval, self.options.get(option))
        self._ring()

    getsockopt, setsockopt = get, set

    def bind(self, addr: Any) -> None:
        """Listen at an address."""
        self._command()
        name = _text(addr)
        if name.startswith("inproc:"):
            self._bind_inproc(name)
            return
        name, keys = _addresses.listening(self, name)
        self._listeners[name] = Listener(self, name, keys)
        self._last = name
        self.happened(zmq.Event.LISTENING, name, 0)
        for connecter in list(self.network.waiting):
            connecter.unblocked()

    def _bind_inproc(self, name: str) -> None:
        here = self.context.meeting_places
        if name in here:
            raise zmq.ZMQError(zmq.EADDRINUSE)
        here[name] = self
        self._last = name
        early, self.context.early[name] = self.context.early.pop(name, []), []
        del self.context.early[name]
        for end in early:
            self._meet_inproc(end, name)

    def _meet_inproc(self, end: End, name: str) -> None:
        near = self.new_end()
        owner: Any = end.owner
        near.peer = owner.options[zmq.ROUTING_ID]
        end.peer = self.options[zmq.ROUTING_ID]
        join(end, near)
        self._meetings.setdefault(name, []).append(near)
        self.attach(near)
        owner.meet(end)
        # Both look at what there is, as libzmq's commands have them do.
        for each in (near, end):
            if each.incoming.queue:
                each.comes(each.incoming)
            each.owner.drains(each)

    def connect(self, addr: Any) -> None:
        """Connect to an address; the peer may come later."""
        self._command()
        name = _text(addr)
        if name.startswith("inproc:"):
            end = self.new_end()
            end.connecter = None
            self._meetings.setdefault(name, []).append(end)
            bound = self.context.meeting_places.get(name)
            self.attach(end)
            if bound is None:
                self.context.early.setdefault(name, []).append(end)
            else:
                bound._meet_inproc(end, name)
            self._last = name
            return
        connecter = Connecter(self, name, _addresses.far(self, name))
        self._connecters.setdefault(name, []).append(connecter)
        self._last = name
        connecter.begin()
        self._ring()

    def unbind(self, addr: Any) -> None:
        """Listen no more at an address."""
        self._command()
        name = _text(addr)
        if self.context.meeting_places.get(name) is self:
            del self.context.meeting_places[name]
        elif name in self._listeners:
            self._listeners.pop(name).close()
            self.happened(zmq.Event.CLOSED, name, 0)
        else:
            raise zmq.ZMQError(zmq.ENOENT)
        self._ring()

    def disconnect(self, addr: Any) -> None:
        """Leave an address."""
        self._command()
        name = _text(addr)
        if name in self._meetings:
            for end in self._meetings.pop(name):
                self._drop(end)
        elif name in self._connecters:
            for connecter in self._connecters.pop(name):
                if connecter.end is not None:
                    self._drop(connecter.end)
                connecter.close(self._linger(name))
        else:
            raise zmq.ZMQError(zmq.ENOENT)
        self._ring()

    def _drop(self, end: End) -> None:
        self._ends.pop(end, None)
        end.incoming.drop()
        self.kind.detach(end)
        part(end)

    def _linger(self, name: str = "") -> float:
        linger = self.options[zmq.LINGER] / 1000
        if linger < 0:
            return inf
        if name.startswith("ipc:") and self.held and LINGER_IS_GIVEN not in vars(self):
            return max(linger, IPC_LINGER)
        return linger

    def close(self, linger: int | None = None) -> None:
        """Close; what was sent leaves as LINGER says."""
        if self.closed:
            return
        if linger is not None:
            self.options[zmq.LINGER] = linger
        self.monitor(None, 0)
        self._command_quietly()
        self.closed = True
        self._leave()
        for connecters in self._connecters.values():
            for connecter in connecters:
                connecter.close(self._linger(connecter.name))
        for end in list(self._ends):
            self._part(end, self._linger(end.connection.name if end.connection else ""))
        self._ends.clear()
        self.context.sockets.pop(self, None)
        self.network.forget(self)

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

    # Monitors.

    def monitor(self, addr: Any, events: int = 0) -> None:
        """Tell what happens to its connections at an inproc address, as ``zmq.Socket.monitor``."""
        if not addr and self._observer is None:
            return
        before, self._observer = self._observer, None
        if addr:
            observer = SimSocket(self.context, zmq.PAIR)
            observer.options[zmq.SNDHWM] = 0
            observer._bind_inproc(_text(addr))
            self._observer, self._observed = observer, int(events)
        if before is not None:
            self._report(before, int(zmq.Event.MONITOR_STOPPED), "", 0)
            before.options[zmq.LINGER] = 0
            before.close()

    def happened(self, event: int, name: str, value: int) -> None:
        """Something happened to a connection."""
        if self._observer is not None and self._observed & event:
            self._report(self._observer, int(event), name, value)

    def _report(self, observer: SimSocket, event: int, name: str, value: int) -> None:
        try:
            observer.send_multipart([pack("=HI", event, value), name.encode()], DONTWAIT)
        except zmq.ZMQError:
            pass  # nobody listens

    def __enter__(self) -> SimSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<simulated {self.kind_name} of {self.node.name}>"


SimSocket.raw = SimSocket


class BridgedSimSocket(Telling, SimSocket):  # type: ignore[misc]
    """A simulated socket as the library's own objects have it."""


def _text(address: Any) -> str:
    return address.decode() if isinstance(address, bytes) else str(address)


def whole(message: Message) -> list[bytes]:
    """A message as a list."""
    return list(message)
