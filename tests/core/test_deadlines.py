"""DeadlineHeap against a dict: what is due, in order, whatever was removed before."""

from __future__ import annotations

from math import inf

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from zmqbridge.core.deadlines import DeadlineHeap

keys = st.integers(0, 8)
times = st.integers(0, 20).map(float)


class Deadlines(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.heap: DeadlineHeap[int] = DeadlineHeap()
        self.model: dict[int, float] = {}

    @rule(key=keys, deadline=times)
    def add(self, key, deadline):
        if key not in self.model:
            self.heap.add(deadline, key)
            self.model[key] = deadline

    @rule(key=keys)
    def remove(self, key):
        self.heap.remove(key, None)
        self.model.pop(key, None)

    @rule(now=times)
    def pop_due(self, now):
        due = self.heap.pop_due(now)
        assert sorted(due) == sorted(key for key in self.model if self.model[key] <= now)
        assert [self.model[key] for key in due] == sorted(self.model[key] for key in due)
        for key in due:
            del self.model[key]

    @invariant()
    def knows_the_next(self):
        assert self.heap.next() == min(self.model.values(), default=inf)
        assert len(self.heap) == len(self.model)


TestDeadlines = Deadlines.TestCase


def test_never_is_not_kept():
    heap: DeadlineHeap[str] = DeadlineHeap()
    heap.add(inf, "never")
    assert len(heap) == 0
    assert heap.next() == inf


def test_deadlines_that_were_given_up_do_not_pile_up():
    heap: DeadlineHeap[int] = DeadlineHeap()
    heap.add(1.0, -1)
    for key in range(100_000):
        heap.add(2.0, key)
        heap.remove(key, None)
    assert len(heap._heap) < 1000
    assert heap.pop_due(2.0) == [-1]
