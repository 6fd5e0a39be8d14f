"""Player: runs one scenario by one seed, and says what did not hold."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import anyio
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.task import deferLater
from twisted.logger import globalLogBeginner

from tests.simulated.scenarios import SCENARIOS, Stage
from zmqbridge import asyncio_backend, twisted_backend
from zmqbridge.testing import Network, run

BACKENDS = ["asyncio", "trio", "twisted"]


# What the library reports of what it was made to suffer.
logging.disable(logging.CRITICAL)
globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)


async def within(seconds: float, call: Callable[[], Any]) -> Any:
    """Await a call for so many seconds, on asyncio and trio."""
    with anyio.move_on_after(seconds):
        return await call()
    return None


def stage_of(network: Network, backend: str) -> Stage:
    """What a scenario works with on this backend."""
    if backend != "twisted":
        return Stage(network, asyncio_backend, anyio.sleep, within)
    reactor = network.driver.reactor

    async def within_deferred(seconds: float, call: Callable[[], Any]) -> Any:
        with contextlib.suppress(TimeoutError, CancelledError):
            return await ensured(call()).addTimeout(seconds, reactor)
        return None

    return Stage(
        network, twisted_backend, partial(deferLater, reactor), within_deferred, reactor=reactor
    )


def ensured(what: Any) -> Any:
    """A Deferred of what a call returned."""
    return what if isinstance(what, Deferred) else Deferred.fromCoroutine(what)


def play(seed: int, only: str = "", backend: str = "") -> str:
    """Run one seed; "" if all promises held, else what did not."""
    network = Network(seed)
    scenarios = [each for each in SCENARIOS if only in each.__name__]
    chosen = scenarios[seed % len(scenarios)]
    where = backend or BACKENDS[seed // len(scenarios) % len(BACKENDS)]
    try:
        run(lambda: chosen(stage_of(network, where)), network, where)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        shown = "".join(traceback.format_exception(error, limit=-6))
        again = f"python -m tests.simulated --seed {seed}" + (f" --only {only}" if only else "")
        return f"{chosen.__name__} on {where}:\n{shown}{network.report()}\nreplay: {again}\n"
    return ""


def share(seeds: Iterable[int], only: str, backend: str) -> list[str]:
    """Run some seeds; the failures."""
    return [failure for seed in seeds if (failure := play(seed, only, backend))]


def traced(seed: int) -> str:
    """The hash of all that happens by a seed."""
    network = Network(seed)
    chosen = SCENARIOS[seed % len(SCENARIOS)]
    run(lambda: chosen(stage_of(network, "asyncio")), network)
    return network.trace_hash()
