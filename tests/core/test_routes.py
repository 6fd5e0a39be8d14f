"""ReplyRoutes against a dict: each answer goes to the client that asked."""

from __future__ import annotations

from machines import RouteMachine

from zmqbridge.core.routes import ReplyRoutes

LIMIT = 5

TestRoutes = RouteMachine.TestCase


def test_what_is_unanswered_may_be_changed_and_replaced() -> None:
    routes = ReplyRoutes(LIMIT)
    routes.open([b"proxy", b"p", b"1"])
    assert routes.unanswered == {b"1": [b"proxy", b"p"]}
    routes.unanswered[b"own"] = [b"q"]
    assert routes.take(b"own") == [b"q", b"own"]
    routes.unanswered = {b"other": [b"q"]}
    assert routes.take(b"other") == [b"q", b"other"]
    assert b"1" not in routes


def test_ids_of_ours_are_forgotten_with_what_was_taken_out() -> None:
    routes = ReplyRoutes(LIMIT)
    for _ in range(10 * LIMIT):
        routes.open([b"p", b"1"])
        given = routes.open([b"q", b"1"])
        assert given != b"1"
        routes.unanswered.clear()
    assert len(routes._own) <= LIMIT
    routes.open([b"p", b"1"])
    assert routes.take(routes.open([b"q", b"1"])) == [b"q", b"1"]
