"""Patrol: when each stuck peer of a ROUTER is tried again, and which peers have gone.

libzmq does not tell which stuck peer has room again, so all of them are tried. One try takes
2.5 µs. So when more than a few are stuck, they are tried by the clock, in 5 % of the time, instead
of in every turn.

libzmq ends the pipe of a dead peer only when everything that the peer sent has been read; until
then it says that the pipe is full. If the program does not read on, because it waits to send to
this same peer, libzmq never tells. But each message names the descriptor by which it came
(ZMQ_SRCFD in zmq_msg_get(3)), and the system knows the state of that descriptor. libzmq may keep
the descriptor open after the peer has hung up, if libzmq could not read at that moment.
"""

from __future__ import annotations

import os
import select
from collections.abc import Sequence
from math import inf
from typing import Any

import zmq

from zmqbridge.core._pacing import BURST

FEW = 16
APART = 50e-6  # seconds, for each
# After this time we notice that a peer has died; see `Connections`.
PATROL = 0.5  # seconds
# Where the system cannot tell whether a peer has died (inproc), libzmq tells it when all messages
# of the peer were read. So we read more messages than there is room for, but at most this number.
BEYOND = 10_000  # messages
# While we read so, the next patrol comes after this time. A turn reads for 1 ms, so this takes 5 %
# of the time.
HASTE = 0.02  # seconds

SRCFD = int(zmq.SRCFD)
# On Windows fstat does not know the number of a socket.
TELLS = os.name == "posix" and hasattr(select, "poll")
# A peer whose sending half is closed has closed its connection: ZMTP does not use half-closed
# connections. On macOS POLLHUP tells this.
HUNG_UP = getattr(select, "POLLRDHUP", 0)
# With more remembered peers than this, we search for those that have left, and forget them.
MANY = 1024
# A peer may come back by another connection. So after this time we ask the next message of a peer
# again by which connection it came; with many peers less often, so that this takes 0.4 % of the
# time.
AGE = 1.0  # seconds
AGE_OF_EACH = 0.001  # seconds


# A descriptor and the inode behind it, which differs when the number is used again.
Connection = tuple[int, int]


def is_up(came_by: Connection) -> bool:
    """Whether a connection is still open here, and its peer has not hung up."""
    if connection(came_by[0]) != came_by:
        return False
    asking = select.poll()
    asking.register(came_by[0], HUNG_UP)
    told = asking.poll(0)  # this always includes POLLERR and POLLHUP
    return not told


def connection(fd: int) -> Connection | None:
    """The connection that has this descriptor now; None if it is closed."""
    try:
        return fd, os.fstat(fd).st_ino
    except OSError:
        return None


class Connections:
    """The connection by which the last message of each peer came.

    About a peer whose connection is not known (inproc, or it has sent nothing yet) it says nothing.

    - inputs: `learn` (a message came from a peer that is not in `known`), `age` (time passed)
    - getters: `known`, `is_silent`, `has_gone`

    Attributes:
        known: the connection of each peer that sent something lately; None if the peer has no
            descriptor that could be asked.
        lost: the peers that have gone, with their connections. The caller removes a peer when it
            takes a message, or when libzmq itself says that the peer is unreachable.
    """

    __slots__ = ("_older", "_sweep_at", "known", "lost")

    def __init__(self) -> None:
        self.known: dict[bytes, Connection | None] = {}
        self._older: dict[bytes, Connection | None] = {}  # peers that sent nothing since `age`
        self.lost: dict[bytes, Connection] = {}
        self._sweep_at = MANY

    def learn(self, peer: bytes, frame: Any) -> None:
        """Remember the connection by which a message came; `frame` is any part but the first."""
        came_by = None
        if TELLS:
            try:
                fd: int = frame.get(SRCFD)
            except (AttributeError, zmq.ZMQError):  # no descriptor; or pyzmq is not compiled
                pass
            else:
                came_by = connection(fd)
                lost = self.lost.get(peer)
                # The connection of this message has gone; its number may be in use again.
                if came_by is None or (lost is not None and lost[0] == fd):
                    return
        self.known[peer] = came_by
        self._older.pop(peer, None)
        self.lost.pop(peer, None)
        if len(self.known) + len(self._older) > self._sweep_at:
            self._sweep()

    def age(self) -> float:
        """Ask each peer's next message for its connection again; call this as time passes.

        Returns:
            After how many seconds to call this again.
        """
        self._older |= self.known
        self.known.clear()
        return max(AGE, len(self._older) * AGE_OF_EACH)

    def is_silent(self, peer: bytes) -> bool:
        """Whether there is no connection by which we could see that this peer has gone."""
        return (self.known.get(peer) or self._older.get(peer)) is None

    def _sweep(self) -> None:
        for peers in (self.known, self._older):
            for peer, came_by in list(peers.items()):
                if came_by is None or not is_up(came_by):
                    del peers[peer]
        self._sweep_at = max(MANY, 2 * (len(self.known) + len(self._older)))

    def has_gone(self, peer: bytes) -> bool:
        """Whether a peer that takes no messages has lost its connection."""
        came_by = self.known.get(peer) or self._older.get(peer)
        if came_by is not None and not is_up(came_by):
            self.known.pop(peer, None)
            self._older.pop(peer, None)
            self.lost[peer] = came_by
            if len(self.lost) > MANY:
                del self.lost[next(iter(self.lost))]
        return peer in self.lost


