"""Shapes: publications of connections whose attribute asks for another format than txZMQ's."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from zmqbridge.core.formats import FORMATS, Format, as_part_list
from zmqbridge.core.framing import BytesLike, Message, as_name
from zmqbridge.errors import MalformedMessage

if TYPE_CHECKING:
    from zmqbridge.txzmq.pubsub import ZmqPubConnection, ZmqSubConnection


def shape_of(connection: ZmqPubConnection | ZmqSubConnection) -> Format | None:
    """The format that a connection's attribute names; None for txZMQ's own."""
    wanted: Any = connection.publicationFormat
    found = FORMATS.get(wanted) if isinstance(wanted, str) else None
    if found is None:
        # txZMQ has no such attribute, so a program may have one of this name.
        warnings.warn(
            f"{type(connection).__name__}.publicationFormat is {wanted!r}, none of "
            f"{', '.join(map(repr, FORMATS))}: publications are in txZMQ's format",
            stacklevel=4,
        )
    return None if wanted == "joined" else found


def shaped(shape: Format, message: Any, tag: bytes) -> Sequence[BytesLike]:
    """The parts of a publication; ``str`` is sent as UTF-8.

    Raises:
        TypeError: the message is not of the type that the format has: a body, or parts.
        ValueError: there is a tag, and the format has none; or there are no parts.
    """
    if shape is FORMATS["two-part"]:
        return shape.pack(tag, as_name(message, "a message"))
    parts = message if isinstance(message, str | bytes) else _encoded(message)
    return shape.pack(tag, parts)


def _encoded(parts: Iterable[str | BytesLike]) -> list[bytes]:
    return [as_name(part, "a part") for part in as_part_list(parts)]  # type: ignore[arg-type]


def received(connection: ZmqSubConnection, shape: Format | None, message: Message) -> None:
    """Call `gotMessage` with a publication, if it fits the format and its tag is wanted."""
    driver = connection._zmqbridge__driver
    if shape is None:
        tag, body = _split(connection.topicSep, message)
    else:
        try:
            found = shape.split(message)
        except MalformedMessage as malformed:
            driver.reject(malformed)
            return
        tag, body = (b"", found) if shape is FORMATS["raw"] else found
    first = message[0] if shape is FORMATS["raw"] else tag
    if connection.exactTags is not True or driver.takes(first):
        connection.gotMessage(body, tag)


def _split(separator: bytes, message: Message) -> tuple[bytes, bytes]:
    if len(message) == 2:
        return message[0], message[1]
    tag, found, body = message[0].partition(separator)
    return (tag, body) if found else (b"", message[0])
