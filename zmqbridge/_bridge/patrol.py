"""Patrol: which of a ROUTER's stuck peers are looked after, and when.

Nothing tells which of them has room again: all are tried. Trying one takes 2.5 µs, so more than a
few are tried by the clock, in 5 % of the time, instead of in every turn. Whose connection has gone
is found out as well, see `Connections`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from zmqbridge._bridge.connections import Connections
from zmqbridge.core.pacing import BURST

FEW = 16
APART = 50e-6  # seconds, for each
# A peer that has died is noticed so soon; see `Connections`.
PATROL = 0.5  # seconds
# Where nothing tells whether it has (inproc), only libzmq can, when all that it had sent was read.
# So reading goes on beyond what there is room for, but no further than this.
BEYOND = 10_000  # messages


def pause_of(stuck: int) -> float:
    """The seconds between two patrols while so many peers are stuck, ``inf`` for none."""
    return min(PATROL, stuck * APART) if stuck > FEW else PATROL if stuck else inf


class Patrol:
    """What a ROUTER knows of its peers' connections, and where its round of them is.

    - commands: `begin` (a round, which tells who has gone), `end`, `age`
    - inputs: `allows` (a burst is to be read)

    Attributes:
        connections: by which connection each peer was heard of last.
        known, lost: those of `connections`, at hand for each message.
        ages_at: when `connections` are to age.
        untried: the lanes that have yet to be tried in this round.
        reads_on: reading is to go on where there is no room.
    """

    __slots__ = ("_beyond", "_next", "ages_at", "connections", "known", "lost", "reads_on",
                 "untried")  # fmt: skip

    def __init__(self) -> None:
        self.connections = Connections()
        self.known = self.connections.known
        self.lost = self.connections.lost
        self.ages_at = 0.0
        self.untried: Sequence[bytes] = ()
        self.reads_on = False
        self._beyond = 0
        self._next = 0  # of the stuck peers, how many were asked for since all were

    def begin(self, stuck: Sequence[bytes], unread: bool) -> list[bytes]:
        """Begin a round; returns those of some peers whose connection has gone.

        Args:
            stuck: the peers for whom messages wait, at least one.
            unread: messages stay unread, so libzmq does not tell itself who has gone.
        """
        # To ask how a connection is takes 8 µs, so of many peers each time some are asked for.
        first = self._next if self._next < len(stuck) else 0
        self._next = first + 1 + int(len(stuck) * pause_of(len(stuck)) / PATROL)
        asked = stuck[first : self._next]
        silent = self.connections.is_silent
        self.reads_on = self._beyond < BEYOND and any(silent(peer) for peer in asked)
        return [peer for peer in asked if unread and self.connections.has_gone(peer)]

    def end(self, stuck: Sequence[bytes]) -> None:
        """Nobody is asked for any more; with no peer stuck, reading beyond begins anew."""
        self.reads_on = False
        if not stuck:
            self._beyond = 0

    def allows(self, room: int, now: float) -> int:
        """How many messages may be read where there is room for so many; connections age."""
        if now > self.ages_at:
            self.age(now)
        if room > 0 or not self.reads_on:
            return room
        self._beyond += BURST
        return BURST

    def age(self, now: float) -> None:
        """Have connections looked at again when their peers are next heard of."""
        self.ages_at = now + self.connections.age()
