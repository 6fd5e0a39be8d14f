"""How a crowd of waiters is told in slices, by a clock and a loop that are moved by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from zmqbridge import SocketClosed
from zmqbridge._bridge.untold import FEWEST, MOST, Untold
from zmqbridge.core._pacing import SLICE

QUICK, SLOW = SLICE / 2, 3 * SLICE


class Loop:
    """Calls what is due, one call a turn; tells and turns may take some time."""

    def __init__(self, running: bool = True) -> None:
        self.now, self.takes, self.running = 100.0, 0.0, running
        self.told: list[Any] = []
        self.calls: list[Callable[[], object]] = []
        self.untold = Untold(self.tell, self.soon, lambda: self.now)

    def tell(self, waiters: Sequence[Any], error: Exception) -> None:
        self.told += waiters
        self.now += self.takes

    def soon(self, call: Callable[..., Any]) -> bool:
        self.calls.append(call)
        return self.running

    def turn(self, takes: float) -> int:
        """One turn of the loop; how many were told in it."""
        self.now += takes
        before = len(self.told)
        (call,) = self.calls
        self.calls.clear()
        call()
        return len(self.told) - before


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_slices_are_as_long_as_the_loop_can_bear(loop: Loop) -> None:
    loop.untold.add(range(5000), SocketClosed())
    assert len(loop.told) == MOST == 128
    assert [loop.turn(QUICK) for _ in range(3)] == [MOST] * 3
    assert [loop.turn(SLOW) for _ in range(5)] == [64, 32, 16, 16, 16]
    assert FEWEST == 16
    assert loop.turn(1.5 * SLICE) == 16  # as it should be
    assert [loop.turn(QUICK) for _ in range(4)] == [32, 64, 128, 128]
    while loop.calls:
        loop.turn(QUICK)
    assert loop.told == list(range(5000))


def test_a_slice_ends_when_its_time_is_up(loop: Loop) -> None:
    loop.takes = 2 * SLICE
    loop.untold.add(range(1000), SocketClosed())
    assert len(loop.told) == FEWEST
    assert loop.turn(QUICK) == FEWEST


def test_who_comes_while_others_are_told_comes_after_them(loop: Loop) -> None:
    loop.untold.add(range(600), SocketClosed())
    loop.untold.add(range(600, 610), SocketClosed())
    assert len(loop.told) == MOST
    assert len(loop.untold) == 610 - MOST
    assert len(loop.calls) == 1
    while loop.calls:
        loop.turn(QUICK)
    assert loop.told == list(range(610))
    loop.untold.add(range(610, 1122), SocketClosed())  # as many as are told at once
    assert loop.told == list(range(1122))


def test_when_the_loop_calls_nothing_any_more_all_are_told() -> None:
    loop = Loop(running=False)
    loop.takes = 2 * SLICE
    loop.untold.add(range(5000), SocketClosed())
    assert loop.told == list(range(5000))
    assert not loop.untold
