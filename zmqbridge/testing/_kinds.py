"""Kinds: how each kind of simulated socket chooses the peer that it sends to or reads from.

The rules are those of libzmq 4.3.5, whose file is named with each class.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge.testing._ends import End, is_over, take
from zmqbridge.testing._pipes import Message

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
        ends: all that were attached and are not over, oldest first.
        hasty: what a peer sent before it went is not read any more.
    """

    hasty = False

    def __init__(self, socket: SocketState) -> None:
        self.socket = socket
        self.ends: dict[End, None] = {}
        self._filled: deque[End] = deque()

    def attach(self, end: End) -> None:
        """A new end, to a peer that is there or will be."""
        self.ends[end] = None
        self.writable(end)
        if end.incoming.queue or end.incoming.ended:
            self.readable(end)

    def meet(self, end: End) -> None:
        """The peer of an end that was attached before is there now, perhaps again."""

    def detach(self, end: End) -> None:
        """An end is over."""
        self.ends.pop(end, None)
        for those in (self._filled,):
            if end in those:
                those.remove(end)
        end.reads = end.writes = False

    def readable(self, end: End) -> None:
        """An end has something to read."""
        if not end.reads:
            end.reads = True
            self._filled.append(end)

    def writable(self, end: End) -> None:
        """An end may have room."""

    def _next(self) -> tuple[End, Message] | None:
        filled = self._filled
        while filled:
            end = filled[0]
            message = take(end)
            if message is not None:
                filled.rotate(-1)
                return end, message
            filled.popleft()
            end.reads = False
            if is_over(end):
                self.detach(end)
        return None

    def _has(self) -> bool:
        filled = self._filled
        while filled:
            end = filled[0]
            if end.incoming.has():
                return True
            filled.popleft()
            end.reads = False
            if is_over(end):
                self.detach(end)
        return False

    def has_in(self) -> bool:
        """Whether `receive` has a message."""
        return self._has()

    def has_out(self) -> bool:
        """Whether `begin` would find room."""
        return False

    def receive(self) -> Message | None:
        """The next message for the user, None if there is none."""
        found = self._next()
        return None if found is None else found[1]

    def begin(self, first: bytes) -> None:
        """A message begins; it is decided whether there is room for it.

        Raises:
            zmq.ZMQError: as libzmq says it.
        """
        raise unable()

    def send(self, message: Message) -> None:
        """The message that was begun is whole."""
        raise unable()

    def set(self, option: int, value: Any) -> bool:
        """Take an option that only this kind has; False if it has no such option."""
        return False


class Pull(Kind):
    """PULL (pull.cpp)."""


class Balanced(Kind):
    """Those that send to their peers in turn (lb.cpp)."""

    def __init__(self, socket: SocketState) -> None:
        super().__init__(socket)
        self._roomy: deque[End] = deque()

    def detach(self, end: End) -> None:
        if end in self._roomy:
            self._roomy.remove(end)
        super().detach(end)

    def writable(self, end: End) -> None:
        if not end.writes:
            end.writes = True
            self._roomy.append(end)

    def has_out(self) -> bool:
        roomy = self._roomy
        while roomy:
            if roomy[0].can_write():
                return True
            roomy.popleft().writes = False
        return False

    def begin(self, first: bytes) -> None:
        if not self.has_out():
            raise again()

    def send(self, message: Message) -> None:
        if self.has_out():  # else its peer left in mid-message
            end = self._roomy[0]
            self._roomy.rotate(-1)
            end.outgoing.write(message)


class Push(Balanced):
    """PUSH (push.cpp)."""

    hasty = True

    def has_in(self) -> bool:
        return False

    def receive(self) -> Message | None:
        raise unable()


class Dealer(Balanced):
    """DEALER (dealer.cpp)."""

    probes = False

    def attach(self, end: End) -> None:
        super().attach(end)
        if self.probes:
            probe(end)

    def set(self, option: int, value: Any) -> bool:
        if option == zmq.PROBE_ROUTER:
            self.probes = bool(value)
            return True
        return False


def probe(end: End) -> None:
    """The empty message that PROBE_ROUTER sends to each new peer."""
    if end.can_write():
        end.outgoing.write([b""])


class Pair(Kind):
    """PAIR (pair.cpp): one peer; a second is turned away."""

    def attach(self, end: End) -> None:
        if self.ends:
            self.socket.turn_away(end)
        else:
            super().attach(end)

    def _only(self) -> End | None:
        return next(iter(self.ends), None)

    def has_out(self) -> bool:
        end = self._only()
        return end is not None and end.can_write()

    def begin(self, first: bytes) -> None:
        if not self.has_out():
            raise again()

    def send(self, message: Message) -> None:
        end = self._only()
        if end is not None and end.can_write():
            end.outgoing.write(message)
