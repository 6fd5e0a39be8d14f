"""Child: plays programs on libzmq in a process of its own, since libzmq aborts on some."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence

from zmqbridge.testing.differential.playing import Observed, play
from zmqbridge.testing.differential.programs import Program
from zmqbridge.testing.differential.worlds import Real


def on_libzmq(programs: Sequence[Program], patience: float) -> list[list[Observed] | None]:
    """What comes of programs on libzmq, which are played side by side; None if it aborts.

    Args:
        programs: for one process.
        patience: see `Real`.
    """
    done = subprocess.run(
        [sys.executable, "-m", "zmqbridge.testing.differential.child", str(patience)],
        input=pickle.dumps(list(programs)), capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        observed: list[list[Observed] | None] = pickle.loads(done.stdout)
        return observed
    if done.returncode > 0:
        raise RuntimeError(done.stderr.decode())
    if len(programs) == 1:
        return [None]
    half = len(programs) // 2
    return on_libzmq(programs[:half], patience) + on_libzmq(programs[half:], patience)


def main() -> None:
    """Read programs, play them, and write what came of them."""
    programs = pickle.load(sys.stdin.buffer)
    world = Real(float(sys.argv[1]))
    observed = play(programs, world)
    sys.stdout.buffer.write(pickle.dumps(observed))
    sys.stdout.buffer.flush()
    world.end()
    os._exit(0)  # whatever lingers


if __name__ == "__main__":
    main()
