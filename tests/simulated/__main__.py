"""Runs the scenarios on the simulated network, a seed for each run.

    python -m tests.simulated --seeds 2000

A seed chooses the scenario, the loop and all chances. One that fails is printed with its last
events and the command that replays it. When some have failed, no more are run.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from tests.simulated.player import share
from tests.simulated.stage import BACKENDS

SHARE = 50  # seeds that a process takes at a time

Outcome = tuple[int, list[str]]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--only", default="", help="only scenarios with this in their name")
    parser.add_argument("--backend", default="", choices=["", *BACKENDS])
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="0 for none")
    parser.add_argument("--most", type=int, default=5, help="failures with which it ends")
    given = parser.parse_args()
    began = time.monotonic()
    work = partial(share, only=given.only, backend=given.backend, most=given.most)
    if given.seed is not None:
        count, failures = work([given.seed])
    elif not given.processes:
        count, failures = work(range(given.first, given.first + given.seeds))
    else:
        count, failures = many(given, work)
    for failure in failures[: given.most]:
        print(failure)
    print(f"{count} seeds, {len(failures)} failed, in {time.monotonic() - began:.1f} s")
    return 1 if failures else 0


def many(given: argparse.Namespace, work: Callable[..., Outcome]) -> Outcome:
    """Run the seeds in several processes, until enough have failed."""
    last = given.first + given.seeds
    shares = [range(start, min(start + SHARE, last)) for start in range(given.first, last, SHARE)]
    count, failures = 0, []
    with ProcessPoolExecutor(given.processes, get_context("spawn")) as pool:
        for done, found in pool.map(work, shares):
            count += done
            failures += found
            if len(failures) >= given.most:
                pool.shutdown(cancel_futures=True)
                break
    return count, failures


if __name__ == "__main__":
    sys.exit(main())
