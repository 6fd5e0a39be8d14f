"""Untold: gives an error to any number of waiters, many of them in slices of time.

The lists and dicts that held a large number of waiters are freed in slices, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence, Sized
from math import ceil
from typing import Any

from zmqbridge._bridge.clock import monotonic
from zmqbridge.core._pacing import SLICE
from zmqbridge.errors import ZmqBridgeError

# Up to this number, all waiters are told at once.
AT_ONCE = 512
# Above that number, the most and the fewest that are told in one slice. A task that was told runs
# later, when the loop comes to it, and takes 5 to 10 µs. So the number depends on the time
# since the last slice, as with bursts. With a larger `MOST`, the objects that are made to tell the
# waiters add up until Python collects its garbage, which takes a second where there are many tasks.
MOST = 128
FEWEST = 16


def is_crowd(those: Sized) -> bool:
    """Whether there are too many to handle at once."""
    return len(those) > AT_ONCE


class Untold:
    """Tells waiters in the order in which they came, and lets the loop run between the slices.

    - commands: `add`
    - inputs: `go_on`
    - getters: ``len()``

    Args:
        tell: gives waiters an error.
        soon: asks the loop to call a function soon; returns whether the loop will. When the loop
            calls nothing any more, all remaining waiters are told at once.
        monotonic: the clock of the slices.
    """

    __slots__ = ("_batches", "_began", "_monotonic", "_size", "_soon", "_tell")

    def __init__(
        self,
        tell: Callable[[Sequence[Any], ZmqBridgeError], object],
        soon: Callable[[Callable[[], object]], bool],
        monotonic: Callable[[], float] = monotonic,
    ) -> None:
        self._tell = tell
        self._soon = soon
        self._monotonic = monotonic
        # For each batch: the waiters, the first of them at the end of the list; their error; the
        # containers to free; how many items of each container to free with every FEWEST waiters.
        self._batches: deque[tuple[list[Any], ZmqBridgeError, list[Any], int]] = deque()
        self._size = AT_ONCE
        self._began = 0.0

    def __len__(self) -> int:
        return sum(len(batch[0]) for batch in self._batches)

    def add(
        self, waiters: Sequence[Any], error: ZmqBridgeError, remains: Sequence[Any] = ()
    ) -> None:
        """Give these waiters this error; some of them get it before this returns.

        Args:
            waiters: the first of them is told first.
            error: each waiter gets an error object of its own.
            remains: lists and dicts that are not used any more. To free 300,000 messages and
                deadlines at once would hold up the loop for 0.1 to 0.3 seconds. So large ones are
                freed in small steps, while the waiters are told.
        """
        comes = bool(self._batches)
        if not comes and not is_crowd(waiters):
            self._tell(waiters, error)
            comes, waiters = bool(self._batches), ()  # a waiter may have closed the socket
        large = list(filter(is_crowd, remains))
        if waiters or large:
            stretches = len(waiters) / FEWEST
            share = max(map(len, large), default=0) / stretches if stretches else AT_ONCE
            self._batches.append((list(reversed(waiters)), error, large, ceil(share)))
        if self._batches and not comes:
            self._size, self._began = MOST, self._monotonic()
            self.go_on()

    def go_on(self) -> None:
        """Tell the waiters of one more slice; the loop calls this."""
        now = self._monotonic()
        if now - self._began > 2 * SLICE:
            self._size = max(FEWEST, self._size // 2)
        elif now - self._began < SLICE:
            self._size = min(MOST, self._size * 2)
        self._began = now
        self._tell_some(self._size, now + SLICE)
        while self._batches and not self._soon(self.go_on):
            self._tell_some(AT_ONCE, now + SLICE)

    def _tell_some(self, size: int, end: float) -> None:
        while size > 0 and self._batches:
            waiters, error, remains, share = self._batches[0]
            some = waiters[: -FEWEST - 1 : -1]
            del waiters[-FEWEST:]
            for each in remains:
                free_some(each, share)
            if not waiters and not any(remains):
                self._batches.popleft()
            self._tell(some, error)
            size -= FEWEST
            if self._monotonic() > end:
                break


def free_some(remains: Any, count: int) -> None:
    """Free `count` items of a list or dict."""
    if isinstance(remains, list):
        del remains[-count:]
    else:
        for _ in range(min(count, len(remains))):
            remains.popitem()


def another(error: ZmqBridgeError) -> ZmqBridgeError:
    """A copy of an error: one object raised in many places would collect the frames of all."""
    twin = type(error).__new__(type(error))
    twin.args = error.args
    twin.__dict__.update(error.__dict__)
    return twin
