"""Runs one role of one subject in this process, and prints what it measured.

A role is a function of a subject's module and returns a `Result`:

- ``pull(address, count)``, ``subscribe(address, count)``: bind, receive `count` messages;
- ``push(address, count, body)``, ``publish(address, count, body)``: bind, send `count` messages;
- ``replier(address)``: bind, answer every request with its own parts until it is killed;
- ``ask_many(address, count, body)``: connect, make `count` requests with 1,000 outstanding, each
  with a timeout;
- ``ask_one(address, count, body)``: one request at a time.
"""

from __future__ import annotations

import importlib
import json
import sys

from benchmarks.subjects import SUBJECTS
from benchmarks.subjects.common import Result


def report(result: Result) -> None:
    """Print a result for the parent."""
    print(json.dumps(result), flush=True)


def main(name: str, role: str, address: str, count: int, size: int) -> None:
    """Run the role; its result goes to standard output."""
    module = importlib.import_module(f"benchmarks.subjects.{SUBJECTS[name].module}")
    measure = getattr(module, role, None)
    if measure is None:
        sys.exit("it cannot do that")
    if role == "replier":
        measure(address)
    elif role in ("pull", "subscribe"):
        report(measure(address, count))
    else:
        report(measure(address, count, b"x" * size))


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:]))  # type: ignore[arg-type]
