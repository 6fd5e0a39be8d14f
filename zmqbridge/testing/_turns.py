"""Turns: in which order a simulated socket reads from its peers, or writes to them.

As libzmq's (fq.cpp, lb.cpp): those that have something, or room, stand in front; the turn goes
round among them; one that has no more changes places with the last of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zmqbridge.testing._ends import End


class Turns:
    """The ends of a socket, of which the first `active` take turns.

    Attributes:
        ends: all of them.
        active: how many have something.
        current: whose turn it is.
    """

    __slots__ = ("_places", "active", "current", "ends")

    def __init__(self) -> None:
        self.ends: list[End] = []
        self._places: dict[End, int] = {}
        self.active = self.current = 0

    def __contains__(self, end: End) -> bool:
        return end in self._places

    def add(self, end: End) -> None:
        """One more, which takes its turn at once."""
        self._places[end] = len(self.ends)
        self.ends.append(end)
        self.activate(end)

    def activate(self, end: End) -> None:
        """It has something again."""
        place = self._places.get(end, -1)
        if place >= self.active:
            self._swap(place, self.active)
            self.active += 1

    def advance(self) -> None:
        """It is the next one's turn."""
        self.current = (self.current + 1) % self.active

    def rest(self) -> None:
        """Whose turn it is has no more."""
        self.active -= 1
        self._swap(self.current, self.active)
        if self.current == self.active:
            self.current = 0

    def remove(self, end: End) -> None:
        """It is no more."""
        place = self._places.get(end)
        if place is None:
            return
        if place < self.active:
            self.active -= 1
            self._swap(place, self.active)
            place = self.active
            if self.current == self.active:
                self.current = 0
        self._swap(place, len(self.ends) - 1)
        self.ends.pop()
        del self._places[end]

    def _swap(self, one: int, other: int) -> None:
        if one != other:
            ends = self.ends
            ends[one], ends[other] = ends[other], ends[one]
            self._places[ends[one]] = one
            self._places[ends[other]] = other
