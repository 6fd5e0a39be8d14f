"""Handshakes against a plain model: which addresses refuse us, and when they are tried again."""

from __future__ import annotations

import re
from math import inf
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from zmqbridge.core.handshakes import AGAIN, FINAL, Handshakes, why
from zmqbridge.core.monitor import EventKind, MonitorEvent

addresses = st.sampled_from(["a", "b"])
AUTH = MonitorEvent(EventKind.HANDSHAKE_FAILED_AUTH, "a", 400)
HUNG_UP = MonitorEvent(EventKind.HANDSHAKE_FAILED_NO_DETAIL, "a", 32)


class Servers(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.model: dict[
            str, dict[str, Any]
        ] = {}  # by address: the error now, the last cause, the next try

    @initialize(wary=st.booleans())
    def make(self, wary):
        self.wary = wary
        self.handshakes = Handshakes(wary)

    @rule(address=addresses)
    def expect(self, address):
        self.handshakes.expect(address)
        about = self.model.pop(address, {"cause": None, "again": inf})
        self.model[address] = about | {"error": None}

    @rule(address=addresses)
    def forget(self, address):
        self.handshakes.forget(address)
        self.model.pop(address, None)

    @rule(address=addresses, kind=st.sampled_from(EventKind), value=st.sampled_from([400, 500]))
    def saw(self, address, kind, value):
        event = MonitorEvent(kind, address, value)
        error, news = self.handshakes.saw(event, self.now)
        if kind == EventKind.CONNECTED:
            self.model.setdefault(address, {"cause": None, "again": inf})["error"] = None
        about = self.model.get(address)
        fails = kind in FINAL or (self.wary and kind == EventKind.HANDSHAKE_FAILED_NO_DETAIL)
        if about is None or not fails:
            assert (error, news) == (None, False)
        if about is None:
            return
        if kind == EventKind.HANDSHAKE_SUCCEEDED:
            about.update(error=None, cause=None)
        if fails:
            assert error is not None
            assert error.event == event
            assert address in str(error)
            assert why(event) in str(error)
            assert news == (about["cause"] != (kind, value))
            about.update(error=error, cause=(kind, value))
        if kind in FINAL:
            about["again"] = self.now + AGAIN

    @rule(later=st.sampled_from([0.1, AGAIN]))
    def due(self, later):
        self.now += later
        due = {address for address, about in self.model.items() if about["again"] <= self.now}
        assert set(self.handshakes.due(self.now)) == due
        for address in due:
            self.model[address]["again"] = inf

    @invariant()
    def agrees(self):
        if hasattr(self, "wary"):
            errors = [about["error"] for about in self.model.values()]
            refused = bool(errors) and None not in errors
            assert (
                (self.handshakes.refusal() in errors) if refused else not self.handshakes.refusal()
            )
            again = [about["again"] for about in self.model.values()]
            assert self.handshakes.next_deadline() == min(again, default=inf)


TestServers = Servers.TestCase


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
def test_the_cause_is_said_as_far_as_libzmq_tells_it(event, words):
    handshakes = Handshakes(wary=True)
    handshakes.expect("a")
    error, _ = handshakes.saw(event, 0)
    assert re.search(words, str(error))
