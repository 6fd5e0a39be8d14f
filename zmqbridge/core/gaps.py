"""Gaps: what is told, among numbered publications, of those that were missed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gap:
    """Publications that were missed for good, in their place among those that came.

    Attributes:
        first: the number of the first of them.
        last: the number of the last of them.
        tag: their tag, where each tag has numbers of its own; else ``b""``.
    """

    first: int
    last: int
    tag: bytes = b""

    def __len__(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Restarted:
    """The publisher began anew with its numbers: what is known of its state holds no more.

    How many of its last publications before that were missed, nothing tells.

    Attributes:
        tag: the tag, where each tag has numbers of its own; else ``b""``.
    """

    tag: bytes = b""
