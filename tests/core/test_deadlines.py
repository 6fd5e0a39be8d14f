"""DeadlineHeap against a dict: what is due, in order, whatever was removed before."""

from __future__ import annotations

from math import inf

from machines import DeadlineMachine

from zmqbridge.core.deadlines import DeadlineHeap

TestDeadlines = DeadlineMachine.TestCase


def test_never_is_not_kept() -> None:
    heap: DeadlineHeap[str] = DeadlineHeap()
    heap.add(inf, "never")
    assert len(heap) == 0
    assert heap.next_deadline() == inf


def test_deadlines_that_were_given_up_do_not_pile_up() -> None:
    heap: DeadlineHeap[int] = DeadlineHeap()
    heap.add(1.0, -1)
    for key in range(100_000):
        heap.add(2.0, key)
        heap.remove(key, None)
    assert len(heap._heap) < 1000
    assert heap.due(2.0) == [-1]
