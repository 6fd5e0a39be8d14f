"""SimSocket: a simulated socket, with the calls of pyzmq's sockets.

A call that would block in libzmq raises `NotSimulated`: in a single thread nothing could end it.
"""

from __future__ import annotations

import errno
from math import inf
from typing import Any, ClassVar, Final

import zmq

from zmqbridge._bridge.lingers import LINGER_IS_GIVEN
from zmqbridge._bridge.receivingsocket import Telling
from zmqbridge.testing import _addresses, _inproc
from zmqbridge.testing._connecters import Connecter, Listener
from zmqbridge.testing._conveniences import lend
from zmqbridge.testing._errors import NotSimulated
from zmqbridge.testing._observer import Observer
from zmqbridge.testing._options import checked
from zmqbridge.testing._socketstate import SocketState

# libzmq's I/O thread does not wait for the loop: messages that are due in so short a time may
# arrive while a task runs.
MEANWHILE = 0.0001  # seconds

SNDMORE, DONTWAIT = int(zmq.SNDMORE), int(zmq.DONTWAIT)
EVENTS, FD, RCVMORE = int(zmq.EVENTS), int(zmq.FD), int(zmq.RCVMORE)
POLLIN, POLLOUT = int(zmq.POLLIN), int(zmq.POLLOUT)
# The kinds that connect to an address only once (``is_single_connect`` in socket_base.cpp).
SINGLE = frozenset({zmq.DEALER, zmq.SUB, zmq.PUB, zmq.REQ})
# A socket works off its commands after so many calls of ``recv`` that found a message, and in
# ``send`` after so long (``inbound_poll_rate`` and ``max_command_delay`` in libzmq).
LOOKS = 100
GLANCES = 0.001  # seconds
# How likely a socket learns amid a message that its peer has left: libzmq does if the program was
# held up there for `GLANCES`. It is rare, and programs are to meet it.
PREEMPTED = 0.25
# How long the library's sockets linger over ipc if the user has set no linger.
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


