"""Topics: what the subscribers of a publisher want, as an XPUB is told."""

from __future__ import annotations

from typing import NamedTuple

from zmqbridge.errors import MalformedMessage


class Subscribed(NamedTuple):
    """A subscriber, or a proxy for its own, has subscribed to all tags that begin with this."""

    tag: bytes


class Unsubscribed(NamedTuple):
    """One subscription has ended, because its subscriber unsubscribed or its connection ended."""

    tag: bytes


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
