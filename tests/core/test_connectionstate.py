"""ConnectionState against plain models: who is up, which addresses refuse us, when to try again."""

from __future__ import annotations

import re
from math import inf

import pytest
from machines import PeerMachine, RefusalMachine

from zmqbridge.core.connectionevents import EventKind, MonitorEvent, why, with_cause
from zmqbridge.core.connectionstate import AGAIN, ConnectionState

AUTH = MonitorEvent(EventKind.HANDSHAKE_FAILED_AUTH, "a", 400)
HUNG_UP = MonitorEvent(EventKind.HANDSHAKE_FAILED_NO_DETAIL, "a", 32)

TestPeers = PeerMachine.TestCase
TestRefusals = RefusalMachine.TestCase


def test_connections_that_opened_before_the_monitor_are_counted_when_they_shake_hands_or_end() -> (
    None
):
    state = ConnectionState()
    for _ in range(2):
        state.saw(MonitorEvent(EventKind.HANDSHAKE_SUCCEEDED, "tcp://a", 0), 0)
    state.saw(MonitorEvent(EventKind.DISCONNECTED, "tcp://b", 4), 0)
    assert state.up == 2
    state.saw(MonitorEvent(EventKind.HANDSHAKE_FAILED_AUTH, "tcp://a", 400), 0)
    state.saw(MonitorEvent(EventKind.DISCONNECTED, "tcp://a", 5), 0)
    assert state.up == 2
    state.saw(MonitorEvent(EventKind.DISCONNECTED, "tcp://a", 6), 0)
    assert state.up == 1


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (AUTH, "does not let these credentials in"),
        (AUTH._replace(value=500), "authenticator has failed"),
        (AUTH._replace(value=477), "HANDSHAKE_FAILED_AUTH 477 at a"),
        (HUNG_UP, "hung up on it .Broken pipe., .* a wrong key"),
        (
            MonitorEvent(EventKind.HANDSHAKE_FAILED_PROTOCOL, "a", 0x11000002),
            "the same one of NULL, PLAIN and CURVE",
        ),
    ],
)
def test_the_cause_is_said_as_far_as_libzmq_tells_it(event: MonitorEvent, words: str) -> None:
    state = ConnectionState(has_credentials=True)
    state.expect("a")
    error, _ = state.saw(event, 0)
    assert re.search(words, str(error))


def test_servers_that_refuse_us_are_no_refusal_while_another_peer_is_up() -> None:
    state = ConnectionState()
    state.expect("a")
    error, news = state.saw(AUTH, 0)
    assert news
    assert state.refusal() is error
    state.saw(MonitorEvent(EventKind.ACCEPTED, "b", 7), 0)
    state.saw(MonitorEvent(EventKind.HANDSHAKE_SUCCEEDED, "b", 0), 0)
    assert state.refusal() is None


def test_what_still_comes_from_an_address_that_we_left_does_not_count_until_we_come_again() -> None:
    state = ConnectionState()
    state.expect("a")
    state.expect("b")
    state.saw(AUTH._replace(address="b"), 0)
    state.disconnected("a")
    state.saw(MonitorEvent(EventKind.CONNECTED, "a", 7), 0)
    assert state.refusal() is not None  # the connection to "a" is ended, and so no hope
    state.expect("a")
    assert state.refusal() is None


def test_an_address_that_the_raw_socket_gave_up_counts_when_it_connects_there_again() -> None:
    state = ConnectionState()
    state.expect("a")
    state.saw(AUTH, 0)
    state.gone("a")
    assert state.refusal() is None
    assert state.due(10) == []
    state.saw(MonitorEvent(EventKind.CONNECTED, "a", 7), 0)
    state.saw(MonitorEvent(EventKind.HANDSHAKE_SUCCEEDED, "a", 0), 0)
    assert state.up == 1


def test_an_address_that_libzmq_gave_up_is_tried_again_once_for_each_refusal() -> None:
    state = ConnectionState()
    state.expect("a")
    assert state.next_deadline() == inf
    for now in (100.0, 200.0):
        state.saw(AUTH, now)
        assert state.next_deadline() == now + AGAIN
        assert state.due(now) == []
        assert state.due(now + AGAIN) == ["a"]
        assert state.due(now + AGAIN) == []


def test_a_success_is_credited_to_another_connection_when_the_newest_one_fails() -> None:
    state = ConnectionState()
    for descriptor in (7, 8):
        state.saw(MonitorEvent(EventKind.ACCEPTED, "a", descriptor), 0)
    state.saw(MonitorEvent(EventKind.HANDSHAKE_SUCCEEDED, "a", 0), 0)
    state.saw(AUTH, 0)
    state.saw(MonitorEvent(EventKind.DISCONNECTED, "a", 8), 0)
    assert state.up == 1
    state.saw(MonitorEvent(EventKind.DISCONNECTED, "a", 7), 0)
    assert state.up == 0


def test_the_text_of_a_failure_has_its_cause_once() -> None:
    amid = MonitorEvent(EventKind.DISCONNECTED, "tcp://a", 7)
    assert with_cause(amid).startswith("DISCONNECTED 7 at tcp://a: a socket is there whose type")
    wrong = MonitorEvent(EventKind.HANDSHAKE_FAILED_AUTH, "tcp://a", 400)
    assert with_cause(wrong) == str(wrong)
    assert why(wrong) in with_cause(wrong)
