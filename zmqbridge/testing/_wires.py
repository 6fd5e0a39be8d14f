"""Wires: how messages travel from one end of a simulated connection to the other.

A wire stands for all that lies between two sockets of libzmq over tcp or ipc: the session that
empties the pipe, the kernel's buffers, the latency, and the session that fills the other pipe.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from zmqbridge.testing._pipes import Message, Pipe
from zmqbridge.testing._routing import well_formed

if TYPE_CHECKING:
    from zmqbridge.testing._connections import Connection

# About how many bytes the kernel buffers while the peer does not read: a tcp connection of the
# loopback (tcp_wmem and tcp_rmem in tcp(7)), a stream of AF_UNIX (wmem_default in socket(7)).
CAPACITY = {"tcp": 2_500_000, "ipc": 200_000}
TURN = 2e-5  # seconds until libzmq's I/O thread looks again
FRAME = 9  # bytes that ZMTP adds to a part at most
# libzmq's I/O thread reads so much from the kernel at once; a full receiver can lose it.
BUFFER = 8192  # bytes


class Wire:
    """One direction of a connection.

    Attributes:
        source, target: the pipes at both sides; None when that end is gone.
        bytes: how many bytes are on the way.
        ends: the source has closed; the target learns it when all messages have arrived.
        emptied: is called when all messages have been taken from the source.
        picky: the target is a REQ, which hangs up when a message is no reply.
        most: how many bytes a part may have at the target (MAXMSGSIZE), -1 for any number.
        refused: the peer's kernel has said that no process reads there; nothing more is taken.
    """

    __slots__ = ("_ahead", "_busy_until", "_capacity", "_connection", "_due", "_last", "_side",
                 "_took", "_travelling", "bytes", "emptied", "ends", "most", "picky", "refused",
                 "source", "target")  # fmt: skip

    def __init__(self, connection: Connection, side: int, transport: str) -> None:
        self._connection = connection
        self._side = side
        self._capacity = CAPACITY[transport]
        self._travelling: deque[tuple[float, int, Message, float]] = deque()
        self._last = self._busy_until = 0.0
        # How many messages libzmq had read from the kernel when the target got full.
        self._ahead = 0
        self._due = self.picky = self.refused = False
        self.most = -1
        self._took = -1.0  # when it last took messages from the source
        self.source: Pipe | None = None
        self.target: Pipe | None = None
        self.bytes = 0
        self.ends = False
        self.emptied: Callable[[], object] | None = None

    def __len__(self) -> int:
        return len(self._travelling)

    @property
    def stalled(self) -> bool:
        """Whether messages have arrived for which the target has no room."""
        travelling = self._travelling
        now = self._connection.network.now
        return bool(travelling) and travelling[0][0] <= now and not self._blocked()

    def _blocked(self) -> bool:
        return self._connection.blocked(self._side)

    def comes(self, pipe: Pipe) -> None:
        """Take the first message of the source now, and the others of a burst in the next turn.

        Libzmq's I/O thread reads while a program sends, but mostly slower than the program: so a
        high water mark is reached within a burst, too.
        """
        network = self._connection.network
        if self._took == network.now and not pipe.ended:
            network.after(TURN, self._take)
        else:
            self._take()

    def _take(self) -> None:
        connection, pipe = self._connection, self.source
        if pipe is None:
            return
        self._took = connection.network.now
        while not self.refused and self.bytes < self._capacity and pipe.has():
            message = pipe.read()
            for delay in connection.verdict(self._side, message):
                self._send(message, delay)
        if not pipe.queue:
            if pipe.ended:
                self.finish()
            elif self.emptied is not None:
                self.emptied()

    def finish(self) -> None:
        """Close: the source has sent its last message."""
        if not self.ends:
            self.ends = True
            connection = self._connection
            latency, _ = connection.pace(self._side)
            self._last = max(self._last, connection.network.now + latency)
            self._look_at(self._last)

    def _send(self, message: Message, delay: float) -> None:
        size = sum(map(len, message)) + FRAME * len(message)
        network = self._connection.network
        latency, per_second = self._connection.pace(self._side)
        begins = max(network.now, self._busy_until)
        self._busy_until = begins + size / per_second
        # On one connection no message overtakes another one.
        self._last = max(self._last, self._busy_until + latency + delay)
        self._travelling.append((self._last, size, message, network.now))
        self.bytes += size
        if not self._due:
            self._look_at(self._last)

    def _look_at(self, at: float) -> None:
        self._due = True
        self._connection.network.at(at, self.arrive)

    def arrive(self) -> None:
        """Hand over the messages that have arrived, as far as the target has room."""
        self._due = False
        travelling, target = self._travelling, self.target
        network = self._connection.network
        if self._blocked():
            return
        now = network.now
        if target is None:
            if self.ends:
                self._connection.hung_up(self._side)
            elif travelling and travelling[0][0] <= now:
                self._connection.came_too_late(self._side)
            return
        while travelling and travelling[0][0] <= now:
            if target.full():
                self._ahead = self._ahead or self._first_of(BUFFER, now)
                self._connection.at_the_mark(self._side)
                return  # `drains` goes on
            _, size, message, sent = travelling.popleft()
            self.bytes -= size
            self._ahead = max(0, self._ahead - 1)
            self._connection.delivered(self._side, message, sent)
            if (self.picky and not well_formed(message)) or -1 < self.most < max(map(len, message)):
                self._connection.misunderstood(1 - self._side)
                return
            target.write(message)
            if self.target is None:  # the reader has closed it when it was told of the message
                return
        if self.source is not None and not self.source.asleep:
            self._take()  # or find the source empty, so that it tells of the next message
        if travelling:
            if not self._due:
                self._look_at(travelling[0][0])
        elif self.ends:
            self._connection.hung_up(self._side)

    def drains(self, pipe: Pipe) -> None:
        """The target has room again."""
        pipe.learn()
        if not self._due and (self._travelling or self.ends):
            self._look_at(max(self._connection.network.now, self._first()))

    def _first(self) -> float:
        return self._travelling[0][0] if self._travelling else 0.0

    def catch_up(self) -> None:
        """Hand over what was to come now: news of room was told before what follows this call."""
        if self._due and self._travelling and self._first() <= self._connection.network.now:
            self.arrive()

    def resume(self) -> None:
        """Go on, as the wire is not blocked any more."""
        if not self._due and (self._travelling or self.ends):
            self._look_at(max(self._connection.network.now, self._first()))

    def drop(self, kept: int = 0) -> list[Message]:
        """Drop the messages on the way, except the first `kept` bytes, and return them.

        With `BUFFER`, what stays is what libzmq has read ahead, if the target is full.
        """
        travelling = self._travelling
        first = self._ahead if kept == BUFFER and self._ahead else self._first_of(kept)
        lost = [travelling.pop()[2] for _ in range(len(travelling) - first)]
        self.bytes = sum(each[1] for each in travelling)
        return lost[::-1]

    def _first_of(self, size: int, by: float = inf) -> int:
        """How many messages the first bytes hold, of those that come by a time or in one burst."""
        count, burst = 0, -1.0
        for at, each, _, sent in self._travelling:
            size -= each
            burst = burst if count else sent
            if size < 0 or (at > by and sent > burst):
                break
            count += 1
        return count
