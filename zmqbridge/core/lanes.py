"""Lane: what has come of numbered publications under one count."""

from __future__ import annotations

from collections import deque


class Lane:
    """What has come under one count: of a publisher, or of one of its tags.

    Attributes:
        last: the number of the last one that was delivered, or told to be missing.
        live: the number of the last one that came without being asked for; -1 for none.
        checked: what `live` was when it was last looked whether anything comes.
        held: those that came, and wait for older ones.
        tag: the tag of what is missing, where the answer leaves it out.
        given: the body of the last one, where an answer began the count; see `Joining`.
    """

    __slots__ = ("checked", "given", "held", "last", "live", "tag")

    def __init__(self, last: int, tag: bytes) -> None:
        self.last: int = last
        self.live: int = -1
        self.checked: int = -1
        self.held: deque[tuple[bytes, int, bytes | None]] = deque()
        self.tag: bytes = tag
        self.given: bytes | None = None
