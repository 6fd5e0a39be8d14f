"""Delayed calls of a simulated reactor, in the order of their times; killed nodes have none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import Context
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Any

from twisted.internet.base import DelayedCall

from zmqbridge.testing._current import lives


class SimCall(DelayedCall):
    """A delayed call of a node, or of the test itself.

    Attributes:
        context: the ``contextvars`` context that the call runs in.
    """

    context: Context

    def make(self) -> None:
        """Make the call, unless it was made or cancelled before."""
        if self.active():
            self.called = 1
            self.func(*self.args, **self.kw)


class Delayed:
    """The calls that are still to be made.

    Args:
        seconds: returns the time.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._calls: list[tuple[float, int, SimCall]] = []
        self._numbers = count()

    def add(
        self, delay: float, context: Context, call: Callable[..., object], args: Any, kw: Any
    ) -> SimCall:
        """Have a call made in a context after a delay in seconds."""
        when = self._seconds() + delay
        made = SimCall(when, call, args, kw, _nothing, self._push, self._seconds)
        made.context = context
        self._push(made)
        return made

    def _push(self, call: Any) -> None:
        # A call that was reset has more than one entry here; only one has its current time.
        heappush(self._calls, (call.time, next(self._numbers), call))

    def pending(self) -> list[SimCall]:
        """All calls that are still to be made, earliest first."""
        return [
            call
            for when, _, call in sorted(self._calls, key=lambda each: each[:2])
            if call.active() and when == call.time and lives(call.context)
        ]

    def next_time(self) -> float:
        """The time of the next call, ``inf`` if there is none."""
        calls = self._calls
        while calls:
            when, _, call = calls[0]
            if call.active() and when == call.time and lives(call.context):
                if not call.delayed_time > 0:
                    return when
                call.activate_delay()
                self._push(call)
            heappop(calls)
        return inf

    def due(self) -> Iterator[SimCall]:
        """Take the calls that are due, without those that are added while these are made."""
        now, newest = self._seconds(), next(self._numbers)
        later = []
        try:
            while self.next_time() <= now:
                entry = heappop(self._calls)
                if entry[1] > newest:
                    later.append(entry)
                else:
                    yield entry[2]
        finally:
            for entry in later:
                heappush(self._calls, entry)


def _nothing(call: object) -> None:
    """Do nothing when a call is cancelled: it is passed over when its time comes."""
