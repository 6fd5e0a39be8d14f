"""Framing: pure functions between what users give and get and the parts on the wire.

A message is a ``list[bytes]``, a part one frame of it. The shapes are txZMQ's, which are those of
any REQ, REP, PUB and SUB:

- a publication is ``tag + NUL + body`` in one part, because PGM carries one part only;
- a request is ``[id, b"", *parts]``, as a DEALER sends it;
- what comes to a ROUTER has the peer in front of it, and one more part for each proxy on the way;
- what a ROUTER sends is ``[peer, *parts]``.

The hot paths of the backends have `pack_request` and `pack_reply` written out, where a call would
be one more Python frame for each message.
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


def require_parts(parts: Sequence[object]) -> None:
    """Refuse a message without any part.

    Raises:
        ValueError: there is none.
    """
    if not parts:
        raise ValueError("a message has at least one part; an empty part is b''")


def as_parts(parts: Sequence[object]) -> Sequence[bytes]:
    """The parts as ``bytes``; a part that the caller could still change is copied.

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
        TypeError: the value is not bytes-like.
    """
    if type(value) is bytes:
        return value
    if isinstance(value, str):
        raise TypeError(f"{what} is the str {value!r:.60}: ØMQ carries bytes, use .encode()")
    try:
        return memoryview(value).tobytes()  # type: ignore[arg-type]
    except TypeError:
        text = f"{what} is {value!r:.60} of type {type(value).__name__}, not bytes-like"
        if isinstance(value, list | tuple):
            text += ": give each part as an argument of its own, as by *parts"
        raise TypeError(text) from None


def as_name(value: object, what: str) -> bytes:
    """A tag or an address as ``bytes``; a ``str`` is encoded as UTF-8.

    Raises:
        TypeError: the value is neither ``str`` nor bytes-like.
    """
    return value.encode() if isinstance(value, str) else as_bytes(value, what)


def pack_joined(tag: bytes, body: BytesLike) -> tuple[bytes]:
    """The one part that carries a tag and a body, as a message.

    Raises:
        TypeError: the body is not bytes-like.
        ValueError: the tag holds a NUL, so the receiver would split it there.
    """
    if SEPARATOR in tag:
        raise ValueError(
            f"the tag {tag!r} holds a NUL byte, which ends a tag on the wire; in the other formats "
            "it may (format='two-part')"
        )
    try:
        return (b"%b\0%b" % (tag, body),)  # type: ignore[str-format]  # a buffer will do
    except TypeError:
        return (tag + SEPARATOR + as_body(body),)


def as_body(body: object) -> bytes:
    """The body of a publication that has one, as ``bytes``.

    Raises:
        TypeError: the body is not bytes-like.
    """
    if isinstance(body, list | tuple):
        kind = type(body).__name__
        raise TypeError(f"body is a {kind}: only the formats 'parts' and 'raw' take several parts")
    return as_bytes(body, "body")


def join_topic(tag: bytes, body: BytesLike) -> bytes:
    """One part that carries a tag and a body; raises as `pack_joined`."""
    return pack_joined(tag, body)[0]


class Untagged(tuple[bytes, bytes]):
    """The (tag, body) of a publication that came as one part without a NUL."""

    __slots__ = ()


class InTwoParts(tuple[bytes, bytes]):
    """The (tag, body) of a publication that came as two parts, these two."""

    __slots__ = ()


def split_topic(message: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The (tag, body) of a publication, from which `head` can tell how it came.

    Two parts are tag and body, as plain PUB peers send them. One part is split at its first NUL;
    a part without NUL is a body without a tag.

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
    """The first `length` bytes of the first part in which a publication came."""
    tag, body = publication
    if type(publication) is Untagged:
        return body[:length]
    if type(publication) is InTwoParts or length <= len(tag):
        return tag[:length]
    return tag + SEPARATOR + body[: length - len(tag) - 1]


def pack_request(request_id: bytes, parts: Sequence[bytes]) -> Message:
    """The message by which a DEALER asks; the reply comes back with the same id."""
    return [request_id, b"", *parts]


def split_reply(message: Message) -> tuple[bytes, Message]:
    """The (request id, parts) of a reply that came to a DEALER.

    Raises:
        MalformedMessage: the id is not followed by an empty part.
    """
    if len(message) < 2 or message[1]:
        raise MalformedMessage("a reply starts with the request's id and an empty part", message)
    return message[0], message[2:]


def split_request(message: Message, may_be_empty: bool = False) -> tuple[Message, Message]:
    """The (route, parts) of a request that came to a ROUTER.

    The route is everything before the first empty part: the peer, the proxies on the way, and
    the request's id, which a plain REQ peer does not send.

    Args:
        message: the parts that came.
        may_be_empty: whether the request may have no parts. A REP discards a message with none,
            such as that of a peer with ZMQ_PROBE_ROUTER (zmq_setsockopt(3)).

    Raises:
        MalformedMessage: there is no empty part, no part before it, or too few after it.
    """
    try:
        end = message.index(b"")
    except ValueError:
        end = 0
    if not end:
        raise MalformedMessage("a request has an empty part after its route", message)
    parts = message[end + 1 :]
    if not (parts or may_be_empty):
        raise MalformedMessage("a request with no part behind its route", message)
    return message[:end], parts


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


def join_peer(peer: BytesLike, parts: Sequence[BytesLike]) -> list[BytesLike]:
    """The message by which a ROUTER sends `parts` to one peer.

    Raises:
        TypeError: the peer is not bytes-like.
        ValueError: there are no parts.
    """
    require_parts(parts)
    return [as_bytes(peer, "a peer"), *parts]


def split_peers(burst: Iterable[Message]) -> list[tuple[bytes, Message]]:
    """The (peer, parts) of each message of a burst that came to a ROUTER."""
    return [(message[0], message[1:]) for message in burst]
