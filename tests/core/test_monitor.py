"""Monitor events against their encoding, and when failed accepts are a storm."""

from __future__ import annotations

import struct
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqbridge import MalformedMessage
from zmqbridge.core.connectionevents import EventKind, MonitorEvent
from zmqbridge.core.connectionstate import ConnectionState
from zmqbridge.core.inbox import HIGH
from zmqbridge.core.monitor import ACCEPTS, Storm, parse_event, without_failed_accepts


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), st.text())
def test_every_event_is_passed_on_whether_its_number_is_known_or_not(
    number: int, value: int, address: str
) -> None:
    encoded = address.encode(errors="replace")
    event: Any = parse_event([struct.pack("=HI", number, value), encoded])
    assert event == (number, encoded.decode(), value)
    assert isinstance(event.kind, EventKind) == (number in list(EventKind))
    assert (event.kind.name if number in list(EventKind) else hex(number)) in str(event)
    ConnectionState().saw(event, 0.0)


FAILED = MonitorEvent(EventKind.ACCEPT_FAILED, "", 24)
OTHER = MonitorEvent(EventKind.ACCEPTED, "", 7)


def test_many_failed_accepts_within_a_second_are_a_storm() -> None:
    storm = Storm()
    assert not storm.saw([FAILED] * ACCEPTS, 100.0)
    assert not storm.saw([OTHER] * ACCEPTS, 100.5)
    assert storm.saw([OTHER, FAILED], 100.9)
    assert storm.next_deadline() == inf
    storm.postpone(100.9)
    assert storm.next_deadline() == 101.9
    assert not storm.saw([OTHER], 101.0)  # others never are
    storm.end()
    assert storm.next_deadline() == inf
    assert not storm.saw([FAILED] * ACCEPTS, 101.1)
    assert storm.saw([FAILED], 101.2)


def test_a_storm_is_known_before_it_has_pushed_out_what_a_listener_has_yet_to_see() -> None:
    assert Storm().saw([FAILED] * HIGH, 100.0)
    assert not Storm().saw([FAILED] * 100, 100.0)  # of as many a program may want to know


def test_as_many_in_a_longer_time_are_none() -> None:
    storm = Storm()
    for second in range(10):
        assert not storm.saw([FAILED] * ACCEPTS, second * 1.01)


def test_failed_accepts_are_told_apart_before_they_are_read() -> None:
    burst = [[struct.pack("=HI", kind, 24), b"at"] for kind in EventKind] + [[b""], [b"\x40"]]
    left = without_failed_accepts(burst)
    assert left == [each for each in burst if each != [struct.pack("=HI", 0x40, 24), b"at"]]


@given(st.lists(st.binary(max_size=8), max_size=4))
def test_what_is_no_event_is_malformed(message: list[bytes]) -> None:
    try:
        parse_event(message)
    except MalformedMessage as error:
        assert error.message == message
        assert len(message) != 2 or len(message[0]) != 6
    else:
        assert len(message) == 2
        assert len(message[0]) == 6


@pytest.mark.parametrize("kind", list(EventKind))
def test_a_known_event_reads_as_words(kind: EventKind) -> None:
    assert str(MonitorEvent(kind, "", 3)) == f"{kind.name} 3 at no address"
