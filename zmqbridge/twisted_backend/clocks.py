"""Clocks: delays on a reactor go by the monotonic clock, though its own is the wall clock.

Twisted's reactors, the asyncio reactor too, keep the time of each delayed call on ``time.time``.
When that is set forward, delayed calls come early: ours look at the monotonic clock, and wait on.
When it is set back they do not come, `callLater(0)` neither, until it has caught up: so a thread
compares the two clocks, and has the reactor set ours right. No delayed call could do that.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from math import inf
from sys import modules
from threading import Thread, current_thread
from time import sleep
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, ref

from zmqbridge._bridge.clock import monotonic
from zmqbridge._bridge.guards import in_forked_child, living, snapshot

# So often the clocks are compared, while a socket is open on a real reactor: 15 µs each time. So
# late is at the most what was due when the wall clock was set back.
TICK = 0.1  # seconds
# By so much it may fall behind unnoticed. It is more than the time between two readings, mostly.
FALLS = 0.01  # seconds


def real(reactor: Any) -> Any:
    """The reactor itself if it makes its own delayed calls by a system clock, else None.

    A ``task.Clock`` does not, nor a real one in which a test has replaced ``callLater``.
    """
    base = modules.get("twisted.internet.base")  # imported by then, if it is a real one
    maker = getattr(getattr(reactor, "callLater", None), "__self__", None)
    return maker if base is not None and issubclass(type(maker), base.ReactorBase) else None


def clock_of(reactor: Any) -> Callable[[], float]:
    """The clock for deadlines on a reactor: its own, unless it is a real one."""
    seconds: Callable[[], float] = reactor.seconds if real(reactor) is None else monotonic
    return seconds


def hasten(call: Any) -> None:
    """Have a delayed call come at once, if it is still to come; a stand-in may have made it."""
    active = getattr(call, "active", None)
    if active is not None and active():
        call.reset(0)


class Delay:
    """A delayed call that is made when its time has come by the monotonic clock."""

    def __init__(self, reactor: Any, delay: float, call: Callable[[], object]) -> None:
        self.reactor = reactor
        self._due = monotonic() + delay
        self._call = call
        self._delayed = reactor.callLater(delay, self._go_off)

    def active(self) -> bool:
        """Whether it is still to come."""
        active: bool = self._delayed.active()
        return active

    def cancel(self) -> None:
        """Have it not come."""
        self._delayed.cancel()

    def set_right(self) -> None:
        """The wall clock was set back: look at the other one."""
        hasten(self._delayed)

    def _go_off(self) -> None:
        left = self._due - monotonic()
        if left > 0:
            self._delayed = self.reactor.callLater(left, self._go_off)
        else:
            self._call()


class Timekeeper:
    """A real reactor, for what asks for no more than delayed calls: `deferLater`, `addTimeout`."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def callLater(self, delay: float, call: Callable[..., object], *args: Any) -> Delay:
        """As the reactor's, by the monotonic clock."""
        made = Delay(self._reactor, delay, lambda: call(*args))
        _delays.add(made)
        watch(self._reactor)
        return made


def steady(reactor: Any) -> Any:
    """Who makes delayed calls that a jump of the wall clock does not move.

    A stand-in for a reactor does so itself.
    """
    maker = real(reactor)
    return reactor if maker is None else Timekeeper(maker)


_delays: WeakSet[Delay] = WeakSet()
_watchers: WeakKeyDictionary[Any, Thread] = WeakKeyDictionary()
in_forked_child(_watchers.clear)  # its threads are not there


def watch(reactor: Any) -> None:
    """Have the clocks compared, for as long as a socket or a delay is there."""
    if reactor not in _watchers:
        ahead = reactor.seconds() - monotonic()
        watcher = Thread(
            target=_compare, args=[ref(reactor), ahead], name="zmqbridge-clocks", daemon=True
        )
        _watchers[reactor] = watcher
        try:
            watcher.start()
        except RuntimeError:  # no more threads, or the interpreter ends
            _watchers.pop(reactor, None)


def _compare(whose: Callable[[], Any], ahead: float) -> None:
    # It sleeps without the reactor, or forgotten sockets could not warn when the process ends.
    while (ahead := _look(whose(), ahead)) < inf:
        sleep(TICK)


def _look(reactor: Any, before: float) -> float:
    # How far the wall clock is ahead; inf when nobody wants to know, or the reactor is gone.
    if reactor is None or _watchers.get(reactor) is not current_thread():  # two may begin at once
        return inf
    if not _needed(reactor):
        # Somebody may come now, and count on this thread.
        _watchers.pop(reactor, None)
        if _needed(reactor):
            watch(reactor)
        return inf
    ahead: float = reactor.seconds() - monotonic()
    if ahead >= before - FALLS:
        return max(ahead, before)  # what it falls behind slowly adds up
    with suppress(Exception):  # its loop is closed
        reactor.callFromThread(set_right, reactor)
    return ahead


def _needed(reactor: Any) -> bool:
    try:
        return any(each.active() and each.reactor is reactor for each in _delays) or any(
            _open_on(each, reactor) for each in living
        )
    except RuntimeError:  # somebody makes or closes one meanwhile
        return True


def _open_on(owned: Any, reactor: Any) -> bool:
    its = getattr(owned, "_reactor", None)
    return its is not None and not owned._pump.closed and real(its) is reactor


def set_right(reactor: Any) -> None:
    """The wall clock was set back: have all that is delayed by us come by the monotonic clock."""
    for delay in snapshot(_delays):
        if delay.reactor is reactor:
            delay.set_right()
    for owned in snapshot(living):
        if _open_on(owned, reactor):
            owned._set_right()  # type: ignore[attr-defined]
