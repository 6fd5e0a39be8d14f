"""Topics: what the subscribers of a publisher want, as an XPUB is told."""

from __future__ import annotations

from typing import NamedTuple

from zmqbridge.core.framing import BytesLike, as_name
from zmqbridge.errors import MalformedMessage

# Bytes of a prefix that may be subscribed to. An XSUB or SUB that drops one of a million bytes ends
# its process: libzmq drops its nodes, one for each byte, recursively.
LONGEST = 4096


class Subscribed(NamedTuple):
    """A subscriber, or a proxy for its own, has subscribed to all tags that begin with this."""

    tag: bytes


class Unsubscribed(NamedTuple):
    """One subscription has ended, because its subscriber unsubscribed or its connection ended."""

    tag: bytes


def as_prefix(tag: str | BytesLike) -> bytes:
    """A tag to subscribe to as ``bytes``; a ``str`` is encoded as UTF-8.

    Raises:
        TypeError: the tag is neither ``str`` nor bytes-like.
        ValueError: it is too long.
    """
    prefix = as_name(tag, "a tag")
    if len(prefix) > LONGEST:
        raise ValueError(f"a tag of {len(prefix)} bytes: subscribe to {LONGEST} bytes at most")
    return prefix


Change = Subscribed | Unsubscribed


def split_change(message: list[bytes]) -> Change:
    """What a message from a subscriber to an XPUB says.

    Raises:
        MalformedMessage: it is neither a subscription nor its end. A peer may send anything.
    """
    change = message[0]
    if len(message) == 1 and change[:1] == b"\1":
        return Subscribed(change[1:])
    if len(message) == 1 and change[:1] == b"\0":
        return Unsubscribed(change[1:])
    raise MalformedMessage("a subscription is one part that begins with 0 or 1", message)


def pack_change(change: Change) -> bytes:
    """The part by which an XSUB says this to its publishers."""
    return (b"\1" if type(change) is Subscribed else b"\0") + change.tag
