"""Judging: whether what came of a program in the one world is allowed by what came in the other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from zmqbridge.testing.differential.child import on_libzmq
from zmqbridge.testing.differential.playing import TIES, Observed, play
from zmqbridge.testing.differential.programs import Program, Step
from zmqbridge.testing.differential.worlds import Model
from zmqbridge.testing.errors import NotSimulated

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
    """What comes of a program on the simulated network.

    Raises:
        NotSimulated: it does what libzmq does not survive.
    """
    return play([program], Model(program.seed))[0]


def differing(programs: Sequence[Program]) -> list[Difference]:
    """Play programs in both worlds, and find where these part for good.

    Those that are not simulated are left out.
    """
    left = {}
    for program in programs:
        with suppress(NotSimulated):  # as libzmq would end the process
            left[program] = on_model(program)
    found: list[Difference] = []
    for patience in PATIENCES:
        found = []
        those = list(left)
        for at in range(0, len(those), TOGETHER):
            batch = those[at : at + TOGETHER]
            for program, real in zip(batch, on_libzmq(batch, patience), strict=True):
                step = None if real is None else parting(program.steps, left[program], real)
                if real is None or step is None:
                    del left[program]
                else:
                    found.append(Difference(program, step, left[program][step], real[step]))
    return found


def parting(
    steps: Sequence[Step], model: Sequence[Observed], real: Sequence[Observed]
) -> int | None:
    """The first step at which what came in one world is not allowed by the other."""
    loose = any(not step.settles for step in steps)
    tied: set[int] = set()  # whose connections libzmq's threads have business with
    for number, (ours, theirs) in enumerate(zip(model, real, strict=True)):
        if ours.came != theirs.came and not (loose and _by_sender(ours) == _by_sender(theirs)):
            return number
        if steps[number].what in TIES:
            tied.add(steps[number].socket)
        for socket in ours.rings.keys() & theirs.rings.keys():
            # Commands of libzmq's own, of which the user sees nothing else, ring as well.
            if ours.rings[socket] > theirs.rings[socket] or (
                ours.rings[socket] < theirs.rings[socket] and socket not in tied
            ):
                return number
    return None


def _by_sender(observed: Observed) -> object:
    """What was received, without the order between the messages of different senders."""
    if not isinstance(observed.came, list):
        return observed.came
    senders: dict[bytes, list[object]] = {}
    for each in observed.came:
        label = each[-1] if isinstance(each, tuple) and isinstance(each[-1], bytes) else b""
        senders.setdefault(label.partition(b".")[0], []).append(each)
    return senders
