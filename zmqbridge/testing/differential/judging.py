"""Judging: whether what came of a program in the one world is allowed by what came in the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zmqbridge.testing.differential.playing import Observed, play
from zmqbridge.testing.differential.programs import Program, Step
from zmqbridge.testing.differential.worlds import Model, Real

# So many programs wait together for libzmq to fall quiet.
TOGETHER = 24
# A difference must be there again when libzmq is given so much more time.
PATIENCES = (1.0, 4.0, 12.0)


class Difference(NamedTuple):
    """Where two worlds part.

    Attributes:
        program: what was played.
        step: the number of the step.
        model, real: what came of it in each.
    """

    program: Program
    step: int
    model: Observed
    real: Observed

    def __str__(self) -> str:
        program, step = self.program, self.step
        return (
            f"{program}\nafter step {step} ({program.steps[step]!r}):\n"
            f"  the model: {self.model.came!r}, rings {self.model.rings}\n"
            f"  libzmq:    {self.real.came!r}, rings {self.real.rings}"
        )


def on_model(program: Program) -> list[Observed]:
    """What comes of a program on the simulated network."""
    return play([program], Model(program.seed))[0]


def on_libzmq(programs: Sequence[Program], patience: float) -> list[list[Observed]]:
    """What comes of programs on libzmq, which are played side by side."""
    world = Real(patience)
    try:
        return play(programs, world)
    finally:
        world.end()


def differing(programs: Sequence[Program]) -> list[Difference]:
    """Play programs in both worlds, and find where these part for good."""
    left = {program: on_model(program) for program in programs}
    found: list[Difference] = []
    for patience in PATIENCES:
        found = []
        those = list(left)
        for at in range(0, len(those), TOGETHER):
            batch = those[at : at + TOGETHER]
            for program, real in zip(batch, on_libzmq(batch, patience), strict=True):
                step = parting(program.steps, left[program], real)
                if step is None:
                    del left[program]
                else:
                    found.append(Difference(program, step, left[program][step], real[step]))
    return found


def parting(
    steps: Sequence[Step], model: Sequence[Observed], real: Sequence[Observed]
) -> int | None:
    """The first step at which what came in one world is not allowed by the other."""
    for number, (ours, theirs) in enumerate(zip(model, real, strict=True)):
        if ours != theirs:
            return number
    return None
