"""Driver: what a pump asks of what drives it."""

from __future__ import annotations

from typing import Any, Protocol

from zmqbridge.core.framing import Message
from zmqbridge.errors import ZmqBridgeError


class Driver(Protocol):
    """Whoever drives a pump, and what that asks of him."""

    def _call_soon(self) -> None:
        """Call ``turn`` once, soon."""

    def _deliver(self, burst: list[Message], /) -> object:
        """Take a burst of received messages."""

    def _standby_turn(self) -> Any:
        """What its loop finds in its queue, and has ``turn`` called by; see `Pump.stand_by`."""

    def _room(self) -> float:
        """How many messages `_deliver` would take now; 0 pauses reading."""

    def _wake(self, waiters: list[Any], /) -> object:
        """Tell senders that wait that they may go on."""

    def _report(self, error: Exception, /) -> object:
        """Show an error that belongs to no call: a queued message whose peer has left."""

    def _end(self, error: ZmqBridgeError, /) -> object:
        """The socket is of no use any more, and this is why."""
