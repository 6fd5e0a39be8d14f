"""Inbox: received messages until a receiver takes them, as many as may be held in advance."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from itertools import islice
from typing import Generic, NoReturn, TypeVar

Item = TypeVar("Item")
Waiter = TypeVar("Waiter", bound=Hashable)

HIGH = 1000  # as many as libzmq's own default, ZMQ_RCVHWM in zmq_setsockopt(3)


class Inbox(Generic[Item, Waiter]):
    """Received messages, first in, first out, and the receivers that wait for one.

    A receiver that finds no message registers a waiter. `notify` returns waiters and *promises*
    one message to each. A promised message stays in the inbox until its receiver runs and calls
    `take`, so a receiver that is cancelled before it runs loses no message: it calls `forget`, and
    the next `notify` promises the message to the next waiter. When `sift` drops messages, a
    promise may be taken back; then the receiver keeps its place in the line and waits on.

    With a `high` of 0, messages are read only while receivers wait, one for each of them.

    - inputs: `put`, `relax` (messages left `messages` without a call here)
    - commands: `pop`, `poll`, `take`, `wait`, `forget`, `notify`, `sift`, `limit`, `end`, `rest`,
      `close`
    - getters: `room`, `paused`, `has_promised`, ``len()``

    What the driver owes:

    - Read no more messages than `room()`.
    - After `put` and `forget`, wake the waiters that `notify()` returns. A receiver that was woken
      calls `take()`, and when that returns None it waits again, instead of its old waiter. A
      receiver that was cancelled calls `forget()`.
    - When a `poll`, `take`, `sift`, `relax` or `limit` has ended a pause (`paused` went down), and
      when `wait` has returned True, read again soon.

    Attributes:
        messages: the messages that are here, oldest first.
        promised: how many of them are promised to waiters.
        paused: no more should be read; goes up at `high` messages, down again at `low`.
        ended: no more will be put; a receiver that finds none does not wait any more.
        standing: how many receivers wait always, without a waiter.
        unwanted: messages dropped so far: by `sift`, or because only the newest one counts.
        pop: takes the oldest message that is not promised, and the driver owes nothing after it.
            It raises IndexError when there is none, or when `poll` has to be called because of a
            pause. Mostly it is ``popleft`` of the deque itself, so that a message costs no Python
            call here.
    """

    __slots__ = (
        "_high", "_low", "_newest", "_on_demand", "_popleft", "_waiters", "ended", "messages",
        "paused", "pop",
        "promised", "standing", "unwanted",
    )  # fmt: skip

    def __init__(self, high: float = HIGH, low: float = -1) -> None:
        self.messages: deque[Item] = deque()
        self.promised: int = 0
        self.standing: int = 0
        self.unwanted: int = 0
        self.paused: bool = False
        self.ended: bool = False
        # What `pop` is while nothing is promised and nothing paused.
        self._popleft: Callable[[], Item] = self.messages.popleft
        self.pop: Callable[[], Item] = self._popleft
        # Each with whether `notify` has returned it; those are the first ones, `promised` of them.
        self._waiters: dict[Waiter, bool] = {}
        self._on_demand = not high
        self._newest = False
        self._high = high or 1
        self._low = high // 4 if low < 0 else low

    def __len__(self) -> int:
        return len(self.messages)

    def limit(self, high: float, low: float = -1, *, newest: bool = False) -> None:
        """Change the water marks; this may be done at any time.

        Args:
            high: how many messages may be held that no receiver has asked for; 0 for none.
            low: with how many messages a pause ends; a quarter of `high` by default.
            newest: only the newest message counts, and replaces the one before it.
        """
        self._on_demand = not (high or newest)
        self._newest = newest
        # A message that no receiver has asked for must be taken before more are read.
        self._high = 1 if newest else high or 1
        self._low = high // 4 if low < 0 else low
        self.put(())
        self.relax()

    def room(self) -> float:
        """How many more messages may be put now; 0 during a pause."""
        if self.paused or self.ended:
            return 0
        if self._on_demand:
            return len(self._waiters) + self.standing
        return HIGH if self._newest else self._high - len(self.messages)

    def put(self, items: Iterable[Item]) -> None:
        """Append a burst of messages."""
        self.messages.extend(items)
        if len(self.messages) >= self._high:
            self._filled()

    def poll(self) -> Item | None:
        """Take the oldest message that is not promised; None when there is none."""
        if len(self.messages) <= self.promised:
            return None
        item = self.messages.popleft()
        if self.paused:
            self.relax()
        return item

    def take(self, waiter: Waiter) -> Item | None:
        """Take the message promised to a waiter that `notify` has returned, and remove the waiter.

        None when that message was dropped. Then the waiter keeps its place in the line until its
        receiver calls `wait` with a new one instead of it.
        """
        if not self._waiters[waiter]:
            return None
        del self._waiters[waiter]
        self.promised -= 1
        item = self.messages.popleft()
        if self.paused:
            self.relax()
        elif not self.promised:
            self.pop = self._popleft
        return item

    def relax(self) -> bool:
        """Messages were taken from `messages` directly; True if there is no pause (any more)."""
        if self.paused and (self._newest or len(self.messages) <= self._low):
            self.paused = False
            self._set_pop()
        return not self.paused

    def wait(self, waiter: Waiter, instead_of: Waiter | None = None) -> bool:
        """Register a waiter, which `notify` returns when there is a message for it.

        Args:
            waiter: any hashable object; it is stored and returned, and never called.
            instead_of: the waiter whose place it takes, after a `take` that returned None.

        Returns:
            True when messages are read only for receivers that wait (`high` is 0), so that the
            driver has to read now.
        """
        if instead_of is None:
            self._waiters[waiter] = False
        else:
            line = self._waiters.items()
            self._waiters = {waiter if each == instead_of else each: told for each, told in line}
        return self._on_demand

    def notify(self) -> list[Waiter]:
        """Promise the messages that are free to waiters, and return these waiters, oldest first."""
        told = list(islice(self._waiters, self.promised, len(self.messages)))
        for waiter in told:
            self._waiters[waiter] = True
        if told:
            self.promised += len(told)
            self._set_pop()
        return told

    def forget(self, waiter: Waiter) -> None:
        """Remove a waiter that takes no message, whether `notify` has returned it or not."""
        if self._waiters.pop(waiter, False):
            self.promised -= 1
            self._set_pop()

    def has_promised(self, waiter: Waiter) -> bool:
        """Whether `notify` has returned this waiter, and it has not taken its message."""
        return self._waiters.get(waiter, False)

    def sift(self, wanted: Callable[[Item], bool]) -> None:
        """Drop the messages that are not wanted (any more), promised or not."""
        kept = list(filter(wanted, self.messages))
        dropped = len(self.messages) - len(kept)
        if not dropped:
            return
        self.messages.clear()  # the same deque: `pop` is its method
        self.messages.extend(kept)
        self._dropped(dropped)

    def _dropped(self, count: int) -> None:
        self.unwanted += count
        left = len(self.messages)
        for waiter in list(islice(self._waiters, left, self.promised)):
            self._waiters[waiter] = False
        self.promised = min(self.promised, left)
        self.relax()
        self._set_pop()

    def end(self) -> list[Waiter]:
        """Take no more messages, and remove and return the waiters for which there is none."""
        self.ended = True
        waiters = list(islice(self._waiters, self.promised, None))
        for waiter in waiters:
            del self._waiters[waiter]
        return waiters

    def rest(self) -> list[Item]:
        """Take all messages that are not promised."""
        items = []
        while (item := self.poll()) is not None:
            items.append(item)
        return items

    def close(self) -> list[Waiter]:
        """Drop all messages, and remove and return all waiters: the socket is closing."""
        waiters = list(self._waiters)
        self.messages.clear()
        self._waiters.clear()
        self.promised = 0
        self.paused = False
        self._set_pop()
        return waiters

    def _filled(self) -> None:
        if not self._newest:
            self.paused = True
            self._set_pop()
        while self._newest and len(self.messages) > max(1, self.promised):
            self.messages.popleft()
            self.unwanted += 1

    def _set_pop(self) -> None:
        if self.paused:
            self.pop = _call_poll
        else:
            self.pop = self._pop_free if self.promised else self._popleft

    def _pop_free(self) -> Item:
        if len(self.messages) <= self.promised:
            raise IndexError
        return self._popleft()


class WeighedInbox(Inbox[Item, Waiter]):
    """An inbox with a bound in bytes, too: the pause begins at either bound.

    `pop` does not count bytes, for the sake of speed. The weight of what left by it is subtracted
    with the next `put` or `relax`.

    Args:
        most: the number of bytes at which a pause begins; it ends with a quarter of them.
        weigh: returns how many bytes a message has.
    """

    __slots__ = ("_most", "_sizes", "_weigh", "_weight")

    def __init__(self, most: int, weigh: Callable[[Item], int]) -> None:
        self._most = most
        self._weigh = weigh
        self._sizes: deque[int] = deque()
        self._weight = 0
        super().__init__()

    def put(self, items: Iterable[Item]) -> None:
        """Append a burst of messages."""
        self._settle()
        items = list(items)
        sizes = list(map(self._weigh, items))
        self._sizes.extend(sizes)
        self._weight += sum(sizes)
        super().put(items)
        if self._weight >= self._most:
            self._filled()

    def relax(self) -> bool:
        """Messages were taken from `messages` directly; True if there is no pause (any more)."""
        self._settle()
        heavy = self._weight > self._most // 4 and not self._newest
        return not self.paused if heavy else super().relax()

    def sift(self, wanted: Callable[[Item], bool]) -> None:
        """Drop the messages that are not wanted (any more), promised or not."""
        self._sizes = deque(map(self._weigh, filter(wanted, self.messages)))
        self._weight = sum(self._sizes)
        super().sift(wanted)

    def _settle(self) -> None:
        while len(self._sizes) > len(self.messages):
            self._weight -= self._sizes.popleft()


def _call_poll() -> NoReturn:
    raise IndexError
