"""Topics: counts the subscriptions that an XPUB receives, and tells which tags are wanted."""

from __future__ import annotations

from binascii import crc32
from collections import Counter
from typing import NamedTuple

from zmqbridge.core.framing import SEPARATOR, BytesLike, as_name
from zmqbridge.errors import MalformedMessage

# The longest prefix, in bytes, that we subscribe to; a publisher only counts longer ones. If a SUB
# or XSUB unsubscribes from a prefix of a million bytes, its process ends: libzmq recurses per byte.
LONGEST = 4096
# Before the prefix stands a byte, or a command of ten (ZMTP 3.1).
LONGEST_MESSAGE = LONGEST + 10
# A subscriber that asks for a barrier subscribes to a topic of its own, of this form and length.
PRIVATE = b"\0r"
PRIVATE_LENGTH = 10
NUMBER_LENGTHS = (0, 8)  # bytes: no number, or one as in `sequence`


class Subscribed(NamedTuple):
    """A subscriber, or a proxy for its subscribers, has subscribed to tags with this prefix."""

    tag: bytes
    """What the tags begin with; ``b""`` for all tags."""


class Unsubscribed(NamedTuple):
    """A subscription has ended: its subscriber unsubscribed, or its connection ended."""

    tag: bytes
    """The prefix that it had subscribed to."""


Change = Subscribed | Unsubscribed


def as_prefix(tag: str | BytesLike) -> bytes:
    """The prefix to subscribe to, as ``bytes``; a ``str`` is encoded as UTF-8.

    Raises:
        TypeError: the tag is neither ``str`` nor bytes-like.
        ValueError: the tag is longer than `LONGEST`.
    """
    prefix = as_name(tag, "a tag")
    if len(prefix) > LONGEST:
        raise ValueError(f"a tag of {len(prefix)} bytes: subscribe to {LONGEST} bytes at most")
    return prefix


def is_private(prefix: bytes) -> bool:
    """Whether this is the topic of a barrier, to which no publication belongs."""
    return len(prefix) == PRIVATE_LENGTH and prefix.startswith(PRIVATE)


def is_answer(message: list[bytes]) -> bool:
    """Whether a message is a publisher's answer to a subscriber that asked for a barrier.

    An answer has four parts, so that it differs from a publication: a joined one with an empty tag
    begins with NUL as well. Its third part is empty, or the number of the next publication.
    """
    return (
        len(message) == 4
        and is_private(message[0])
        and len(message[2]) in NUMBER_LENGTHS
        and not message[3]
    )


def answer_header(topic: bytes, random: bytes) -> bytes:
    """The second part of an answer: 4 random bytes, and a checksum of them and the topic."""
    return random + crc32(topic + random).to_bytes(4, "big")


def is_answer_to_any(message: list[bytes]) -> bool:
    """Whether a message is an answer to any subscriber, and no publication that looks like one."""
    header = message[1] if is_answer(message) else b""
    return len(header) == 8 and header == answer_header(message[0], header[:4])


def split_change(message: list[bytes]) -> Change:
    """The change that a message from a subscriber to an XPUB stands for.

    Raises:
        MalformedMessage: it is neither a subscription nor the end of one; a peer may send anything.
    """
    change = message[0]
    if len(message) == 1 and change[:1] == b"\1":
        return Subscribed(change[1:])
    if len(message) == 1 and change[:1] == b"\0":
        return Unsubscribed(change[1:])
    raise MalformedMessage("a subscription is one part that begins with 0 or 1", message)


def pack_change(change: Change) -> bytes:
    """The part by which an XSUB tells a change to its publishers."""
    return (b"\1" if type(change) is Subscribed else b"\0") + change.tag


class Topics:
    """The prefixes that subscribers want, and the number of subscriptions to each.

    The *head* of a publication is the beginning of its first part as far as the tag decides it: the
    tag, and in the joined format the NUL behind it.

    - inputs: `added`, `removed`
    - commands: `close`
    - getters: `count`, `matching`, `wanted`, ``len()``

    Attributes:
        unfounded: how many ends came of subscriptions that had not begun.
    """

    __slots__ = ("_beyond", "_counts", "_lengths", "_too_long", "unfounded")

    def __init__(self) -> None:
        self._counts: dict[bytes, int] = {}
        self._lengths: Counter[int] = Counter()  # how many prefixes have this length
        self._beyond: Counter[bytes] = Counter()  # heads of the prefixes that reach into the body
        self._too_long = 0
        self.unfounded: int = 0

    def __len__(self) -> int:
        return len(self._counts)

    def added(self, prefix: bytes) -> bool:
        """Count a new subscription; True if it is the first one to this prefix."""
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
        """Count the end of a subscription; True if it was the last one to this prefix."""
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
        """How many subscriptions there are to exactly this prefix."""
        return self._counts.get(prefix, 0)

    def matching(self, head: bytes) -> int:
        """How many subscriptions match a publication with this head, whatever its body is."""
        counts = self._counts
        return sum(counts.get(head[:length], 0) for length in self._lengths if length <= len(head))

    def wanted(self, head: bytes) -> bool:
        """Whether a subscriber may want a publication with this head; False is certain.

        True is not certain if a prefix reaches into the body, or is longer than `LONGEST`.
        """
        if head in self._beyond or self._too_long:
            return True
        counts = self._counts
        return any(head[:length] in counts for length in self._lengths if length <= len(head))

    def close(self) -> None:
        """Forget all subscriptions."""
        self._counts, self._too_long = {}, 0
        self._lengths.clear()
        self._beyond.clear()


def head_of(prefix: bytes) -> bytes:
    """The head of a prefix that reaches into the body of a joined publication, else ``b""``."""
    end = prefix.find(SEPARATOR) + 1
    return prefix[:end] if 0 < end < len(prefix) else b""


def lower(counter: Counter[int] | Counter[bytes], key: object) -> None:
    """Count one less, and delete a count of zero."""
    counter[key] -= 1  # type: ignore[index]
    if not counter[key]:  # type: ignore[index]
        del counter[key]
