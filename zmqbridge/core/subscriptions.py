"""Subscriptions: the prefixes to which a SUB is subscribed, counted as libzmq counts them."""

from __future__ import annotations

from collections import Counter

from zmqbridge.core.framing import head


class Subscriptions:
    """The prefixes that are subscribed to, and which publications are (still) wanted.

    Each `add` needs a `remove` of its own. libzmq compares a prefix with the first part of a
    publication, so a prefix may be longer than the tag, and reach into the NUL and the body.

    - commands: `add`, `remove`
    - getters: `wants`, `orphaned`, ``len()``
    """

    __slots__ = ("_counts", "_lengths")

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()
        self._lengths: Counter[int] = Counter()  # how many prefixes have this length

    def __len__(self) -> int:
        return len(self._counts)

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

    def wants(self, publication: tuple[bytes, bytes]) -> bool:
        """Whether a publication matches a prefix that is subscribed to."""
        lengths = +self._lengths
        first = head(publication, max(lengths, default=0))
        return any(first[:length] in self._counts for length in lengths if length <= len(first))

    def orphaned(self, publication: tuple[bytes, bytes], prefix: bytes) -> bool:
        """Whether a publication matches this prefix, which was removed, and no other."""
        return head(publication, len(prefix)) == prefix and not self.wants(publication)
