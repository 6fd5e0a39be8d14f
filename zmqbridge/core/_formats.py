"""Formats: the parts of a publication on the wire, as one table for publishers and subscribers.

A format turns the arguments of ``publish`` into parts, and parts into the result of ``receive``:

========== ================================ ==================================================
format     call                             parts on the wire; result of ``receive``
========== ================================ ==================================================
joined     ``publish(body, tag)``           one, ``tag + NUL + body``; ``(tag, body)``
two-part   ``publish(body, tag)``           two, ``[tag, body]``; ``(tag, body)``
parts      ``publish([part, ...], tag)``    ``[tag, part, ...]``; ``(tag, [part, ...])``
raw        ``publish([part, ...])``         ``[part, ...]``; ``[part, ...]``
========== ================================ ==================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from zmqbridge.core.framing import (
    BytesLike,
    Message,
    as_body,
    head,
    pack_joined,
    split_topic,
)
from zmqbridge.errors import MalformedMessage

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Body = TypeVar("Body", default=BytesLike, contravariant=True)
    Publication = TypeVar("Publication", default=tuple[bytes, bytes])
else:
    from typing import TypeVar

    # What `publish` takes as a body, and what `receive` gives.
    Body = TypeVar("Body", contravariant=True)
    Publication = TypeVar("Publication")

FormatName = Literal["joined", "two-part", "parts", "raw"]
OneBody = Literal["joined", "two-part"]
"""The formats in which a publication is a tag and one body."""

ManyParts = Iterable[BytesLike]
NumberedPublication = tuple[bytes, bytes, int]
"""The (tag, body, number) of a numbered publication."""


class Format(NamedTuple):
    """One format of publications.

    Attributes:
        pack: turns a tag and a body into parts; raises TypeError or ValueError for other arguments.
        split: turns parts into the result of ``receive``; raises `MalformedMessage` if they are of
            another format.
        head: takes a result of ``receive`` and a length, and returns so many bytes of the first
            part on the wire, with which libzmq compares the subscriptions.
        weigh: returns how many bytes a result of ``receive`` has.
    """

    pack: Callable[[bytes, Any], Sequence[BytesLike]]
    split: Callable[[Message], Any]
    head: Callable[[Any, int], bytes]
    weigh: Callable[[Any], int]


def pack_two_parts(tag: bytes, body: BytesLike) -> Sequence[BytesLike]:
    """Pack a publication as ``[tag, body]``.

    Raises:
        TypeError: the body is not bytes-like.
    """
    return tag, body if type(body) is bytes else as_body(body)


def pack_parts(tag: bytes, body: ManyParts) -> Sequence[BytesLike]:
    """Pack a publication as ``[tag, *body]``.

    Raises:
        TypeError: the body is not an iterable of parts.
    """
    return tag, *as_part_list(body)


def pack_raw(tag: bytes, body: ManyParts) -> Sequence[BytesLike]:
    """Pack a publication whose parts go over the wire as they are.

    Raises:
        TypeError: the body is not an iterable of parts.
        ValueError: there is a tag.
    """
    if tag:
        raise ValueError(f"the tag {tag!r}: a raw publication has none but its first part")
    return as_part_list(body)


def as_part_list(body: ManyParts) -> list[BytesLike]:
    """The body of a publication in a format with any number of parts, as a list.

    Raises:
        TypeError: the body is a single part, or not an iterable of parts.
    """
    one = isinstance(body, str | bytes | bytearray | memoryview)
    if one or not isinstance(body, Iterable):
        kind = type(body).__name__
        raise TypeError(f"body is of type {kind}: in this format it is a list of parts, as [b'x']")
    return list(body)


def split_two_parts(message: Message) -> tuple[bytes, bytes]:
    """The (tag, body) of a publication in two parts.

    Raises:
        MalformedMessage: the message has more or fewer parts.
    """
    if len(message) != 2:
        raise MalformedMessage("a publication in this format has two parts", message)
    return message[0], message[1]


def split_parts(message: Message) -> tuple[bytes, Message]:
    """The (tag, parts) of a publication whose first part is its tag."""
    return message[0], message[1:]


def head_of_first(publication: Sequence[bytes], length: int) -> bytes:
    """The first `length` bytes of a publication whose first item is the first part on the wire."""
    return publication[0][:length]


def bytes_of_all(parts: Iterable[bytes]) -> int:
    """How many bytes these parts have together."""
    return sum(map(len, parts))


def bytes_of_tagged(publication: tuple[bytes, Message]) -> int:
    """How many bytes a (tag, parts) has together."""
    return len(publication[0]) + sum(map(len, publication[1]))


FORMATS: dict[str, Format] = {
    "joined": Format(pack_joined, split_topic, head, bytes_of_all),
    "two-part": Format(pack_two_parts, split_two_parts, head_of_first, bytes_of_all),
    "parts": Format(pack_parts, split_parts, head_of_first, bytes_of_tagged),
    "raw": Format(pack_raw, list, head_of_first, bytes_of_all),
}


def format_named(name: object) -> Format:
    """The format of this name.

    Raises:
        ValueError: there is no format of this name; the text lists the names.
    """
    found = FORMATS.get(name) if isinstance(name, str) else None
    if found is None:
        raise ValueError(f"format={name!r}: the formats are {', '.join(map(repr, FORMATS))}")
    return found
