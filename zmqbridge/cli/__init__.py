"""The command line: the commands and their arguments."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

COUNT = 10_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; without one, print the usage."""
    parser = argparse.ArgumentParser(
        prog="python -m zmqbridge", description="ØMQ patterns for Twisted and asyncio."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="let a Twisted and an asyncio process work together",
        description="Starts a Twisted process (on the txZMQ facade) and an asyncio process, lets "
        "them publish, push, request and route messages to each other, and counts every one. "
        "The exit status is 0 only when all are accounted for.",
    )
    demo.add_argument(
        "--count",
        type=at_least_one,
        default=COUNT,
        metavar="N",
        help=f"messages of each pattern in each direction (default: {COUNT:,})",
    )
    demo.add_argument(
        "--transport",
        choices=["ipc", "tcp"],
        help="tcp is on 127.0.0.1 (default: ipc, and tcp where there is no ipc)",
    )
    demo.set_defaults(run=run_demo)
    options = vars(parser.parse_args(arguments))
    run = options.pop("run", None)
    if run is None:
        parser.print_help()
        return 0
    status: int = run(**options)
    return status


def run_demo(count: int, transport: str | None) -> int:
    """Run the demo; it is imported late, because its processes import this package too."""
    from zmqbridge.cli.demo import run

    return run(count, transport)


def at_least_one(text: str) -> int:
    """Parse a whole number of at least 1."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 1 on, e.g. {COUNT}")
    return int(text)
