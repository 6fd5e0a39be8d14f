"""ReplyRoutes against a dict: each answer goes to the client that asked."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from zmqbridge.core.routes import ReplyRoutes

LIMIT = 5
peers = st.sampled_from([b"p", b"q"])
ids = st.sampled_from([b"1", b"2", b"1#1"])


class Routes(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.routes = ReplyRoutes(LIMIT)
        self.model: dict[bytes, list[bytes]] = {}
        self.dropped = 0

    @rule(peer=peers, request_id=ids)
    def open(self, peer, request_id):
        given = self.routes.open([peer, request_id])
        assert given not in self.model
        assert given == request_id or request_id in self.model
        self.model[given] = [peer, request_id]
        if len(self.model) > LIMIT:
            del self.model[next(iter(self.model))]
            self.dropped += 1

    @rule(data=st.data())
    def take(self, data):
        if self.model:
            request_id = data.draw(st.sampled_from(sorted(self.model)))
            assert self.routes.take(request_id) == self.model.pop(request_id)
            with pytest.raises(KeyError, match="answered already"):
                self.routes.take(request_id)

    @rule(data=st.data())
    def take_and_put_back(self, data):
        if self.model:
            request_id = data.draw(st.sampled_from(sorted(self.model)))
            route = self.routes.take(request_id)
            self.routes.put_back(request_id, route)
            self.model[request_id] = self.model.pop(request_id)

    @rule()
    def clear(self):
        self.routes.clear()
        self.model.clear()

    @invariant()
    def agrees(self):
        assert self.routes.routes() == self.model
        assert len(self.routes) == len(self.model)
        assert all(request_id in self.routes for request_id in self.model)
        assert self.routes.dropped == self.dropped


TestRoutes = Routes.TestCase


def test_what_is_unanswered_may_be_changed_and_replaced():
    routes = ReplyRoutes(LIMIT)
    routes.open([b"proxy", b"p", b"1"])
    assert routes.unanswered == {b"1": [b"proxy", b"p"]}
    routes.unanswered[b"own"] = [b"q"]
    assert routes.take(b"own") == [b"q", b"own"]
    routes.unanswered = {b"other": [b"q"]}
    assert routes.take(b"other") == [b"q", b"other"]
    assert b"1" not in routes


def test_ids_of_ours_are_forgotten_with_what_was_taken_out():
    routes = ReplyRoutes(LIMIT)
    for _ in range(10 * LIMIT):
        routes.open([b"p", b"1"])
        given = routes.open([b"q", b"1"])
        assert given != b"1"
        routes.unanswered.clear()
    assert len(routes._own) <= LIMIT
    routes.open([b"p", b"1"])
    assert routes.take(routes.open([b"q", b"1"])) == [b"q", b"1"]
