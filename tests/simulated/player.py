"""Player: runs one scenario by one seed, and says what did not hold."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable
from typing import Any

import anyio

from tests.simulated.scenarios import SCENARIOS, Stage
from zmqbridge import asyncio_backend
from zmqbridge.testing import Network, run

BACKENDS = ["asyncio"]


class Timeout:
    """Cancels what is in the block after so many seconds, silently."""

    def __init__(self, seconds: float) -> None:
        self._scope = anyio.move_on_after(seconds)

    def __enter__(self) -> None:
        self._scope.__enter__()

    def __exit__(self, *failure: Any) -> Any:
        return self._scope.__exit__(*failure)


# What the library reports of what it was made to suffer.
logging.disable(logging.CRITICAL)


def stage_of(network: Network, backend: str) -> Stage:
    """What a scenario works with on this backend."""
    return Stage(network, asyncio_backend, anyio.sleep, Timeout)


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
