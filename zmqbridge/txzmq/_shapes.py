"""Shapes: publications of connections whose attribute asks for another format than txZMQ's."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from zmqbridge.core._formats import FORMATS, Format, as_part_list
from zmqbridge.core.framing import BytesLike, as_name


def shape_of(connection: Any) -> Format | None:
    """The format that the attribute of a connection names; None for txZMQ's own."""
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
