"""Monitoring: the socket on which libzmq tells of a socket's connections, and who listens to it.

Facts of libzmq 4.3.5 behind this (zmq_socket_monitor(3) tells none of them; measured):

- When the monitor's end cannot take an event (its high water mark is reached, or it is closed), the
  I/O thread waits for it, and every socket of the context stands still. So its high water mark is
  none, it is read whether anybody listens or not, and the monitor is turned off before it closes.
- It tells nothing of ``inproc``, nothing of what was before, and nothing when we disconnect.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Self
from weakref import WeakSet

import zmq

from zmqbridge.core.framing import Message, split_all
from zmqbridge.core.inbox import HIGH
from zmqbridge.core.monitor import MonitorEvent, Peers, parse_event
from zmqbridge.endpoint import Endpoint
from zmqbridge.errors import HandshakeFailed, SocketClosed
from zmqbridge.refusals import Refusals

_numbers = itertools.count(1)


class Events:
    """The events of one socket from now on, by ``async for``; it ends when the socket is closed.

    Each call of `events` makes one, and each gets every event. Whoever is slow misses the oldest
    when more than 1,000 wait: events must never hold up the connections of which they tell.

    Attributes:
        missed: how many were dropped for that.
    """

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._events: deque[MonitorEvent] = deque(maxlen=HIGH)
        self._closed = False
        self.missed = 0

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
        """Listen no more: whoever iterates comes to the end. Closing twice is fine."""
        self._closed = True
        self._events.clear()
        self._monitor.notify()

    def _put(self, events: list[MonitorEvent]) -> None:
        if not self._closed:
            self.missed += max(0, len(self._events) + len(events) - HIGH)
            self._events.extend(events)


class Monitor(Endpoint):
    """The reading end of a monitor: an endpoint like any other, with any number of listeners."""

    kind = zmq.PAIR
    _said = True  # the socket of which it tells does that
    defaults = {zmq.RCVHWM: 0}

    def _prepare(self) -> None:
        self.peers = Peers()
        self.complete = False
        self._monitored: zmq.Socket[bytes] | None = None
        self._waiters: dict[Any, None] = {}
        self._listeners: WeakSet[Events] = WeakSet()
        # What happens until somebody listens is kept for the first who does.
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
        """Have libzmq tell of this socket from now on; `complete` if there was nothing to tell.

        The others are for its `Refusals`.
        """
        self.refusals = Refusals(monitored, wary=wary, refused=refused, report=report)
        self.complete = complete
        name = f"inproc://zmqbridge.monitor.{next(_numbers)}"
        monitored.monitor(name, zmq.EVENT_ALL)
        self._monitored = monitored
        self._socket.connect(name)

    def listen(self) -> Events:
        """One more listener."""
        events, self._first = self._first, None
        if events is None:
            events = Events(self)
            self._listeners.add(events)
        return events

    def catch_up(self) -> None:
        """Read now what libzmq has told already."""
        received = -1
        while received < self._pump.received and not self._closed:
            received = self._pump.received
            self._pump.turn()

    def arrival(self) -> Awaitable[None]:
        """Wait for the next events."""
        self._check_open()
        return self._room_in(self)

    def wait(self, waiter: Any) -> None:
        """Leave a waiter, to be woken by the next events."""
        self._waiters[waiter] = None

    def forget(self, waiter: Any) -> None:
        """A waiter does not wait any more."""
        self._waiters.pop(waiter, None)

    def notify(self) -> None:
        """Wake whoever waits."""
        waiters = list(self._waiters)
        self._waiters.clear()
        self._wake(waiters)

    def _deliver(self, burst: list[Message]) -> None:
        events, malformed = split_all(parse_event, burst)
        self._reject(malformed)
        for event in events:
            self.peers.saw(event)
            self.refusals.saw(event, self)
            if self._closed:  # by whom that was told
                return
        for listener in list(self._listeners):
            listener._put(events)
        self.notify()

    def _alarm(self) -> None:
        self.refusals.try_again(self)

    def _close_socket(self) -> list[Any]:
        if self._monitored is not None:
            with suppress(zmq.ZMQError):  # that socket, or the context, has ended already
                self._monitored.monitor(None, 0)
        waiters = [*super()._close_socket(), *self._waiters]
        self._waiters.clear()
        for listener in self._listeners:
            listener._events.clear()
        return waiters
