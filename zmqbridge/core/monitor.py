"""Monitor: reads the messages of libzmq's monitors, and notices a storm of failed accepts."""

from __future__ import annotations

from math import inf
from struct import Struct

from zmqbridge.core.connectionevents import EventKind, MonitorEvent
from zmqbridge.core.framing import Message
from zmqbridge.errors import MalformedMessage

_EVENT = Struct("=HI")  # in the byte order of the host, zmq_socket_monitor(3)
# More failed accepts than this within a pause are a storm.
ACCEPTS = 256
PAUSE = 1.0  # seconds
_KINDS = {int(kind): kind for kind in EventKind}


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
