"""Sequence: how a Publisher numbers its publications, and which of them it can send again."""

from __future__ import annotations

from typing import Literal, get_args

from zmqbridge.core.framing import Address

__all__ = ["By", "Sequence"]

By = Literal["publisher", "tag"]
"""What has numbers of its own: the publisher as a whole, or each of its tags."""

MOST = 2**63  # numbers above are not given, so that the last ones of 8 bytes stay free


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

    Raises:
        TypeError, ValueError: an argument is no whole number, or too small, or no such thing.
    """

    __slots__ = ("by", "first", "keep", "replay", "size")

    def __init__(
        self,
        replay: Address | None = None,
        *,
        keep: int = 10_000,
        size: int = 64 * 1024 * 1024,
        by: By = "publisher",
        first: int = 0,
    ) -> None:
        for name, value, least in (("keep", keep, 1), ("size", size, 1), ("first", first, 0)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name}={value!r}: give a whole number")
            if not least <= value < MOST:
                raise ValueError(f"{name}={value!r}: at least {least}, and less than 2**63")
        counted_by(by)
        self.replay: Address | None = replay
        self.keep: int = keep
        self.size: int = size
        self.by: By = by
        self.first: int = first

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={getattr(self, name)!r}" for name in sorted(self.__slots__))
        return f"Sequence({given})"


def counted_by(by: object) -> bool:
    """Whether each tag has numbers of its own.

    Raises:
        ValueError: it is neither "publisher" nor "tag".
    """
    if by not in get_args(By):
        raise ValueError(f"{by!r}: publications are numbered by 'publisher' or by 'tag'")
    return by == "tag"
