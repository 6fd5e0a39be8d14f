"""Ends: what a simulated socket has of each peer, and how two sockets of one context meet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from zmqbridge.testing._pipes import Pipe, Reader, Writer

if TYPE_CHECKING:
    from zmqbridge.testing._connecters import Connecter
    from zmqbridge.testing._connections import Connection


class Owner(Protocol):
    """What has ends: a simulated socket, or a part of the simulation that speaks like one."""

    def comes(self, end: End) -> None:
        """An end that was found empty has a message, or is to end."""

    def drains(self, end: End) -> None:
        """A peer has taken enough of what was sent on an end to tell."""

    def hangs_up(self, end: End) -> None:
        """The peer of an end is gone."""

    def answers(self, end: End) -> None:
        """The peer of an end that was left has read all; or the end itself, if it is at a wire."""

    def let_go(self, end: End) -> None:
        """Nothing more will be said of an end."""


class Nowhere:
    """Stands at the far side of a pipe while there is no peer; it takes nothing."""

    def comes(self, pipe: Pipe) -> None:
        """It stays where it is."""

    def drains(self, pipe: Pipe) -> None:
        """There is nobody to send more, until a connection comes back."""
        pipe.learn()


NOWHERE = Nowhere()


class End:
    """A pipe from one peer and a pipe to it.

    It ends in the steps of libzmq's pipe.cpp. If the peer hangs up, the socket learns it (`told`),
    reads what there is (`spent`), and says so; if the socket leaves (`left`), it reads no more and
    the peer does the same. Only when the other side has answered is the end off the socket's hands.

    Attributes:
        owner: the socket.
        incoming, outgoing: the pipes.
        open: more may be sent.
        peer: the peer's routing id, once `known`; a ROUTER may give it another.
        connection, side: the connection that it is at, and at which end of it.
        connecter: what connects it again, if this is the connecting end.
        far: the other end, where both are in one context.
        receives, sends: the marks of its own socket.
        subscribed: the topics that a publisher knows of this subscriber.
        then: is called when the socket has let go.
    """

    __slots__ = ("answered", "asked", "connecter", "connection", "far", "incoming", "known",
                 "left", "open", "outgoing", "owner", "peer", "receives", "sends", "side",
                 "spent", "subscribed", "then", "told")  # fmt: skip

    def __init__(
        self, owner: Owner, incoming_high: int, outgoing_high: int, conflates: bool = False
    ) -> None:
        self.owner: Owner = owner
        self.incoming: Pipe = Pipe(incoming_high, self, NOWHERE, conflates)
        self.outgoing: Pipe = Pipe(outgoing_high, NOWHERE, self, conflates)
        self.receives: int = incoming_high
        self.sends: int = outgoing_high
        self.open: bool = True
        self.asked: bool = False  # the peer to let go
        self.told: bool = False
        self.spent: bool = False
        self.left: bool = False
        self.answered: bool = False
        self.known: bool = False
        self.peer: bytes = b""
        self.connection: Connection | None = None
        self.side: int = 0
        self.connecter: Connecter | None = None
        self.far: End | None = None
        self.subscribed: set[bytes] = set()
        self.then: Callable[[], object] | None = None

    def comes(self, pipe: Pipe) -> None:
        """A message is there, or the end of them."""
        self.owner.comes(self)

    def drains(self, pipe: Pipe) -> None:
        """There is room again."""
        self.owner.drains(self)

    def can_write(self) -> bool:
        """Whether there is a peer, or will be, with room for a message."""
        return self.open and not self.outgoing.full()

    def can_read(self) -> bool:
        """Whether there is a message to be read."""
        return bool(self.incoming.queue) and not self.left

    def lead_to(self, reader: Reader, writer: Writer) -> None:
        """What takes what is sent, and what brings what comes."""
        self.outgoing.reader = reader
        self.incoming.writer = writer

    def limit(self, incoming: int, outgoing: int) -> None:
        """Set other marks."""
        self.receives, self.sends = incoming, outgoing
        far = self.far
        if far is not None:  # both sides' marks together, as in `join`
            incoming = incoming + far.sends if incoming and far.sends else 0
            outgoing = outgoing + far.receives if outgoing and far.receives else 0
        self.incoming.limit(incoming)
        self.outgoing.limit(outgoing)

    def dry(self) -> None:
        """Its socket finds nothing to read: it is told of what comes next, or that was all."""
        if not self.left and not self.incoming.has() and self.incoming.ended and not self.spent:
            self.spent = True
            if self.told:
                self.answer()

    def hang_up(self) -> None:
        """The peer is gone: nothing can be sent, and what has come can be read."""
        self.connection = None
        self.lead_to(NOWHERE, NOWHERE)
        self.owner.hangs_up(self)
        self.incoming.end()

    def hear(self, hasty: bool) -> None:
        """Its socket learns that the peer is gone.

        Args:
            hasty: it does not mind what the peer has sent.
        """
        self.open = False
        self.told = True
        if hasty or self.spent or self.left:
            self.answer()

    def leave(self) -> bool:
        """Its socket wants no more of it; True if the far end, if any, was told only now."""
        if self.left:
            return False
        self.left = True
        self.open = False
        if self.told:
            self.answer()
            return False
        self.asked = True
        if self.far is not None:
            self.far.owner.hangs_up(self.far)
            self.far.incoming.end()
        return True

    def answer(self) -> None:
        """Let go, now that the peer has."""
        if not self.answered:
            self.answered = True
            self.incoming.drop()
            far = self.far
            if far is None:
                self.owner.answers(self)
            else:
                far.owner.answers(far)


def join(one: End, other: End) -> None:
    """Two ends in one context: what one sends is what the other reads, in one pipe each way.

    Args:
        one: the end that connects, which says whether they conflate.
        other: the other one.
    """
    conflates = one.outgoing.conflates
    for near, far in ((one, other), (other, one)):
        pipe = near.outgoing
        high = near.sends + far.receives if near.sends and far.receives else 0
        joined = Pipe(high, far, near, conflates)
        joined.asleep = far.incoming.asleep
        near.outgoing = far.incoming = joined
        for message in pipe.queue:
            joined.write(message)
    one.far, other.far = other, one
