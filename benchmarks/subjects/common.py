"""What all subjects share: the stopwatch, the end of a warm-up."""

from __future__ import annotations

import select
import sys
from statistics import median
from time import perf_counter, process_time
from typing import NamedTuple

OUTSTANDING = 1000
TIMEOUT = 30.0  # seconds that every request may take; none comes near it


def told_to_go() -> bool:
    """Whether the far side is there, which the parent says on our standard input."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


class Result(NamedTuple):
    """What a run measured.

    Attributes:
        value: messages or requests a second, or the median of a latency in µs.
        cpu: µs of processor time for each, in the process that was measured, libzmq's I/O thread
            included: it tells more than the clock when the machine is busy with something else.
    """

    value: float
    cpu: float


class Stopwatch:
    """Started when it is made, for so many messages."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.cpu = process_time()
        self.start = perf_counter()

    def rate(self) -> Result:
        """Messages a second, now that all are done."""
        seconds = perf_counter() - self.start
        return Result(self.count / seconds, (process_time() - self.cpu) / self.count * 1e6)

    def typical(self, latencies: list[float]) -> Result:
        """The median of the seconds that each took, in µs."""
        return Result(median(latencies) * 1e6, self.rate().cpu)
