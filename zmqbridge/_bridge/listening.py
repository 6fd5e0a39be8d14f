"""Listening: the events that wait for one listener; and Events, which are about connections."""

from __future__ import annotations

from collections import deque
from typing import Any, Generic, Protocol, Self, TypeVar

from zmqbridge.core.connectionevents import MonitorEvent
from zmqbridge.core.inbox import HIGH
from zmqbridge.errors import SocketClosed

Event = TypeVar("Event")


class Source(Protocol):
    """A source of events: a monitor, or the audience of a publisher."""

    def arrival(self) -> Any:
        """Wait for the next events."""

    def wake(self) -> None:
        """Wake all waiters."""


class Listening(Generic[Event]):
    """The events for one listener from now on, by ``async for``; it ends with the socket.

    Args:
        source: the source of the events.
        most: how many events may wait here; beyond that, the oldest ones are dropped.

    Attributes:
        missed: how many events were dropped for that reason.
    """

    def __init__(self, source: Source, most: int = HIGH) -> None:
        self._source = source
        self._events: deque[Event] = deque(maxlen=most)
        self._most = most
        self._closed = False
        self.missed: int = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            try:
                await self._source.arrival()
            except SocketClosed:
                raise StopAsyncIteration from None
        return self._events.popleft()

    def close(self) -> None:
        """Stop listening: a running ``async for`` ends. Closing twice is fine."""
        self._closed = True
        self._events.clear()
        self._source.wake()

    def put(self, events: list[Event]) -> None:
        """Keep events for the listener; the library calls this."""
        if not self._closed:
            self.missed += max(0, len(self._events) + len(events) - self._most)
            self._events.extend(events)

    def drop(self) -> None:
        """Forget the events that are here; the library calls this when the socket closes."""
        self._events.clear()


class Events(Listening[MonitorEvent]):
    """The events of one socket from now on, by ``async for``; it ends when the socket is closed.

    Each call of `events` makes one such object, and each object gets every event. When more than
    1,000 events wait, a slow listener misses the oldest ones: events must never hold up the
    connections that they are about.

    Attributes:
        missed: how many events were dropped for that reason, and also how many failed accepts of
            a storm were read, except the first ones that were reported.
    """
