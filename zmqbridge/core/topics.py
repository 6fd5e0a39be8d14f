"""Topics: what the subscribers of a publisher want, as an XPUB is told, and how often."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from zmqbridge.core.framing import SEPARATOR, BytesLike, as_name
from zmqbridge.errors import MalformedMessage

# Bytes of a prefix that may be subscribed to; of longer ones only how many there are is remembered.
# A SUB or XSUB that drops one of a million bytes ends its process: libzmq does so recursively.
LONGEST = 4096
# A subscriber that asks for a barrier subscribes to a topic of its own, of this form and length.
PRIVATE = b"\0r"
PRIVATE_LENGTH = 10


class Subscribed(NamedTuple):
    """A subscriber, or a proxy for its own, has subscribed to all tags that begin with this."""

    tag: bytes


class Unsubscribed(NamedTuple):
    """One subscription has ended, because its subscriber unsubscribed or its connection ended."""

    tag: bytes


Change = Subscribed | Unsubscribed


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


def is_private(prefix: bytes) -> bool:
    """Whether a subscription only asks for a barrier, so that no publication is meant for it."""
    return len(prefix) == PRIVATE_LENGTH and prefix.startswith(PRIVATE)


def is_answer(message: list[bytes]) -> bool:
    """Whether this is what a publisher answers to one that asks for a barrier.

    It has four parts, so that no publication of ours is taken for it: in one part, that of an empty
    tag begins with NUL as well.
    """
    return len(message) == 4 and is_private(message[0]) and not message[2] and not message[3]


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


class Topics:
    """The prefixes that subscribers want, each with how many subscriptions there are.

    The `head` of a publication is what is known of its first part before there is a body: the tag,
    and the NUL behind it where both are in one part.

    - inputs: `added`, `removed`
    - commands: `clear`
    - getters: `count`, `matching`, `wanted`, ``len()``

    Attributes:
        unfounded: subscriptions that ended without a beginning.
    """

    __slots__ = ("_beyond", "_counts", "_lengths", "_too_long", "unfounded")

    def __init__(self) -> None:
        self._counts: dict[bytes, int] = {}
        self._lengths: Counter[int] = Counter()  # how many prefixes have this length
        self._beyond: Counter[bytes] = Counter()  # heads, of prefixes that reach into the body
        self._too_long = 0
        self.unfounded: int = 0

    def __len__(self) -> int:
        return len(self._counts)

    def added(self, prefix: bytes) -> bool:
        """A prefix was subscribed to; True if it is the first subscription of it."""
        if len(prefix) > LONGEST:
            self._too_long += 1
            return False
        count = self._counts.get(prefix, 0)
        self._counts[prefix] = count + 1
        if not count:
            self._lengths[len(prefix)] += 1
            if head := head_of(prefix):
                self._beyond[head] += 1
        return not count

    def removed(self, prefix: bytes) -> bool:
        """A subscription has ended; True if it was the last of this prefix."""
        if len(prefix) > LONGEST and self._too_long:
            self._too_long -= 1
            return False
        count = self._counts.get(prefix, 0)
        if not count:
            self.unfounded += 1
            return False
        if count > 1:
            self._counts[prefix] = count - 1
            return False
        del self._counts[prefix]
        lower(self._lengths, len(prefix))
        if head := head_of(prefix):
            lower(self._beyond, head)
        return True

    def count(self, prefix: bytes) -> int:
        """How many subscriptions there are of exactly this prefix."""
        return self._counts.get(prefix, 0)

    def matching(self, head: bytes) -> int:
        """How many subscriptions a publication with this head meets, whatever its body is."""
        counts = self._counts
        return sum(counts.get(head[:length], 0) for length in self._lengths if length <= len(head))

    def wanted(self, head: bytes) -> bool:
        """Whether somebody may want a publication with this head; False is certain.

        Where the head ends with NUL, a prefix may reach beyond it into the body.
        """
        if head in self._beyond or self._too_long:
            return True
        counts = self._counts
        return any(head[:length] in counts for length in self._lengths if length <= len(head))

    def clear(self) -> None:
        """Forget all."""
        self._counts, self._too_long = {}, 0
        self._lengths.clear()
        self._beyond.clear()


def head_of(prefix: bytes) -> bytes:
    """The head that a prefix begins with and goes beyond; ``b""`` for one that does not."""
    end = prefix.find(SEPARATOR) + 1
    return prefix[:end] if 0 < end < len(prefix) else b""


def lower(counter: Counter[int] | Counter[bytes], key: object) -> None:
    """Count one less, and forget what comes to nothing."""
    counter[key] -= 1  # type: ignore[index]
    if not counter[key]:  # type: ignore[index]
        del counter[key]
