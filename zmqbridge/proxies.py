"""The values of a proxy: its kinds, its two sides, and its statistics; nothing here has a loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from zmqbridge._bridge import misspelt

if TYPE_CHECKING:
    from zmqbridge.arguments import Addresses, Options
    from zmqbridge.security import Security

__all__ = ["KINDS", "ProxyStatistics", "Side"]

KINDS: Mapping[str, tuple[str, str]] = {
    "requests": ("ROUTER", "DEALER"),
    "pubsub": ("XSUB", "XPUB"),
    "pipeline": ("PULL", "PUSH"),
}
"""Of each kind of proxy, the types of the front and of the back socket.

Clients, publishers and pushers talk to the front; workers, subscribers and pullers to the back.
"""

WAYS = ("bind", "connect")


@dataclass(frozen=True, slots=True)
class Side:
    """One socket of a proxy: an address alone is a `Side` that binds to it.

    Attributes:
        bind: one address or several to bind to.
        connect: one address or several to connect to, as of a proxy behind another one.
        options: values of libzmq's options by their number, e.g. ``{zmq.SNDHWM: 100}``.
        security: credentials, or what is asked of clients: one of `zmqbridge.security`.
    """

    bind: Addresses = ()
    connect: Addresses = ()
    options: Options | None = None
    security: Security | None = None

    if not TYPE_CHECKING:
        __new__, __signature__ = misspelt.new, misspelt.ShownOwn()

    @classmethod
    def parse(cls, text: str, **more: Any) -> Side:
        """A side as one word: addresses with commas between them.

        Each may have ``bind:`` or ``connect:`` in front; by default it is bound.

        Args:
            text: e.g. ``"connect:tcp://one:5555,connect:tcp://two:5555"``.
            more: further attributes.

        Raises:
            ValueError: an address has no transport.
        """
        places: dict[str, Any] = {way: [] for way in WAYS}
        for word in text.split(","):
            way, found, place = word.partition(":")
            if not found or way not in WAYS:
                way, place = "bind", word
            if "://" not in place:
                raise ValueError(f"{word!r}: write it as tcp://127.0.0.1:5555 or connect:tcp://…")
            places[way].append(place)
        return cls(**places, **more)


class ProxyStatistics(NamedTuple):
    """What has passed a proxy since it was made, in parts of messages as libzmq counts them.

    A message of three parts counts three times. What was received and not sent is at most one
    part, which waits for a peer.
    """

    front_received: int
    """Parts that came from the front's peers."""
    front_received_bytes: int
    """Their bytes."""
    front_sent: int
    """Parts that went to the front's peers: replies, subscriptions."""
    front_sent_bytes: int
    """Their bytes."""
    back_received: int
    """Parts that came from the back's peers."""
    back_received_bytes: int
    """Their bytes."""
    back_sent: int
    """Parts that went to the back's peers."""
    back_sent_bytes: int
    """Their bytes."""
