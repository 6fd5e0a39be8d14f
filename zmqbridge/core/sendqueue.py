"""SendQueue: messages that the socket would not take yet, between two water marks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any, Generic, TypeVar

from zmqbridge.core.framing import Message
from zmqbridge.errors import QueueFull

Waiter = TypeVar("Waiter", bound=Hashable)

HIGH = 1000  # as many as libzmq's own default, ZMQ_SNDHWM in zmq_setsockopt(3)


class SendQueue(Generic[Waiter]):
    """First in, first out; whoever must wait for room leaves a waiter, a token never called here.

    `paused` goes up with the first message that has to wait here, because then the peer pushes
    back, and down when the queue is drained to `low`. In between, senders who can wait should;
    those who cannot may fill it up to `high`, where `put` refuses.

    - commands: `put`, `discard`, `wait`, `forget`, `clear`
    - inputs: `advance` (the socket took the head)
    - getters: `head`, `paused`, ``len()``

    What the driver owes: after `advance` and `discard`, wake what `resume()` hands out; each of
    those asks again from the start.

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
        """Drop the head, which was sent."""
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

    def wait(self, waiter: Waiter) -> None:
        """Leave a waiter, to be handed out when the pause ends."""
        self._waiters[waiter] = None

    def forget(self, waiter: Waiter) -> None:
        """Take a waiter back whose caller gave up; one that is not there is fine."""
        self._waiters.pop(waiter, None)

    def resume(self) -> list[Waiter]:
        """Hand out the waiters in the order in which they came; none during a pause."""
        if self.paused or not self._waiters:
            return []
        return self.drop_waiters()

    def drop_waiters(self) -> list[Waiter]:
        """Hand out the waiters whatever the state, because the socket is closing."""
        waiters = list(self._waiters)
        self._waiters.clear()
        return waiters

    def close(self, remains: list[Any]) -> list[Waiter]:
        """Empty the queue and hand out the waiters, because the socket is closing.

        Args:
            remains: what holds the messages and waiters is appended, dicts: to free it takes a
                while.
        """
        waiters = list(self._waiters)
        remains += [self._messages, self._waiters]
        self._messages, self._waiters = OrderedDict(), OrderedDict()
        self.paused = False
        return waiters

    def clear(self) -> list[Message]:
        """Empty the queue and return what was in it."""
        messages = [
            # A copy of each would have Python look for garbage, for a second where they are many.
            message if type(message) is list else list(message)
            for message in self._messages.values()
        ]
        self._messages.clear()
        self.paused = False
        return messages
