"""Child: plays programs on libzmq in a process of its own, since libzmq aborts on some."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from zmqbridge.testing.differential._playing import Observed, play
from zmqbridge.testing.differential._programs import Program
from zmqbridge.testing.differential._worlds import DIRECTORY, Real

Task = Callable[[], object]


def in_child(task: Task) -> object:
    """Call a function in a new process, and return its result; None if the process is aborted.

    Args:
        task: a function of a module, or a `functools.partial` of one.

    Raises:
        RuntimeError: the function raised; the text has its traceback.
    """
    done = subprocess.run(
        [sys.executable, "-m", "zmqbridge.testing.differential._child"],
        input=pickle.dumps(task), capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode > 0:
        raise RuntimeError(done.stderr.decode())
    result: object = pickle.loads(done.stdout) if done.returncode == 0 else None
    return result


def play_on_libzmq(programs: Sequence[Program], wait_factor: float) -> list[list[Observed]]:
    """Play programs on libzmq in this process."""
    return play(programs, Real(wait_factor))


def on_libzmq(programs: Sequence[Program], wait_factor: float) -> list[list[Observed] | None]:
    """Play programs side by side on libzmq, in a child process; None for one that aborts libzmq.

    Args:
        programs: the programs to play in one process.
        wait_factor: see `Real`.
    """
    observed: Any = in_child(partial(play_on_libzmq, list(programs), wait_factor))
    if observed is not None:
        return list(observed)
    if len(programs) == 1:
        return [None]
    half = len(programs) // 2
    return on_libzmq(programs[:half], wait_factor) + on_libzmq(programs[half:], wait_factor)


def main() -> None:
    """Read a pickled function, call it, and write its pickled result."""
    task: Task = pickle.load(sys.stdin.buffer)
    sys.stdout.buffer.write(pickle.dumps(task()))
    sys.stdout.buffer.flush()
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    os._exit(0)  # without waiting for messages that linger


if __name__ == "__main__":
    main()
