"""Subscriptions: what a SUB socket wants, counted as libzmq counts it."""

from __future__ import annotations

from collections import Counter

from zmqbridge.core.framing import head


class Subscriptions:
    """The prefixes that are subscribed to; of publications that came before one was given up.

    Each `add` needs a `remove` of its own. libzmq compares a prefix with the first part of a
    publication, so it may reach beyond the tag into the NUL and the body behind it.

    - inputs: `add`, `remove`
    - getters: `wants`, `orphaned`
    """

    __slots__ = ("_counts", "_lengths")

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()
        self._lengths: Counter[int] = Counter()  # how many of the prefixes are so long

    def add(self, prefix: bytes) -> None:
        """One more subscription."""
        if not self._counts[prefix]:
            self._lengths[len(prefix)] += 1
        self._counts[prefix] += 1

    def remove(self, prefix: bytes) -> bool:
        """One less; True if it was the last to this very prefix."""
        left = self._counts[prefix] - 1
        if left == 0:
            self._lengths[len(prefix)] -= 1
        if left <= 0:
            del self._counts[prefix]
        else:
            self._counts[prefix] = left
        return left == 0

    def wants(self, publication: tuple[bytes, bytes]) -> bool:
        """Whether a publication matches a subscription that is left."""
        lengths = +self._lengths
        first = head(publication, max(lengths, default=0))
        return any(first[:length] in self._counts for length in lengths if length <= len(first))

    def orphaned(self, publication: tuple[bytes, bytes], prefix: bytes) -> bool:
        """Whether a publication came for this prefix only, which was removed."""
        return head(publication, len(prefix)) == prefix and not self.wants(publication)
