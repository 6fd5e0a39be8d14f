"""Pacing: how the length of bursts follows the time that it takes to handle them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zmqbridge.core._pacing import BURST, SHORTEST, SLICE, next_length


@given(cost=st.floats(1e-8, 1e-2), length=st.integers(SHORTEST, BURST))
def test_whatever_a_message_costs_bursts_come_to_take_up_to_two_slices(
    cost: float, length: int
) -> None:
    for _ in range(10):
        length = next_length(length, length * cost)
        assert SHORTEST <= length <= BURST
    assert length == SHORTEST or length * cost <= 2 * SLICE
    assert length == BURST or length * cost >= SLICE / 2


@given(length=st.integers(SHORTEST, BURST), slices=st.floats(1, 2))
def test_what_takes_one_slice_or_two_stays_as_it_is(length: int, slices: float) -> None:
    assert next_length(length, slices * SLICE) == length
