"""Untold: waiters who are to get an error; a crowd is told, and what held it freed, in slices."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence, Sized
from math import ceil
from time import monotonic
from typing import Any

from zmqbridge.core.pacing import SLICE
from zmqbridge.errors import ZmqBridgeError

# So many are told in one go.
AT_ONCE = 512
# Of a crowd, so many a slice. Tasks that were told run when the loop comes to them, in 5 to 10 µs
# each, so it depends on how long it took since the last slice, as with bursts. With more, what each
# needs to be told adds up to what makes Python collect its garbage: a second, where tasks are many.
MOST = 128
FEWEST = 16


def is_crowd(those: Sized) -> bool:
    """Whether there are too many to be seen to in one go."""
    return len(those) > AT_ONCE


class Untold:
    """Tells them in the order in which they came, and has the loop run in between.

    - commands: `add`
    - inputs: `go_on`
    - getters: ``len()``

    Args:
        tell: gives waiters an error.
        soon: has the loop call something soon, and returns whether it will. When the loop calls
            nothing any more, all who are left are told at once.
    """

    __slots__ = ("_batches", "_began", "_size", "_soon", "_tell")

    def __init__(
        self,
        tell: Callable[[Sequence[Any], ZmqBridgeError], object],
        soon: Callable[[Callable[[], object]], bool],
    ) -> None:
        self._tell = tell
        self._soon = soon
        # Waiters, the first at the end, their error, what is to be freed, and how much of each
        # while so many of them are told.
        self._batches: deque[tuple[list[Any], ZmqBridgeError, list[Any], int]] = deque()
        self._size = AT_ONCE
        self._began = 0.0

    def __len__(self) -> int:
        return sum(len(batch[0]) for batch in self._batches)

    def add(
        self, waiters: Sequence[Any], error: ZmqBridgeError, remains: Sequence[Any] = ()
    ) -> None:
        """These are to get this error; some of them do before this returns.

        Args:
            waiters: the first of them is told first.
            error: each gets one of its own.
            remains: lists and dicts that nobody uses any more. To free 300,000 messages and
                deadlines at once would hold up the loop for 0.1 to 0.3 seconds, so crowds of
                them are freed bit by bit, while the waiters are told.
        """
        comes = bool(self._batches)
        if not comes and not is_crowd(waiters):
            self._tell(waiters, error)
            comes, waiters = bool(self._batches), ()  # one of them may have closed something
        crowds = list(filter(is_crowd, remains))
        if waiters or crowds:
            stretches = len(waiters) / FEWEST
            share = max(map(len, crowds), default=0) / stretches if stretches else AT_ONCE
            self._batches.append((list(reversed(waiters)), error, crowds, ceil(share)))
        if self._batches and not comes:
            self._size, self._began = MOST, monotonic()
            self.go_on()

    def go_on(self) -> None:
        """The loop calls this: tell some more."""
        now = monotonic()
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
            if monotonic() > end:
                break


def free_some(remains: Any, count: int) -> None:
    """Free so many of what is left in a list or dict."""
    if isinstance(remains, list):
        del remains[-count:]
    else:
        for _ in range(min(count, len(remains))):
            remains.popitem()


def another(error: ZmqBridgeError) -> ZmqBridgeError:
    """The same error again. One that is raised in many places gathers the frames of all of them."""
    twin = type(error).__new__(type(error))
    twin.args = error.args
    twin.__dict__.update(error.__dict__)
    return twin
