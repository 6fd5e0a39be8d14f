"""Requests, deadlines and routes against dicts: every reply goes where it belongs, in time."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from zmqbridge.core.deadlines import DeadlineHeap
from zmqbridge.core.requests import RequestTable
from zmqbridge.core.routes import ReplyRoutes

KEYS = st.integers(0, 8)
TIMES = st.integers(0, 20).map(float)


class DeadlineMachine(RuleBasedStateMachine):
    """Keys are added, removed, and become due in order."""

    def __init__(self) -> None:
        super().__init__()
        self.heap = self.make()
        self.model: dict[int, float] = {}

    def make(self, **settings: Any) -> DeadlineHeap[int]:
        """The machine under test: one of your own, or the one in a driver."""
        return DeadlineHeap(**settings)

    @rule(key=KEYS, deadline=TIMES)
    def add(self, key: int, deadline: float) -> None:
        if key not in self.model:
            self.heap.add(deadline, key)
            self.model[key] = deadline

    @rule(key=KEYS)
    def remove(self, key: int) -> None:
        self.heap.remove(key, None)
        self.model.pop(key, None)

    @rule(now=TIMES)
    def pass_time(self, now: float) -> None:
        due = self.heap.due(now)
        assert sorted(due) == sorted(key for key in self.model if self.model[key] <= now)
        assert [self.model[key] for key in due] == sorted(self.model[key] for key in due)
        for key in due:
            del self.model[key]

    @invariant()
    def knows_the_next(self) -> None:
        assert self.heap.next_deadline() == min(self.model.values(), default=inf)
        assert len(self.heap) == len(self.model)

    @rule()
    def close(self) -> None:
        remains: list[Any] = []
        self.heap.close(remains)
        assert remains or not self.model  # what held them is the caller's to free
        self.model.clear()


class RequestMachine(RuleBasedStateMachine):
    """Requests with deadlines, and a peer that replies late, twice, or out of order.

    For a driver of your own override the methods from `ask` to `close_all`; here it has one timer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.table = self.make()
        self.open: dict[bytes, tuple[int, float]] = {}
        self.gone: list[bytes] = []
        self.now = 0.0
        self.late = 0
        self.count = 0

    def make(self, **settings: Any) -> RequestTable[int]:
        """The machine under test: one of your own, or the one in a driver."""
        return RequestTable(**settings)

    def ask(self, waiter: int, deadline: float) -> bytes:
        """Open a request and return its id."""
        request_id = self.table.wait(waiter, deadline)
        if deadline < self.table.armed:
            self.table.armed = self.table.next_deadline()
        return request_id

    def pass_time(self) -> list[tuple[bytes, int]]:
        """It is `now`: return the requests that have expired, as (id, waiter)."""
        expired = []
        if self.table.armed <= self.now:
            expired = self.table.expire(self.now)
            self.table.armed = self.table.next_deadline()
        return expired

    def looks_at(self) -> float:
        """When the driver looks next for requests that have expired, if nothing else happens."""
        return self.table.armed

    def answer(self, request_id: bytes) -> int | None:
        """A reply comes: return the waiter that gets it, if there is one."""
        return self.table.match(request_id)

    def give_up(self, request_id: bytes) -> int | None:
        """The caller of a request waits no more: return its waiter, None if it is not open."""
        return self.table.forget(request_id)

    def close_all(self, remains: list[Any]) -> list[int]:
        """The socket is closing: return all waiters."""
        return self.table.close(remains)

    @rule(timeout=st.sampled_from([0.5, 1.0, 5.0, inf]))
    def request(self, timeout: float) -> None:
        self.count += 1
        deadline = self.now + timeout
        request_id = self.ask(self.count, deadline)
        assert request_id not in self.open
        assert request_id not in self.gone
        self.open[request_id] = (self.count, deadline)

    @rule(data=st.data())
    def reply(self, data: st.DataObject) -> None:
        if self.open:
            request_id = data.draw(st.sampled_from(sorted(self.open)))
            assert self.answer(request_id) == self.open.pop(request_id)[0]
            self.gone.append(request_id)

    @rule(data=st.data())
    def late_or_doubled_reply(self, data: st.DataObject) -> None:
        if self.gone:
            assert self.answer(data.draw(st.sampled_from(self.gone))) is None
            self.late += 1

    @rule(forged=st.binary(max_size=20))
    def forged_reply(self, forged: bytes) -> None:
        assert self.answer(forged) is None
        self.late += 1

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        if self.open:
            request_id = data.draw(st.sampled_from(sorted(self.open)))
            assert self.give_up(request_id) == self.open.pop(request_id)[0]
            assert self.give_up(request_id) is None
            self.gone.append(request_id)

    @rule(passed=st.sampled_from([0.25, 1.0, 3.0]))
    def time_passes(self, passed: float) -> None:
        self.now += passed
        due = {key: waiter for key, (waiter, when) in self.open.items() if when <= self.now}
        assert dict(self.pass_time()) == due
        for request_id in due:
            del self.open[request_id]
            self.gone.append(request_id)

    @rule()
    def close(self) -> None:
        remains: list[Any] = []
        assert self.close_all(remains) == [waiter for waiter, _ in self.open.values()]
        assert remains or not self.open  # what held them is the caller's to free
        assert not self.table.timed
        self.gone += self.open
        self.open.clear()

    @invariant()
    def agrees(self) -> None:
        assert len(self.table) == len(self.open)
        assert self.table.waiters() == {key: waiter for key, (waiter, _) in self.open.items()}
        assert self.table.late == self.late
        assert all(request_id in self.table for request_id in self.open)

    @invariant()
    def looks_in_time(self) -> None:
        earliest = min((deadline for _, deadline in self.open.values()), default=inf)
        assert self.table.next_deadline() == earliest
        assert self.looks_at() <= earliest


class RouteMachine(RuleBasedStateMachine):
    """Requests come with ids that are alike, and some replies cannot be sent."""

    LIMIT = 5

    def __init__(self) -> None:
        super().__init__()
        self.routes = self.make(limit=self.LIMIT)
        self.model: dict[bytes, list[bytes]] = {}
        self.dropped = 0

    def make(self, **settings: Any) -> ReplyRoutes:
        """The machine under test: one of your own, or the one in a driver."""
        return ReplyRoutes(**settings)

    @rule(peer=st.sampled_from([b"p", b"q"]), request_id=st.sampled_from([b"1", b"2", b"1#1"]))
    def open(self, peer: bytes, request_id: bytes) -> None:
        given = self.routes.open([peer, request_id])
        assert given not in self.model
        assert given == request_id or request_id in self.model
        self.model[given] = [peer, request_id]
        if len(self.model) > self.LIMIT:
            del self.model[next(iter(self.model))]
            self.dropped += 1

    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        if self.model:
            request_id = data.draw(st.sampled_from(sorted(self.model)))
            assert self.routes.take(request_id) == self.model.pop(request_id)
            with pytest.raises(KeyError, match="answered already"):
                self.routes.take(request_id)

    @rule(data=st.data())
    def take_and_put_back(self, data: st.DataObject) -> None:
        if self.model:
            request_id = data.draw(st.sampled_from(sorted(self.model)))
            route = self.routes.take(request_id)
            self.routes.put_back(request_id, route)
            self.model[request_id] = self.model.pop(request_id)

    @rule()
    def close(self) -> None:
        self.routes.close()
        self.model.clear()

    @invariant()
    def agrees(self) -> None:
        assert self.routes.routes() == self.model
        assert len(self.routes) == len(self.model)
        assert all(request_id in self.routes for request_id in self.model)
        assert self.routes.dropped == self.dropped
