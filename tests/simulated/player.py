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

from tests.simulated import (
    edges,
    facade,
    heldup,
    joining,
    lastvalues,
    leaving,
    proxies,
    publications,
    scenarios,
    verdicts,
)
from tests.simulated.stage import SCENARIOS, Scenario, Stage, scenario
from zmqbridge import asyncio_backend, twisted_backend
from zmqbridge.testing import Network, run

MODULES = (
    *(scenarios, publications, proxies, facade, edges),
    *(heldup, joining, lastvalues, leaving, verdicts),
)
for _each in MODULES:
    assert _each.scenario is scenario  # they fill the list

# What the library reports of what it was made to suffer.
logging.disable(logging.CRITICAL)
globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)


async def within(seconds: float, call: Callable[[], Any]) -> Any:
    """Await a call for so many seconds, on asyncio and trio."""
    with anyio.move_on_after(seconds):
        return await call()
    return None


class Scoped:
    """A call that another may cancel, on asyncio and trio."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._scope = anyio.CancelScope()

    async def result(self) -> Any:
        with self._scope:
            return await self._call()

    def cancel(self) -> None:
        self._scope.cancel()


class Fired:
    """The same on Twisted."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._deferred = ensured(call())

    async def result(self) -> Any:
        with contextlib.suppress(CancelledError):
            return await self._deferred

    def cancel(self) -> None:
        self._deferred.cancel()


def stage_of(network: Network, backend: str) -> Stage:
    """What a scenario works with on this backend."""
    if backend != "twisted":
        return Stage(network, asyncio_backend, anyio.sleep, within, Scoped)
    reactor = network.driver.reactor

    async def within_deferred(seconds: float, call: Callable[[], Any]) -> Any:
        with contextlib.suppress(TimeoutError, CancelledError):
            return await ensured(call()).addTimeout(seconds, reactor)
        return None

    sleep = partial(deferLater, reactor)
    return Stage(network, twisted_backend, sleep, within_deferred, Fired, reactor=reactor)


def ensured(what: Any) -> Any:
    """A Deferred of what a call returned."""
    return what if isinstance(what, Deferred) else Deferred.fromCoroutine(what)


def choose(seed: int, only: str = "", backend: str = "") -> tuple[Scenario, str]:
    """The scenario and the backend of a seed."""
    of_all = [
        each for each, on in SCENARIOS.items() if only in each.__name__ and (backend or on[0]) in on
    ]
    turn, which = divmod(seed, len(of_all))
    on = SCENARIOS[of_all[which]]
    return of_all[which], backend or on[turn % len(on)]


def play(seed: int, only: str = "", backend: str = "") -> str:
    """Run one seed; "" if all promises held, else what did not."""
    network = Network(seed)
    chosen, where = choose(seed, only, backend)
    try:
        run(lambda: chosen(stage_of(network, where)), network, where)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        shown = "".join(traceback.format_exception(error, limit=-6))
        again = f"python -m tests.simulated --seed {seed}"
        again += f" --only {only}" * bool(only) + f" --backend {backend}" * bool(backend)
        return f"{chosen.__name__} on {where}:\n{shown}{network.report()}\nreplay: {again}\n"
    return ""


def share(seeds: Iterable[int], only: str, backend: str, most: int) -> tuple[int, list[str]]:
    """Run some seeds until so many have failed; how many were run, and the failures."""
    count, failures = 0, []
    for seed in seeds:
        count += 1
        if failure := play(seed, only, backend):
            failures.append(failure)
            if len(failures) == most:
                break
    return count, failures


def traced(seed: int) -> str:
    """The hash of all that happens by a seed."""
    network = Network(seed)
    chosen, where = choose(seed)
    run(lambda: chosen(stage_of(network, where)), network, where)
    return network.trace_hash()
