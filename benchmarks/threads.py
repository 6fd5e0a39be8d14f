"""Where the CPU of a request goes, thread by thread, with 1,000 of them outstanding (Linux).

python -m benchmarks.threads             ours, and the bare floor
python -m benchmarks.threads asyncio     these subjects
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.runner import PATIENCE, both_ends
from benchmarks.workloads import WORKLOADS

COUNT = 500_000  # enough to last until the second reading, 2.2 s after the first request
WARM_UP = 1.2  # seconds until everything is imported and connected, and runs at full speed
WHILE = 1.0  # seconds between the two readings
USUAL = ("asyncio", "twisted", "facade", "bare asyncio", "asyncio unheld")


class Used(NamedTuple):
    """The resources that a thread has used so far.

    Attributes:
        cpu: µs of processor time.
        slept: how often it went to sleep, and so had to be woken.
        interrupted: how often another thread ran in its place.
    """

    cpu: float
    slept: int
    interrupted: int


def threads(pid: int) -> dict[str, Used]:
    """The main thread and libzmq's I/O thread of a process."""
    used = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        status = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines())
        name = "I/O" if "ZMQbg/IO" in status["Name"] else "main"
        if name == "I/O" or task.name == str(pid):
            nanoseconds = int((task / "schedstat").read_text().split()[0])
            slept = int(status["voluntary_ctxt_switches"])
            interrupted = int(status["nonvoluntary_ctxt_switches"])
            used[name] = Used(nanoseconds / 1000, slept, interrupted)
    return used


def measure(subject: str) -> str:
    """One subject's lines of the table."""
    with both_ends(WORKLOADS["requests-1000"], subject, COUNT) as (client, replier):
        ends = {"client": client, "replier": replier}
        time.sleep(WARM_UP)
        before = {end: threads(process.pid) for end, process in ends.items()}
        time.sleep(WHILE)
        after = {end: threads(process.pid) for end, process in ends.items()}
        rate, _ = json.loads(client.communicate(timeout=PATIENCE)[0])
    lines = [f"{subject}, {rate:,.0f} requests a second"]
    for end in ends:
        for name in sorted(before[end], reverse=True):
            both = zip(after[end][name], before[end][name], strict=True)
            cpu, slept, interrupted = ((now - then) / WHILE / rate for now, then in both)
            lines.append(f"  {end + ' ' + name:14}{cpu:8.1f} µs{slept:8.2f}{interrupted:13.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(f"{'':16}CPU a request   slept  interrupted")
    for subject in sys.argv[1:] or USUAL:
        print(measure(subject), flush=True)
