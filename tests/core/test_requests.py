"""RequestTable against a dict: every reply to its own request, every deadline met by one timer."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from zmqbridge.core.requests import AT_ONCE, RequestTable, request_ids


class Requests(RuleBasedStateMachine):
    """A driver with one timer and a clock, and a peer that replies late, twice, or out of order."""

    def __init__(self):
        super().__init__()
        self.table: RequestTable[int] = RequestTable()
        self.open: dict[bytes, tuple[int, float]] = {}
        self.gone: list[bytes] = []
        self.now = 0.0
        self.timer = inf
        self.late = 0
        self.count = 0

    def arm(self):
        deadline = self.table.arm()
        if deadline < inf:
            self.timer = deadline

    @rule(timeout=st.sampled_from([0.5, 1.0, 5.0, inf]))
    def request(self, timeout):
        self.count += 1
        deadline = self.now + timeout
        request_id = self.table.open(self.count, deadline)
        assert request_id not in self.open
        assert request_id not in self.gone
        self.open[request_id] = (self.count, deadline)
        if deadline < self.table.armed:
            self.arm()

    @rule(data=st.data())
    def reply(self, data):
        if self.open:
            request_id = data.draw(st.sampled_from(sorted(self.open)))
            assert self.table.match(request_id) == self.open.pop(request_id)[0]
            self.gone.append(request_id)

    @rule(data=st.data())
    def late_or_doubled_reply(self, data):
        if self.gone:
            assert self.table.match(data.draw(st.sampled_from(self.gone))) is None
            self.late += 1

    @rule(forged=st.binary(max_size=20))
    def forged_reply(self, forged):
        assert self.table.match(forged) is None
        self.late += 1

    @rule(data=st.data())
    def cancel(self, data):
        if self.open:
            request_id = data.draw(st.sampled_from(sorted(self.open)))
            assert self.table.cancel(request_id) == self.open.pop(request_id)[0]
            assert self.table.cancel(request_id) is None
            self.gone.append(request_id)

    @rule(passed=st.sampled_from([0.25, 1.0, 3.0]))
    def time_passes(self, passed):
        self.now += passed
        if self.timer <= self.now:
            self.timer = inf
            expired = self.table.expire(self.now)
            due = {key: value for key, value in self.open.items() if value[1] <= self.now}
            assert dict(expired) == {key: waiter for key, (waiter, _) in due.items()}
            for request_id in due:
                del self.open[request_id]
                self.gone.append(request_id)
            self.arm()

    @rule()
    def close(self):
        assert self.table.close() == [waiter for waiter, _ in self.open.values()]
        self.gone += self.open
        self.open.clear()

    @rule()
    def close_and_keep_what_held_them(self):
        remains = []
        assert self.table.close(remains) == [waiter for waiter, _ in self.open.values()]
        by_id, heap, deadlines = remains
        assert list(by_id) == list(self.open)
        assert set(deadlines) <= {key for _, key in heap} & set(by_id)
        assert not self.table.timed
        self.gone += self.open
        self.open.clear()

    @invariant()
    def agrees(self):
        assert len(self.table) == len(self.open)
        assert self.table.waiters() == {key: waiter for key, (waiter, _) in self.open.items()}
        assert self.table.late == self.late
        assert all(request_id in self.table for request_id in self.open)

    @invariant()
    def the_timer_is_never_too_late(self):
        assert self.timer <= min((deadline for _, deadline in self.open.values()), default=inf)


TestRequests = Requests.TestCase


def test_steady_timeouts_make_hardly_any_timer_calls():
    table: RequestTable[int] = RequestTable()
    calls = 0
    for number in range(10_000):
        now = number / 1000
        request_id = table.open(number, now + 5)
        if now + 5 < table.armed:
            calls += 1
            table.arm()
        if now >= table.armed:
            table.expire(now)
            calls += table.arm() < inf
        assert table.match(request_id) == number
    assert calls < 10


def test_a_crowd_expires_some_hundred_at_a_time():
    table: RequestTable[int] = RequestTable()
    for number in range(2 * AT_ONCE + 1):
        table.open(number, 10.0)
    expired, armed = [], []
    while len(table):
        armed.append(table.arm())
        some = table.expire(10.0)
        assert len(some) <= AT_ONCE
        expired += [waiter for _, waiter in some]
    assert sorted(expired) == list(range(2 * AT_ONCE + 1))
    assert armed == [10.0] * 3
    assert table.arm() == inf


def test_an_early_timer_does_not_spin():
    table: RequestTable[str] = RequestTable()
    table.open("waiter", 10.0)
    table.arm()
    assert [waiter for _, waiter in table.expire(9.999999)] == ["waiter"]


def test_an_id_of_ones_own_must_not_be_open():
    table: RequestTable[int] = RequestTable()
    assert table.open(1, request_id=b"mine") == b"mine"
    with pytest.raises(ValueError, match="mine"):
        table.open(2, request_id=b"mine")
    assert table.match(b"mine") == 1


def test_ids_differ_between_tables():
    assert next(request_ids())[:8] != next(request_ids())[:8]


def test_requests_that_are_due_stay_open_where_the_driver_closes_them():
    table: RequestTable[str] = RequestTable()
    first, second, taken = (table.open(name, 1.0) for name in ("first", "second", "taken"))
    later = table.open("later", 5.0)
    assert table.arm() == 1.0
    del table.by_id[taken]
    assert table.due(2.0) == [first, second]
    assert table.waiters() == {first: "first", second: "second", later: "later"}
    assert set(table.timed) == {later}
    assert table.arm() == 5.0


def test_a_timer_that_was_stopped_is_armed_anew_and_lets_nothing_expire_before_its_time():
    table: RequestTable[str] = RequestTable()
    request_id = table.open("waiter", 10.0)
    assert table.arm() == 10.0
    table.armed = inf  # the driver has stopped it, or somebody else has
    assert table.expire(5.0) == []
    assert table.arm() == 10.0
    table.cancel(request_id)
    assert not table.timed


def test_what_is_open_may_be_changed_and_replaced():
    table: RequestTable[str] = RequestTable()
    mine = table.open("mine", 1.0, b"mine")
    table.by_id.pop(mine)
    assert table.open("again", inf, b"mine") == b"mine"  # which has no deadline any more
    assert not table.timed
    table.by_id = {b"other": "other"}
    assert table.match(b"other") == "other"
    assert table.match(b"mine") is None
    assert len(table) == 0
