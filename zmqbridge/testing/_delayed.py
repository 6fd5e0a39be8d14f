"""Delayed calls of a simulated reactor, in the order of their times; those of the dead are none."""

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
    """A delayed call of a node, or of nobody.

    Attributes:
        context: what it is made in.
    """

    context: Context

    def make(self) -> None:
        """Its time has come; or it is over at last that its node was paused."""
        if self.active():
            self.called = 1
            self.func(*self.args, **self.kw)


class Delayed:
    """The calls that are to come.

    Args:
        seconds: the clock.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._calls: list[tuple[float, int, SimCall]] = []
        self._numbers = count()

    def add(
        self, delay: float, context: Context, call: Callable[..., object], args: Any, kw: Any
    ) -> SimCall:
        """Have a call made in a context after so many seconds."""
        when = self._seconds() + delay
        made = SimCall(when, call, args, kw, _nothing, self._push, self._seconds)
        made.context = context
        self._push(made)
        return made

    def _push(self, call: Any) -> None:
        # A call that was reset is here more than once; one entry has the time that it has now.
        heappush(self._calls, (call.time, next(self._numbers), call))

    def pending(self) -> list[SimCall]:
        """All of them, earliest first."""
        return [
            call
            for when, _, call in sorted(self._calls, key=lambda each: each[:2])
            if call.active() and when == call.time and lives(call.context)
        ]

    def next_time(self) -> float:
        """When the next is due, ``inf`` for never."""
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
        """Those whose time has come, but not what these add."""
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
    """A cancelled call is passed over when its time comes."""
