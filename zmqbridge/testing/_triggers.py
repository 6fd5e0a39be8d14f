"""Triggers: the functions that a simulated reactor calls at its events, as at its shutdown."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from itertools import count
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, DeferredList
from twisted.python import log

from zmqbridge.testing._current import lives

PHASES = ("before", "during", "after")


class Trigger(NamedTuple):
    """A function that is called at an event."""

    phase: str
    event: str
    context: Context
    call: Callable[[], object]

    def fire(self) -> Any:
        """Call the function, unless its process was killed."""
        try:
            return self.context.run(self.call) if lives(self.context) else None
        except Exception:
            log.err()
            return None


class Triggers:
    """The functions of all events, in three phases; Deferreds of the first phase are waited for.

    Attributes:
        waiting: whether such a Deferred has not fired yet.
    """

    def __init__(self) -> None:
        self.waiting = False
        self._numbers = count()
        self._triggers: dict[int, Trigger] = {}

    def add(self, trigger: Trigger) -> int:
        """Add a trigger; returns the number that `remove` takes."""
        if trigger.phase not in PHASES:
            raise KeyError(f"{trigger.phase!r}: give 'before', 'during' or 'after'")
        number = next(self._numbers)
        self._triggers[number] = trigger
        return number

    def remove(self, number: int) -> None:
        """Remove a trigger by its number."""
        del self._triggers[number]

    def fire(self, event: str) -> None:
        """Call the functions of an event, once, phase by phase."""
        results = self._fire(event, "before")
        self.waiting = True
        all_of_them = DeferredList([each for each in results if isinstance(each, Deferred)])
        all_of_them.addCallback(lambda _: self._go_on(event))

    def _go_on(self, event: str) -> None:
        self.waiting = False
        for phase in PHASES[1:]:
            self._fire(event, phase)

    def _fire(self, event: str, phase: str) -> list[Any]:
        found = [
            number
            for number, trigger in self._triggers.items()
            if (trigger.event, trigger.phase) == (event, phase)
        ]
        return [trigger.fire() for each in found if (trigger := self._triggers.pop(each, None))]
