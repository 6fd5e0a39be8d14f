"""Pipes of the simulated network: where messages wait between a socket and what carries them.

They are libzmq's pipes: whole messages, a high water mark, and two kinds of news. A reader that
found a pipe empty is told of the next message; one that did not look is told nothing. A writer is
told each time the reader has taken half a mark's worth more, and not of each message
(``compute_lwm`` in libzmq's pipe.cpp); what it was told counts when it has looked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from zmqbridge.testing.errors import NotSimulated

Message = Sequence[bytes]


class Reader(Protocol):
    """What takes messages out of a pipe."""

    def comes(self, pipe: Pipe) -> None:
        """There is a message, or the end, in a pipe that was found empty."""


class Writer(Protocol):
    """What puts messages into a pipe."""

    def drains(self, pipe: Pipe) -> None:
        """The reader has taken enough to tell."""


class Pipe:
    """One direction between two ends, first in, first out.

    Args:
        high: how many messages may be in it, 0 for any number.
        conflates: it holds the newest message alone.

    Attributes:
        queue: the messages in it.
        asleep: the reader has found it empty, and is to be told.
        ended: no more will come; the reader learns it when it has read what is there.
    """

    __slots__ = ("_low", "_read", "_seen", "_told", "_written", "asleep", "conflates", "ended",
                 "high", "queue", "reader", "writer")  # fmt: skip

    def __init__(self, high: int, reader: Reader, writer: Writer, conflates: bool = False) -> None:
        self.queue: deque[Message] = deque()
        self.high: int = 0 if conflates else high
        self.conflates: bool = conflates
        self.reader: Reader = reader
        self.writer: Writer = writer
        self.asleep: bool = False
        self.ended: bool = False
        self._low = (self.high + 1) // 2
        self._written = self._read = self._told = self._seen = 0

    def limit(self, high: int) -> None:
        """Set another mark."""
        self.high = 0 if self.conflates else high
        self._low = (self.high + 1) // 2

    def full(self) -> bool:
        """Whether the writer has to wait, as far as it has been told."""
        return 0 < self.high <= self._written - self._seen

    def write(self, message: Message) -> None:
        """Put a message in; the writer has asked whether the pipe is `full`."""
        self._written += 1
        if self.conflates:
            if len(message) > 1:
                raise NotSimulated("zmq.CONFLATE with a message of several parts is not simulated")
            self.queue.clear()
        self.queue.append(message)
        if self.asleep:
            self.asleep = False
            self.reader.comes(self)

    def has(self) -> bool:
        """Whether there is a message; if not, the reader is told of the next one."""
        if self.queue:
            return True
        self.asleep = True
        return False

    def read(self) -> Message:
        """Take the oldest message; there is one."""
        message = self.queue.popleft()
        self.count()
        return message

    def count(self) -> None:
        """A message was read, to its last part."""
        self._read += 1
        if self._low and not self._read % self._low:
            self._told = self._read
            self.writer.drains(self)

    def learn(self) -> None:
        """The writer looks at what the reader has told."""
        self._seen = self._told

    def wake(self) -> None:
        """The reader is to look, though there may be no message."""
        if self.asleep:
            self.asleep = False
            self.reader.comes(self)

    def end(self) -> None:
        """No more will come."""
        self.ended = True
        if self.conflates:
            self.queue.clear()  # the end takes the place of the message
        self.wake()

    def drop(self) -> list[Message]:
        """Lose what is in it, and return that."""
        lost = list(self.queue)
        self.queue.clear()
        self._written -= len(lost)
        return lost
