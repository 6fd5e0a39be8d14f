"""ConnectionState: which peers are up, which servers refuse us and why, and when to try again."""

from __future__ import annotations

from collections import Counter
from math import inf

from zmqbridge.core.connectionevents import (
    HANDSHAKE_FAILED,
    OPENED,
    EventKind,
    MonitorEvent,
    why,
)
from zmqbridge.errors import HandshakeFailed

_AUTH, _PROTOCOL = EventKind.HANDSHAKE_FAILED_AUTH, EventKind.HANDSHAKE_FAILED_PROTOCOL

# After these libzmq never tries the address again. But keys may be added while the server runs, and
# a peer of another type may make way for the right one. That peer is told by no event of its own:
# the connection ends amid the handshake.
FINAL = frozenset({_AUTH, _PROTOCOL, EventKind.DISCONNECTED})
AGAIN = 0.5  # seconds until we try again


class ConnectionState:
    """The connections of one socket, by the events of its monitor.

    A peer is *up* when its handshake has succeeded and its connection has not ended. With a success
    libzmq tells the address, which all peers of one `bind` share, but no descriptor. So the success
    is credited to the newest connection under way at that address: an older one is mostly
    a connection that never says anything. When the credited one fails later, the credit moves to
    another that is under way.

    A server *refuses* us when the handshake of our own connection fails for good. Handshakes of
    peers that connect to us are not judged.

    - inputs: `saw` (an event came), `due` (time passed)
    - commands: `expect` (before a connect), `disconnected` (after a disconnect), `gone`
    - getters: `up`, `failure`, `failures`, `refusal`, `next_deadline`

    What the driver owes: call `due` when `next_deadline()` has come, disconnect from each address
    that it returns and connect to it again, and call `gone` for one where that is not possible.

    Args:
        has_credentials: we show a key or a password. Then a server that just hangs up has
            refused them.

    Attributes:
        failure: the last event that ended a handshake, of any peer; None while there was none.
        failures: how many of our own handshakes have failed so far.
    """

    __slots__ = (
        "_again", "_causes", "_failing", "_has_credentials", "_left", "_nameless", "_refusals",
        "_shaking", "_up", "failure", "failures",
    )  # fmt: skip

    def __init__(self, has_credentials: bool = False) -> None:
        self._has_credentials = has_credentials
        self._shaking: dict[str, list[int]] = {}  # descriptors under way, by address
        self._up: dict[int, str] = {}  # by descriptor; one that we never saw open has a number < 0
        self._nameless = 0
        self._failing: Counter[str] = Counter()  # handshakes that failed, not disconnected yet
        self._left: set[str] = set()
        self.failure: MonitorEvent | None = None
        self.failures: int = 0
        # By the addresses that we connect to: the refusal, None while there is none; the cause of
        # the last one, which outlives a new attempt; and when to try again.
        self._refusals: dict[str, HandshakeFailed | None] = {}
        self._causes: dict[str, str] = {}
        self._again: dict[str, float] = {}

    @property
    def up(self) -> int:
        """How many peers are up."""
        return len(self._up)

    def refusal(self) -> HandshakeFailed | None:
        """The last failure, when no peer is up and every address has refused us; else None."""
        refusals = list(self._refusals.values())
        return refusals[-1] if refusals and not self._up and None not in refusals else None

    def expect(self, address: str) -> None:
        """We connect to this address: its events count (again)."""
        self._left.discard(address)
        self._refusals[address] = None

    def disconnected(self, address: str) -> None:
        """We have disconnected from this address. Its events count no more.

        libzmq tells nothing of a disconnect, and still tells what happens at the address then.
        """
        self._left.add(address)
        self._shaking.pop(address, None)
        del self._failing[address]
        self._up = {peer: at for peer, at in self._up.items() if at != address}
        self.gone(address)

    def gone(self, address: str) -> None:
        """The raw socket does not connect to this address any more: it cannot refuse us.

        Its events still count, because the raw socket may connect to it again.
        """
        self._refusals.pop(address, None)
        self._causes.pop(address, None)
        self._again.pop(address, None)

    def saw(self, event: MonitorEvent, now: float) -> tuple[HandshakeFailed | None, bool]:
        """Take the next event, whatever it is.

        Returns:
            The error if a server has refused us, else None; and whether its cause differs from
            the last one at this address.
        """
        kind, address, value = event
        if address in self._left:
            return None, False
        if kind in OPENED:
            self._shaking.setdefault(address, []).append(value)
            # Only the side that connects is told CONNECTED: so the raw socket has connected here.
            if kind == EventKind.CONNECTED:
                self._refusals[address] = None
        elif kind == EventKind.HANDSHAKE_SUCCEEDED:
            self._succeeded(address)
        elif kind == EventKind.DISCONNECTED:
            if self._ended_amid_handshake(event):
                self.failure = event
                return self._failed(event, now)
        elif kind in HANDSHAKE_FAILED:
            self._failing[address] += 1
            self.failure = event
            return self._failed(event, now)
        return None, False

    def next_deadline(self) -> float:
        """When the next address is due, ``inf`` if none is."""
        return min(self._again.values(), default=inf)

    def due(self, now: float) -> list[str]:
        """The addresses to connect to again now, because libzmq does not."""
        due = [address for address, when in self._again.items() if when <= now]
        for address in due:
            del self._again[address]
        return due

    def _succeeded(self, address: str) -> None:
        if shaking := self._shaking.get(address):
            self._up[shaking.pop()] = address
        else:  # it was opened before the monitor
            self._nameless -= 1
            self._up[self._nameless] = address
        if address in self._refusals:
            self._refusals[address] = None
            self._causes.pop(address, None)

    def _ended_amid_handshake(self, event: MonitorEvent) -> bool:
        # Take the end of a connection; True if nothing was told before of what its handshake lacks.
        _, address, peer = event
        shaking = self._shaking.get(address, [])
        failed = self._failing[address] > 0
        self._failing[address] -= failed
        if peer in shaking:
            shaking.remove(peer)
            return not failed
        if self._up.pop(peer, None) is not None:
            if failed and shaking:  # then it was another connection that succeeded
                self._up[shaking.pop()] = address
        elif not failed:
            nameless = [peer for peer, at in self._up.items() if peer < 0 and at == address]
            if nameless:
                del self._up[nameless[0]]
        return False

    def _failed(self, event: MonitorEvent, now: float) -> tuple[HandshakeFailed | None, bool]:
        kind, address, _ = event
        if address not in self._refusals or not (kind in FINAL or self._has_credentials):
            return None, False
        if kind in FINAL:
            self._again[address] = now + AGAIN
        cause = why(event)
        error = HandshakeFailed(f"no handshake with {address}: {cause}", event)
        self._refusals[address] = error
        self.failures += 1
        news = self._causes.get(address) != cause
        self._causes[address] = cause
        return error, news
