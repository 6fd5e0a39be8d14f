"""Sequence: how a Publisher numbers its publications, and which of them it can send again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, get_args

from zmqbridge._bridge import misspelt
from zmqbridge.core._checks import ONE
from zmqbridge.core.framing import Address, as_name

__all__ = ["By", "Sequence"]

By = Literal["publisher", "tag"]
"""What has numbers of its own: the publisher as a whole, or each of its tags."""

MOST = 2**62  # no number begins above, so that the first bit of 8 bytes stays free


class Sequence:
    """Has a Publisher number its publications and keep the last ones.

    A numbered publication has three parts: the tag, the number in 8 bytes, big-endian, and the
    body. Subscribers that miss a number ask for it at the address of `replay`.

    Args:
        replay: the address to bind to, at which subscribers ask for publications again; or None.
        keep: how many of the last publications are kept, at least 1.
        size: how many bytes of tags and bodies are kept at most.
        by: ``"publisher"`` for one count of all publications, as inference engines have it, for
            subscribers that take all tags; ``"tag"`` for a count of each tag.
        first: the first number. By default it is one that no other publisher has, also none that
            had this address before: 2**62 and above, with 30 random bits, and 32 that count. So
            every restart is noticed, and that a tag is new. ``first=0`` counts as inference engines
            do; then a restart is noticed only when the numbers have gone back.
        last_values: for how many tags the last publication is kept even if it is not among the
            last `keep` ones, for subscribers with ``latest=True``. It needs ``by="tag"``.

    Raises:
        TypeError, ValueError: an argument is not of these types, or out of range.
    """

    __slots__ = ("by", "first", "keep", "last_values", "replay", "size")

    if not TYPE_CHECKING:
        __new__, __signature__ = misspelt.new, misspelt.ShownOwn()

    def __init__(
        self,
        replay: Address | None = None,
        *,
        keep: int = 10_000,
        size: int = 64 * 1024 * 1024,
        by: By = "publisher",
        first: int | None = None,
        last_values: int = 0,
    ) -> None:
        if replay is not None and not isinstance(replay, ONE):
            said = "give the address at which publications are asked for again, e.g."
            raise TypeError(f"replay={replay!r}: {said} 'tcp://*:5556'")
        whole_number("keep", keep, 1)
        whole_number("size", size, 1)
        if first is not None:
            whole_number("first", first, 0)
        whole_number("last_values", last_values, 0)
        if not counted_by(by) and last_values:
            raise ValueError("last_values= goes with by='tag': with others, old numbers come late")
        self.replay: Address | None = replay
        self.keep: int = keep
        self.size: int = size
        self.by: By = by
        self.first: int | None = first
        self.last_values: int = last_values

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={getattr(self, name)!r}" for name in sorted(self.__slots__))
        return f"Sequence({given})"


def whole_number(name: str, value: object, least: int) -> int:
    """Return an argument that is a whole number.

    Raises:
        TypeError: it is not an int.
        ValueError: it is less than `least`, or 2**62 or more.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}={value!r}: give a whole number")
    if not least <= value < MOST:
        raise ValueError(f"{name}={value!r}: at least {least}, and less than 2**62")
    return value


def counted_by(by: object) -> bool:
    """Whether each tag has numbers of its own.

    Raises:
        ValueError: it is neither "publisher" nor "tag".
    """
    if by not in get_args(By):
        raise ValueError(f"{by!r}: publications are numbered by 'publisher' or by 'tag'")
    return by == "tag"


def places_of(since: object, by_tag: bool) -> dict[bytes, int]:
    """The last numbers that were received: by tag, or that of the publisher under ``b""``.

    Raises:
        TypeError: it is not a number, or with `by_tag` a mapping from tags to numbers.
        ValueError: a number is out of range.
    """
    if since is None:
        return {}
    if not by_tag:
        if isinstance(since, Mapping):
            raise TypeError("since= is one number: the publications are numbered by publisher")
        return {b"": whole_number("since", since, -1)}
    if not isinstance(since, Mapping):
        raise TypeError(f"since={since!r}: with numbers by tag, give a mapping from tag to number")
    return {
        as_name(tag, "a tag"): whole_number(f"since[{tag!r}]", number, -1)
        for tag, number in since.items()
    }
