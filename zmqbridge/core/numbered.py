"""Numbered: publications with numbers, and questions for those that were missed, on the wire.

- a numbered publication is ``[tag, number, body]``, the number in 8 bytes, big-endian;
- to ask for what was published is ``[number]`` behind an empty part, which means from that number
  on. Where each tag has numbers of its own, those of one tag alone are ``[number, tag]``, the
  latest of each tag that begins with a prefix is ``[b"", prefix, ...]``, and the last numbers of
  these tags, without bodies, are ``[place, prefix, ...]``, with a place of 16 bytes in the list of
  tags;
- the answer is any number of ``[tag, number, body]`` behind an empty part, and at last an end mark,
  which has the number -1. Some publishers leave the tag out of it. In the place of the tag, the end
  mark of what was published under one tag has the number of the next one, and that of a list has
  the place at which the list ends;
- a publication that is sent again for a new subscriber has the first bit of its number set;
- a number whose second bit is set has the *run* of its publisher in it, which is random: a
  publisher that has begun anew has another run. Its first 32 bits are this, the others count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zmqbridge.core.framing import Message
from zmqbridge.errors import MalformedMessage

END = b"\xff" * 8
LENGTH = 8  # bytes of a number
COPY = 1 << 63  # is added to the number of a copy
RUN = 1 << 62  # numbers from here on, up to a copy's, have a run in them
COUNT_BITS = 32
MOST_PREFIXES = 1000  # in one question
PLACE_LENGTH = 16  # bytes of a place in a list: the first number, and how many tags there were
START = bytes(PLACE_LENGTH)

Numbered = tuple[bytes, int, bytes]
"""The (tag, number, body) of a publication."""


def pack_number(number: int) -> bytes:
    """The bytes of a number on the wire."""
    return number.to_bytes(LENGTH, "big")


def first_of_run(random: bytes) -> int:
    """The first number of a publisher, made of 4 random bytes."""
    return RUN | int.from_bytes(random, "big") % (RUN >> COUNT_BITS) << COUNT_BITS


def run_of(number: int) -> int:
    """What all numbers of one run have in common; 0 if there is no run in them."""
    return number >> COUNT_BITS if RUN <= number < COPY else 0


def begins_at(number: int) -> int:
    """The first number of the run that a number is of."""
    return run_of(number) << COUNT_BITS


def is_of_another(number: int, expected: int) -> bool:
    """Whether a number is of another run than the one that was expected.

    A run that has used up its counts goes on in the next one.
    """
    run, known = run_of(number), run_of(expected)
    return run not in (known, known + 1)


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
    more: tuple[bytes, ...] = ()
    """With ``start=-1``, further prefixes."""


class AskedList(NamedTuple):
    """The last numbers of all tags that a subscriber asks for."""

    place: bytes
    """Where an earlier list has ended; `START` for none."""
    prefixes: tuple[bytes, ...]
    """What the tags begin with."""


def pack_asked(asked: Asked | AskedList) -> Message:
    """The message by which a DEALER asks for publications."""
    if isinstance(asked, AskedList):
        return [b"", asked.place, *asked.prefixes]
    start = b"" if asked.start < 0 else pack_number(asked.start)
    return [b"", start] if asked.tag is None else [b"", start, asked.tag, *asked.more]


def split_asked(parts: Message) -> Asked | AskedList:
    """The publications that a message asks for; its parts are those behind the route.

    Raises:
        MalformedMessage: the message is not such a question.
    """
    if 1 < len(parts) <= 1 + MOST_PREFIXES:
        if len(parts[0]) == PLACE_LENGTH:
            return AskedList(parts[0], tuple(parts[1:]))
        if not parts[0]:
            return Asked(-1, parts[1], tuple(parts[2:]))
    if len(parts) in (1, 2) and len(parts[0]) == LENGTH:
        return Asked(int.from_bytes(parts[0], "big"), parts[1] if len(parts) == 2 else None)
    raise MalformedMessage("a replay is asked for by a number of 8 bytes", parts)


class Ask(NamedTuple):
    """A question to the publisher."""

    asked: Asked | AskedList
    """The wanted publications."""
    afresh: bool
    """Whether to ask on a new connection, as the answer to an earlier question may still come."""
