"""Gaps: the entries that stand among numbered publications for those that were missed."""

from __future__ import annotations

from dataclasses import dataclass
from sys import maxsize


@dataclass(frozen=True, slots=True)
class Gap:
    """Publications that are missed for good, at their place among those that came.

    Attributes:
        first: the number of the first missed publication.
        last: the number of the last one.
        tag: their tag, if each tag has numbers of its own; else ``b""``.
    """

    first: int
    last: int
    tag: bytes = b""

    def __len__(self) -> int:
        return min(self.last - self.first + 1, maxsize)  # a peer may send any number of 8 bytes


@dataclass(frozen=True, slots=True)
class Restarted:
    """The publisher has begun its numbers again, so a state that was built from them is void.

    How many of its last publications before that were missed is not known.

    Attributes:
        tag: the tag, if each tag has numbers of its own; else ``b""``.
    """

    tag: bytes = b""
