"""The state of connections against plain models: who is up, who refuses us, when to try again."""

from __future__ import annotations

from math import inf
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from zmqbridge.core.connectionevents import EventKind, MonitorEvent, why
from zmqbridge.core.connectionstate import AGAIN, FINAL, ConnectionState

ADDRESSES = ["tcp://127.0.0.1:1", "ipc:///two"]
AT = st.sampled_from(ADDRESSES)
FAILURES = [kind for kind in EventKind if kind.name.startswith("HANDSHAKE_FAILED")]
# Half of them mean something here, or little would happen.
KINDS = [*EventKind, *3 * [*FAILURES, EventKind.HANDSHAKE_SUCCEEDED]]
COUNTED = {EventKind.CONNECTED, EventKind.ACCEPTED, EventKind.DISCONNECTED}
COUNTED |= {*FAILURES, EventKind.HANDSHAKE_SUCCEEDED}


class PeerMachine(RuleBasedStateMachine):
    """Connections open, shake hands, fail and end at two addresses, one of which we may leave.

    The model knows which connection each event belongs to; the events do not say it all. The count
    must be right after every one of them, as long as no peer leaves amid handshakes that
    succeeded in another order than that from newest to oldest: then nobody could know.
    """

    def __init__(self) -> None:
        super().__init__()
        self.state = self.make()
        self.shaking: dict[str, list[int]] = {address: [] for address in ADDRESSES}
        self.up: dict[str, list[int]] = {address: [] for address in ADDRESSES}
        self.mixed = dict.fromkeys(ADDRESSES, False)
        self.fd = 10
        self.failure: MonitorEvent | None = None

    def make(self, **settings: Any) -> ConnectionState:
        """The machine under test: one of your own, or the one in a driver."""
        return ConnectionState(**settings)

    def tell(self, kind: EventKind | int, address: str, value: int = 0) -> MonitorEvent:
        event = MonitorEvent(kind, address, value)
        self.state.saw(event, 0.0)
        return event

    def take(self, data: st.DataObject, connections: list[int]) -> int:
        return connections.pop(data.draw(st.integers(0, len(connections) - 1)))

    def settle(self, address: str) -> None:
        if not self.shaking[address]:
            self.mixed[address] = False

    @rule(kind=st.sampled_from([EventKind.CONNECTED, EventKind.ACCEPTED]), address=AT)
    def opens(self, kind: EventKind, address: str) -> None:
        self.fd += 1
        self.tell(kind, address, self.fd)
        self.shaking[address].append(self.fd)

    @rule(data=st.data(), address=AT)
    def succeeds(self, data: st.DataObject, address: str) -> None:
        if self.shaking[address]:
            newest = self.shaking[address][-1]
            peer = self.take(data, self.shaking[address])
            self.mixed[address] |= peer != newest
            self.up[address].append(peer)
            self.tell(EventKind.HANDSHAKE_SUCCEEDED, address)
            self.settle(address)

    @rule(data=st.data(), address=AT, kind=st.sampled_from(FAILURES))
    def fails(self, data: st.DataObject, address: str, kind: EventKind) -> None:
        if self.shaking[address]:
            peer = self.take(data, self.shaking[address])
            self.failure = self.tell(kind, address, 400)
            self.agrees()
            self.tell(EventKind.DISCONNECTED, address, peer)
            self.settle(address)

    @rule(data=st.data(), address=AT)
    def does_not_fit_and_ends(self, data: st.DataObject, address: str) -> None:
        if self.shaking[address] and not self.mixed[address]:
            peer = self.take(data, self.shaking[address])
            self.failure = self.tell(EventKind.DISCONNECTED, address, peer)

    @rule(data=st.data(), address=AT)
    def leaves(self, data: st.DataObject, address: str) -> None:
        if self.up[address] and not self.mixed[address]:
            peer = self.take(data, self.up[address])
            self.tell(EventKind.DISCONNECTED, address, peer)

    @rule(address=AT, kind=st.sampled_from(sorted(set(EventKind) - COUNTED)))
    def something_else_happens(self, address: str, kind: EventKind) -> None:
        self.tell(kind, address, 7)
        self.tell(0x8000, "", 7)

    @rule()
    def we_disconnect(self) -> None:
        address = ADDRESSES[0]
        self.state.disconnected(address)
        for kind in (EventKind.CONNECTED, EventKind.HANDSHAKE_SUCCEEDED, EventKind.DISCONNECTED):
            self.tell(kind, address, 9)
        self.agrees_after_leaving(address)

    def agrees_after_leaving(self, address: str) -> None:
        self.shaking[address], self.up[address], self.mixed[address] = [], [], False
        self.agrees()
        self.state.expect(address)

    @invariant()
    def agrees(self) -> None:
        assert self.state.up == sum(map(len, self.up.values()))
        assert self.state.failure == self.failure


