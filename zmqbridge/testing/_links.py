"""Links: how messages get from node to node: which cables are out, how fast the others are."""

from __future__ import annotations

from math import inf
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from zmqbridge.testing._nodes import Node

# The default latency of a message, as on one host or a local network: the least and the most.
LATENCY = (0.00005, 0.0002)  # seconds


class Speed(NamedTuple):
    """How fast messages go from one node to another."""

    latency: tuple[float, float] = LATENCY
    per_second: float = inf


class Links:
    """The directed links between the nodes.

    - commands: `silence`, `heal`, `slow`
    - getters: `blocked`, `pace`, `silent`

    Args:
        random: the source of random numbers.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._silent: dict[tuple[Node, Node], None] = {}
        self._paces: dict[tuple[Node, Node], Speed] = {}
        self._pace = Speed()

    def silence(self, source: Node, target: Node) -> None:
        """Let no message get from one node to another."""
        self._silent[source, target] = None

    def heal(self, one: Node, other: Node) -> None:
        """Let messages get through again, in both directions."""
        self._silent.pop((one, other), None)
        self._silent.pop((other, one), None)

    def slow(self, one: Node, other: Node, pace: Speed) -> None:
        """Set the pace of both directions."""
        self._paces[one, other] = self._paces[other, one] = pace

    def blocked(self, source: Node, target: Node) -> bool:
        """Whether no message can get from one node to another now."""
        return source.paused or target.paused or (source, target) in self._silent

    def pace(self, source: Node, target: Node) -> tuple[float, float]:
        """The latency of the next message in seconds, and the bytes per second."""
        (low, high), per_second = self._paces.get((source, target), self._pace)
        return low + (high - low) * self._random.random(), per_second

    def silent(self) -> list[str]:
        """The directions that are silent, in words."""
        return [f"{source.name} to {target.name}" for source, target in self._silent]


def pace_of(latency: Any, per_second: Any) -> Speed:
    """The pace that was given.

    Raises:
        ValueError: a number is out of range, or is none.
    """
    try:
        low, high = latency
        fine = 0 <= low <= high < inf
    except (TypeError, ValueError):
        fine = False
    if not fine:
        raise ValueError(
            f"latency={latency!r}: give the least and the most seconds, as (0.001, 0.05)"
        )
    if not isinstance(per_second, int | float) or not per_second > 0:
        raise ValueError(f"per_second={per_second!r}: give bytes a second, more than 0")
    return Speed((low, high), per_second)
