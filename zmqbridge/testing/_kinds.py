"""Kinds: how each socket type chooses the peer that it sends to or reads from.

The rules are those of libzmq 4.3.5; each class names the source file of libzmq.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import zmq

from zmqbridge.testing._ends import End
from zmqbridge.testing._errors import NotSimulated
from zmqbridge.testing._pipes import Message
from zmqbridge.testing._turns import Turns

if TYPE_CHECKING:
    from zmqbridge.testing._socketstate import SocketState


def again() -> zmq.ZMQError:
    """The error when no message can be sent or received now."""
    return zmq.Again()


def unreachable() -> zmq.ZMQError:
    """A ROUTER's error for a peer that it does not know."""
    return zmq.ZMQError(zmq.EHOSTUNREACH)


def wrong_state() -> zmq.ZMQError:
    """The error of REQ and REP when it is the peer's turn."""
    return zmq.ZMQError(zmq.EFSM)


def unable() -> zmq.ZMQError:
    """The error of a socket that can only receive, or only send."""
    return zmq.ZMQError(zmq.ENOTSUP)


class Kind:
    """The base of all kinds: reads messages from its ends in turn (fq.cpp).

    Attributes:
        ends: the attached ends, oldest first.
        hasty: whether messages of a peer that has gone are dropped unread.
        names: whether it needs the routing ids of its peers.
        switches: the options that only this kind has, each with the attribute that it sets.
    """

    hasty = names = False
    switches: ClassVar[Mapping[int, str]] = {}

    def __init__(self, socket: SocketState) -> None:
        self.socket = socket
        self.ends: dict[End, None] = {}
        self._half_read: End | None = None
        self._in = Turns()

    # Calls that the socket makes when it works off its commands.

    def attach(self, end: End) -> None:
        """Take a new end, to a peer that is there or comes later."""
        self.ends[end] = None
        self._in.add(end)

    def readable(self, end: End) -> None:
        """An end that was empty has a message to read."""
        self._in.activate(end)

    def writable(self, end: End) -> None:
        """An end may have room."""

    def met_again(self, end: End) -> None:
        """The connection of an end was lost, and begins again."""

    def gone(self, end: End) -> None:
        """Forget an end."""
        self.ends.pop(end, None)
        self._in.remove(end)

    # Calls that the user makes.

    def _next(self, ahead: bool = False) -> tuple[End, Message] | None:
        turns = self._in
        while turns.active:
            end = turns.ends[turns.current]
            if end.incoming.queue and not end.left:
                pipe = end.incoming
                if ahead and len(pipe.queue[0]) > 1:
                    # Only the first part is read ahead. The message counts as read when the user
                    # reads the others.
                    self._half_read = end
                    message = pipe.queue.popleft()
                else:
                    message = pipe.read()
                turns.advance()
                return end, message
            end.dry()
            turns.deactivate()
        return None

    def has_in(self) -> bool:
        """Whether there is a message to receive."""
        turns = self._in
        while turns.active:
            end = turns.ends[turns.current]
            if end.incoming.queue and not end.left:
                return True
            end.dry()
            turns.deactivate()
        return False

    def _whole(self) -> None:
        """Count the message that was read ahead: now it is read whole.

        Raises:
            NotSimulated: its connection was disconnected before it was read.
        """
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
        """Begin to send a message, and decide whether there is room for it.

        Args:
            first: the first part.
            more: whether more parts follow.

        Raises:
            zmq.ZMQError: the same error as libzmq's.
        """
        raise unable()

    def send(self, message: Message) -> None:
        """Send the message that was begun, with all its parts."""
        raise unable()

    def deserted(self) -> End | None:
        """The end to which a message was begun, if its peer has left since; else None."""
        return None

    def set(self, option: int, value: Any) -> bool:
        """Set an option that only this kind has; False if it has no such option."""
        name = self.switches.get(option)
        if name is not None:
            setattr(self, name, bool(value))
        return name is not None


class ReadsAhead(Kind):
    """The base of the kinds that have to read a message before they know whether there is one."""

    def __init__(self, socket: SocketState) -> None:
        super().__init__(socket)
        self._ahead: Message | None = None

    def _fetch(self, ahead: bool = False) -> Message | None:
        raise NotImplementedError

    def has_in(self) -> bool:
        if self._ahead is None:
            self._ahead = self._fetch(ahead=True)
        return self._ahead is not None

    def receive(self) -> Message | None:
        ahead = self._ahead
        if ahead is None:
            return self._fetch()
        self._ahead = None
        self._whole()
        return ahead


class Pull(Kind):
    """PULL (pull.cpp)."""


class Balanced(Kind):
    """The base of the kinds that send to their peers in turn (lb.cpp)."""

    def __init__(self, socket: SocketState) -> None:
        super().__init__(socket)
        self._out = Turns()
        self._to: End | None = None  # of a message of several parts that was begun

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
            turns.deactivate()
        return False

    def begin(self, first: bytes, more: bool) -> None:
        if not self.has_out():
            raise again()
        if more:
            self._to = self._out.ends[self._out.current]

    def deserted(self) -> End | None:
        return self._to if self._to is not None and self._to.incoming.ended else None

    def send(self, message: Message) -> None:
        if self.has_out():  # else the peer left in the middle of the message
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
    """Send the empty message that PROBE_ROUTER sends to each new peer."""
    if end.can_write():
        end.outgoing.write([b""])


class Pair(Kind):
    """PAIR (pair.cpp): has one peer, and refuses a second one."""

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
