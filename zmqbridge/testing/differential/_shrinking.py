"""Shrinking: searches the smallest program that still shows a difference."""

from __future__ import annotations

from collections.abc import Iterator

from zmqbridge.testing.differential._judging import Difference, differing
from zmqbridge.testing.differential._programs import Program, valid

ROUNDS = 12


def shrink(difference: Difference) -> Difference:
    """A difference of the same kind with fewer steps, options and sockets."""
    smallest = difference
    for _ in range(ROUNDS):
        found = differing([each for each in dict.fromkeys(_smaller(smallest)) if valid(each)])
        if not found:
            break
        smallest = min(found, key=_size)
    return smallest


def _size(difference: Difference) -> tuple[int, int]:
    program = difference.program
    return len(program.steps), sum(len(spec.options) for spec in program.sockets)


def _smaller(difference: Difference) -> Iterator[Program]:
    program = difference.program
    steps = program.steps[: difference.step + 1]
    if len(steps) < len(program.steps):
        yield program._replace(steps=steps)
    # Without large pieces first, then without single steps: the smallest that still differs wins.
    for size in (8, 4, 2, 1):
        if size <= len(steps):
            for at in range(0, len(steps), size):
                yield program._replace(steps=steps[:at] + steps[at + size :])
    for number, spec in enumerate(program.sockets):
        for option in spec.options:
            fewer = tuple(each for each in spec.options if each is not option)
            sockets = list(program.sockets)
            sockets[number] = spec._replace(options=fewer)
            yield program._replace(sockets=tuple(sockets), steps=steps)
