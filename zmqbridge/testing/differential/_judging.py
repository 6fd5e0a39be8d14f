"""Judging: whether the results of a program on the model fit those on libzmq."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from zmqbridge.testing._errors import NotSimulated
from zmqbridge.testing.differential._child import on_libzmq
from zmqbridge.testing.differential._playing import TIES, Observed, play
from zmqbridge.testing.differential._programs import Program, Step
from zmqbridge.testing.differential._worlds import Model

# How many programs are played side by side, so that they wait together until libzmq is idle.
TOGETHER = 24
# A difference counts only if it is still there when libzmq has so many times more time.
WAIT_FACTORS = (1.0, 4.0, 12.0)


class Difference(NamedTuple):
    """The first step at which the results of two worlds differ.

    Attributes:
        program: the program that was played.
        step: the number of the step.
        model, real: the results of this step in both worlds.
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
    """Play a program on the simulated network, and return the results of its steps.

    Raises:
        NotSimulated: it does what libzmq does not survive.
    """
    return play([program], Model(program.seed))[0]


def differing(programs: Sequence[Program]) -> list[Difference]:
    """Play programs in both worlds, and return the differences that are there each time.

    Those that are not simulated are left out, and those in which libzmq differs from itself: what
    comes of a race of its threads is no rule for the model.
    """
    left = {}
    plays: dict[Program, list[Sequence[Observed]]] = {}
    for program in programs:
        with suppress(NotSimulated):  # as libzmq would end the process
            left[program] = on_model(program)
    found: list[Difference] = []
    for wait_factor in WAIT_FACTORS:
        found = []
        those = list(left)
        for at in range(0, len(those), TOGETHER):
            batch = those[at : at + TOGETHER]
            for program, real in zip(batch, on_libzmq(batch, wait_factor), strict=True):
                step = None if real is None else parting(program.steps, left[program], real)
                if real is None or step is None:
                    del left[program]
                else:
                    plays.setdefault(program, []).append(real)
                    found.append(Difference(program, step, left[program][step], real[step]))
    return [each for each in found if is_steady(plays[each.program], each.step)]


def is_steady(plays: Sequence[Sequence[Observed]], step: int) -> bool:
    """Whether the last two plays of a program came out alike, up to this step."""
    return len(plays) < 2 or plays[-1][: step + 1] == plays[-2][: step + 1]


def parting(
    steps: Sequence[Step], model: Sequence[Observed], real: Sequence[Observed]
) -> int | None:
    """The number of the first step whose results do not fit; None if all do."""
    loose = any(not step.settles for step in steps)
    tied: set[int] = set()  # sockets whose connections libzmq's threads work on
    for number, (ours, theirs) in enumerate(zip(model, real, strict=True)):
        if ours.came != theirs.came and not (loose and _by_sender(ours) == _by_sender(theirs)):
            return number
        if steps[number].what in TIES:
            tied.add(steps[number].socket)
        for socket in ours.rings.keys() & theirs.rings.keys():
            # An FD of libzmq signals also for internal commands, which have no other effect.
            if ours.rings[socket] > theirs.rings[socket] or (
                ours.rings[socket] < theirs.rings[socket] and socket not in tied
            ):
                return number
    return None


def _by_sender(observed: Observed) -> object:
    """The received messages by their sender: the order between senders does not count."""
    if not isinstance(observed.came, list):
        return observed.came
    senders: dict[bytes, list[object]] = {}
    for each in observed.came:
        label = each[-1] if isinstance(each, tuple) and isinstance(each[-1], bytes) else b""
        senders.setdefault(label.partition(b".")[0], []).append(each)
    return senders
