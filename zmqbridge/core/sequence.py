"""Outgoing: publications with numbers, the last of which can be sent again; and their wire.

- a numbered publication is ``[tag, number, body]``, the number in 8 bytes, big-endian;
- to ask for what was published is ``[number]`` behind an empty part, which means from that number
  on. Those of one tag alone are ``[number, tag]``, where each tag has numbers of its own, and the
  latest of each tag that begins with a prefix is ``[b"", prefix]``;
- the answer is any number of ``[tag, number, body]`` behind an empty part, and at last an end mark,
  which has the number -1. Some publishers leave the tag out of it;
- what is sent once more for one who has just subscribed bears its number with the first bit set.
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
    """A number as it goes over the wire."""
    return number.to_bytes(LENGTH, "big")


def as_copy(publication: Sequence[bytes]) -> Sequence[bytes]:
    """A numbered publication as it is sent once more for somebody who has just subscribed."""
    tag, number, body = publication
    return tag, pack_number(int.from_bytes(number, "big") | COPY), body


def split_numbered(message: Message) -> Numbered:
    """The (tag, number, body) of a numbered publication.

    Raises:
        MalformedMessage: it has not three parts, or its number not 8 bytes or not one's value.
    """
    if len(message) != 3 or len(message[1]) != LENGTH or message[1] == END:
        raise MalformedMessage("a numbered publication is [tag, number of 8 bytes, body]", message)
    return message[0], int.from_bytes(message[1], "big"), message[2]


def split_answer(message: Message) -> tuple[bytes | None, int, bytes]:
    """The (tag, number, body) of a part of a replay, as it comes to a DEALER; at its end number -1.

    The tag is None where the publisher leaves it out.

    Raises:
        MalformedMessage: it is no such thing.
    """
    if len(message) in (3, 4) and not message[0] and len(message[-2]) == LENGTH:
        tag = message[1] if len(message) == 4 else None
        return tag, int.from_bytes(message[-2], "big", signed=message[-2] == END), message[-1]
    raise MalformedMessage("a replay consists of [b'', tag, number of 8 bytes, body]", message)


class Asked(NamedTuple):
    """Which publications are to be sent again."""

    start: int
    """From which number on; -1 for the latest of each tag."""
    tag: bytes | None = None
    """The tag; for the latest a prefix. None for all."""


def pack_asked(asked: Asked) -> Message:
    """The message by which a DEALER asks."""
    start = b"" if asked.start < 0 else pack_number(asked.start)
    return [b"", start] if asked.tag is None else [b"", start, asked.tag]


def split_asked(parts: Message) -> Asked:
    """What is asked for; the parts are those behind the route.

    Raises:
        MalformedMessage: that cannot be told.
    """
    tag = parts[1] if len(parts) == 2 else None
    if len(parts) in (1, 2) and len(parts[0]) == LENGTH:
        return Asked(int.from_bytes(parts[0], "big"), tag)
    if tag is not None and not parts[0]:
        return Asked(-1, tag)
    raise MalformedMessage("a replay is asked for by a number of 8 bytes", parts)


class Kept(NamedTuple):
    """A publication as it was sent, with its place among all."""

    tag: bytes
    number: bytes
    body: bytes


class Outgoing:
    """Gives publications their numbers, and keeps the last of them, so many and of so many bytes.

    - commands: `number`, `pack`
    - getters: `replay`, ``len()``

    Args:
        keep: how many are kept at most.
        size: how many bytes of tags and bodies they have at most. A larger one is not kept.
        by_tag: each tag has numbers of its own.
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

    def number(self, tag: bytes, body: bytes) -> bytes:
        """The number of a new publication, as on the wire; it is kept from now on."""
        return self.pack(tag, body)[1]

    def pack(self, tag: bytes, body: BytesLike) -> tuple[bytes, bytes, bytes]:
        """The parts of a new publication, which is kept from now on.

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
        """A part of an answer, and the place at which the next part begins.

        It ends where that place is `end`. What is dropped meanwhile is left out.

        Args:
            asked: what is asked for.
            place: where to begin: 0 at first.
            most: how many publications are looked at.
            size: with how many bytes it ends, too.
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
        # In this order of the bytes numbers compare as such.
        return asked.tag in (None, kept.tag) and kept.number >= pack_number(asked.start)
