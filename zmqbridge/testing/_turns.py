"""Turns: the order in which a simulated socket reads from its peers, or writes to them.

As in libzmq (fq.cpp, lb.cpp), the active ends, which have a message or room, stand at the front of
a list, and take turns. An end that is not active any more changes places with the last active one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zmqbridge.testing._ends import End


class Turns:
    """The ends of a socket, of which the first `active` ones take turns.

    Attributes:
        ends: all ends.
        active: how many of them are active.
        current: the index of the end whose turn it is.
    """

    __slots__ = ("_places", "active", "current", "ends")

    def __init__(self) -> None:
        self.ends: list[End] = []
        self._places: dict[End, int] = {}
        self.active = self.current = 0

    def __contains__(self, end: End) -> bool:
        return end in self._places

    def add(self, end: End) -> None:
        """Add an end, as an active one."""
        self._places[end] = len(self.ends)
        self.ends.append(end)
        self.activate(end)

    def activate(self, end: End) -> None:
        """Make an end active: it has a message, or room, again."""
        place = self._places.get(end, -1)
        if place >= self.active:
            self._swap(place, self.active)
            self.active += 1

    def advance(self) -> None:
        """Give the turn to the next active end."""
        self.current = (self.current + 1) % self.active

    def deactivate(self) -> None:
        """Make the end whose turn it is inactive."""
        self.active -= 1
        self._swap(self.current, self.active)
        if self.current == self.active:
            self.current = 0

    def remove(self, end: End) -> None:
        """Remove an end, if it is here."""
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
