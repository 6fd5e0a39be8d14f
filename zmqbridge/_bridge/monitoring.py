"""Monitoring: the socket on which libzmq reports a socket's connections, and its listeners.

Facts of libzmq 4.3.5 behind this (measured; zmq_socket_monitor(3) mentions none of them):

- When the reading end of a monitor cannot take an event (its high water mark is reached, or it is
  closed), the I/O thread waits for it, and every socket of the context stands still. So the reading
  end has no high water mark, we read it with or without listeners, and we turn the monitor off
  before we close the reading end.
- libzmq reports each accept that fails. A process without free descriptors fails half a million
  times a second. In such a storm another monitor replaces this one, in one step of libzmq's, and
  reports everything else. That needs a descriptor, for which there is a `Reserve`.
- The reading end may be a PULL socket, which can read from one monitor after another.
- libzmq reports nothing about ``inproc``, nothing that happened before, and nothing when we
  disconnect.
"""

from __future__ import annotations

import itertools
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Self
from weakref import WeakSet

import zmq

from zmqbridge._bridge.endpoint import Endpoint
from zmqbridge._bridge.exhaustion import explained
from zmqbridge._bridge.refusals import Refusals
from zmqbridge._bridge.reserve import reserve
from zmqbridge.core.connectionstate import ConnectionState
from zmqbridge.core.framing import Message, split_all
from zmqbridge.core.inbox import HIGH
from zmqbridge.core.monitor import (
    EventKind,
    MonitorEvent,
    Storm,
    parse_event,
    without_failed_accepts,
)
from zmqbridge.errors import HandshakeFailed, SocketClosed, StateUnknown

if TYPE_CHECKING:
    from zmqbridge.arguments import Options

_numbers = itertools.count(1)

STOPPED = EventKind.MONITOR_STOPPED.to_bytes(2, sys.byteorder)
IN_A_STORM = zmq.EVENT_ALL & ~zmq.EVENT_ACCEPT_FAILED


def next_name() -> str:
    """An address for a monitor; each call returns a new one."""
    return f"inproc://zmqbridge.monitor.{next(_numbers)}"


class Events:
    """The events of one socket from now on, by ``async for``; it ends when the socket is closed.

    Each call of `events` makes one such object, and each object gets every event. When more than
    1,000 events wait, a slow listener misses the oldest ones: events must never hold up the
    connections that they are about.

    Attributes:
        missed: how many events were dropped for that reason, and also how many failed accepts of
            a storm were read, except the first ones that were reported.
    """

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._events: deque[MonitorEvent] = deque(maxlen=HIGH)
        self._closed = False
        self.missed: int = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> MonitorEvent:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            try:
                await self._monitor.arrival()
            except SocketClosed:
                raise StopAsyncIteration from None
        return self._events.popleft()

    def close(self) -> None:
        """Stop listening: a running ``async for`` ends. Closing twice is fine."""
        self._closed = True
        self._events.clear()
        self._monitor.notify()

    def _put(self, events: list[MonitorEvent]) -> None:
        if not self._closed:
            self.missed += max(0, len(self._events) + len(events) - HIGH)
            self._events.extend(events)


