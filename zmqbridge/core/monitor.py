"""Monitor events: what libzmq tells of a socket's connections, typed, and a storm of them."""

from __future__ import annotations

import os
from enum import IntEnum
from math import inf
from struct import Struct
from typing import NamedTuple

from zmqbridge.core.framing import Message
from zmqbridge.errors import MalformedMessage

_EVENT = Struct("=HI")  # in the byte order of the host, zmq_socket_monitor(3)


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
# What zmq_socket_monitor(3) has for the values that come when keys or mechanisms do not fit.
CAUSES: dict[tuple[int, int], str] = {
    (EventKind.HANDSHAKE_FAILED_AUTH, 400): "the server does not let these credentials in",
    (EventKind.HANDSHAKE_FAILED_AUTH, 500): "the server's authenticator has failed",
    (EventKind.HANDSHAKE_FAILED_PROTOCOL, 0x11000001): "the keys of the two sides do not fit",
    (EventKind.HANDSHAKE_FAILED_PROTOCOL, 0x11000002): (
        "the two sides do not use the same one of NULL, PLAIN and CURVE"
    ),
}
HUNG_UP_ON = (
    "as it does when the client has a wrong key of the server, when it has no authenticator, and "
    "when it is a socket whose type does not fit"
)
# The value is a descriptor then, and tells nothing.
HUNG_UP = (
    "it hung up, as a socket does whose type does not fit, or that is closing; "
    "`zmqbridge ping ADDRESS` says what is there"
)
# More failed accepts than this within a pause are a storm.
ACCEPTS = 256
PAUSE = 1.0  # seconds
_KINDS = {int(kind): kind for kind in EventKind}


class MonitorEvent(NamedTuple):
    """One thing that happened to a connection, or to a socket that listens or connects."""

    kind: EventKind | int
    """What happened; a plain number when this library does not know it."""
    address: str
    """The address as we bound or connected it, not the peer's: all peers of one `bind` share it."""
    value: int
    """A file descriptor, an errno, milliseconds or an error code, depending on the kind.

    After HANDSHAKE_FAILED_AUTH it is the status of the authenticator: 300 try again, 400 not let
    in, 500 it has failed. After HANDSHAKE_FAILED_PROTOCOL it is a ``zmq.PROTOCOL_ERROR_…``, in the
    text of the event where it is one of the common ones.
    """

    def __str__(self) -> str:
        name = self.kind.name if isinstance(self.kind, EventKind) else f"event {self.kind:#x}"
        cause = CAUSES.get((self.kind, self.value))
        value = f"({cause})" if cause else self.value
        return f"{name} {value} at {self.address or 'no address'}"

    @property
    def told(self) -> str:
        """What an error says of this event when it ended a handshake."""
        if self.kind == EventKind.DISCONNECTED:
            return f"DISCONNECTED at {self.address or 'no address'}: {HUNG_UP}"
        if self.kind == EventKind.HANDSHAKE_FAILED_NO_DETAIL:
            return f"the server hung up on it ({os.strerror(self.value)}), {HUNG_UP_ON}"
        return CAUSES.get((self.kind, self.value), str(self))


def parse_event(message: Message) -> MonitorEvent:
    """The event in a message of a monitor.

    Raises:
        MalformedMessage: the message is not two parts, the first one of six bytes.
    """
    if len(message) != 2 or len(message[0]) != _EVENT.size:
        raise MalformedMessage("an event of a monitor has a part of six bytes, and one", message)
    number, value = _EVENT.unpack(message[0])
    return MonitorEvent(_KINDS.get(number, number), message[1].decode(errors="replace"), value)


def without_failed_accepts(burst: list[Message]) -> list[Message]:
    """The messages of a monitor without those that report a failed accept."""
    return [message for message in burst if message[0][:2] != _ACCEPT_FAILED]


_ACCEPT_FAILED = _EVENT.pack(EventKind.ACCEPT_FAILED, 0)[:2]


class Storm:
    """Whether accepts fail so fast that libzmq must be told to report them no more.

    A process that has no descriptor left cannot accept a connection, and libzmq tries again at
    once, half a million times a second. No program reads as many events.

    - inputs: `saw` (events came)
    - commands: `postpone`, `end`
    - getters: `next_deadline`

    What the driver owes: when `saw` returns True, it has libzmq report failed accepts no more, and
    calls `postpone`. When `next_deadline()` has come, it has libzmq report them again and calls
    `end`, or `postpone` when that is not possible.
    """

    __slots__ = ("_count", "_next", "_since")

    def __init__(self) -> None:
        self._count = 0
        self._since = -inf
        self._next = inf

    def saw(self, events: list[MonitorEvent], now: float) -> bool:
        """True if more than `ACCEPTS` accepts have failed within a `PAUSE`."""
        kind = EventKind.ACCEPT_FAILED
        failed = sum(event.kind == kind for event in events)
        if now - self._since > PAUSE:
            self._since = now
            self._count = 0
        self._count += failed
        return failed > 0 and self._count > ACCEPTS

    def postpone(self, now: float) -> None:
        """The storm goes on: look again after a `PAUSE`."""
        self._next = now + PAUSE

    def end(self) -> None:
        """The storm may be over: count from zero."""
        self._count = 0
        self._next = inf

    def next_deadline(self) -> float:
        """When to look whether it is over, ``inf`` while there is none."""
        return self._next
