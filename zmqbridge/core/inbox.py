"""Inbox: received messages until somebody takes them, as many as may be held in advance."""

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
    receiver that is cancelled in between loses nothing, it only has to pass its promise on. And
    when messages are dropped that nobody wants any more, a promise may be taken back: then that
    receiver keeps its place and waits on.

    With a `high` of 0 there is room only for whom somebody waits.

    - inputs: `put`, `relax`
    - commands: `pop`, `poll`, `take`, `wait`, `forget`, `sift`, `limit`, `clear`
    - getters: `room`, `paused`, ``len()``

    What the driver owes: after `put`, wake what `notify()` hands out. A receiver that was woken
    calls `take()`, and waits again in its own stead when that gives nothing; one that was cancelled
    instead calls `forget()` and wakes what `notify()` hands out then. After a `poll`, `take`,
    `sift` or `limit` that ended a pause (`paused` went down), and after a `wait` that returns True,
    schedule a turn.

    Attributes:
        messages: what is here, oldest first.
        promised: how many of them belong to waiters that were told but have not run yet.
        paused: no more should be read; up at `high` messages, down again at `low`.
        standing: how many receivers wait always, and leave no waiter.
        unwanted: messages dropped so far: by `sift`, or because only the newest counts.
        pop: takes the oldest message and owes nothing, or raises IndexError when there is none or
            `poll` has to be asked, because of a promise or a pause. Mostly it is ``popleft`` of
            the deque itself, so that a message costs no Python call here.
    """

    __slots__ = (
        "_high", "_low", "_newest", "_on_demand", "_waiters", "messages", "paused", "pop",
        "promised", "standing", "unwanted",
    )  # fmt: skip

    def __init__(self, high: float = HIGH, low: float = -1) -> None:
        self.messages: deque[Item] = deque()
        self.promised: int = 0
        self.standing: int = 0
        self.unwanted: int = 0
        self.paused: bool = False
        self.pop: Callable[[], Item] = self.messages.popleft
        # Whether they were told; those who were are the first, as many as are promised.
        self._waiters: dict[Waiter, bool] = {}
        self._on_demand = not high
        self._newest = False
        self._high = high or 1
        self._low = high // 4 if low < 0 else low

    def __len__(self) -> int:
        return len(self.messages)

    def limit(self, high: float, low: float = -1, *, newest: bool = False) -> None:
        """Set the water marks anew, at any time.

        Args:
            high: how many messages may be held that nobody has asked for; 0 for none.
            low: where a pause ends, a quarter of `high` unless it is given.
            newest: only the newest message counts, and takes the place of the one before it.
        """
        self._on_demand = not (high or newest)
        self._newest = newest
        # One that nobody has asked for is to be taken before more is read.
        self._high = 1 if newest else high or 1
        self._low = high // 4 if low < 0 else low
        self.put(())
        self.relax()

    def room(self) -> float:
        """How many more messages may be put now; 0 during a pause."""
        if self.paused:
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
        """Take the oldest message that nobody waits for; None when there is none."""
        if len(self.messages) <= self.promised:
            return None
        item = self.messages.popleft()
        if self.paused:
            self.relax()
        return item

    def take(self, waiter: Waiter) -> Item | None:
        """Take the oldest message for a waiter that was told of one, and is done with now.

        None when that message was dropped; the waiter keeps its place until it waits again.
        """
        if not self._waiters[waiter]:
            return None
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
        if self.paused and (self._newest or len(self.messages) <= self._low):
            self.paused = False
            self._free()
        return not self.paused

    def wait(self, waiter: Waiter, instead_of: Waiter | None = None) -> bool:
        """Leave a waiter, to be handed out when there is a message for it.

        Args:
            waiter: a token.
            instead_of: one that keeps its place after a `take` without a message.

        Returns:
            True when nothing is read but for those who wait, so that a turn has to be scheduled.
        """
        if instead_of is None:
            self._waiters[waiter] = False
        else:
            line = self._waiters.items()
            self._waiters = {waiter if each == instead_of else each: told for each, told in line}
        return self._on_demand

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

    def sift(self, wanted: Callable[[Item], bool]) -> None:
        """Drop the messages that are not wanted any more, promised or not."""
        kept = list(filter(wanted, self.messages))
        dropped = len(self.messages) - len(kept)
        if not dropped:
            return
        self.unwanted += dropped
        self.messages.clear()  # the same deque: `pop` is its method
        self.messages.extend(kept)
        for waiter in list(islice(self._waiters, len(kept), self.promised)):
            self._waiters[waiter] = False
        self.promised = min(self.promised, len(kept))
        self.relax()
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

    def _filled(self) -> None:
        if not self._newest:
            self.paused = True
            self.pop = _ask
        while self._newest and len(self.messages) > max(1, self.promised):
            self.messages.popleft()
            self.unwanted += 1

    def _free(self) -> None:
        if not self.promised and not self.paused:
            self.pop = self.messages.popleft


class WeighedInbox(Inbox[Item, Waiter]):
    """An inbox in which so many bytes are a pause, too, however few messages they are.

    Messages leave by `pop` without a word, so what they weigh is settled when it is next asked.

    Args:
        most: bytes with which a pause begins; it ends with a quarter of them.
        weigh: how many bytes a message has.
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
        """Messages have left `messages`, however that was; True if there is no pause (any more)."""
        self._settle()
        heavy = self._weight > self._most // 4 and not self._newest
        return not self.paused if heavy else super().relax()

    def sift(self, wanted: Callable[[Item], bool]) -> None:
        """Drop the messages that are not wanted any more, promised or not."""
        self._sizes = deque(map(self._weigh, filter(wanted, self.messages)))
        self._weight = sum(self._sizes)
        super().sift(wanted)

    def _settle(self) -> None:
        while len(self._sizes) > len(self.messages):
            self._weight -= self._sizes.popleft()


def _ask() -> NoReturn:
    raise IndexError
