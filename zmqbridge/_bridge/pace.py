"""Pace: when a sender has to wait: while its peer takes no more, and when the loop needs a turn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from typing import Any

from zmqbridge._bridge.pump import Pump
from zmqbridge.core._pacing import SLICE, STRIDE
from zmqbridge.core.framing import BytesLike


class Pace(ABC):
    """The sending side of a driver; a base class, because each send reads `yield_at`.

    Attributes:
        yield_at: after so many messages we check whether the loop needs a turn.
        slice_end: the time from which on the loop needs a turn.
    """

    __slots__ = ("link", "pump", "slice_end", "yield_at")

    link: Any
    pump: Pump

    def __init__(self) -> None:
        self.yield_at: int = STRIDE
        self.slice_end: float = 0.0

    def __repr__(self) -> str:
        link = getattr(self, "link", None)  # a test runner shows a reader that was left behind
        where = "" if link is None else " of {!r}, made in {}:{}".format(link, *link.made)
        return f"<{type(self).__name__}{where}>"

    def why_silent(self) -> str:
        """Why the loop does not call this driver, if that can be seen; else ""."""
        return ""

    @abstractmethod
    def check_open(self) -> None:
        """Refuse a call that cannot be served."""

    @abstractmethod
    def room_in(self, queue: Any) -> Awaitable[None]:
        """Register a waiter in a queue, and wait until the waiter is told."""

    @abstractmethod
    def go_round(self) -> Awaitable[None]:
        """Let the loop have one turn."""

    def holds_up(self, message: Sequence[BytesLike]) -> bool:
        """Whether a sender of this message has to wait now."""
        queue = self.pump.queue_of(message)
        return bool(queue and queue.paused) or self.is_turn_of_others()

    def is_turn_of_others(self) -> bool:
        """Whether the loop needs a turn now; reads the clock only after `STRIDE` messages."""
        if self.pump.sent < self.yield_at:
            return False
        if self.pump.monotonic() > self.slice_end:
            return True
        self.yield_at = self.pump.sent + STRIDE
        return False

    async def clear_to_send(self, message: Sequence[BytesLike]) -> None:
        """Wait while the peer pushes back, and let the loop have its turns."""
        self.check_open()
        while True:
            queue = self.pump.queue_of(message)
            if queue and queue.paused:
                if self.link.unheard:
                    self.link.warn_of_silence()
                await self.room_in(queue)
            elif self.is_turn_of_others():
                await self.let_others_go_on()  # and they may fill the queue
            else:
                return

    async def let_others_go_on(self) -> None:
        """Let the loop have its turn, if it is time."""
        if self.is_turn_of_others():
            self.yield_at = self.pump.sent + STRIDE
            await self.go_round()
            self.slice_end = self.pump.monotonic() + SLICE
            self.check_open()
