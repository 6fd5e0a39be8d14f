"""Ends: what a simulated socket has of each peer, and how two sockets of one context meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from zmqbridge.testing._pipes import Message, Pipe, Reader, Writer

if TYPE_CHECKING:
    from zmqbridge.testing._connecters import Connecter
    from zmqbridge.testing._connections import Connection


class Ended(Protocol):
    """What has ends: a simulated socket, or a part of the simulation that speaks like one."""

    def comes(self, end: End) -> None:
        """An end that was found empty has a message, or is to end."""

    def drains(self, end: End) -> None:
        """A peer has taken enough of what was sent on an end to tell."""

    def hangs_up(self, end: End) -> None:
        """The peer of an end is gone."""


class Nowhere:
    """Stands at the far side of a pipe while there is no peer; it takes nothing."""

    def comes(self, pipe: Pipe) -> None:
        """It stays where it is."""

    def drains(self, pipe: Pipe) -> None:
        """There is nobody to send more."""


NOWHERE = Nowhere()


class End:
    """A pipe from one peer and a pipe to it.

    Attributes:
        owner: the socket.
        incoming, outgoing: the pipes.
        open: more may be sent.
        peer: the peer's routing id, once it is known; a ROUTER may give it another.
        reads, writes: it is among those that its socket reads from, and may write to.
        connection, side: the connection that it is at, and at which end of it.
        connecter: what connects it again, if this is the connecting end.
        far: the other end, where both are in one context.
    """

    __slots__ = ("connecter", "connection", "far", "incoming", "open", "outgoing", "owner", "peer",
                 "reads", "side", "subscribed", "writes")  # fmt: skip

    def __init__(
        self, owner: Ended, incoming_high: int, outgoing_high: int, conflates: bool = False
    ) -> None:
        self.owner = owner
        self.incoming = Pipe(incoming_high, self, NOWHERE, conflates)
        self.outgoing = Pipe(outgoing_high, NOWHERE, self, conflates)
        self.open = True
        self.peer = b""
        self.reads = self.writes = False
        self.connection: Connection | None = None
        self.side = 0
        self.connecter: Connecter | None = None
        self.far: End | None = None
        self.subscribed: set[bytes] = set()  # what a publisher knows of this subscriber

    def comes(self, pipe: Pipe) -> None:
        """A message is there, or the end of them."""
        self.owner.comes(self)

    def drains(self, pipe: Pipe) -> None:
        """There is room again."""
        self.owner.drains(self)

    def can_write(self) -> bool:
        """Whether there is a peer, or will be, with room for a message."""
        return self.open and not self.outgoing.full()

    def lead_to(self, reader: Reader, writer: Writer) -> None:
        """What takes what is sent, and what brings what comes."""
        self.outgoing.reader = reader
        self.incoming.writer = writer

    def hang_up(self) -> None:
        """The peer is gone: nothing can be sent, and what has come can be read."""
        if self.open:
            self.open = False
            self.outgoing.drop()
            self.lead_to(NOWHERE, NOWHERE)
            self.incoming.end()
            self.owner.hangs_up(self)


def join(one: End, other: End) -> None:
    """Two ends in one context: what one sends is what the other reads, in one pipe each way."""
    for near, far in ((one, other), (other, one)):
        pipe = near.outgoing
        high = pipe.high + far.incoming.high if pipe.high and far.incoming.high else 0
        joined = Pipe(high, far, near, pipe.conflates)
        waiting = pipe.drop()
        near.outgoing = far.incoming = joined
        for message in waiting:
            joined.write(message)
    one.far, other.far = other, one


def part(end: End) -> None:
    """One of two such ends leaves: the other reads what was sent to it, and that was all."""
    far, end.far = end.far, None
    if far is not None:
        far.far = None
        far.open = False
        far.outgoing = Pipe(0, NOWHERE, far)
        far.incoming.writer = NOWHERE
        far.incoming.end()
        far.owner.hangs_up(far)


def take(end: End) -> Message | None:
    """The next message of an end, None if there is none now."""
    return end.incoming.read() if end.incoming.has() else None


def is_over(end: Any) -> bool:
    """Whether all has been read of a peer that is gone."""
    return bool(end.incoming.ended and not end.incoming.queue)
