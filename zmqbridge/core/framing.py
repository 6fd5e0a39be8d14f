"""Framing: pure functions between what users say and the parts that go over the wire.

A message is a ``list[bytes]``, a part one frame of it. The shapes are txZMQ's, which are those of
any REQ, REP, PUB and SUB: a topic is ``tag + NUL + body`` in one part (PGM carries one part only),
a request ``[id, b"", *parts]`` behind whatever routing parts a ROUTER put in front of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from zmqbridge.errors import MalformedMessage

Message = list[bytes]
BytesLike = bytes | bytearray | memoryview
"""What may be sent as a part. At run time all that has the buffer protocol will do."""
Address = str | BytesLike
"""An address, or a tag: a ``str`` means UTF-8."""
Item = TypeVar("Item")

SEPARATOR = b"\0"


def as_parts(parts: Sequence[object]) -> Sequence[bytes]:
    """The parts as ``bytes``, copied where the caller could still change them.

    Raises:
        TypeError: a part is not bytes-like, e.g. a ``str``.
    """
    for part in parts:
        if type(part) is not bytes:
            return [as_bytes(part, "a part") for part in parts]
    return parts  # type: ignore[return-value]


def as_bytes(value: object, what: str) -> bytes:
    """One bytes-like value as ``bytes``; `what` names it in the error.

    Raises:
        TypeError: it is not bytes-like.
    """
    if type(value) is bytes:
        return value
    if isinstance(value, str):
        raise TypeError(f"{what} is the str {value!r:.60}: ØMQ carries bytes, use .encode()")
    try:
        return memoryview(value).tobytes()  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(
            f"{what} is {value!r:.60} of type {type(value).__name__}, not bytes-like"
        ) from None


def as_name(value: object, what: str) -> bytes:
    """A tag or an address, where ``str`` is welcome and means UTF-8.

    Raises:
        TypeError: it is neither ``str`` nor bytes-like.
    """
    return value.encode() if isinstance(value, str) else as_bytes(value, what)


def join_topic(tag: bytes, body: BytesLike) -> bytes:
    """One part that carries a tag and a body.

    Raises:
        TypeError: body is not bytes-like.
        ValueError: the tag holds a NUL, so the far side would split it there.
    """
    if SEPARATOR in tag:
        raise ValueError(f"the tag {tag!r} holds a NUL byte, which ends a tag on the wire")
    try:
        return b"%b\0%b" % (tag, body)  # type: ignore[str-format]
    except TypeError:
        return tag + SEPARATOR + as_bytes(body, "body")


class Untagged(tuple[bytes, bytes]):
    """The (tag, body) of a publication that came as one part without a NUL."""

    __slots__ = ()


class InTwoParts(tuple[bytes, bytes]):
    """The (tag, body) of a publication that came as these two parts."""

    __slots__ = ()


def split_topic(message: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The (tag, body) of a publication, from which `head` can tell how it came.

    Two parts are tag and body as plain PUB peers send them. One part is split at its first NUL;
    with no NUL in it, it is a body without a tag.

    Raises:
        MalformedMessage: there are no parts, or more than two.
    """
    if len(message) == 1:
        tag, separator, body = message[0].partition(SEPARATOR)
        return (tag, body) if separator else Untagged((b"", tag))
    if len(message) == 2:
        return InTwoParts(message)
    raise MalformedMessage("a publication has one or two parts", message)


def head(publication: tuple[bytes, bytes], length: int) -> bytes:
    """So many of the first bytes of what was the first part of a publication."""
    tag, body = publication
    if type(publication) is Untagged:
        return body[:length]
    if type(publication) is InTwoParts or length <= len(tag):
        return tag[:length]
    return tag + SEPARATOR + body[: length - len(tag) - 1]


def split_reply(message: Message) -> tuple[bytes, Message]:
    """The (request id, parts) of what came back to a DEALER.

    Raises:
        MalformedMessage: the id is not followed by an empty part.
    """
    if len(message) < 2 or message[1]:
        raise MalformedMessage("a reply starts with the request's id and an empty part", message)
    return message[0], message[2:]


def split_request(message: Message, least: int = 1) -> tuple[Message, Message]:
    """The (route, parts) of what came to a ROUTER.

    The route is everything before the first empty part: the peer, the proxies on the way, and
    the request's id, which a plain REQ peer does not send.

    Args:
        message: the parts that came.
        least: how many parts there must be behind the route. A REP discards what has none, such
            as the empty message of a peer with ZMQ_PROBE_ROUTER (zmq_setsockopt(3)).

    Raises:
        MalformedMessage: there is no empty part, nothing in front of it, or too little behind it.
    """
    try:
        end = message.index(b"")
    except ValueError:
        end = 0
    if not end:
        raise MalformedMessage("a request has an empty part after its route", message)
    if len(message) <= end + least:
        raise MalformedMessage("a request with no part behind its route", message)
    return message[:end], message[end + 1 :]


def split_all(
    split: Callable[[Message], Item], burst: Iterable[Message]
) -> tuple[list[Item], list[MalformedMessage]]:
    """What `split` makes of each message of a burst, and the malformed ones."""
    items, malformed = [], []
    for message in burst:
        try:
            items.append(split(message))
        except MalformedMessage as error:
            malformed.append(error)
    return items, malformed


def pack_reply(route: Sequence[bytes], parts: Sequence[bytes]) -> Message:
    """The message that takes `parts` back along a route of `split_request`."""
    return [*route, b"", *parts]
