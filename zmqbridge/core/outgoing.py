"""Outgoing: numbers publications, and keeps the last ones, so that they can be sent again."""

from __future__ import annotations

from typing import NamedTuple

from zmqbridge.core._prefixes import Prefixes
from zmqbridge.core.framing import BytesLike, as_body
from zmqbridge.core.lastvalues import LastValues
from zmqbridge.core.numbered import LENGTH, Asked, AskedList, is_of_another, pack_number


class Kept(NamedTuple):
    """A publication as it was sent."""

    tag: bytes
    """Its tag."""
    number: bytes
    """Its number as on the wire, 8 bytes."""
    body: bytes
    """Its body, one part."""


class Run:
    """The publications of one tag, where each tag has numbers of its own.

    Attributes:
        count: how many there have been.
        last: the place of the latest.
        oldest: the place of the oldest one that is kept; -1 for none.
    """

    __slots__ = ("count", "last", "oldest")

    def __init__(self) -> None:
        self.count: int = 0
        self.last: int = -1
        self.oldest: int = -1


class Outgoing:
    """Numbers publications, and keeps the last ones, bounded in number and in bytes.

    - commands: `begin`, `number`, `pack`
    - getters: `replay`, `listed`, `end_mark`, `next_number`, ``len()``

    Args:
        keep: how many publications are kept at most.
        size: how many bytes of tags and bodies are kept at most; a larger publication is not kept.
        by_tag: whether each tag has numbers of its own.
        first: the first number; see `begin`.

    Attributes:
        oldest: the place of the oldest publication that is kept; the first publication of all has
            place 0.
        end: the place of the next publication.
        size: how many bytes are kept.
        tags: all tags there have been, in order, where each has numbers of its own.
        latest: the last publication of each tag; None if these are not kept.
    """

    __slots__ = (
        "_by_tag", "_first", "_following", "_keep", "_kept", "_most", "_runs", "end", "latest",
        "oldest", "size", "tags",
    )  # fmt: skip

    def __init__(self, keep: int, size: int, *, by_tag: bool = False, first: int = 0) -> None:
        self._keep = keep
        self._most = size
        self._by_tag = by_tag
        self._first = first
        self._kept: dict[int, tuple[bytes, bytes, bytes]] = {}  # by place; the places have no holes
        self._runs: dict[bytes, Run] = {}  # by tag
        # The place of the next one of the same tag. So an answer about one tag looks at no other:
        # each of very many tags may be asked for.
        self._following: dict[int, int] = {}
        self.tags: list[bytes] = []
        self.oldest: int = 0
        self.end: int = 0
        self.size: int = 0
        self.latest: LastValues | None = None

    def __len__(self) -> int:
        return self.end - self.oldest

    def begin(self, first: int) -> None:
        """Set the first number, before there is a publication."""
        self._first = first

    def next_number(self) -> bytes:
        """The number of the next publication as on the wire; empty if each tag has its own."""
        return b"" if self._by_tag else (self._first + self.end).to_bytes(LENGTH, "big")

    def number(self, tag: bytes, body: bytes) -> bytes:
        """Keep a new publication, and return its number as on the wire."""
        return self.pack(tag, body)[1]

    def pack(self, tag: bytes, body: BytesLike) -> tuple[bytes, bytes, bytes]:
        """Keep a new publication, and return its parts.

        Raises:
            TypeError: the body is not bytes-like.
        """
        if type(body) is not bytes:
            body = as_body(body)
        place = self.end
        if self._by_tag:
            run = self._runs.get(tag)
            if run is None:
                run = self._runs[tag] = Run()
                self.tags.append(tag)
            count = run.count
            run.count = count + 1
            if run.oldest < 0:
                run.oldest = place
            else:
                self._following[run.last] = place
            run.last = place
        else:
            count = place
        publication = self._kept[place] = (tag, (self._first + count).to_bytes(LENGTH, "big"), body)
        self.end = place + 1
        self.size += len(tag) + len(body)
        if place >= self.oldest + self._keep or self.size > self._most:
            self._drop()
        return publication

    def _drop(self) -> None:
        while self.end - self.oldest > self._keep or self.size > self._most:
            tag, _, body = self._kept.pop(self.oldest)
            self.size -= len(tag) + len(body)
            if self._by_tag:
                self._runs[tag].oldest = self._following.pop(self.oldest, -1)
            self.oldest += 1

    def replay(self, asked: Asked, place: int, most: int, size: int) -> tuple[list[Kept], int]:
        """Make one part of an answer.

        Publications that are dropped between two parts are left out. A number of another run is
        that of an earlier publisher, so all are asked for.

        Args:
            asked: the publications that are asked for.
            place: the place to begin at; 0 for the first part.
            most: how many publications are looked at.
            size: the part ends when it has so many bytes.

        Returns:
            The publications, and the place at which the next part begins. The answer is complete
            when this is `end`.
        """
        if asked.start >= 0 and is_of_another(asked.start, self._first):
            asked = asked._replace(start=self._first)
        if asked.start < 0:
            return self._replay_latest(asked, place, most, size)
        if self._by_tag and asked.tag is not None:
            return self._replay_tag(asked.tag, asked.start, place, most, size)
        place = max(place, self.oldest)
        if not self._by_tag:
            place = max(place, min(asked.start - self._first, self.end))
        found: list[Kept] = []
        for at in range(place, min(place + most, self.end)):
            kept = Kept(*self._kept[at])
            place = at + 1
            # Big-endian numbers of the same length compare like their bytes.
            if asked.tag in (None, kept.tag) and kept.number >= pack_number(asked.start):
                found.append(kept)
                size -= len(kept.tag) + len(kept.body)
                if size <= 0:
                    break
        return found, place

    def _replay_latest(
        self, asked: Asked, place: int, most: int, size: int
    ) -> tuple[list[Kept], int]:
        if not self._by_tag:
            return [], self.end
        prefixes, place = Prefixes((asked.tag or b"", *asked.more)), max(place, self.oldest)
        found: list[Kept] = []
        for at in range(place, min(place + prefixes.share(most), self.end)):
            kept = Kept(*self._kept[at])
            place = at + 1
            if self._runs[kept.tag].last == at and prefixes.begin(kept.tag):
                found.append(kept)
                size -= len(kept.tag) + len(kept.body)
                if size <= 0:
                    break
        return found, place

    def _replay_tag(
        self, tag: bytes, start: int, place: int, most: int, size: int
    ) -> tuple[list[Kept], int]:
        run, end = self._runs.get(tag), self.end
        if run is None or self._first + run.count <= start:
            return [], end  # as mostly, when a subscriber has heard nothing for a while
        if run.oldest < 0:
            last = None if self.latest is None else self.latest.last(tag)
            return [] if last is None else [Kept(*last)], end
        place, following = max(place, run.oldest), self._following
        found: list[Kept] = []
        for _ in range(most):
            kept = Kept(*self._kept[place])
            place = following.get(place, end)
            if kept.number >= pack_number(start):
                found.append(kept)
                size -= len(kept.tag) + len(kept.body)
            if size <= 0 or place == end:
                break
        return found, place

    def listed(self, asked: AskedList, place: int, end: int, most: int) -> tuple[list[Kept], int]:
        """Make one part of a list of the last numbers of tags.

        Args:
            asked: which tags.
            place: the place among the tags to begin at; 0 for the first part.
            end: the place at which the list ends.
            most: how much is looked at.

        Returns:
            Publications without bodies, and the place at which the next part begins.
        """
        if asked.place[:LENGTH] == pack_number(self._first):
            place = max(place, int.from_bytes(asked.place[LENGTH:], "big"))
        prefixes = Prefixes(asked.prefixes)
        until = min(end, place + prefixes.share(most))
        found = [
            Kept(tag, pack_number(self._first + self._runs[tag].count - 1), b"")
            for tag in self.tags[place:until]
            if prefixes.begin(tag)
        ]
        return found, until

    def end_mark(self, asked: Asked | AskedList, end: int) -> bytes:
        """What the end mark of an answer has in the place of a tag.

        Args:
            asked: what was asked for.
            end: the place at which a list ends.
        """
        if isinstance(asked, AskedList):
            return pack_number(self._first) + pack_number(end)
        if not self._by_tag or asked.tag is None or asked.start < 0:
            return b""
        run = self._runs.get(asked.tag)
        return pack_number(self._first + (run.count if run else 0))
