"""Rules: what a test may do to single messages, and what is written down of all that happens."""

from __future__ import annotations

import marshal
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from zmqbridge.testing.nodes import Node

# How many of the last events are kept to be shown; the hash is of all.
KEPT = 10_000
FOLD = 512


class Event(NamedTuple):
    """Something that happened on the network.

    Attributes:
        at: when, in seconds.
        what: ``"message"``, ``"lost"``, ``"connected"``, ``"disconnected"``, ``"refused"``, or the
            name of a fault.
        source, target: the nodes concerned.
        parts: of a message, else empty.
        sent: when a message was sent, else `at`.
        detail: the sockets or the cause, in words.
    """

    at: float
    what: str
    source: str
    target: str
    parts: tuple[bytes, ...]
    sent: float
    detail: str


class Delivery(NamedTuple):
    """A message that is to travel, as a rule sees it.

    Attributes:
        source, target: the nodes.
        kinds: the socket types of both, e.g. ``("DEALER", "ROUTER")``.
        parts: as they go over the wire.
        at: the time, in seconds.
    """

    source: Node
    target: Node
    kinds: tuple[str, str]
    parts: tuple[bytes, ...]
    at: float


class Deliver(NamedTuple):
    """A rule's verdict: deliver the message later.

    Attributes:
        delay: in seconds; what follows on the same connection waits as well.
    """

    delay: float


class Drop(NamedTuple):
    """A rule's verdict: lose the message, though the connection holds; tcp never does this."""


class Twice(NamedTuple):
    """A rule's verdict: deliver the message two times; tcp never does this."""


Verdict = Deliver | Drop | Twice | None
Rule = Callable[[Delivery], Verdict]


class Handle:
    """What takes a rule back."""

    def __init__(self, rules: dict[Handle, Rule]) -> None:
        self._rules = rules

    def cancel(self) -> None:
        """Apply the rule to nothing that is sent from now on."""
        self._rules.pop(self, None)


class Trace:
    """All that happened on a network: the last events, and a hash of all.

    - inputs: `note`
    - getters: `events`, `hash`
    """

    def __init__(self) -> None:
        self.events: deque[Event] = deque(maxlen=KEPT)
        self._unfolded: list[tuple[object, ...]] = []
        self._hash = sha256()

    def note(self, event: Event) -> None:
        """Write down an event."""
        self.events.append(event)
        self._unfolded.append(tuple(event))
        if len(self._unfolded) >= FOLD:
            self._fold()

    def _fold(self) -> None:
        # Version 2 has no back references, which would depend on who else holds the same object.
        self._hash.update(marshal.dumps(self._unfolded, 2))
        self._unfolded.clear()

    def hash(self) -> str:
        """A hash of all events so far."""
        self._fold()
        return self._hash.hexdigest()
