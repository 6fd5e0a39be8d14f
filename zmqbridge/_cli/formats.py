"""Formats: messages as lines of text, of hexadecimal, or of JSON, and back."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, NamedTuple, Protocol

EMPTY = b"-"  # an empty part in hexadecimal, because an empty word cannot be seen


class Item(NamedTuple):
    """A message as the command line knows it.

    Attributes:
        parts: its parts; for a publication only the body.
        tag: that of a publication; None for any other message, and for a line without a tag.
        peer: the sender or the receiver; None where the socket knows no peers.
    """

    parts: list[bytes]
    tag: bytes | None = None
    peer: bytes | None = None


class Format(Protocol):
    """How a message is written as one line."""

    def write(self, item: Item) -> bytes:
        """The line, without its end."""

    def read(self, line: bytes, fields: int) -> Item:
        """The message for which a line, without its end, stands.

        Args:
            line: as `write` gave it, or as a person has typed it.
            fields: how many fields may come before the parts: 1 for a tag or a peer.

        Raises:
            ValueError: the line stands for no message; the text says what to write.
        """


class Lines:
    """Text: a line is one part. A message of several parts is shown with tabs between them."""

    def write(self, item: Item) -> bytes:
        before = [each for each in (item.peer, item.tag) if each is not None]
        return b"\t".join([*before, *item.parts])

    def read(self, line: bytes, fields: int) -> Item:
        return Item([line])


class Hex:
    """Hexadecimal: the peer or tag if there is one, and the parts, with spaces in between."""

    def write(self, item: Item) -> bytes:
        before = [each for each in (item.peer, item.tag) if each is not None]
        return b" ".join(part.hex().encode() or EMPTY for part in [*before, *item.parts])

    def read(self, line: bytes, fields: int) -> Item:
        try:
            parts = [b"" if field == EMPTY else binascii.unhexlify(field) for field in line.split()]
        except binascii.Error as error:
            raise ValueError(f"{error}; give each part as hexadecimal, and - for none") from None
        if len(parts) <= fields:
            raise ValueError(f"{len(parts)} fields; give {fields + 1} at least, and - for none")
        first = parts[0] if fields else None
        return Item(parts[fields:], first, first)


class Json:
    """JSON: an object with ``parts``, and ``tag`` or ``peer`` where there is one.

    What is UTF-8 is a string, all else an object with ``base64``.
    """

    def write(self, item: Item) -> bytes:
        fields = {"peer": item.peer, "tag": item.tag}
        line: dict[str, Any] = {k: as_json(v) for k, v in fields.items() if v is not None}
        line["parts"] = [as_json(part) for part in item.parts]
        return json.dumps(line, ensure_ascii=False).encode()

    def read(self, line: bytes, fields: int) -> Item:
        example = 'give an object as {"parts": ["text", {"base64": "AA=="}]}'
        try:
            given = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{error}; {example}") from None
        parts = given.get("parts") if isinstance(given, dict) else None
        if not isinstance(parts, list) or not parts:
            raise ValueError(f"no parts; {example}")
        named = {name: from_json(given[name]) for name in ("tag", "peer") if name in given}
        return Item([from_json(part) for part in parts], **named)


FORMATS: dict[str, type[Format]] = {"lines": Lines, "hex": Hex, "json": Json}


def as_json(part: bytes) -> str | dict[str, str]:
    """A part for a line of JSON."""
    try:
        return part.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(part).decode()}


def from_json(part: Any) -> bytes:
    """A part out of a line of JSON.

    Raises:
        ValueError: the value is no part.
    """
    try:
        if isinstance(part, str):
            return part.encode()
        return base64.b64decode(part["base64"], validate=True)
    except (TypeError, KeyError, ValueError):
        raise ValueError(f'{part!r} is no part; give a string or {{"base64": …}}') from None
