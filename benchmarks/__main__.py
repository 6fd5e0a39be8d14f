"""Runs the benchmarks, round by round, every subject in turn, and shows the results.

python -m benchmarks                    all workloads, and how cost grows
python -m benchmarks receive send       these workloads
python -m benchmarks growth             how cost grows, alone
python -m benchmarks simulation         what a request costs on the simulated network
python -m benchmarks publications       publish and subscribe with state, against its bounds
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from pathlib import Path

from benchmarks import plot, report
from benchmarks.runner import Failed, measure
from benchmarks.subjects import SUBJECTS
from benchmarks.workloads import WORKLOADS

ALONE = ["growth", "simulation", "publications"]


def progress(text: str) -> None:
    """One line that is rewritten on a terminal; without a terminal, a line for each step."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def run(workloads: list[str], subjects: list[str], rounds: int) -> report.Results:
    """Measure each workload, all subjects in each round, so that noise affects all alike."""
    results: report.Results = defaultdict(lambda: defaultdict(list))
    failures: dict[tuple[str, str], str] = {}
    for workload in workloads:
        for number in range(1, rounds + 1):
            for subject in subjects:
                out = workload not in (SUBJECTS[subject].only or (workload,))
                if out or (workload, subject) in failures:
                    continue
                progress(f"{workload}: round {number} of {rounds}, {subject}")
                try:
                    results[workload][subject].append(measure(workload, subject))
                except Failed as error:
                    failures[workload, subject] = str(error)
        progress("")
        print(report.table(workload, results[workload], failures), flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", nargs="*", help=f"{', '.join(ALONE)}, {', '.join(WORKLOADS)}")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (default: 3)")
    parser.add_argument("--subjects", default=",".join(SUBJECTS), help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results here")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the medians here (svg, png)"
    )
    options = parser.parse_args()
    what = options.what or [*WORKLOADS, "growth"]
    subjects = options.subjects.split(",")
    for name in [name for name in what if name not in WORKLOADS and name not in ALONE]:
        known = ", ".join([*WORKLOADS, *ALONE])
        parser.error(f"there is no workload {name!r}: choose from {known}")
    for name in [name for name in subjects if name not in SUBJECTS]:
        parser.error(f"there is no subject {name!r}: choose from {', '.join(SUBJECTS)}")

    print(report.machine(subjects), flush=True)
    results = run([name for name in what if name in WORKLOADS], subjects, options.rounds)
    bounds = []
    if "growth" in what:
        from benchmarks import growth  # which traces memory, as PyPy cannot

        bounds = growth.measured(progress)
    if "simulation" in what:
        from benchmarks import simulation

        bounds += simulation.measured(progress)
    if "publications" in what:
        from benchmarks import publications

        publications.main([])
    if results:
        print(report.targets(results))
    if bounds:
        print(report.bounds(bounds))
    if options.json:
        options.json.write_text(json.dumps(report.plain(results, bounds, subjects), indent=1))
    if options.plot and results:
        plot.draw(results, options.plot)


if __name__ == "__main__":
    main()
