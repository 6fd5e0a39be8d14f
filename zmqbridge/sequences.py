"""Sequence: how a Publisher numbers its publications, and which of them it can send again."""

from __future__ import annotations

from typing import Literal, get_args

from zmqbridge.core.framing import Address

__all__ = ["By", "Sequence"]

By = Literal["publisher", "tag"]
"""What has numbers of its own: the publisher as a whole, or each of its tags."""

MOST = 2**62  # no number begins above, so that the first bit of 8 bytes stays free


class Sequence:
    """Numbers for publications, and memory of the last of them.

    A numbered publication has three parts: the tag, the number in 8 bytes, big-endian, and the
    body. Subscribers that see a number missing ask for it at the address of `replay`.

    Args:
        replay: one address to bind to, at which publications are asked for again; None for none.
        keep: how many of the last publications are kept, at least 1.
        size: how many bytes of tags and bodies they have at most.
        by: what has numbers of its own: ``"publisher"``, as inference engines have it, where
            subscribers take all tags, or ``"tag"``.
        first: the first number. A subscriber notices a restart by numbers that go back; so let
            them begin higher after each start, for example at ``time.time_ns()``, if a restarted
            publisher may be ahead of what a subscriber has heard before.
        last_values: of how many tags the last publication is kept also when it is none of the last
            `keep` ones, for subscribers with ``latest=True``. The numbers are by tag then.

    Raises:
        TypeError, ValueError: an argument is no whole number, or too small, or no such thing.
    """

    __slots__ = ("by", "first", "keep", "last_values", "replay", "size")

    def __init__(
        self,
        replay: Address | None = None,
        *,
        keep: int = 10_000,
        size: int = 64 * 1024 * 1024,
        by: By = "publisher",
        first: int = 0,
        last_values: int = 0,
    ) -> None:
        whole_number("keep", keep, 1)
        whole_number("size", size, 1)
        whole_number("first", first, 0)
        whole_number("last_values", last_values, 0)
        if not counted_by(by) and last_values:
            raise ValueError("last_values= goes with by='tag': with others, old numbers come late")
        self.replay: Address | None = replay
        self.keep: int = keep
        self.size: int = size
        self.by: By = by
        self.first: int = first
        self.last_values: int = last_values

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={getattr(self, name)!r}" for name in sorted(self.__slots__))
        return f"Sequence({given})"


def whole_number(name: str, value: object, least: int) -> int:
    """An argument that is a number.

    Raises:
        TypeError: it is no int.
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
