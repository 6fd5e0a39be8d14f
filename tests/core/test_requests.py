"""RequestTable against a dict: every reply to its own request, every deadline met by one timer."""

from __future__ import annotations

from math import inf

import pytest
from machines import RequestMachine

from zmqbridge.core.requests import AT_ONCE, RequestTable, request_ids

TestRequests = RequestMachine.TestCase


def test_steady_timeouts_make_hardly_any_timer_calls() -> None:
    table: RequestTable[int] = RequestTable()
    calls = 0
    for number in range(10_000):
        now = number / 1000
        request_id = table.wait(number, now + 5)
        if now + 5 < table.armed:
            calls += 1
            table.armed = table.next_deadline()
        if now >= table.armed:
            table.expire(now)
            table.armed = table.next_deadline()
            calls += table.armed < inf
        assert table.match(request_id) == number
    assert calls < 10


def test_a_crowd_expires_some_hundred_at_a_time() -> None:
    table: RequestTable[int] = RequestTable()
    for number in range(2 * AT_ONCE + 1):
        table.wait(number, 10.0)
    expired, armed = [], []
    while len(table):
        armed.append(table.next_deadline())
        some = table.expire(10.0)
        assert len(some) <= AT_ONCE
        expired += [waiter for _, waiter in some]
    assert sorted(expired) == list(range(2 * AT_ONCE + 1))
    assert armed == [10.0] * 3
    assert table.next_deadline() == inf


def test_an_early_timer_does_not_spin() -> None:
    table: RequestTable[str] = RequestTable()
    table.wait("waiter", 10.0)
    table.armed = table.next_deadline()
    assert [waiter for _, waiter in table.expire(9.999999)] == ["waiter"]


def test_an_id_of_ones_own_must_not_be_open() -> None:
    table: RequestTable[int] = RequestTable()
    assert table.wait(1, request_id=b"mine") == b"mine"
    with pytest.raises(ValueError, match="mine"):
        table.wait(2, request_id=b"mine")
    assert table.match(b"mine") == 1


def test_ids_differ_between_tables() -> None:
    assert next(request_ids())[:8] != next(request_ids())[:8]


def test_requests_that_are_due_stay_open_where_the_driver_closes_them() -> None:
    table: RequestTable[str] = RequestTable()
    first, second, taken = (table.wait(name, 1.0) for name in ("first", "second", "taken"))
    later = table.wait("later", 5.0)
    assert table.next_deadline() == 1.0
    del table.by_id[taken]
    assert table.due(2.0) == [first, second]
    assert table.waiters() == {first: "first", second: "second", later: "later"}
    assert set(table.timed) == {later}
    assert table.next_deadline() == 5.0


def test_a_timer_that_was_stopped_is_armed_anew_and_lets_nothing_expire_before_its_time() -> None:
    table: RequestTable[str] = RequestTable()
    request_id = table.wait("waiter", 10.0)
    table.armed = table.next_deadline()
    table.armed = inf  # the driver has stopped it, or somebody else has
    assert table.expire(5.0) == []
    assert table.next_deadline() == 10.0
    table.forget(request_id)
    assert not table.timed


def test_what_is_open_may_be_changed_and_replaced() -> None:
    table: RequestTable[str] = RequestTable()
    mine = table.wait("mine", 1.0, b"mine")
    table.by_id.pop(mine)
    assert table.wait("again", inf, b"mine") == b"mine"  # which has no deadline any more
    assert not table.timed
    table.by_id = {b"other": "other"}
    assert table.match(b"other") == "other"
    assert table.match(b"mine") is None
    assert len(table) == 0
