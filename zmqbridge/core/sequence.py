"""Outgoing: publications with numbers, the last of which can be sent again; and their wire.

- a numbered publication is ``[tag, number, body]``, the number in 8 bytes, big-endian;
- to ask for what was published is ``[number]`` behind an empty part, which means from that number
  on. Those of one tag alone are ``[number, tag]``, where each tag has numbers of its own, and the
  latest of each tag that begins with a prefix is ``[b"", prefix]``;
- the answer is any number of ``[tag, number, body]`` behind an empty part, and at last an end mark,
  which has the number -1. Some publishers leave the tag out of it;
- a publication that is sent again for a new subscriber has the first bit of its number set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zmqbridge.core.framing import BytesLike, Message, as_body
from zmqbridge.core.lastvalues import LastValues
from zmqbridge.errors import MalformedMessage

END = b"\xff" * 8
LENGTH = 8  # bytes of a number
COPY = 1 << 63  # is added to the number of a copy

Numbered = tuple[bytes, int, bytes]
"""The (tag, number, body) of a publication."""


def pack_number(number: int) -> bytes:
    """The bytes of a number on the wire."""
    return number.to_bytes(LENGTH, "big")


def as_copy(publication: Sequence[bytes]) -> Sequence[bytes]:
    """A numbered publication as it is sent again for a new subscriber."""
    tag, number, body = publication
    return tag, pack_number(int.from_bytes(number, "big") | COPY), body


def split_numbered(message: Message) -> Numbered:
    """The (tag, number, body) of a numbered publication.

    Raises:
        MalformedMessage: it does not have three parts, or the second one is not a valid number.
    """
    if len(message) != 3 or len(message[1]) != LENGTH or message[1] == END:
        raise MalformedMessage("a numbered publication is [tag, number of 8 bytes, body]", message)
    return message[0], int.from_bytes(message[1], "big"), message[2]


def split_answer(message: Message) -> tuple[bytes | None, int, bytes]:
    """The (tag, number, body) of a part of an answer, as a DEALER receives it.

    The end mark has number -1. The tag is None if the publisher leaves it out.

    Raises:
        MalformedMessage: the message is not a part of an answer.
    """
    if len(message) in (3, 4) and not message[0] and len(message[-2]) == LENGTH:
        tag = message[1] if len(message) == 4 else None
        return tag, int.from_bytes(message[-2], "big", signed=message[-2] == END), message[-1]
    raise MalformedMessage("a replay consists of [b'', tag, number of 8 bytes, body]", message)


class Asked(NamedTuple):
    """The publications that a subscriber asks for."""

    start: int
    """The first number; -1 asks for the latest publication of each tag."""
    tag: bytes | None = None
    """The tag, or with ``start=-1`` a prefix of tags; None for all tags."""


def pack_asked(asked: Asked) -> Message:
    """The message by which a DEALER asks for publications."""
    start = b"" if asked.start < 0 else pack_number(asked.start)
    return [b"", start] if asked.tag is None else [b"", start, asked.tag]


def split_asked(parts: Message) -> Asked:
    """The publications that a message asks for; its parts are those behind the route.

    Raises:
        MalformedMessage: the message is not such a question.
    """
    tag = parts[1] if len(parts) == 2 else None
    if len(parts) in (1, 2) and len(parts[0]) == LENGTH:
        return Asked(int.from_bytes(parts[0], "big"), tag)
    if tag is not None and not parts[0]:
        return Asked(-1, tag)
    raise MalformedMessage("a replay is asked for by a number of 8 bytes", parts)


class Kept(NamedTuple):
    """A publication as it was sent; the number is as on the wire."""

    tag: bytes
    number: bytes
    body: bytes


class Outgoing:
    """Numbers publications, and keeps the last ones, bounded in number and in bytes.

    - commands: `number`, `pack`
    - getters: `replay`, `next_number`, ``len()``

    Args:
        keep: how many publications are kept at most.
        size: how many bytes of tags and bodies are kept at most; a larger publication is not kept.
        by_tag: whether each tag has numbers of its own.
        first: the first number.

    Attributes:
        oldest: the place of the oldest one that is kept; the first one ever has place 0.
        end: the place of the next one.
        size: how many bytes are kept.
        latest: the last one of each tag, where these are kept besides.
    """

    __slots__ = (
        "_by_tag", "_first", "_keep", "_kept", "_last", "_most", "end", "latest", "oldest", "size",
    )  # fmt: skip

    def __init__(self, keep: int, size: int, *, by_tag: bool = False, first: int = 0) -> None:
        self._keep = keep
        self._most = size
        self._by_tag = by_tag
        self._first = first
        self._kept: dict[int, tuple[bytes, bytes, bytes]] = {}  # by place; the places have no holes
        # Of each tag how many it has had, and the place of the latest.
        self._last: dict[bytes, tuple[int, int]] = {}
        self.oldest: int = 0
        self.end: int = 0
        self.size: int = 0
        self.latest: LastValues | None = None

    def __len__(self) -> int:
        return self.end - self.oldest

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
            count = self._last.get(tag, (0, 0))[0]
            self._last[tag] = (count + 1, place)
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
            self.oldest += 1

    def replay(self, asked: Asked, place: int, most: int, size: int) -> tuple[list[Kept], int]:
        """Make one part of an answer.

        Publications that are dropped between two parts are left out.

        Args:
            asked: the publications that are asked for.
            place: the place to begin at; 0 for the first part.
            most: how many publications are looked at.
            size: the part ends when it has so many bytes.

        Returns:
            The publications, and the place at which the next part begins. The answer is complete
            when this is `end`.
        """
        place = max(place, self.oldest)
        if self._by_tag and asked.tag is not None and asked.start >= 0:
            count, last = self._last.get(asked.tag, (0, -1))
            if self._first + count <= asked.start or last < place:
                return [], self.end  # as mostly, when a subscriber has heard nothing for a while
        if not self._by_tag and asked.start >= 0:
            place = max(place, min(asked.start - self._first, self.end))
        found: list[Kept] = []
        for at in range(place, min(place + most, self.end)):
            kept = Kept(*self._kept[at])
            place = at + 1
            if self._is_asked_for(asked, kept, at):
                found.append(kept)
                size -= len(kept.tag) + len(kept.body)
                if size <= 0:
                    break
        return found, place

    def _is_asked_for(self, asked: Asked, kept: Kept, place: int) -> bool:
        if asked.start < 0:
            latest = self._by_tag and self._last[kept.tag][1] == place
            return latest and kept.tag.startswith(asked.tag or b"")
        # Big-endian numbers of the same length compare like their bytes.
        return asked.tag in (None, kept.tag) and kept.number >= pack_number(asked.start)
