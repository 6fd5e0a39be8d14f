"""Events: what one listener has still to read of what happened to a socket's connections."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Self

from zmqbridge.core.inbox import HIGH
from zmqbridge.core.monitor import MonitorEvent
from zmqbridge.errors import SocketClosed

if TYPE_CHECKING:
    from zmqbridge._bridge.monitoring import Monitor


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

    def put(self, events: list[MonitorEvent]) -> None:
        """Keep events for the listener; the library calls this."""
        if not self._closed:
            self.missed += max(0, len(self._events) + len(events) - HIGH)
            self._events.extend(events)

    def drop(self) -> None:
        """Forget the events that are here; the library calls this when the socket closes."""
        self._events.clear()
