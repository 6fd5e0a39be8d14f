"""SendQueue: messages that the socket would not take yet, between two water marks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any, Generic, TypeVar

from zmqbridge.errors import QueueFull

Waiter = TypeVar("Waiter", bound=Hashable)

HIGH = 1000  # as many as libzmq's own default, ZMQ_SNDHWM in zmq_setsockopt(3)


class SendQueue(Generic[Waiter]):
    """Messages to send, first in, first out, and the senders that wait for room.

    `paused` goes up with the first message that has to wait here, because then the peer pushes
    back, and down when the queue is drained to `low`. During the pause a sender that can wait
    registers a waiter. A sender that cannot wait may fill the queue up to `high`; from there on
    `put` refuses.

    - inputs: `advance` (the socket took the head)
    - commands: `put`, `discard`, `drop`, `wait`, `forget`, `notify`, `close`
    - getters: `head`, `paused`, ``len()``

    What the driver owes: after `advance`, `discard` and `drop`, wake the waiters that `notify()`
    returns. A sender that was woken looks at `paused` again: another one may have been faster.

    Attributes:
        paused: senders should wait.
    """

    __slots__ = ("_count", "_high", "_low", "_messages", "_waiters", "paused")

    def __init__(self, high: float = HIGH, low: int = 0) -> None:
        self._messages: OrderedDict[Hashable, Sequence[bytes]] = OrderedDict()
        self._waiters: OrderedDict[Waiter, None] = OrderedDict()
        self._high = high
        self._low = low
        self._count = 0
        self.paused: bool = False

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Sequence[bytes], key: Hashable = None) -> None:
        """Append a message, under a key if it may have to be discarded.

        Raises:
            QueueFull: there are `high` messages already; the error carries this one.
        """
        if len(self._messages) >= self._high:
            raise QueueFull(message, self._high)
        if key is None:
            self._count += 1
            key = self._count
        self._messages[key] = message
        if len(self._messages) > self._low:
            self.paused = True

    def head(self) -> Sequence[bytes]:
        """The message to send next; the queue must not be empty."""
        return next(iter(self._messages.values()))

    def advance(self) -> None:
        """Remove the head, which was sent."""
        self._messages.popitem(last=False)
        if len(self._messages) <= self._low:
            self.paused = False

    def discard(self, key: Hashable) -> bool:
        """Take a message out before it was sent; True if it was still here."""
        if self._messages.pop(key, None) is None:
            return False
        if len(self._messages) <= self._low:
            self.paused = False
        return True

    def drop(self) -> int:
        """Drop all messages, because their peer has left; returns how many they were."""
        dropped = len(self._messages)
        self._messages.clear()
        self.paused = False
        return dropped

    def wait(self, waiter: Waiter) -> None:
        """Register a waiter, which `notify` returns when the pause ends."""
        self._waiters[waiter] = None

    def forget(self, waiter: Waiter) -> None:
        """Remove a waiter whose sender gave up; a waiter that is not registered is fine."""
        self._waiters.pop(waiter, None)

    def notify(self) -> list[Waiter]:
        """Remove and return the waiters, oldest first; none during a pause."""
        if self.paused or not self._waiters:
            return []
        waiters = list(self._waiters)
        self._waiters.clear()
        return waiters

    def close(self, remains: list[Any] | None = None) -> list[Waiter]:
        """Drop all messages, and remove and return all waiters: the socket is closing.

        Args:
            remains: what held the messages and waiters is appended, dicts. Freeing a large one
                takes a while, so the caller chooses the moment.
        """
        waiters = list(self._waiters)
        if remains is not None:
            remains += [self._messages, self._waiters]
        self._messages, self._waiters = OrderedDict(), OrderedDict()
        self.paused = False
        return waiters
