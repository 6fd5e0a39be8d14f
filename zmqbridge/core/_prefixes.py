"""Prefixes: finds the tags that begin with a prefix, also where tags or prefixes are very many."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TypeVar

Value = TypeVar("Value")


def beginning(tags: Sequence[bytes], prefix: bytes) -> list[bytes]:
    """Those of these tags, which are sorted, that begin with a prefix."""
    end = begin = bisect_left(tags, prefix)
    while end < len(tags) and tags[end].startswith(prefix):
        end += 1
    return list(tags[begin:end])


class Prefixes:
    """Some prefixes, which a tag may begin with.

    Attributes:
        lengths: those of the prefixes; a look at a tag costs as many steps.
    """

    __slots__ = ("_all", "lengths")

    def __init__(self, prefixes: Iterable[bytes]) -> None:
        self._all = frozenset(prefixes)
        self.lengths: frozenset[int] = frozenset(map(len, self._all))

    def begin(self, tag: bytes) -> bool:
        """Whether the tag begins with one of them."""
        return any(tag[:length] in self._all for length in self.lengths)

    def share(self, most: int) -> int:
        """At how many tags to look for the cost of so many steps, at least one."""
        return max(1, most // max(1, len(self.lengths)))


class ByTag(OrderedDict[bytes, Value]):
    """A mapping by tag, in the order in which the tags came.

    It sorts its tags when it is asked for a prefix and has new ones. So to delete a hundred
    thousand tags by a hundred thousand prefixes takes one look at each, and not as many for each.
    """

    _sorted: list[bytes] | None = None

    def __setitem__(self, tag: bytes, value: Value) -> None:
        self._sorted = None
        super().__setitem__(tag, value)

    def beginning(self, prefix: bytes) -> list[bytes]:
        """The tags that begin with a prefix, sorted."""
        if self._sorted is None or len(self._sorted) > 2 * len(self) + 100:
            self._sorted = sorted(self)
        return [tag for tag in beginning(self._sorted, prefix) if tag in self]