class Monitor(Endpoint):
    """The reading end of a monitor: an endpoint like any other, with any number of listeners."""

    kind: ClassVar[int] = zmq.PULL
    _said = True  # in a forked child only the monitored socket reports that it is the parent's
    defaults: ClassVar[Options] = {zmq.RCVHWM: 0}

    def _prepare(self) -> None:
        self.complete: bool = False
        self._storm = Storm()
        self._aside: list[Message] | None = None  # events that must not be delivered yet
        self._lost = False  # libzmq reports nothing any more
        self._monitored: zmq.Socket[bytes] | None = None
        self._waiters: dict[Any, None] = {}
        self._listeners: WeakSet[Events] = WeakSet()
        # Events that come before there is a listener are kept for the first listener.
        self._first: Events | None = Events(self)
        self._listeners.add(self._first)

    def attach(
        self,
        monitored: zmq.Socket[bytes],
        *,
        complete: bool,
        wary: bool,
        refused: Callable[[HandshakeFailed], bool],
        report: Callable[[Exception], None],
    ) -> None:
        """Make libzmq report the events of this socket from now on.

        Args:
            monitored: the libzmq socket.
            complete: whether nothing has happened on the socket before.
            wary: see `Refusals`; so are the next two.
            refused: for `Refusals`.
            report: for `Refusals`.
        """
        self.connections: ConnectionState = ConnectionState(wary)
        self._refusals = Refusals(monitored, self.connections, refused=refused, report=report)
        self.complete = complete
        name = next_name()
        try:
            monitored.monitor(name, zmq.EVENT_ALL)
        except zmq.ZMQError as error:
            raise explained(error, self._context) from None
        self._monitored = monitored
        self._socket.connect(name)
        reserve.join(self)

    def listen(self) -> Events:
        """Add a listener and return it."""
        events, self._first = self._first, None
        if events is None:
            events = Events(self)
            self._listeners.add(events)
        return events

    def arrival(self) -> Awaitable[None]:
        """Wait for the next events."""
        self._check_open()
        return self._room_in(self)

    def wait(self, waiter: Any) -> None:
        """Register a waiter, which the next events wake."""
        self._waiters[waiter] = None

    def forget(self, waiter: Any) -> None:
        """Remove a waiter that does not wait any more."""
        self._waiters.pop(waiter, None)

    def notify(self) -> None:
        """Wake all waiters."""
        waiters = list(self._waiters)
        self._waiters.clear()
        self._wake(waiters)

    def _ask_for(self, kinds: int) -> bool:
        """Make libzmq report these kinds from now on; False if it reports nothing any more."""
        # Until we read from the new monitor, libzmq's I/O thread waits for us, and any call on the
        # socket would wait, too. A listener could make such a call. So the events of the old
        # monitor are set aside, and are delivered when the new one is connected.
        self._aside, before = [], self._pump.received
        try:
            name = next_name()
            with reserve.released():
                self._monitored.monitor(name, kinds)  # type: ignore[union-attr]
            try:
                self._catch_up()
            finally:
                self._socket.connect(name)
            self._lost = False
        except zmq.ZMQError:  # no descriptor, or the context has ended
            self._lose()
        finally:
            aside, self._aside = self._aside, None
            self._miss(self._pump.received - before - len(aside))
            if not self._closed:
                self._deliver([message for message in aside if message[0][:2] != STOPPED])
        return not self._lost

    def _lose(self) -> None:
        self.complete = False
        if not (self._lost or self._closed):
            text = f"{self._monitored!r} has no descriptor left to tell of its connections"
            self._report(StateUnknown(text))
        self._lost = True

    def _miss(self, count: int) -> None:
        for listener in self._listeners:
            listener.missed += count

    def _turn_down(self) -> None:
        self._storm.postpone(self._now())
        self._ask_for(IN_A_STORM)
        if not self._closed:
            self.arm()

    def _turn_up(self) -> None:
        if reserve.fill() and self._ask_for(zmq.EVENT_ALL):
            self._storm.end()
        elif not self._closed:
            self._storm.postpone(self._now())

    def arm(self) -> None:
        """Set the timer for the next deadline."""
        deadline = min(self._storm.next_deadline(), self.connections.next_deadline())
        if deadline < inf:
            self._call_at(deadline)

    def _deliver(self, burst: list[Message]) -> None:
        if self._aside is not None:
            self._aside += without_failed_accepts(burst)
            return
        if self._storm.next_deadline() < inf:
            received, burst = len(burst), without_failed_accepts(burst)
            self._miss(received - len(burst))
        events, malformed = split_all(parse_event, burst)
        self._reject(malformed)
        for event in events:
            error, news = self.connections.saw(event, self._now())
            if error is not None:
                self.arm()
                self._refusals.tell(error, news, bool(self._waiters))
            if self._closed:  # by a callback that was told of this event
                return
        for listener in list(self._listeners):
            listener._put(events)
        self.notify()
        if not self._closed and self._storm.saw(events, self._now()):
            self._turn_down()

    def _alarm(self) -> None:
        self._refusals.try_again(self.connections.due(self._now()))
        if self._storm.next_deadline() <= self._now():
            self._turn_up()
        if not self._closed:
            self.arm()

    def _close_socket(self) -> list[Any]:
        reserve.leave(self)
        if self._monitored is not None:
            with suppress(zmq.ZMQError):  # that socket, or the context, has ended already
                self._monitored.monitor(None, 0)
        waiters = [*super()._close_socket(), *self._waiters]
        self._waiters.clear()
        for listener in self._listeners:
            listener._events.clear()
        return waiters
