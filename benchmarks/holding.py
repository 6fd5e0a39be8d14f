"""What holding the I/O threads gives: requests-1000 held and unheld, in turns (Linux).

python -m benchmarks.holding        21 rounds
python -m benchmarks.holding 5      so many

The two runs of a pair follow one another, which of them comes first changes from round to round,
and each waits up to 15 s for an idle machine. What other programs took of it meanwhile is shown:
where that is much, a ratio says little.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from pathlib import Path

from benchmarks.runner import measure

ROUNDS = 21
IDLE = 0.85  # of the machine
CALM = 0.25  # what others may take, for a pair to be counted among the calm ones


def ticks() -> tuple[int, int]:
    """All of the machine's time so far, and how much of it was idle."""
    line = Path("/proc/stat").read_text().splitlines()[0]
    times = [int(part) for part in line.split()[1:9]]
    return sum(times), times[3] + times[4]


def wait_for_calm() -> None:
    """Wait until other programs leave the machine alone, for a quarter of a minute at the most."""
    for _ in range(60):
        all_before, idle_before = ticks()
        time.sleep(0.25)
        now, idle = ticks()
        if idle - idle_before > IDLE * (now - all_before):
            return


def run(subject: str) -> tuple[float, float]:
    """Requests a second, and the share of the machine that other programs took."""
    wait_for_calm()
    before, usage = ticks(), resource.getrusage(resource.RUSAGE_CHILDREN)
    rate = measure("requests-1000", subject).value
    after, used = ticks(), resource.getrusage(resource.RUSAGE_CHILDREN)
    ours = used.ru_utime + used.ru_stime - usage.ru_utime - usage.ru_stime
    passed, idle = after[0] - before[0], after[1] - before[1]
    return rate, max(0.0, 1 - (idle + ours * 100) / passed)


def shown(ratios: list[float]) -> str:
    """How some ratios are distributed."""
    if len(ratios) < 2:
        return f"{len(ratios)} pairs"
    quarters = statistics.quantiles(ratios, n=4, method="inclusive")
    spread = [min(ratios), *quarters, max(ratios)]
    return f"{len(ratios)} pairs: " + ", ".join(f"{ratio:.2f}" for ratio in spread)


def main(rounds: int) -> None:
    pairs: dict[str, list[tuple[float, float]]] = {"asyncio": [], "twisted": []}
    for number in range(rounds):
        for subject, seen in pairs.items():
            order = (subject, f"{subject} unheld")
            got = {name: run(name) for name in (order if number % 2 else order[::-1])}
            (held, share), (unheld, other_share) = (got[name] for name in order)
            seen.append((held / unheld, max(share, other_share)))
            print(f"{subject}: {held:,.0f} held, {unheld:,.0f} not, others {seen[-1][1]:.0%}")
    print("\nheld : unheld        least, quarter, median, three quarters, most")
    for subject, seen in pairs.items():
        calm = [ratio for ratio, share in seen if share < CALM]
        print(f"{subject:10} all      {shown([ratio for ratio, _ in seen])}")
        print(f"{subject:10} others under {CALM:.0%}   {shown(calm)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
