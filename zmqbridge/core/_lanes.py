"""Lane: the state of one count of numbered publications."""

from __future__ import annotations

from collections import deque


class Lane:
    """The publications that came under one count: of a publisher, or of one of its tags.

    Attributes:
        last: the number of the last publication that was delivered, or told to be missing.
        live: the number of the last publication that came without being asked for; -1 for none.
        checked: the value of `live` at the last check whether publications still come.
        held: publications that wait for older ones.
        tag: the tag of missing publications, if the answer leaves it out.
        start: if it began with what a list says of its tag, the value of `last` then; else -2.
        given: the body of the last publication, if an answer began the count; see `Joining`.
    """

    __slots__ = ("checked", "given", "held", "last", "live", "start", "tag")

    def __init__(self, last: int, tag: bytes) -> None:
        self.last: int = last
        self.live: int = -1
        self.checked: int = -1
        self.held: deque[tuple[bytes, int, bytes | None]] = deque()
        self.tag: bytes = tag
        self.start: int = -2
        self.given: bytes | None = None

    @property
    def unheard(self) -> bool:
        """Whether nothing was delivered or told of it, and all that is known is from a list."""
        return self.last == self.start
