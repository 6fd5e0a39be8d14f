"""Rules: how a test drops, delays or doubles single messages; and the trace of all events."""

from __future__ import annotations

import marshal
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zmqbridge.testing._fabric import Fabric
    from zmqbridge.testing._nodes import Node

# How many of the last events are kept to be shown; the hash is of all events.
KEPT = 10_000
FOLD = 512  # events that are hashed at once


class Event(NamedTuple):
    """Something that happened on the network.

    Attributes:
        at: the time, in seconds.
        what: ``"message"``, ``"lost"``, ``"connected"``, ``"disconnected"``, ``"refused"``, or the
            name of a fault.
        source, target: the names of the nodes.
        parts: the parts of a message, else empty.
        sent: the time at which a message was sent, else `at`.
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
    """A message under way, as a rule sees it.

    Attributes:
        source, target: the nodes.
        kinds: the socket types of both sides, e.g. ``("DEALER", "ROUTER")``.
        parts: the parts as they go over the wire.
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
        delay: in seconds; later messages of the same connection wait as well.
    """

    delay: float


class Drop(NamedTuple):
    """A rule's verdict: lose the message and keep the connection; tcp never does this."""


class Twice(NamedTuple):
    """A rule's verdict: deliver the message two times; tcp never does this."""


Verdict = Deliver | Drop | Twice | None
Rule = Callable[[Delivery], Verdict]


class Handle:
    """The handle of a rule, as `Network.rule` returns it."""

    def __init__(self, rules: dict[Handle, Rule]) -> None:
        self._rules = rules

    def cancel(self) -> None:
        """Remove the rule: it is not applied to messages that are sent from now on."""
        self._rules.pop(self, None)


class Rules:
    """The rules of a network, in their order.

    - commands: `add`
    - getters: `verdict`
    """

    def __init__(self, network: Fabric) -> None:
        self._network = network
        self._rules: dict[Handle, Rule] = {}

    def add(self, rule: Rule) -> Handle:
        """Apply a rule after all others."""
        if not callable(rule):
            raise TypeError(f"a rule is a function that takes a Delivery, not {rule!r}")
        handle = Handle(self._rules)
        self._rules[handle] = rule
        return handle

    def verdict(
        self, source: Node, target: Node, kinds: tuple[str, str], parts: Sequence[bytes]
    ) -> Iterable[float]:
        """The delays in seconds after which to deliver a message: none, one or two.

        Raises:
            TypeError: a rule returned no verdict.
            ValueError: a rule returned a delay that is no number of seconds.
        """
        if not self._rules:
            return (0.0,)
        network = self._network
        delivery = Delivery(source, target, kinds, tuple(parts), network.now)
        for rule in list(self._rules.values()):
            verdict = rule(delivery)
            if verdict is None:
                continue
            if isinstance(verdict, Deliver):
                return (_delay(rule, verdict),)
            if not isinstance(verdict, Drop | Twice):
                raise TypeError(
                    f"{rule!r} returned {verdict!r}: return None, Deliver(), Drop() or Twice()"
                )
            network.fault("rule", source.name, target.name, parts, type(verdict).__name__)
            return () if isinstance(verdict, Drop) else (0.0, 0.0)
        return (0.0,)


def _delay(rule: Rule, verdict: Deliver) -> float:
    delay: Any = verdict.delay
    if not isinstance(delay, int | float) or not 0 <= delay < inf:
        raise ValueError(f"{rule!r} returned {verdict!r}: give 0 or more seconds")
    return delay


class Trace:
    """The trace of a network: its last events, and a hash of all events.

    - inputs: `note`
    - getters: `events`, `hash`
    """

    def __init__(self) -> None:
        self.events: deque[Event] = deque(maxlen=KEPT)
        self._unfolded: list[tuple[object, ...]] = []
        self._hash = sha256()

    def note(self, event: Event) -> None:
        """Add an event."""
        self.events.append(event)
        self._unfolded.append(tuple(event))
        if len(self._unfolded) >= FOLD:
            self._fold()

    def _fold(self) -> None:
        # Version 2 has no back references, which would depend on other references to an object.
        self._hash.update(marshal.dumps(self._unfolded, 2))
        self._unfolded.clear()

    def hash(self) -> str:
        """A hash of all events so far."""
        self._fold()
        return self._hash.hexdigest()
