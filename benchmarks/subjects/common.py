"""The parts that subjects share: the stopwatch, the end of a warm-up, measuring requests."""

from __future__ import annotations

import select
import sys
from collections.abc import Awaitable, Callable, Coroutine
from statistics import median
from time import perf_counter, process_time
from typing import Any, NamedTuple

OUTSTANDING = 1000
TIMEOUT = 30.0  # seconds that every request may take; none comes near it


def told_to_go() -> bool:
    """Whether the far side is there; the parent says so on our standard input."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


class Result(NamedTuple):
    """The result of a run.

    Attributes:
        value: messages or requests a second, or the median of a latency in µs.
        cpu: µs of processor time for each, in the process that was measured, libzmq's I/O thread
            included: it says more than the clock when the machine is busy with other programs.
    """

    value: float
    cpu: float


class Stopwatch:
    """Starts when it is made, for a given number of messages."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.cpu = process_time()
        self.start = perf_counter()

    def rate(self) -> Result:
        """Messages per second, called when all are done."""
        seconds = perf_counter() - self.start
        return Result(self.count / seconds, (process_time() - self.cpu) / self.count * 1e6)

    def typical(self, latencies: list[float]) -> Result:
        """A result with the median of these latencies; they are in seconds, the result in µs."""
        return Result(median(latencies) * 1e6, self.rate().cpu)


Request = Callable[[bytes], Awaitable[Any]]


async def requests_at_once(
    request: Request,
    count: int,
    body: bytes,
    at_once: Callable[[list[Coroutine[Any, Any, Any]]], Awaitable[Any]],
) -> Result:
    """Make `count` requests, of which OUTSTANDING are always waiting for their replies."""
    await request(body)

    async def worker() -> None:
        for _ in range(count // OUTSTANDING):
            await request(body)

    watch = Stopwatch(count // OUTSTANDING * OUTSTANDING)
    await at_once([worker() for _ in range(OUTSTANDING)])
    return watch.rate()


async def requests_in_turn(request: Request, count: int, body: bytes) -> Result:
    """Make `count` requests, each after the reply to the previous one."""
    latencies = []
    watch = Stopwatch(count)
    for _ in range(count):
        start = perf_counter()
        await request(body)
        latencies.append(perf_counter() - start)
    return watch.typical(latencies)
