"""Connections: whether the peer of a ROUTER is still connected, by asking the system.

libzmq ends the pipe of a peer that has died when all that the peer had sent was read, and says
until then that the pipe is full. Where nobody reads on, because the program waits to send to that
very peer, it never tells. But each message names the descriptor that it came by (ZMQ_SRCFD in
zmq_msg_get(3)), and the system knows how that is. libzmq may keep it open though the peer has hung
up, when it could not read at that moment.
"""

from __future__ import annotations

import os
import select
from typing import Any

import zmq

SRCFD = int(zmq.SRCFD)
# On Windows the number of a socket is no descriptor that fstat knows.
TELLS = os.name == "posix" and hasattr(select, "poll")
# A peer that sends no more has closed: in ZMTP nobody half-closes. On macOS POLLHUP says so.
HUNG_UP = getattr(select, "POLLRDHUP", 0)
# So many peers may be remembered before those that have left are looked for.
MANY = 1024
# A peer may come back by another connection. So a second later its next message is asked anew by
# which one it came; more seldom where peers are many, so that it takes 0.4 % of the time.
AGE = 1.0  # seconds
AGE_OF_EACH = 0.001  # seconds


# A descriptor and the inode behind it, which differs when the number is used again.
Connection = tuple[int, int]


def is_up(came_by: Connection) -> bool:
    """Whether a connection is still there, and its far end has not hung up."""
    if connection(came_by[0]) != came_by:
        return False
    asking = select.poll()
    asking.register(came_by[0], HUNG_UP)
    told = asking.poll(0)  # POLLERR and POLLHUP are always told
    return not told


def connection(fd: int) -> Connection | None:
    """The connection that has this descriptor now; None if it is closed."""
    try:
        return fd, os.fstat(fd).st_ino
    except OSError:
        return None


class Connections:
    """By which connection each peer was heard of last.

    Of a peer whose connection is not known (inproc, or it has sent nothing yet) nothing is claimed.

    - inputs: `learn` (a message came from a peer that is not in `known`), `age` (time passed)
    - getters: `known`, `is_silent`, `has_gone`

    Attributes:
        known: the connection of each peer heard of lately, None where there is nothing to know.
        lost: those that have gone. Take a peer out that has taken a message, or of which libzmq
            says itself that it is unreachable.
    """

    __slots__ = ("_older", "_sweep_at", "known", "lost")

    def __init__(self) -> None:
        self.known: dict[bytes, Connection | None] = {}
        self._older: dict[bytes, Connection | None] = {}  # those that were not heard of since
        self.lost: dict[bytes, Connection] = {}
        self._sweep_at = MANY

    def learn(self, peer: bytes, frame: Any) -> None:
        """Remember by which connection a message has come; `frame` is any part but the first."""
        came_by = None
        if TELLS:
            try:
                fd: int = frame.get(SRCFD)
            except (AttributeError, zmq.ZMQError):  # of no connection; or pyzmq is not compiled
                pass
            else:
                came_by = connection(fd)
                lost = self.lost.get(peer)
                # What a connection brought that has gone; its number may be another's already.
                if came_by is None or (lost is not None and lost[0] == fd):
                    return
        self.known[peer] = came_by
        self._older.pop(peer, None)
        self.lost.pop(peer, None)
        if len(self.known) + len(self._older) > self._sweep_at:
            self._sweep()

    def age(self) -> float:
        """Have peers looked at again when they are next heard of; returns when to age again."""
        self._older |= self.known
        self.known.clear()
        return max(AGE, len(self._older) * AGE_OF_EACH)

    def is_silent(self, peer: bytes) -> bool:
        """Whether there is nothing by which to know that a peer has gone."""
        return (self.known.get(peer) or self._older.get(peer)) is None

    def _sweep(self) -> None:
        for peers in (self.known, self._older):
            for peer, came_by in list(peers.items()):
                if came_by is None or not is_up(came_by):
                    del peers[peer]
        self._sweep_at = max(MANY, 2 * (len(self.known) + len(self._older)))

    def has_gone(self, peer: bytes) -> bool:
        """Whether the connection of a peer that takes nothing is no more."""
        came_by = self.known.get(peer) or self._older.get(peer)
        if came_by is not None and not is_up(came_by):
            self.known.pop(peer, None)
            self._older.pop(peer, None)
            self.lost[peer] = came_by
            if len(self.lost) > MANY:
                del self.lost[next(iter(self.lost))]
        return peer in self.lost
