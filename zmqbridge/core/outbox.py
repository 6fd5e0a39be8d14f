"""Outbox: the messages that a socket would not take yet, in a send queue for each peer."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from zmqbridge.core.sendqueue import HIGH, SendQueue
from zmqbridge.errors import PeerStalled, PeerUnreachable, QueueFull


class Outbox(dict[bytes, SendQueue[Any]]):
    """The send queues of a socket, each under its lane, and what became of their messages.

    With `by_peer`, as for a ROUTER, the lane of a message is the peer that its first part names: so
    a peer that is stuck holds up no other. Otherwise all messages have the lane ``b""``.

    It is a dict itself, because every send asks whether anything waits: that costs no call.

    - commands: `put`, `start`, `discard`, `close`
    - inputs: `served` (the socket took what it would of a lane), `give_up` (its peer has left),
      `no_route` (there is no such peer)
    - getters: `lane_of`, `queue_of`, `backlog`, `queued`, and the counts below

    What the driver owes: wake the waiters that `discard`, `served` and `close` return.

    Attributes:
        high: how many messages a queue holds at most, if it is started from now on.
        refused: messages that were not accepted, as a queue was at its mark.
        dropped: messages that were accepted and will not be sent.
        unreachable: how many of the dropped ones had a peer that left.
        withdrawn: messages that were taken back.
        unroutable: messages that were not accepted, as there was no such peer.
    """

    __slots__ = (
        "_by_peer", "dropped", "high", "refused", "unreachable", "unroutable", "withdrawn",
    )  # fmt: skip

    def __init__(self, high: float = HIGH, *, by_peer: bool = False) -> None:
        self._by_peer = by_peer
        self.high: float = high
        self.refused: int = 0
        self.dropped: int = 0
        self.unreachable: int = 0
        self.withdrawn: int = 0
        self.unroutable: int = 0

    @property
    def queued(self) -> int:
        """How many messages wait."""
        return sum(map(len, self.values()))

    def backlog(self) -> SendQueue[Any] | None:
        """A queue in which something waits, if there is one."""
        return next(filter(None, self.values()), None)

    def lane_of(self, message: Sequence[bytes]) -> bytes:
        """Under which key a message waits."""
        return message[0] if self._by_peer else b""

    def queue_of(self, message: Sequence[Any]) -> SendQueue[Any] | None:
        """The queue in which a message would have to wait, None while there is none."""
        return self.get(message[0] if self._by_peer else b"")

    def put(self, message: Sequence[bytes], key: Hashable = None) -> bool:
        """Have a message wait behind others; False if nothing waits on its lane.

        Raises:
            QueueFull: the queue is at its mark, and the error carries the message. By peer it is a
                `PeerStalled`.
        """
        queue = self.get(message[0] if self._by_peer else b"")
        if not queue:
            return False
        try:
            queue.put(message, key)
        except QueueFull:
            self.refused += 1
            if self._by_peer:
                raise PeerStalled(message, self.high) from None
            raise
        return True

    def start(self, message: Sequence[bytes], key: Hashable = None) -> SendQueue[Any]:
        """Have a message wait as the first on its lane; returns its queue."""
        # A queue that `discard` has emptied stays, with its waiters.
        queue = self.setdefault(self.lane_of(message), SendQueue[Any](self.high))
        queue.put(message, key)
        return queue

    def discard(self, key: Hashable) -> list[Any] | None:
        """Take a message back; returns the waiters to wake, None if it does not wait here."""
        for queue in self.values():
            if queue.discard(key):
                self.withdrawn += 1
                return queue.notify()
        return None

    def served(self, lane: bytes) -> list[Any]:
        """The socket has taken all that it would of a lane; returns the waiters to wake."""
        queue = self.get(lane)
        if queue is None:  # its queues were closed during the send
            return []
        if not queue:
            del self[lane]
        return queue.notify()

    def give_up(self, lane: bytes) -> None:
        """Drop what waits for a peer that has left; `served` then ends its queue."""
        gone = self[lane].drop()
        self.dropped += gone
        self.unreachable += gone

    def no_route(self, message: Sequence[bytes]) -> PeerUnreachable:
        """There is no such peer: count the message, unless it waits here; returns the error."""
        if not self.queue_of(message):
            self.unroutable += 1
        return PeerUnreachable(message[0])

    def close(self, remains: list[Any]) -> list[Any]:
        """Drop all messages, and remove and return all waiters.

        Args:
            remains: the dicts that held messages and waiters are appended, as it takes a while to
                free them.
        """
        waiters: list[Any] = []
        for queue in self.values():
            self.dropped += len(queue)
            waiters += queue.close(remains)
        self.clear()
        return waiters
