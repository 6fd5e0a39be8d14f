"""Untold: waiters who are to get an error, of whom a crowd is told in slices of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from zmqbridge.errors import ZmqBridgeError
from zmqbridge.pump import SLICE

# So many are told in one go.
AT_ONCE = 512
# Of a crowd, so many a slice. Tasks that were told run when the loop comes to them, in 5 to 10 µs
# each, so it depends on how long it took since the last slice, as with bursts. With more, what each
# needs to be told adds up to what makes Python collect its garbage: a second, where tasks are many.
MOST = 128
FEWEST = 16


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
        self._batches: deque[tuple[list[Any], ZmqBridgeError]] = deque()
        self._size = AT_ONCE
        self._began = 0.0

    def __len__(self) -> int:
        return sum(len(waiters) for waiters, _ in self._batches)

    def add(self, waiters: Sequence[Any], error: ZmqBridgeError) -> None:
        """These are to get this error; some of them do before this returns."""
        comes = bool(self._batches)
        if len(waiters) <= AT_ONCE and not comes:
            self._tell(waiters, error)
            return
        self._batches.append((list(reversed(waiters)), error))
        if not comes:
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
            waiters, error = self._batches[0]
            some = waiters[: -FEWEST - 1 : -1]
            del waiters[-FEWEST:]
            if not waiters:
                self._batches.popleft()
            self._tell(some, error)
            size -= FEWEST
            if monotonic() > end:
                break


def another(error: ZmqBridgeError) -> ZmqBridgeError:
    """The same error again. One that is raised in many places gathers the frames of all of them."""
    twin = type(error).__new__(type(error))
    twin.args = error.args
    twin.__dict__.update(error.__dict__)
    return twin
