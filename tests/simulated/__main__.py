"""Runs the scenarios on the simulated network, a seed for each run.

    python -m tests.simulated --seeds 2000

A seed chooses the scenario, the loop and all chances. One that fails is printed with its last
events and the command that replays it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from tests.simulated.player import BACKENDS, share

SHARE = 50  # seeds that a process takes at a time


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--only", default="", help="only scenarios with this in their name")
    parser.add_argument("--backend", default="", choices=["", *BACKENDS])
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--most", type=int, default=5, help="how many failures are shown")
    given = parser.parse_args()
    began = time.monotonic()
    if given.seed is not None:
        failures = share([given.seed], given.only, given.backend)
        count = 1
    else:
        count = given.seeds
        last = given.first + count
        shares = [
            range(start, min(start + SHARE, last)) for start in range(given.first, last, SHARE)
        ]
        with ProcessPoolExecutor(given.processes, get_context("spawn")) as pool:
            work = partial(share, only=given.only, backend=given.backend)
            failures = [each for some in pool.map(work, shares) for each in some]
    for failure in failures[: given.most]:
        print(failure)
    print(f"{count} seeds, {len(failures)} failed, in {time.monotonic() - began:.1f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