class RefusalMachine(RuleBasedStateMachine):
    """Events in any order: which addresses refuse us, and when they are tried again.

    How many peers are up is what `PeerMachine` tests; here it is believed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.model: dict[
            str, dict[str, Any]
        ] = {}  # by address: the error now, the last cause, the next try
        self.left: set[str] = set()
        self.failures = 0

    @initialize(has_credentials=st.booleans())
    def start(self, has_credentials: bool) -> None:
        self.has_credentials = has_credentials
        self.state = self.make(has_credentials=has_credentials)
        for address in ADDRESSES:
            self.expect(address)

    def make(self, **settings: Any) -> ConnectionState:
        """The machine under test: one of your own, or the one in a driver."""
        return ConnectionState(**settings)

    @rule(address=AT)
    def expect(self, address: str) -> None:
        self.state.expect(address)
        about = self.model.pop(address, {"cause": None, "again": inf})
        self.model[address] = about | {"error": None}
        self.left.discard(address)

    @precondition(lambda self: self.now > AGAIN)
    @rule(address=AT)
    def forget(self, address: str) -> None:
        self.state.disconnected(address)
        self.model.pop(address, None)
        self.left.add(address)

    @precondition(lambda self: self.now > AGAIN)
    @rule(address=AT)
    def gone(self, address: str) -> None:
        self.state.gone(address)
        self.model.pop(address, None)

    @rule(address=AT, kind=st.sampled_from(KINDS), value=st.sampled_from([400, 500]))
    def saw(self, address: str, kind: EventKind, value: int) -> None:
        event = MonitorEvent(kind, address, value)
        error, news = self.state.saw(event, self.now)
        if kind == EventKind.CONNECTED and address not in self.left:
            self.model.setdefault(address, {"cause": None, "again": inf})["error"] = None
        about = self.model.get(address)
        final = kind in FINAL
        if kind == EventKind.DISCONNECTED:
            final = self.state.failure is event  # amid a handshake
        fails = final or (self.has_credentials and kind == EventKind.HANDSHAKE_FAILED_NO_DETAIL)
        if about is None or not fails:
            assert (error, news) == (None, False)
        if about is None:
            return
        if kind == EventKind.HANDSHAKE_SUCCEEDED:
            about.update(error=None, cause=None)
        if fails:
            self.failures += 1
            assert error is not None
            assert error.event == event
            assert address in str(error)
            assert why(event) in str(error)
            assert news == (about["cause"] != (kind, value))
            about.update(error=error, cause=(kind, value))
        if final:
            about["again"] = self.now + AGAIN

    @rule(later=st.sampled_from([0.1, AGAIN]))
    def due(self, later: float) -> None:
        self.now += later
        due = {address for address, about in self.model.items() if about["again"] <= self.now}
        assert set(self.state.due(self.now)) == due
        for address in due:
            self.model[address]["again"] = inf

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "state"):
            errors = [about["error"] for about in self.model.values()]
            refused = bool(errors) and None not in errors and not self.state.up
            refusal = self.state.refusal()
            assert refusal in errors if refused else refusal is None
            again = [about["again"] for about in self.model.values()]
            assert self.state.next_deadline() == min(again, default=inf)
            assert self.state.failures == self.failures
