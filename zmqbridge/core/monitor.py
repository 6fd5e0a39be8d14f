"""Monitor events: what libzmq tells of a socket's connections, typed, and who is up by that."""

from __future__ import annotations

from collections import Counter
from enum import IntEnum
from math import inf
from struct import Struct
from typing import NamedTuple

from zmqbridge.core.framing import Message
from zmqbridge.errors import MalformedMessage

_EVENT = Struct("=HI")  # in the machine's own byte order, zmq_socket_monitor(3)


class EventKind(IntEnum):
    """What happened; the numbers are those of zmq_socket_monitor(3)."""

    CONNECTED = 0x0001
    CONNECT_DELAYED = 0x0002
    CONNECT_RETRIED = 0x0004
    LISTENING = 0x0008
    BIND_FAILED = 0x0010
    ACCEPTED = 0x0020
    ACCEPT_FAILED = 0x0040
    CLOSED = 0x0080
    CLOSE_FAILED = 0x0100
    DISCONNECTED = 0x0200
    MONITOR_STOPPED = 0x0400
    HANDSHAKE_FAILED_NO_DETAIL = 0x0800
    HANDSHAKE_SUCCEEDED = 0x1000
    HANDSHAKE_FAILED_PROTOCOL = 0x2000
    HANDSHAKE_FAILED_AUTH = 0x4000


OPENED = frozenset({EventKind.CONNECTED, EventKind.ACCEPTED})
HANDSHAKE_FAILED = frozenset(
    {
        EventKind.HANDSHAKE_FAILED_NO_DETAIL,
        EventKind.HANDSHAKE_FAILED_PROTOCOL,
        EventKind.HANDSHAKE_FAILED_AUTH,
    }
)
ACCEPTS = 256  # so many that failed within
PAUSE = 1.0  # seconds are a storm
_KINDS = {int(kind): kind for kind in EventKind}


class MonitorEvent(NamedTuple):
    """One thing that happened to a connection, or to what listens or connects for one."""

    kind: EventKind | int
    """What happened; a plain number when this library does not know it."""
    address: str
    """Our own side of it, as it was bound or connected: peers of one `bind` share theirs."""
    value: int
    """A file descriptor, an errno, milliseconds or an error code, as the kind has it."""

    def __str__(self) -> str:
        name = self.kind.name if isinstance(self.kind, EventKind) else f"event {self.kind:#x}"
        return f"{name} {self.value} at {self.address or 'no address'}"


def parse_event(message: Message) -> MonitorEvent:
    """The event in a message of a monitor.

    Raises:
        MalformedMessage: it is not two parts, the first of them six bytes.
    """
    if len(message) != 2 or len(message[0]) != _EVENT.size:
        raise MalformedMessage("an event of a monitor has a part of six bytes, and one", message)
    number, value = _EVENT.unpack(message[0])
    return MonitorEvent(_KINDS.get(number, number), message[1].decode(errors="replace"), value)


def without_failed_accepts(burst: list[Message]) -> list[Message]:
    """The messages of a monitor that do not just tell that another accept has failed."""
    return [message for message in burst if message[0][:2] != _ACCEPT_FAILED]


_ACCEPT_FAILED = _EVENT.pack(EventKind.ACCEPT_FAILED, 0)[:2]


class Storm:
    """Whether accepts fail so fast that libzmq must be asked to tell of them no more.

    A process that is out of descriptors leaves a connection where it is, and libzmq tries again at
    once, half a million times a second. No program reads as many events.

    - inputs: `saw`
    - commands: `wait`, `end`
    - getters: `next_deadline`

    What the driver owes: when `saw` says so it has libzmq tell of these no more, and calls `wait`;
    at the deadline it has libzmq tell of them again and calls `end`, or `wait` when it cannot.
    """

    __slots__ = ("_count", "_next", "_since")

    def __init__(self) -> None:
        self._count = 0
        self._since = -inf
        self._next = inf

    def saw(self, events: list[MonitorEvent], now: float) -> bool:
        """True if there were too many of them in the last second."""
        kind = EventKind.ACCEPT_FAILED
        failed = sum(event.kind == kind for event in events)
        if now - self._since > PAUSE:
            self._since = now
            self._count = 0
        self._count += failed
        return failed > 0 and self._count > ACCEPTS

    def wait(self, now: float) -> None:
        """Let it rage for a while."""
        self._next = now + PAUSE

    def end(self) -> None:
        """It may be over."""
        self._count = 0
        self._next = inf

    def next_deadline(self) -> float:
        """When to look whether it is over."""
        return self._next


class Peers:
    """Which connections are up: their handshake has succeeded, and they have not ended.

    A success carries an address, which all peers of one `bind` share, and not which of them it
    was. It is counted for the newest that is under way: what is older mostly is a connection that
    never says anything. When the one it was counted for fails, the success was another's.

    - inputs: `saw`
    - commands: `expect` (before a connect), `forget` (after a disconnect, of which libzmq tells
      nothing: whatever still comes from there does not count)
    - getters: `up`, `failure`

    Attributes:
        failure: the last event that ended a handshake, None while there was none.
    """

    __slots__ = ("_failing", "_left", "_nameless", "_shaking", "_up", "failure")

    def __init__(self) -> None:
        self._shaking: dict[str, list[int]] = {}
        self._up: dict[int, str] = {}  # by descriptor; one that we never saw open has a number < 0
        self._failing: Counter[str] = Counter()  # handshakes that failed, not disconnected yet
        self._left: set[str] = set()
        self._nameless = 0
        self.failure: MonitorEvent | None = None

    @property
    def up(self) -> int:
        """How many peers are up."""
        return len(self._up)

    def expect(self, address: str) -> None:
        """We connect to this address: what is told of it counts (again)."""
        self._left.discard(address)

    def forget(self, address: str) -> None:
        """We have disconnected from this address."""
        self._left.add(address)
        self._shaking.pop(address, None)
        del self._failing[address]
        self._up = {peer: at for peer, at in self._up.items() if at != address}

    def saw(self, event: MonitorEvent) -> None:
        """Take the next event, whatever it is."""
        kind, address, value = event
        if address in self._left:
            return
        if kind in OPENED:
            self._shaking.setdefault(address, []).append(value)
        elif kind == EventKind.HANDSHAKE_SUCCEEDED:
            self._succeeded(address)
        elif kind in HANDSHAKE_FAILED:
            self._failing[address] += 1
            self.failure = event
        elif kind == EventKind.DISCONNECTED:
            self._disconnected(event)

    def _succeeded(self, address: str) -> None:
        if shaking := self._shaking.get(address):
            self._up[shaking.pop()] = address
        else:  # it was opened before we were told of anything
            self._nameless -= 1
            self._up[self._nameless] = address

    def _disconnected(self, event: MonitorEvent) -> None:
        _, address, peer = event
        shaking = self._shaking.get(address, [])
        failed = self._failing[address] > 0
        self._failing[address] -= failed
        if peer in shaking:
            shaking.remove(peer)
            if not failed:  # so ends a handshake between types that do not go together
                self.failure = event
        elif self._up.pop(peer, None) is not None:
            if failed and shaking:  # then it was another that succeeded
                self._up[shaking.pop()] = address
        elif not failed:
            nameless = [peer for peer, at in self._up.items() if peer < 0 and at == address]
            if nameless:
                del self._up[nameless[0]]