class SimSocket(SocketState):
    """A simulated socket, with the calls of pyzmq's compiled class."""

    raw: ClassVar[Any]
    _shadow = False
    _monitor_socket: Any = None  # for pyzmq's get_monitor_socket

    def send(
        self, data: Any, flags: int = 0, copy: bool = True, track: bool = False, **kwargs: Any
    ) -> None:
        """Send one part, as ``zmq.Socket.send``."""
        network = self.network
        if network.next_delivery() < network.now + MEANWHILE:
            network.run_ahead()
        now = network.now
        if now - self._glanced > GLANCES or self.closed or self._dead:
            self._glanced = now
            self._look()
        part = data if type(data) is bytes else getattr(data, "bytes", None) or bytes(data)
        begun = self._begun
        if begun and self.kind.deserted() is not None and self._breaks_off(flags):
            return
        if not begun:
            try:
                self.kind.begin(part, bool(flags & SNDMORE))
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

    def _breaks_off(self, flags: int) -> bool:
        # The peer has left in the middle of the message, and the socket may learn it now. Then it
        # refuses this part, and drops those that follow (``sendpipe`` in lb.cpp).
        deserted = self.kind.deserted()
        if deserted is None or not (self._drops or self.network.random.random() < PREEMPTED):
            return False
        self._look()
        refuses = not self._drops and bool(flags & DONTWAIT)
        self._drops = bool(flags & SNDMORE)
        if not self._drops:
            self._begun = []
        if refuses:
            raise zmq.Again
        return True

    def recv(self, flags: int = 0, copy: bool = True, track: bool = False) -> Any:
        """Receive one part, as ``zmq.Socket.recv``."""
        rest = self._rest
        if self.closed or self._dead:
            self._look()
        self._calls += 1
        if self._calls == LOOKS:
            self._calls = 0
            self._look()
        if rest:
            part = rest.popleft()
        else:
            message = self.kind.receive()
            if message is None:
                self._calls = 0
                self._look()
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
        how = "write poll(0)" if call == "poll" else "pass zmq.DONTWAIT"
        raise NotSimulated(
            f"{call} would block, and so would the simulation: {how}, and await a sleep "
            "until it succeeds"
        )

    def send_multipart(self, parts: Any, flags: int = 0, **kwargs: Any) -> None:
        """Send all parts of a message."""
        *first, last = list(parts)
        for each in first:
            self.send(each, flags | SNDMORE)
        self.send(last, flags)

    def recv_multipart(self, flags: int = 0, **kwargs: Any) -> list[bytes]:
        """Receive all parts of a message."""
        message = [self.recv(flags)]
        while self._rest:
            message.append(self.recv(flags))
        return message

    def poll(self, timeout: float | None = None, flags: int = POLLIN) -> int:
        """The events of the socket; the timeout must be 0."""
        if timeout != 0:
            self._would_block("poll")
        return int(self.get(EVENTS)) & flags

    def get(self, option: int) -> Any:
        """An option, as ``zmq.Socket.get``."""
        if option == EVENTS:
            self._look()
            can = POLLIN if self._rest or self.kind.has_in() else 0
            return can | POLLOUT if self.kind.has_out() else can
        if option == RCVMORE:
            return int(bool(self._rest))
        if self.closed or self._dead:
            self._look()
        if option == FD:
            return self.network.descriptor(self)
        if option == zmq.TYPE:
            return int(self.type)
        if option == zmq.LAST_ENDPOINT:
            return self._last.encode()
        if option == zmq.MECHANISM:
            return self.mechanism
        return checked(option, self.options.get(option))

    def set(self, option: int, optval: Any) -> None:
        """Set an option, as ``zmq.Socket.set``."""
        if self.closed or self._dead:
            self._look()
        if not self.kind.set(option, optval):
            self.options[option] = checked(option, optval, self.options.get(option))
            if option in (zmq.SNDHWM, zmq.RCVHWM):
                for end in self._ends:
                    end.limit(self.options[zmq.RCVHWM], self.options[zmq.SNDHWM])

    getsockopt: Final = get
    setsockopt: Final = set

    def bind(self, addr: Any) -> None:
        """Bind to an address."""
        self._look()
        name = _text(addr)
        if name.startswith("inproc:"):
            _inproc.bind(self, name)
            self._last = name
            return
        try:
            name, keys = _addresses.listening(self, name)
        except zmq.ZMQError as error:
            if name.startswith(("tcp://", "ipc://")):
                self.happened(zmq.Event.BIND_FAILED, name.partition("://")[2], error.errno or 0)
            raise
        self._listeners[name] = Listener(self, name, keys)
        self._last = name
        self.spurious()
        self.happened(zmq.Event.LISTENING, name, 0)
        for connecter in list(self.network.waiting):
            connecter.unblocked()

    def connect(self, addr: Any) -> None:
        """Connect to an address; the peer may come later."""
        self._look()
        name = _text(addr)
        if name.startswith("inproc:"):
            _inproc.connect(self, name)
            self._last = name
            return
        if self.type in SINGLE and name in self._connecters:
            return  # libzmq ignores a second connection to the same address
        connecter = Connecter(self, name, _addresses.far(self, name))
        self._connecters.setdefault(name, []).append(connecter)
        self._last = name
        connecter.begin()
        self.spurious()

    def unbind(self, addr: Any) -> None:
        """Stop listening at an address."""
        self._look()
        name = _text(addr)
        if self.context.meeting_places.get(name) is self:
            del self.context.meeting_places[name]
        elif name in self._listeners:
            listener = self._listeners.pop(name)
            listener.close()
            self.happened(zmq.Event.CLOSED, name, 0)
            # The connections that were accepted there end as well.
            for connection in list(listener.connections):
                connection.shut(1)
            self.network.after(0, self.spurious)
        else:
            raise zmq.ZMQError(errno.ENOENT)

    def disconnect(self, addr: Any) -> None:
        """Disconnect from an address."""
        self._look()
        name = _text(addr)
        if name in self.meetings:
            for end in self.meetings.pop(name):
                if end.told:  # messages that the peer has sent can still be read
                    end.open = False
                else:
                    self.leave(end)
        elif name in self._connecters:
            for connecter in self._connecters.pop(name):
                self.parting[connecter] = None
                connecter.leave(self._linger(name))
        else:
            raise zmq.ZMQError(errno.ENOENT)

    def _linger(self, name: str = "") -> float:
        linger: float = self.options[zmq.LINGER] / 1000
        if linger < 0:
            return inf
        if name.startswith("ipc:") and self.held and LINGER_IS_GIVEN not in vars(self):
            return max(linger, IPC_LINGER)
        return linger

    def close(self, linger: int | None = None) -> None:
        """Close; messages that wait to be sent have LINGER to leave."""
        if self.closed:
            return
        if linger is not None:
            self.options[zmq.LINGER] = linger
        for name in self._listeners:
            self.happened(zmq.Event.CLOSED, name, 0)
        self.monitor(None)
        self._silence()
        self.closed = True
        self._stop_listening()
        for command, end in self._commands:
            if command == self.attach:  # this end closes as those of all other peers
                self.attach(end)
            self._post_mortem(command, end)
        for connecters in self._connecters.values():
            for connecter in connecters:
                connecter.close(self._linger(connecter.name))
        for connecter in list(self.parting):
            connecter.close_parting()
        for listener in self._listeners.values():
            for connection in list(listener.connections):
                connection.close(1, self._linger(listener.name))
        for end in list(self._ends):
            if end.connecter is None and end.connection is None:
                end.leave()
        self._ends.clear()
        self.context.sockets.pop(self, None)
        self.network.forget(self)

    def monitor(self, addr: Any, events: int = 0) -> None:
        """Send events of the connections to an inproc address, as ``zmq.Socket.monitor``."""
        before, self._observer = self._observer, None
        if addr:
            self._observer = Observer(SimSocket(self.context, zmq.PAIR), _text(addr), int(events))
        if before is not None:
            before.end()

    def happened(self, event: int, name: str, value: int) -> None:
        """Report an event of a connection to the monitor, if there is one."""
        if self._observer is not None:
            self._observer.tell(event, name, value)

    def __enter__(self) -> SimSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<simulated {self.kind_name} of {self.node.name}>"


SimSocket.raw = SimSocket
lend(SimSocket)


class BridgedSimSocket(Telling, SimSocket):  # type: ignore[misc, override]
    """A simulated socket of the class that the library's own objects use."""


def _text(address: Any) -> str:
    return address.decode() if isinstance(address, bytes) else str(address)
