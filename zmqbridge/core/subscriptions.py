"""Subscriptions: the prefixes to which a SUB is subscribed, counted as libzmq counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from zmqbridge.core.framing import head


class Subscriptions:
    """The prefixes that are subscribed to, and which publications are (still) wanted.

    Each `add` needs a `remove` of its own. libzmq compares a prefix with the first part of a
    publication, so a prefix may be longer than the tag, and reach into the NUL and the body.

    - commands: `add`, `remove`, `repeat`
    - getters: `wants`, `orphaned`, ``len()``, ``in``

    Args:
        head: returns the first bytes of the first part in which a publication came, at most so
            many. By default a publication is what `split_topic` returns.
    """

    __slots__ = ("_counts", "_head", "_lengths")

    def __init__(self, head: Callable[[Any, int], bytes] = head) -> None:
        self._head = head
        self._counts: Counter[bytes] = Counter()
        self._lengths: Counter[int] = Counter()  # how many prefixes have this length

    def __len__(self) -> int:
        return len(self._counts)

    def __contains__(self, prefix: bytes) -> bool:
        return prefix in self._counts

    def add(self, prefix: bytes) -> None:
        """Subscribe to a prefix once more."""
        if not self._counts[prefix]:
            self._lengths[len(prefix)] += 1
        self._counts[prefix] += 1

    def remove(self, prefix: bytes) -> bool:
        """Unsubscribe from a prefix once; True if that was its last subscription."""
        left = self._counts[prefix] - 1
        if left == 0:
            self._lengths[len(prefix)] -= 1
        if left <= 0:
            del self._counts[prefix]
        else:
            self._counts[prefix] = left
        return left == 0

    def repeat(self, prefix: bytes, begins: bool) -> bool:
        """Count a prefix once more or once less, if it was, and stays, subscribed to; else False.

        libzmq tells publishers of each beginning, but only of the last end. So a driver that leaves
        these out spares them from counting what never ends.
        """
        left = self._counts[prefix] + (1 if begins else -1)
        if left < (2 if begins else 1):
            return False
        self._counts[prefix] = left
        return True

    def wants(self, publication: Any) -> bool:
        """Whether a publication matches a prefix that is subscribed to."""
        lengths = +self._lengths
        first = self._head(publication, max(lengths, default=0))
        return any(first[:length] in self._counts for length in lengths if length <= len(first))

    def orphaned(self, publication: Any, prefix: bytes) -> bool:
        """Whether a publication matches this prefix, which was removed, and no other."""
        return self._head(publication, len(prefix)) == prefix and not self.wants(publication)
