"""Turns results into tables: medians, spread, ratios, and which targets are met."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any, NamedTuple

import zmq

from benchmarks.subjects import SUBJECTS
from benchmarks.subjects.common import Result
from benchmarks.workloads import TARGETS, WORKLOADS

Results = Mapping[str, Mapping[str, list[Result]]]

REFERENCES = ("pyzmq", "zmq.asyncio", "txZMQ")


class Bound(NamedTuple):
    """One quantity that may grow, and its bound."""

    name: str
    value: float
    limit: float
    unit: str

    def met(self) -> bool:
        return self.value <= self.limit


def versions(subjects: list[str]) -> dict[str, str]:
    """The version of every distribution that is measured, or why there is none."""
    found = {"Python": platform.python_version(), "libzmq": zmq.zmq_version()}
    for name in sorted({package for subject in subjects for package in SUBJECTS[subject].packages}):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine(subjects: list[str]) -> str:
    """A line that describes the machine and the versions."""
    names = ", ".join(f"{name} {number}" for name, number in versions(subjects).items())
    return f"{os.cpu_count()} cores, {platform.machine()}; {names}\n"


def value(results: list[Result]) -> float:
    """The median of the runs."""
    return median(result.value for result in results)


def factor(workload: str, ours: list[Result], theirs: list[Result]) -> float:
    """How many times better one value is than another; for latencies less is better."""
    ratio = value(ours) / value(theirs)
    return 1 / ratio if WORKLOADS[workload].unit == "µs" else ratio


def table(
    workload: str,
    results: Mapping[str, list[Result]],
    failures: Mapping[tuple[str, str], str],
) -> str:
    """The table of one workload: a line for each subject, including those that failed."""
    unit = WORKLOADS[workload].unit
    references = [name for name in REFERENCES if results.get(name)]
    lines = [
        f"{workload + ', ' + unit:18}{'median':>11}{'lowest':>11}{'highest':>11}{'CPU µs':>9}"
        + "".join(f"{'x ' + name:>14}" for name in references)
    ]
    for name, runs in results.items():
        if not runs:
            continue
        values = [run.value for run in runs]
        cpu = median(run.cpu for run in runs)
        numbers = f"{value(runs):11,.0f}{min(values):11,.0f}{max(values):11,.0f}{cpu:9.2f}"
        factors = "".join(f"{factor(workload, runs, results[r]):14.2f}" for r in references)
        lines.append(f"  {name:16}{numbers}{factors}")
    for (failed, name), why in failures.items():
        if failed == workload:
            lines.append(f"  {name:16}failed: {why}")
    return "\n".join(lines) + "\n"


def targets(results: Results) -> str:
    """Each target whose two subjects were measured: wanted, reached."""
    lines = [f"{'target':18}{'subject':12}{'at least':>10}{'of':>14}{'reached':>10}"]
    for target in TARGETS:
        ours = results.get(target.workload, {}).get(target.subject)
        theirs = results.get(target.workload, {}).get(target.peer)
        if ours and theirs:
            reached = factor(target.workload, ours, theirs)
            mark = "" if reached >= target.factor else "   missed"
            lines.append(
                f"{target.workload:18}{target.subject:12}{target.factor:10.2f}"
                f"{target.peer:>14}{reached:10.2f}{mark}"
            )
    return "\n".join(lines) + "\n"


def bounds(measured: list[Bound]) -> str:
    """How cost grows: reached, and the bound."""
    lines = [f"{'how cost grows':62}{'reached':>10}{'at most':>10}"]
    for bound in measured:
        mark = "" if bound.met() else "   exceeded"
        lines.append(f"{bound.name:62}{bound.value:10.2f}{bound.limit:10.2f} {bound.unit}{mark}")
    return "\n".join(lines)


def plain(results: Results, bounds: list[Bound], subjects: list[str]) -> dict[str, Any]:
    """All results in a form that JSON takes."""
    return {
        "versions": versions(subjects),
        "results": {
            workload: {
                name: [run._asdict() for run in runs] for name, runs in by_subject.items() if runs
            }
            for workload, by_subject in results.items()
        },
        "growth": [bound._asdict() for bound in bounds],
    }
