"""DeadlineHeap: which of many deadlines is the earliest, with lazy removal."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

# Entries whose deadline was removed stay in the heap until they come to the top, or until they
# outnumber the living ones by this many: then the heap is rebuilt, at a cost spread over them.
STALE_SLACK = 64


class DeadlineHeap(Generic[Key]):
    """Keys with a deadline each; a deadline is a float of any one clock, ``inf`` means never.

    - inputs: `due` (time passed)
    - commands: `add`, `remove`, `close`
    - getters: `next_deadline`, ``len()``

    Attributes:
        deadlines: by key, to be read only; empty when there is nothing to wait for.
        remove: forgets a key and returns its deadline, or `default` when the key is not there;
            it is ``pop`` of a dict, so it takes (key, default) and costs no Python call.
    """

    __slots__ = ("_heap", "deadlines", "remove")

    def __init__(self) -> None:
        self._heap: list[tuple[float, Key]] = []
        self.deadlines: dict[Key, float] = {}
        self.remove: Callable[..., float | None] = self.deadlines.pop

    def __len__(self) -> int:
        return len(self.deadlines)

    def add(self, deadline: float, key: Key) -> None:
        """Remember that `key` is due at `deadline`; ``inf`` costs nothing.

        A key is added once, and not again before it was removed or returned by `due`.
        """
        if deadline < inf:
            self.deadlines[key] = deadline
            heap = self._heap
            heappush(heap, (deadline, key))
            if len(heap) > 2 * len(self.deadlines) + STALE_SLACK:
                heap[:] = [(deadline, key) for key, deadline in self.deadlines.items()]
                heapify(heap)

    def next_deadline(self) -> float:
        """The earliest deadline, ``inf`` when there is none."""
        heap, deadlines = self._heap, self.deadlines
        while heap and deadlines.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else inf

    def due(self, now: float, limit: float = inf) -> list[Key]:
        """Remove and return the keys whose deadline is not after `now`, earliest first.

        Args:
            now: the time on the clock of the deadlines.
            limit: how many keys are returned at most; the others stay due.
        """
        due: list[Key] = []
        while len(due) < limit and self.next_deadline() <= now:
            key = heappop(self._heap)[1]
            del self.deadlines[key]
            due.append(key)
        return due

    def close(self, remains: list[Any]) -> None:
        """Forget all keys.

        Args:
            remains: what held the keys is appended, lists and dicts. Freeing a large one takes
                a while, so the caller chooses the moment.
        """
        remains += [self._heap, self.deadlines]
        self._heap, self.deadlines = [], {}
        self.remove = self.deadlines.pop