def pause_of(stuck: int) -> float:
    """The seconds between two patrols while this number of peers is stuck, ``inf`` for none."""
    return min(PATROL, stuck * APART) if stuck > FEW else PATROL if stuck else inf


class Patrol:
    """What a ROUTER knows of its peers' connections, and how far its round of them is.

    - commands: `begin` (a round, which tells which peers have gone), `end`, `age`
    - inputs: `allows` (a burst is to be read)

    Attributes:
        connections: by which connection the last message of each peer came.
        known, lost: the attributes of `connections`, which are read for each message.
        ages_at: when to call `age`.
        untried: the lanes that were not tried yet in this round.
        reads_on: whether to read messages for which there is no room.
    """

    __slots__ = ("_beyond", "_next", "_went_on", "ages_at", "connections", "known", "lost",
                 "reads_on", "untried")  # fmt: skip

    def __init__(self) -> None:
        self.connections = Connections()
        self.known = self.connections.known
        self.lost = self.connections.lost
        self.ages_at = 0.0
        self.untried: Sequence[bytes] = ()
        self.reads_on = False
        self._went_on = False
        self._beyond = 0
        self._next = 0  # the index of the stuck peer to ask for next

    def begin(self, stuck: Sequence[bytes], unread: bool) -> list[bytes]:
        """Begin a round; returns the peers, of those asked for now, whose connection has gone.

        Args:
            stuck: the peers for which messages wait, at least one.
            unread: messages stay unread, so libzmq itself does not tell which peers have gone.
        """
        # To ask for the state of a connection takes 8 µs, so only some of many peers are asked for.
        first = self._next if self._next < len(stuck) else 0
        self._next = first + 1 + int(len(stuck) * pause_of(len(stuck)) / PATROL)
        asked = stuck[first : self._next]
        silent = self.connections.is_silent
        self.reads_on = self._beyond < BEYOND and any(silent(peer) for peer in asked)
        return [peer for peer in asked if unread and self.connections.has_gone(peer)]

    def end(self, stuck: Sequence[bytes], read: int = 0) -> float:
        """The round is over. When no peer is stuck, the count of messages read beyond is reset.

        Args:
            stuck: the peers for which messages waited when the round began.
            read: how many messages were read in this round, which may be fewer than allowed.

        Returns:
            In how many seconds the next round is due at the latest.
        """
        went_on = self._went_on and read > 0
        self.reads_on = self._went_on = False
        self._beyond = self._beyond + read * went_on if stuck else 0
        return HASTE if went_on else inf

    def allows(self, room: int, now: float) -> int:
        """How many messages may be read when there is room for `room`; also lets time pass."""
        if now > self.ages_at:
            self.age(now)
        if room > 0 or not self.reads_on:
            return room
        self._went_on = True
        return BURST

    def age(self, now: float) -> None:
        """Have the next message of each peer tell again by which connection it came."""
        self.ages_at = now + self.connections.age()
