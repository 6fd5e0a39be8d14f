"""Pipes of the simulated network: where messages wait between a socket and a wire.

They work like libzmq's pipes: they hold whole messages, up to a high water mark, and tell two
things. A reader that has found the pipe empty is told of the next message; a reader that has not
looked is told nothing. A writer is told each time the reader has taken half as many messages as the
mark, not of each message (``compute_lwm`` in libzmq's pipe.cpp); the room counts from when the
writer works off this news (`Pipe.learn`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from zmqbridge.testing._errors import NotSimulated

Message = Sequence[bytes]
# The routing id of a peer, where it comes too late to be one: it takes a turn and is skipped.
ROUTING_ID: Message = [b""]


class Reader(Protocol):
    """Takes messages out of a pipe."""

    def comes(self, pipe: Pipe) -> None:
        """A pipe that was found empty has a message, or has ended."""


class Writer(Protocol):
    """Puts messages into a pipe."""

    def drains(self, pipe: Pipe) -> None:
        """The reader has taken half as many messages as the mark since the last such call."""


class Pipe:
    """A queue of messages in one direction between two ends.

    Args:
        high: how many messages may wait in it, 0 for any number.
        reader: is told of messages.
        writer: is told of room.
        conflates: whether it holds only the newest message.

    Attributes:
        queue: the messages that wait.
        asleep: whether the reader has found it empty, and is told of the next message.
        ended: no more messages will come; the reader learns it when it has read the rest.
        outdated: the reader has another pipe by now, and the writer has not worked off this news
            (``hiccup`` in libzmq's pipe.cpp): no reader gets what is in this one.
    """

    __slots__ = ("_low", "_read", "_seen", "_told", "_written", "asleep", "conflates", "ended",
                 "high", "outdated", "queue", "reader", "writer")  # fmt: skip

    def __init__(self, high: int, reader: Reader, writer: Writer, conflates: bool = False) -> None:
        self.queue: deque[Message] = deque()
        self.high: int = 0 if conflates else high
        self.conflates: bool = conflates
        self.reader: Reader = reader
        self.writer: Writer = writer
        self.asleep: bool = False
        self.ended: bool = False
        self.outdated: bool = False
        self._low = (self.high + 1) // 2
        self._written = self._read = self._told = self._seen = 0

    def limit(self, high: int) -> None:
        """Set the high water mark."""
        self.high = 0 if self.conflates else high
        self._low = (self.high + 1) // 2

    def full(self) -> bool:
        """Whether the writer has to wait, as far as it knows."""
        return 0 < self.high <= self._written - self._seen

    def write(self, message: Message) -> None:
        """Add a message; the writer has made sure that the pipe is not `full`."""
        self._written += 1
        if self.conflates:
            if len(message) > 1:
                raise NotSimulated("zmq.CONFLATE with a message of several parts is not simulated")
            self.queue.clear()
        self.queue.append(message)
        if self.asleep:
            self.asleep = False
            self.reader.comes(self)

    def slip(self, message: Message) -> None:
        """Add a message that does not count, before any other."""
        self.queue.append(message)
        self._read -= 1

    def has(self) -> bool:
        """Whether there is a message; if not, the reader is told of the next one."""
        if self.queue and not self.outdated:
            return True
        self.asleep = True
        return False

    def read(self) -> Message:
        """Take the oldest message; the reader has made sure that there is one."""
        message = self.queue.popleft()
        self.count()
        return message

    def count(self) -> None:
        """Count a message that was read to its last part."""
        self._read += 1
        if self._low and not self._read % self._low:
            self._told = self._read
            self.writer.drains(self)

    def learn(self) -> None:
        """Let the writer know of the room that the reader has told."""
        self._seen = self._told

    def wake(self) -> None:
        """Tell the reader to look, although there may be no message."""
        if self.asleep:
            self.asleep = False
            self.reader.comes(self)

    def end(self) -> None:
        """Say that no more messages will come."""
        self.ended = True
        if self.conflates:
            self.queue.clear()  # the end replaces the message
        self.wake()

    def drop(self) -> list[Message]:
        """Drop the messages that wait, and return them."""
        lost = list(self.queue)
        self.queue.clear()
        self._written -= len(lost)
        return lost
