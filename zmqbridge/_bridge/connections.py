"""Connections: whether the peer of a ROUTER is still connected, by asking the system.

libzmq ends the pipe of a dead peer only when everything that the peer sent has been read; until
then it says that the pipe is full. If the program does not read on, because it waits to send to
this same peer, libzmq never tells. But each message names the descriptor by which it came
(ZMQ_SRCFD in zmq_msg_get(3)), and the system knows the state of that descriptor. libzmq may keep
the descriptor open after the peer has hung up, if libzmq could not read at that moment.
"""

from __future__ import annotations

import os
import select
from typing import Any

import zmq

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
