"""Monitor events against their encoding, and the count of peers against a plain model."""

from __future__ import annotations

import struct
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from zmqbridge import MalformedMessage
from zmqbridge.core.monitor import (
    ACCEPTS,
    EventKind,
    MonitorEvent,
    Peers,
    Storm,
    parse_event,
    without_failed_accepts,
)

ADDRESSES = ["tcp://127.0.0.1:1", "ipc:///two"]
addresses = st.sampled_from(ADDRESSES)
FAILURES = [kind for kind in EventKind if kind.name.startswith("HANDSHAKE_FAILED")]
COUNTED = {EventKind.CONNECTED, EventKind.ACCEPTED, EventKind.DISCONNECTED}
COUNTED |= {*FAILURES, EventKind.HANDSHAKE_SUCCEEDED}


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), st.text())
def test_every_event_is_passed_on_whether_its_number_is_known_or_not(number, value, address):
    encoded = address.encode(errors="replace")
    event = parse_event([struct.pack("=HI", number, value), encoded])
    assert tuple(event) == (number, encoded.decode(), value)
    assert isinstance(event.kind, EventKind) == (number in list(EventKind))
    assert (EventKind(number).name if number in list(EventKind) else hex(number)) in str(event)
    Peers().saw(event)


FAILED = MonitorEvent(EventKind.ACCEPT_FAILED, "", 24)
OTHER = MonitorEvent(EventKind.ACCEPTED, "", 7)


def test_many_failed_accepts_within_a_second_are_a_storm():
    storm = Storm()
    assert not storm.saw([FAILED] * ACCEPTS, 100.0)
    assert not storm.saw([OTHER] * ACCEPTS, 100.5)
    assert storm.saw([OTHER, FAILED], 100.9)
    assert storm.next_deadline() == inf
    storm.wait(100.9)
    assert storm.next_deadline() == 101.9
    assert not storm.saw([OTHER], 101.0)  # others never are
    storm.end()
    assert storm.next_deadline() == inf
    assert not storm.saw([FAILED] * ACCEPTS, 101.1)
    assert storm.saw([FAILED], 101.2)


def test_as_many_in_a_longer_time_are_none():
    storm = Storm()
    for second in range(10):
        assert not storm.saw([FAILED] * ACCEPTS, second * 1.01)


def test_failed_accepts_are_told_apart_before_they_are_read():
    burst = [[struct.pack("=HI", kind, 24), b"at"] for kind in EventKind] + [[b""], [b"\x40"]]
    left = without_failed_accepts(burst)
    assert left == [each for each in burst if each != [struct.pack("=HI", 0x40, 24), b"at"]]


@given(st.lists(st.binary(max_size=8), max_size=4))
def test_what_is_no_event_is_malformed(message):
    try:
        parse_event(message)
    except MalformedMessage as error:
        assert error.message == message
        assert len(message) != 2 or len(message[0]) != 6
    else:
        assert len(message) == 2
        assert len(message[0]) == 6


class Connections(RuleBasedStateMachine):
    """Connections open, shake hands, fail and end at two addresses, one of which we may leave.

    The model knows which connection each event belongs to; the events do not say it all. The count
    must be right after every one of them, as long as no peer leaves amid handshakes that
    succeeded in another order than that from newest to oldest: then nobody could know.
    """

    def __init__(self):
        super().__init__()
        self.peers = Peers()
        self.shaking: dict[str, list[int]] = {address: [] for address in ADDRESSES}
        self.up: dict[str, list[int]] = {address: [] for address in ADDRESSES}
        self.mixed = dict.fromkeys(ADDRESSES, False)
        self.fd = 10
        self.failure = None

    def tell(self, kind, address, value=0):
        event = MonitorEvent(kind, address, value)
        self.peers.saw(event)
        return event

    def take(self, data, connections):
        return connections.pop(data.draw(st.integers(0, len(connections) - 1)))

    def settle(self, address):
        if not self.shaking[address]:
            self.mixed[address] = False

    @rule(kind=st.sampled_from([EventKind.CONNECTED, EventKind.ACCEPTED]), address=addresses)
    def opens(self, kind, address):
        self.fd += 1
        self.tell(kind, address, self.fd)
        self.shaking[address].append(self.fd)

    @rule(data=st.data(), address=addresses)
    def succeeds(self, data, address):
        if self.shaking[address]:
            newest = self.shaking[address][-1]
            peer = self.take(data, self.shaking[address])
            self.mixed[address] |= peer != newest
            self.up[address].append(peer)
            self.tell(EventKind.HANDSHAKE_SUCCEEDED, address)
            self.settle(address)

    @rule(data=st.data(), address=addresses, kind=st.sampled_from(FAILURES))
    def fails(self, data, address, kind):
        if self.shaking[address]:
            peer = self.take(data, self.shaking[address])
            self.failure = self.tell(kind, address, 400)
            self.agrees()
            self.tell(EventKind.DISCONNECTED, address, peer)
            self.settle(address)

    @rule(data=st.data(), address=addresses)
    def does_not_fit_and_ends(self, data, address):
        if self.shaking[address] and not self.mixed[address]:
            peer = self.take(data, self.shaking[address])
            self.failure = self.tell(EventKind.DISCONNECTED, address, peer)

    @rule(data=st.data(), address=addresses)
    def leaves(self, data, address):
        if self.up[address] and not self.mixed[address]:
            peer = self.take(data, self.up[address])
            self.tell(EventKind.DISCONNECTED, address, peer)

    @rule(address=addresses, kind=st.sampled_from(sorted(set(EventKind) - COUNTED)))
    def something_else_happens(self, address, kind):
        self.tell(kind, address, 7)
        self.tell(0x8000, "", 7)

    @rule()
    def we_disconnect(self):
        address = ADDRESSES[0]
        self.peers.forget(address)
        for kind in (EventKind.CONNECTED, EventKind.HANDSHAKE_SUCCEEDED, EventKind.DISCONNECTED):
            self.tell(kind, address, 9)
        self.agrees_after_leaving(address)

    def agrees_after_leaving(self, address):
        self.shaking[address], self.up[address], self.mixed[address] = [], [], False
        self.agrees()
        self.peers.expect(address)

    @invariant()
    def agrees(self):
        assert self.peers.up == sum(map(len, self.up.values()))
        assert self.peers.failure == self.failure


TestConnections = Connections.TestCase


def test_connections_that_opened_before_the_monitor_are_counted_when_they_shake_hands_or_end():
    peers = Peers()
    for _ in range(2):
        peers.saw(MonitorEvent(EventKind.HANDSHAKE_SUCCEEDED, "tcp://a", 0))
    peers.saw(MonitorEvent(EventKind.DISCONNECTED, "tcp://b", 4))
    assert peers.up == 2
    peers.saw(MonitorEvent(EventKind.HANDSHAKE_FAILED_AUTH, "tcp://a", 400))
    peers.saw(MonitorEvent(EventKind.DISCONNECTED, "tcp://a", 5))
    assert peers.up == 2
    peers.saw(MonitorEvent(EventKind.DISCONNECTED, "tcp://a", 6))
    assert peers.up == 1


@pytest.mark.parametrize("kind", list(EventKind))
def test_a_known_event_reads_as_words(kind):
    assert str(MonitorEvent(kind, "", 3)) == f"{kind.name} 3 at no address"
