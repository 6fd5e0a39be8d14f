"""Hooks: the pattern of a connection, whose messages wait until its hook is called."""

from __future__ import annotations

from collections import deque

from zmqbridge.core._pacing import BURST
from zmqbridge.core.framing import Message
from zmqbridge.core.patterns import NOTHING, Pattern, Told


class Hooks(Pattern):
    """The pattern of a connection: its messages wait here until `messageReceived` is called.

    Attributes:
        unhandled: the messages.
    """

    __slots__ = ("unhandled",)

    def __init__(self) -> None:
        super().__init__(lambda: BURST - len(self.unhandled))
        self.unhandled: deque[Message] = deque()

    def feed(self, burst: list[Message]) -> Told:
        self.unhandled.extend(burst)
        return (), NOTHING
