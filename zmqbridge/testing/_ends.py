"""Ends: a pair of pipes for each peer of a simulated socket, and how two ends are joined."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from zmqbridge.testing._pipes import Pipe, Reader, Writer

if TYPE_CHECKING:
    from zmqbridge.testing._connecters import Connecter
    from zmqbridge.testing._connections import Connection


class Owner(Protocol):
    """The owner of ends: a simulated socket, or a part of the simulation that acts like one."""

    def comes(self, end: End) -> None:
        """An end that was empty when it was last read has a message now, or has ended."""

    def drains(self, end: End) -> None:
        """The peer has read so many messages of an end that there is room for more."""

    def hangs_up(self, end: End) -> None:
        """The peer of an end is gone."""

    def answers(self, end: End) -> None:
        """The far side has confirmed the close of an end; at a wire, the end confirms itself."""

    def let_go(self, end: End) -> None:
        """This was the last call about an end."""


class NoPeer:
    """Stands at the far side of a pipe while there is no peer; it reads and writes nothing."""

    def comes(self, pipe: Pipe) -> None:
        """Do nothing: the message stays in the pipe."""

    def drains(self, pipe: Pipe) -> None:
        """Note what is free: no peer has more to send, until a connection comes back."""
        pipe.learn()


NO_PEER = NoPeer()


class End:
    """A pipe from one peer and a pipe to this peer.

    It closes in the steps of libzmq's pipe.cpp. If the peer hangs up, the socket learns it
    (`told`), reads the remaining messages (`spent`), and then confirms (`answered`). If the socket
    leaves (`left`), it reads no more, and the peer takes these steps. Only when both sides have
    confirmed does the socket let the end go.

    Attributes:
        owner: the socket.
        incoming, outgoing: the pipes.
        open: whether messages may be sent.
        peer: the peer's routing id, once `known`; a ROUTER may give the peer another one.
        connection, side: the connection that this end belongs to, and its side there.
        beyond: the name of the node that the last connection led to.
        connecter: what connects again, if this is the connecting end.
        far: the other end, if both are in one context.
        receives, sends: the high water marks of the own socket.
        subscribed: the topics that a publisher knows of this subscriber.
        then: is called when the socket has let the end go.
    """

    __slots__ = ("answered", "asked", "beyond", "connecter", "connection", "far", "incoming",
                 "known", "left", "open", "outgoing", "owner", "peer", "receives", "sends", "side",
                 "spent", "subscribed", "then", "told")  # fmt: skip

    def __init__(
        self, owner: Owner, incoming_high: int, outgoing_high: int, conflates: bool = False
    ) -> None:
        self.owner: Owner = owner
        self.incoming: Pipe = Pipe(incoming_high, self, NO_PEER, conflates)
        self.outgoing: Pipe = Pipe(outgoing_high, NO_PEER, self, conflates)
        self.receives: int = incoming_high
        self.sends: int = outgoing_high
        self.open: bool = True
        self.asked: bool = False  # whether this side was the first to close
        self.told: bool = False
        self.spent: bool = False
        self.left: bool = False
        self.answered: bool = False
        self.known: bool = False
        self.peer: bytes = b""
        self.beyond: str = ""
        self.connection: Connection | None = None
        self.side: int = 0
        self.connecter: Connecter | None = None
        self.far: End | None = None
        self.subscribed: set[bytes] = set()
        self.then: Callable[[], object] | None = None

    def comes(self, pipe: Pipe) -> None:
        """Tell the socket that a message is there, or that no more will come."""
        self.owner.comes(self)

    def drains(self, pipe: Pipe) -> None:
        """Tell the socket that there is room again."""
        self.owner.drains(self)

    def can_write(self) -> bool:
        """Whether a message may be sent, and there is room for it."""
        return self.open and not self.outgoing.full()

    def can_read(self) -> bool:
        """Whether there is a message to read."""
        return bool(self.incoming.queue) and not self.left

    def lead_to(self, reader: Reader, writer: Writer) -> None:
        """Set what reads the outgoing pipe, and what writes into the incoming one."""
        self.outgoing.reader = reader
        self.incoming.writer = writer

    def limit(self, incoming: int, outgoing: int) -> None:
        """Set the high water marks."""
        self.receives, self.sends = incoming, outgoing
        far = self.far
        if far is not None:  # a pipe holds the marks of both sides together, as in `join`
            incoming = incoming + far.sends if incoming and far.sends else 0
            outgoing = outgoing + far.receives if outgoing and far.receives else 0
        self.incoming.limit(incoming)
        self.outgoing.limit(outgoing)

    def dry(self) -> None:
        """The socket finds nothing to read: wake it with the next message, or confirm the end."""
        if not self.left and not self.incoming.has() and self.incoming.ended and not self.spent:
            self.spent = True
            if self.told:
                self.answer()

    def hang_up(self) -> None:
        """The peer is gone: no message can be sent, but those that have arrived can be read."""
        self.connection = None
        self.lead_to(NO_PEER, NO_PEER)
        self.owner.hangs_up(self)
        self.incoming.end()

    def hear(self, hasty: bool) -> None:
        """The socket learns that the peer is gone.

        Args:
            hasty: the socket does not read what the peer has sent before.
        """
        self.open = False
        self.told = True
        if hasty or self.spent or self.left:
            self.answer()

    def leave(self) -> bool:
        """The socket leaves this end; True if neither side has begun to close before."""
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
        """Confirm that this side is done, once."""
        if not self.answered:
            self.answered = True
            self.incoming.drop()
            far = self.far
            if far is None:
                self.owner.answers(self)
            else:
                far.owner.answers(far)


def join(one: End, other: End) -> None:
    """Join two ends of one context, by one pipe in each direction.

    Args:
        one: the connecting end, which decides whether the pipes conflate.
        other: the bound end.
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
