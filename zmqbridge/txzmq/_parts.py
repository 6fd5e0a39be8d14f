"""The parts of a message to send, which programs give as one part or as an iterable of parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zmqbridge.core.framing import as_bytes, as_parts
from zmqbridge.txzmq.compat import is_nonstr_iter


def parts_of(message: Any) -> Sequence[bytes]:
    """The parts of a message to send, which is given as one part or as an iterable of parts.

    Raises:
        TypeError: a part is not bytes-like.
        ValueError: there are no parts.
    """
    if not is_nonstr_iter(message) or isinstance(message, bytearray | memoryview):
        return (as_bytes(message, "a message"),)
    parts = as_parts(list(message))
    if not parts:
        raise ValueError("a message has at least one part; an empty part is b''")
    return parts


def as_they_are(message: Any) -> Sequence[Any]:
    """The parts of a message to send, without a check of their types."""
    return list(message) if is_nonstr_iter(message) else (message,)
