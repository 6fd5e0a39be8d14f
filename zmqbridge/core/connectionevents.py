"""Connection events: what libzmq tells of a socket's connections, typed."""

from __future__ import annotations

import os
from enum import IntEnum
from typing import NamedTuple


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


def why(event: MonitorEvent) -> str:
    """Why a handshake failed, by the event that ended it, as far as libzmq tells it."""
    if event.kind == EventKind.HANDSHAKE_FAILED_NO_DETAIL:
        return (
            f"the server hung up on it ({os.strerror(event.value)}), as it does when the client "
            "has a wrong key of the server, when it has no authenticator, and when their types do "
            "not fit"
        )
    if event.kind == EventKind.DISCONNECTED:
        return "a socket is there whose type does not fit, e.g. a Puller for a Requester"
    return CAUSES.get((event.kind, event.value), str(event))


def with_cause(event: MonitorEvent) -> str:
    """The text of an event that ended a handshake, and why it did."""
    text, cause = str(event), why(event)
    return text if cause in text else f"{text}: {cause}"
