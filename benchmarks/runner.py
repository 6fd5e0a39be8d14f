"""Runs one workload of one subject: the processes at both ends, and their output."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.subjects import SUBJECTS
from benchmarks.subjects.common import Result
from benchmarks.workloads import WORKLOADS, Workload

PATIENCE = 60.0  # seconds for one run; a subject that takes longer has failed
ROOT = Path(__file__).parent.parent


class Failed(Exception):
    """A subject could not be measured; the text says why."""


def start(module: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said_something(process: subprocess.Popen[str], while_runs: subprocess.Popen[str]) -> bool:
    """Wait until a process prints a line; False if the other process ends before that."""
    while while_runs.poll() is None:
        if select.select([process.stdout], [], [], 0.05)[0]:
            return True
    return False


def last_words(process: subprocess.Popen[str]) -> str:
    """Whether a process runs or how it ended, and its last error line; then kill it."""
    status = process.poll()
    process.kill()
    _, errors = process.communicate()
    said = errors.strip().splitlines()[-1:]
    return " and ".join(["runs" if status is None else f"ended with {status}", *said])


@contextmanager
def both_ends(
    workload: Workload, name: str, count: int
) -> Iterator[tuple[subprocess.Popen[str], subprocess.Popen[str]]]:
    """The two processes of one run, the measured one and its far side; ends both afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"ipc://{folder}/socket"
        near = start("benchmarks.subject", name, workload.role, address, count, workload.size)
        if workload.far == "replier":
            far = start("benchmarks.subject", name, "replier", address, 0, 0)
        else:
            far = start("benchmarks.far", workload.far, address, count, workload.size)
        try:
            yield near, far
        finally:
            for process in (near, far):
                process.kill()
                process.wait()
                for pipe in (process.stdin, process.stdout, process.stderr):
                    pipe.close()


def measure(workload_name: str, name: str) -> Result:
    """The result of one run.

    Raises:
        Failed: the subject lacks the role or a package, raised, or took too long.
    """
    workload = WORKLOADS[workload_name]
    count = workload.count
    # Large messages take all subjects about the same time. And with fewer of them, the ones that
    # fit into the buffers at once would count too much.
    if workload.size < 10_000 and workload.unit != "µs":
        count = max(1000, round(count * SUBJECTS[name].speed / 1000) * 1000)
    with both_ends(workload, name, count) as (near, far):
        try:
            if workload.far == "subscribe" and said_something(far, while_runs=near):
                near.stdin.write("go\n")
                near.stdin.flush()
            output, errors = near.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            said = f"it {last_words(near)}; the far side {last_words(far)}"
            raise Failed(f"no result in {PATIENCE:g} s: {said}") from None
    if near.returncode:
        raise Failed((errors.strip().splitlines() or ["it ended without a result"])[-1])
    return Result(*json.loads(output))
