"""What the demo's three processes share: the flows, their messages, the lines they exchange.

The parent writes a line to a child's stdin to start the flow in which that child sends; the end of
stdin ends the child. A child writes JSON lines to its stdout: its progress, or a problem.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Thread
from typing import Any, NamedTuple

TWISTED, ASYNCIO = "Twisted", "asyncio"


class Flow(NamedTuple):
    """Messages of one pattern in one direction."""

    pattern: str
    sender: str
    receiver: str

    @property
    def arrow(self) -> str:
        """A sign for the direction: one way, or both ways."""
        return "→" if self.pattern in ("publish", "push") else "⇄"

    def __str__(self) -> str:
        return f"{self.pattern} {self.sender} {self.arrow} {self.receiver}"


FLOWS = {
    f"{pattern}-{sender}": Flow(pattern, sender, receiver)
    for pattern in ("publish", "push", "request", "route")
    for sender, receiver in ((TWISTED, ASYNCIO), (ASYNCIO, TWISTED))
}

# The publications have these tags in turn; the subscribers do not subscribe to the last one.
TAGS = (b"apples", b"pears", b"plums", b"stones")
WANTED = TAGS[:-1]
# Published until the subscriber is known to be there; these messages are not counted.
HELLO = b"hello"

SILENCE = b"please do not answer"
TIMEOUT = 0.2  # seconds, for the request that gets no reply
REPLY_TIMEOUT = 20.0  # seconds, for all other requests
OUTSTANDING = 50  # requests that wait for their replies at a time

SHARE = 50  # how many lines report the progress of a flow

Tell = Callable[[dict[str, Any]], None]


def body(number: int) -> bytes:
    """The message of this number."""
    return b"message %d" % number


def tag(number: int) -> bytes:
    """The tag of the publication of this number."""
    return TAGS[number % len(TAGS)]


def bodies(count: int) -> list[bytes]:
    """All messages of a flow."""
    return [body(number) for number in range(count)]


def wanted(count: int) -> list[bytes]:
    """The publications that a subscriber must get."""
    return [body(number) for number in range(count) if tag(number) in WANTED]


def tell(news: dict[str, Any]) -> None:
    """Write a line from a child to the parent."""
    sys.stdout.buffer.write(json.dumps(news).encode() + b"\n")
    sys.stdout.buffer.flush()


def listen(
    hand_in: Callable[..., object], take: Callable[[bytes], object], end: Callable[[], object]
) -> None:
    """Give each line of the parent, and their end, to a child's loop.

    A thread reads the lines, because on Windows neither asyncio's loop nor Twisted reads a pipe.

    Args:
        hand_in: makes the loop call a function; it is called in the thread.
        take: called in the loop with each line.
        end: called in the loop when there are no more lines.
    """

    def read() -> None:
        # Unbuffered: otherwise this thread would hold the lock of the buffer when the process ends.
        with open(0, "rb", buffering=0, closefd=False) as lines, suppress(RuntimeError):
            for line in lines:
                hand_in(take, line)
            hand_in(end)  # raises a RuntimeError if the loop is closed

    Thread(target=read, daemon=True).start()


def outgoing(tell: Tell, flow: str, count: int) -> Iterator[int]:
    """Yield the numbers of the messages to send, and report how many were sent."""
    for number in range(count):
        yield number
        if due(number + 1, count):
            tell({"flow": flow, "sent": number + 1})


class Incoming:
    """Checks and counts the received messages, and reports how many there were."""

    def __init__(self, tell: Tell, flow: str, bodies: list[bytes]) -> None:
        self._tell = tell
        self._flow = flow
        self._bodies = bodies
        self._received = 0

    def take(self, message: bytes, number: int | None = None) -> None:
        """Take a received message: the next in order, or the one with this number."""
        place = self._received if number is None else number
        expected = self._bodies[place] if place < len(self._bodies) else b"nothing more"
        if message != expected:
            text = f"{FLOWS[self._flow]}: {expected!r} was due, and {message!r} came"
            self._tell({"problem": text})
        self._received += 1
        if due(self._received, len(self._bodies)):
            self._tell({"flow": self._flow, "received": self._received})


def due(done: int, total: int) -> bool:
    """Whether to report to the parent that `done` messages of `total` are done."""
    return done >= total or done % max(1, total // SHARE) == 0
