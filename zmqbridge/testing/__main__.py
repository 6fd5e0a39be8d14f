"""``python -m zmqbridge.testing``: the commands of the simulation."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Run a command, and return its exit status."""
    if arguments[:1] == ["differential"]:
        from zmqbridge.testing.differential._command import main as differential

        return differential(arguments[1:])
    print("usage: python -m zmqbridge.testing differential [--programs N] [--seed S]")
    return 0 if arguments[:1] in (["-h"], ["--help"]) else 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
