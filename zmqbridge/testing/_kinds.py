"""Kinds: how each kind of simulated socket chooses the peer that it sends to or reads from.

The rules are those of libzmq 4.3.5, whose file is named with each class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import zmq

from zmqbridge.testing._ends import End
from zmqbridge.testing._pipes import Message
from zmqbridge.testing._turns import Turns
from zmqbridge.testing.errors import NotSimulated

if TYPE_CHECKING:
    from zmqbridge.testing._socketstate import SocketState


def again() -> zmq.ZMQError:
    """What libzmq says when nothing can be sent or received now."""
    return zmq.Again()


def unreachable() -> zmq.ZMQError:
    """What a ROUTER says of a peer that it does not know."""
    return zmq.ZMQError(zmq.EHOSTUNREACH)


def wrong_state() -> zmq.ZMQError:
    """What REQ and REP say when it is the peer's turn."""
    return zmq.ZMQError(zmq.EFSM)


def unable() -> zmq.ZMQError:
    """What a socket says that can only receive, or only send."""
    return zmq.ZMQError(zmq.ENOTSUP)


class Kind:
    """What all kinds have: ends from which messages are taken in turn (fq.cpp).

    Attributes:
        ends: all that were attached and are not gone, oldest first.
        hasty: what a peer sent before it went is not read any more.
        names: it wants to know the routing ids of its peers.
        switches: the options that only this kind has, each with the attribute that it sets.
    """

    hasty = names = False
    switches: ClassVar[Mapping[int, str]] = {}

    def __init__(self, socket: SocketState) -> None:
        self.socket = socket
        self.ends: dict[End, None] = {}
        self._half_read: End | None = None
        self._in = Turns()

    # What the socket is told when it looks.

    def attach(self, end: End) -> None:
        """A new end, to a peer that is there or will be."""
        self.ends[end] = None
        self._in.add(end)

    def readable(self, end: End) -> None:
        """An end that was found empty has something to read."""
        self._in.activate(end)

    def writable(self, end: End) -> None:
        """An end may have room."""

    def met_again(self, end: End) -> None:
        """The connection of an end was lost, and is to be made again."""

    def gone(self, end: End) -> None:
        """An end is no more."""
        self.ends.pop(end, None)
        self._in.remove(end)

    # What the user asks.

    def _next(self, ahead: bool = False) -> tuple[End, Message] | None:
        turns = self._in
        while turns.active:
            end = turns.ends[turns.current]
            if end.incoming.queue and not end.left:
                pipe = end.incoming
                if ahead and len(pipe.queue[0]) > 1:
                    # Only the first part is read ahead: the message counts when the others are.
                    self._half_read = end
                    message = pipe.queue.popleft()
                else:
                    message = pipe.read()
                turns.advance()
                return end, message
            end.dry()
            turns.rest()
        return None

    def has_in(self) -> bool:
        """Whether there is something to receive."""
        turns = self._in
        while turns.active:
            end = turns.ends[turns.current]
            if end.incoming.queue and not end.left:
                return True
            end.dry()
            turns.rest()
        return False

    def _whole(self) -> None:
        """What was read ahead is read whole."""
        end, self._half_read = self._half_read, None
        if end is None:
            return
        if end.left:
            raise NotSimulated(
                f"a {self.socket.kind_name} has read EVENTS, then was disconnected, and receives a "
                "message of several parts: libzmq 4.3.5 ends the process"
            )
        end.incoming.count()

    def has_out(self) -> bool:
        """Whether `begin` would find room."""
        return False

    def receive(self) -> Message | None:
        """The next message for the user, None if there is none."""
        found = self._next()
        return None if found is None else found[1]

    def begin(self, first: bytes, more: bool) -> None:
        """A message begins; it is decided whether there is room for it.

        Args:
            first: its first part.
            more: it has others.

        Raises:
            zmq.ZMQError: as libzmq says it.
        """
        raise unable()

    def send(self, message: Message) -> None:
        """The message that was begun is whole."""
        raise unable()

    def set(self, option: int, value: Any) -> bool:
        """Take an option that only this kind has; False if it has no such option."""
        name = self.switches.get(option)
        if name is not None:
            setattr(self, name, bool(value))
        return name is not None


class Pull(Kind):
    """PULL (pull.cpp)."""


class Balanced(Kind):
    """Those that send to their peers in turn (lb.cpp)."""

    def __init__(self, socket: SocketState) -> None:
        super().__init__(socket)
        self._out = Turns()

    def attach(self, end: End) -> None:
        super().attach(end)
        self._out.add(end)

    def gone(self, end: End) -> None:
        super().gone(end)
        self._out.remove(end)

    def writable(self, end: End) -> None:
        self._out.activate(end)

    def has_out(self) -> bool:
        turns = self._out
        while turns.active:
            if turns.ends[turns.current].can_write():
                return True
            turns.rest()
        return False

    def begin(self, first: bytes, more: bool) -> None:
        if not self.has_out():
            raise again()

    def send(self, message: Message) -> None:
        if self.has_out():  # else its peer left in mid-message
            turns = self._out
            turns.ends[turns.current].outgoing.write(message)
            turns.advance()


class Push(Balanced):
    """PUSH (push.cpp)."""

    hasty = True

    def has_in(self) -> bool:
        return False

    def receive(self) -> Message | None:
        raise unable()


class Dealer(Balanced):
    """DEALER (dealer.cpp)."""

    switches: ClassVar[Mapping[int, str]] = {zmq.PROBE_ROUTER: "probes"}
    probes = False

    def attach(self, end: End) -> None:
        if self.probes:
            probe(end)
        super().attach(end)


def probe(end: End) -> None:
    """The empty message that PROBE_ROUTER sends to each new peer."""
    if end.can_write():
        end.outgoing.write([b""])


class Pair(Kind):
    """PAIR (pair.cpp): one peer; a second is turned away."""

    def attach(self, end: End) -> None:
        if self.ends:
            self.socket.leave(end)
        else:
            super().attach(end)

    def has_out(self) -> bool:
        for end in self.ends:
            return end.can_write()
        return False

    def begin(self, first: bytes, more: bool) -> None:
        if not self.has_out():
            raise again()

    def send(self, message: Message) -> None:
        for end in self.ends:
            if end.can_write():
                end.outgoing.write(message)
