"""Inbox: received messages until somebody takes them, between two water marks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from itertools import islice
from typing import Generic, NoReturn, TypeVar

Item = TypeVar("Item")
Waiter = TypeVar("Waiter", bound=Hashable)

HIGH = 1000  # as many as libzmq's own default, ZMQ_RCVHWM in zmq_setsockopt(3)


class Inbox(Generic[Item, Waiter]):
    """First in, first out, for any number of receivers, served in the order in which they asked.

    Whoever finds nothing leaves a waiter, a token never called here. A message is *promised* to a
    waiter that has been told of it, and stays here until that receiver runs and takes it: so a
    receiver that is cancelled in between loses nothing, it only has to pass its promise on.

    - inputs: `put`, `relax`
    - commands: `pop`, `poll`, `take`, `wait`, `forget`, `clear`
    - getters: `room`, `paused`, ``len()``

    What the driver owes: after `put`, wake what `notify()` hands out. A receiver that was woken
    calls `take()`; one that was cancelled instead calls `forget()` and wakes what `notify()` hands
    out then. After a `poll` or `take` that ended a pause (`paused` went down), schedule a turn.

    Attributes:
        messages: what is here, oldest first.
        promised: how many of them belong to waiters that were told but have not run yet.
        paused: no more should be read; up at `high` messages, down again at `low`.
        pop: takes the oldest message and owes nothing, or raises IndexError when there is none or
            `poll` has to be asked, because of a promise or a pause. Mostly it is ``popleft`` of
            the deque itself, so that a message costs no Python call here.
    """

    __slots__ = ("_high", "_low", "_waiters", "messages", "paused", "pop", "promised")

    def __init__(self, high: float = HIGH, low: float = -1) -> None:
        self.messages: deque[Item] = deque()
        self.promised = 0
        self.paused = False
        self.pop: Callable[[], Item] = self.messages.popleft
        # Whether they were told; those who were are the first, as many as are promised.
        self._waiters: dict[Waiter, bool] = {}
        self._high = high
        self._low = high // 4 if low < 0 else low

    def __len__(self) -> int:
        return len(self.messages)

    def room(self) -> float:
        """How many more messages may be put now; 0 during a pause."""
        return 0 if self.paused else self._high - len(self.messages)

    def put(self, items: Iterable[Item]) -> None:
        """Append a burst of messages."""
        self.messages.extend(items)
        if len(self.messages) >= self._high:
            self.paused = True
            self.pop = _ask

    def poll(self) -> Item | None:
        """Take the oldest message that nobody waits for; None when there is none."""
        if len(self.messages) <= self.promised:
            return None
        item = self.messages.popleft()
        if self.paused:
            self.relax()
        return item

    def take(self, waiter: Waiter) -> Item:
        """Take the oldest message for a waiter that was told of one, and is done with now."""
        del self._waiters[waiter]
        self.promised -= 1
        item = self.messages.popleft()
        if self.paused:
            self.relax()
        elif not self.promised:
            self.pop = self.messages.popleft
        return item

    def relax(self) -> bool:
        """Messages have left `messages`, however that was; True if there is no pause (any more)."""
        if self.paused and len(self.messages) <= self._low:
            self.paused = False
            self._free()
        return not self.paused

    def wait(self, waiter: Waiter) -> None:
        """Leave a waiter, to be handed out when there is a message for it."""
        self._waiters[waiter] = False

    def notify(self) -> list[Waiter]:
        """Hand out the waiters, oldest first, for whom there is a message; it is promised now."""
        told = list(islice(self._waiters, self.promised, len(self.messages)))
        for waiter in told:
            self._waiters[waiter] = True
            self.pop = _ask
        self.promised += len(told)
        return told

    def forget(self, waiter: Waiter) -> None:
        """A waiter is done with and takes nothing, whether it was told already or not."""
        if self._waiters.pop(waiter, False):
            self.promised -= 1
            self._free()

    def clear(self) -> list[Waiter]:
        """Drop all messages and hand out all waiters, because the socket is closing."""
        waiters = list(self._waiters)
        self.messages.clear()
        self._waiters.clear()
        self.promised = 0
        self.paused = False
        self._free()
        return waiters

    def _free(self) -> None:
        if not self.promised and not self.paused:
            self.pop = self.messages.popleft


def _ask() -> NoReturn:
    raise IndexError
