"""Command: ``python -m zmqbridge.testing differential`` compares the simulation with libzmq."""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from zmqbridge.testing.differential import _stage as stage
from zmqbridge.testing.differential._child import in_child
from zmqbridge.testing.differential._fixed import Fixed, fixed
from zmqbridge.testing.differential._judging import differing
from zmqbridge.testing.differential._shrinking import shrink
from zmqbridge.testing.differential._writing import generate

WAIT_FACTORS = (1.0, 6.0, 24.0)
TOGETHER = 4  # processes, which wait most of the time
WIRES = ("tcp", "ipc")


def differs(program: Fixed, transport: str) -> tuple[object, object] | None:
    """The results of a fixed program on the model and on libzmq; None if they are alike."""
    ours = program.play(stage.model(transport))
    theirs: object = None
    for wait_factor in WAIT_FACTORS:
        theirs = in_child(partial(play_fixed, program.name, transport, wait_factor))
        if ours == theirs:
            return None
    return ours, theirs


def play_fixed(name: str, transport: str, wait_factor: float) -> object:
    """Play a fixed program on libzmq in this process."""
    (program,) = (each for each in fixed() if each.name == name)
    try:
        return program.play(stage.real(transport, wait_factor))
    except (AssertionError, ValueError) as error:  # libzmq needs more time
        return repr(error)


def compare(seed: int, programs: int, by_hand: bool = True) -> int:
    """Compare random programs, and those that were written by hand; print each difference.

    Args:
        seed: the seed of the first random program; the next one has the next number.
        programs: how many random programs.
        by_hand: whether to compare the fixed programs as well.

    Returns:
        How many programs differ.
    """
    found = differing([generate(seed + number) for number in range(programs)])
    for difference in found:
        print(shrink(difference))
        again = f"python -m zmqbridge.testing differential --seed {difference.program.seed}"
        print(f"again: {again} --programs 1\n", flush=True)
    count = len(found)
    tasks = [(program, transport) for program in fixed() for transport in WIRES if by_hand]
    with ThreadPoolExecutor(TOGETHER) as pool:
        results = list(pool.map(lambda task: differs(*task), tasks))
    for (program, transport), result in zip(tasks, results, strict=True):
        if result is not None:
            count += 1
            print(f"{program.name}, over {transport}\n  the model: {result[0]!r}")
            print(f"  libzmq:    {result[1]!r}\n", flush=True)
    return count


def main(arguments: Sequence[str]) -> int:
    """Run the command, and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m zmqbridge.testing differential",
        description="Play the same programs on the simulated network and on libzmq.",
    )
    parser.add_argument("--programs", type=int, default=100, help="how many random ones (100)")
    parser.add_argument("--seed", type=int, help="of the first; the next one has the next number")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(2**31) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    count = compare(seed, given.programs, by_hand=given.programs > 1)
    print(f"{given.programs} programs, {count} differences")
    return 1 if count else 0
