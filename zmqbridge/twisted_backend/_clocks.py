"""Clocks: our delays follow the monotonic clock, although a reactor follows the wall clock.

Twisted's reactors, also the asyncio reactor, schedule each delayed call by ``time.time``. When that
clock is set forward, delayed calls run early: ours check the monotonic clock and wait on. When it
is set back, delayed calls do not run, not even ``callLater(0)``, until the wall clock has caught
up. So a thread compares the two clocks and makes the reactor correct our calls. A delayed call
could not do this.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from math import inf
from sys import modules
from threading import Thread, current_thread
from time import sleep
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, ref

from zmqbridge._bridge.clock import monotonic
from zmqbridge._bridge.guards import in_forked_child, open_sockets, snapshot

# The clocks are compared at this interval while a socket is open on a real reactor; each time takes
# 15 µs. When the wall clock is set back, a call that is due then is late by this much at the most.
TICK = 0.1  # seconds
# The wall clock may fall behind by this much before we act. It is mostly more than the time
# between the readings of the two clocks.
FALLS = 0.01  # seconds


def real(reactor: Any) -> Any:
    """The reactor if it makes its own delayed calls by a system clock, otherwise None.

    A ``task.Clock`` does not, and a real reactor does not if a test has replaced its ``callLater``.
    """
    base = modules.get("twisted.internet.base")  # a real reactor has imported this module
    maker = getattr(getattr(reactor, "callLater", None), "__self__", None)
    return maker if base is not None and issubclass(type(maker), base.ReactorBase) else None


def clock_of(reactor: Any) -> Callable[[], float]:
    """The clock for deadlines on a reactor: monotonic on a real reactor, otherwise its own."""
    seconds: Callable[[], float] = reactor.seconds if real(reactor) is None else monotonic
    return seconds


def hasten(call: Any) -> None:
    """Make a delayed call run at once if it is still pending; a stand-in may have made it."""
    active = getattr(call, "active", None)
    if active is not None and active():
        call.reset(0)


class Delay:
    """A delayed call that runs when its time has come by the monotonic clock."""

    def __init__(self, reactor: Any, delay: float, call: Callable[[], object]) -> None:
        self.reactor = reactor
        self._due = monotonic() + delay
        self._call = call
        self._between = False  # it went off early, and is about to be made again
        self._delayed = reactor.callLater(delay, self._go_off)

    def active(self) -> bool:
        """Whether the call is still pending."""
        active: bool = self._between or self._delayed.active()
        return active

    def cancel(self) -> None:
        """Cancel the call."""
        if self._between:
            self._between = False
        else:
            self._delayed.cancel()

    def set_right(self) -> None:
        """Check the monotonic clock now, because the wall clock was set back."""
        hasten(self._delayed)

    def _go_off(self) -> None:
        # Not made again at once: the asyncio reactor reads its clock once for all calls that are
        # due, and adds new ones to them. If the clock is set back just then, the reactor would make
        # our call again and again until the deadline, and nothing else.
        if monotonic() < self._due:
            self._between = True
            self.reactor.callFromThread(self._again)
        else:
            self._call()

    def _again(self) -> None:
        if self._between:
            self._between = False
            left = max(0, self._due - monotonic())
            self._delayed = self.reactor.callLater(left, self._go_off)


class Timekeeper:
    """Stands for a real reactor where only delayed calls are used: `deferLater`, `addTimeout`."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def callLater(self, delay: float, call: Callable[..., object], *args: Any) -> Delay:
        """Like the reactor's ``callLater``, but by the monotonic clock."""
        made = Delay(self._reactor, delay, lambda: call(*args))
        _delays.add(made)
        watch(self._reactor)
        return made


def steady(reactor: Any) -> Any:
    """An object whose delayed calls do not move when the wall clock jumps.

    For a real reactor this is a `Timekeeper`; a stand-in for a reactor is returned as it is.
    """
    maker = real(reactor)
    return reactor if maker is None else Timekeeper(maker)


_delays: WeakSet[Delay] = WeakSet()
_watchers: WeakKeyDictionary[Any, Thread] = WeakKeyDictionary()
in_forked_child(_watchers.clear)  # a child does not have these threads


def watch(reactor: Any) -> None:
    """Compare the clocks in a thread, as long as a socket or a delay exists on this reactor."""
    if reactor not in _watchers:
        ahead = reactor.seconds() - monotonic()
        watcher = Thread(
            target=_compare, args=[ref(reactor), ahead], name="zmqbridge-clocks", daemon=True
        )
        _watchers[reactor] = watcher
        try:
            watcher.start()
        except RuntimeError:  # there is no room for a thread, or the interpreter is ending
            _watchers.pop(reactor, None)


def _compare(whose: Callable[[], Any], ahead: float) -> None:
    # The thread keeps no reference to the reactor while it sleeps. Otherwise forgotten sockets
    # could not warn when the process ends.
    while (ahead := _look(whose(), ahead)) < inf:
        sleep(TICK)


def _look(reactor: Any, before: float) -> float:
    # How far the wall clock is ahead; inf if the reactor is gone or this thread is not needed.
    if reactor is None or _watchers.get(reactor) is not current_thread():  # two may begin at once
        return inf
    if not _needed(reactor):
        # A socket that relies on this thread may be opened right now. So ask again after the pop.
        _watchers.pop(reactor, None)
        if _needed(reactor):
            watch(reactor)
        return inf
    ahead: float = reactor.seconds() - monotonic()
    if ahead >= before - FALLS:
        return max(ahead, before)  # so a clock that falls behind slowly is noticed in the end
    with suppress(Exception):  # the reactor's loop is closed
        reactor.callFromThread(set_right, reactor)
    return ahead


def _needed(reactor: Any) -> bool:
    try:
        # Left half-way, an iterator keeps what it came to, on PyPy beyond the next collection: then
        # a forgotten socket would live as long as we ask.
        with closing(iter(_delays)) as delays, closing(iter(open_sockets)) as sockets:  # type: ignore[type-var]
            return any(each.active() and each.reactor is reactor for each in delays) or any(
                _open_on(each, reactor) for each in sockets
            )
    except RuntimeError:  # another thread makes or closes a socket at the same time
        return True


def _open_on(owned: Any, reactor: Any) -> bool:
    driver: Any = getattr(owned, "driver", None)
    its = getattr(driver, "reactor", None)
    return its is not None and not driver.pump.closed and real(its) is reactor


def set_right(reactor: Any) -> None:
    """Correct all our delayed calls of a reactor, because the wall clock was set back."""
    for delay in snapshot(_delays):
        if delay.reactor is reactor:
            delay.set_right()
    for owned in snapshot(open_sockets):
        if _open_on(owned, reactor):
            owned.driver.correct()  # type: ignore[attr-defined]
