"""Handshakes: which of the addresses that we connect to refuse us, why, and when to try again."""

from __future__ import annotations

import os
from math import inf

from zmqbridge.core.monitor import EventKind, MonitorEvent
from zmqbridge.errors import HandshakeFailed

# libzmq gives an address up for good after these. But keys may be added while the server runs.
FINAL = frozenset({EventKind.HANDSHAKE_FAILED_AUTH, EventKind.HANDSHAKE_FAILED_PROTOCOL})
AGAIN = 0.5  # seconds until it is tried once more

# What zmq_socket_monitor(3) has for the values that are met when keys or mechanisms do not fit.
_AUTH, _PROTOCOL = EventKind.HANDSHAKE_FAILED_AUTH, EventKind.HANDSHAKE_FAILED_PROTOCOL
_CAUSES: dict[tuple[int, int], str] = {
    (_AUTH, 400): "the server does not let these credentials in",
    (_AUTH, 500): "the server's authenticator has failed",
    (_PROTOCOL, 0x11000001): "the keys of the two sides do not fit",
    (_PROTOCOL, 0x11000002): "the two sides do not use the same one of NULL, PLAIN and CURVE",
}


def why(event: MonitorEvent) -> str:
    """The cause of a handshake's failure, as far as libzmq tells it."""
    if event.kind == EventKind.HANDSHAKE_FAILED_NO_DETAIL:
        return (
            f"the server hung up on it ({os.strerror(event.value)}), as it does when the client "
            "has a wrong key of the server, and when it has no authenticator"
        )
    return _CAUSES.get((event.kind, event.value), str(event))


class Handshakes:
    """The failures of our own handshakes; those of strangers who connect to us are not ours.

    - inputs: `saw`
    - commands: `expect`, `forget`, `due`
    - getters: `refusal`, `next_deadline`

    What the driver owes: after `saw` and `due`, a timer for `next_deadline()`; when it goes off,
    it connects anew to what `due` returns.

    Args:
        wary: we show credentials. Then a server that just hangs up has refused them.
    """

    __slots__ = ("_again", "_last", "_refused", "_wary")

    def __init__(self, wary: bool) -> None:
        self._wary = wary
        self._refused: dict[str, HandshakeFailed | None] = {}
        self._last: dict[str, str] = {}
        self._again: dict[str, float] = {}

    def expect(self, address: str) -> None:
        """We connect to this address."""
        self._refused[address] = None

    def forget(self, address: str) -> None:
        """We do not connect to this address any more."""
        self._refused.pop(address, None)
        self._last.pop(address, None)
        self._again.pop(address, None)

    def refusal(self) -> HandshakeFailed | None:
        """Why nobody is there: the last failure when every address has refused us, else None."""
        refusals = list(self._refused.values())
        return refusals[-1] if refusals and None not in refusals else None

    def saw(self, event: MonitorEvent, now: float) -> tuple[HandshakeFailed | None, bool]:
        """The failure if this event is one, and whether that is news of this address."""
        kind, address, _ = event
        # Only who connects is told this, so it also tells what the raw socket was connected to.
        if kind == EventKind.CONNECTED:
            self._refused[address] = None
        if address not in self._refused:
            return None, False
        if kind == EventKind.HANDSHAKE_SUCCEEDED:
            self._refused[address] = None
            self._last.pop(address, None)
        if kind in FINAL:
            self._again[address] = now + AGAIN
        elif not self._wary or kind != EventKind.HANDSHAKE_FAILED_NO_DETAIL:
            return None, False
        cause = why(event)
        error = HandshakeFailed(f"no handshake with {address}: {cause}", event)
        self._refused[address] = error
        news = self._last.get(address) != cause
        self._last[address] = cause
        return error, news

    def next_deadline(self) -> float:
        """When the next address is due."""
        return min(self._again.values(), default=inf)

    def due(self, now: float) -> list[str]:
        """The addresses to connect to anew, because libzmq does not."""
        due = [address for address, when in self._again.items() if when <= now]
        for address in due:
            del self._again[address]
        return due
