"""What a request costs on the simulated network, with both ends, the network and the loop in it."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import process_time
from typing import Any

import anyio
from twisted.internet.task import deferLater

from benchmarks.report import Bound
from zmqbridge import asyncio_backend, twisted_backend
from zmqbridge.testing import Network, run

ADDRESS = "tcp://server:5555"
COUNT = 3000
ROUNDS = 5
# The first is what was promised, on the machine of the issue; the others are seen as they are.
LIMITS = {"asyncio": 60.0, "trio": 300.0, "twisted": 120.0}
# Seconds of CPU for an hour in which 50 nodes ask a server every five seconds.
HOURS = {"asyncio": 6.0, "trio": 18.0, "twisted": 9.0}
HOUR, PERIOD, NODES = 3600, 5, 50


def asked(backend: str) -> float:
    """CPU microseconds for a request and its reply, one after the other."""
    network = Network()
    classes: Any = twisted_backend if backend == "twisted" else asyncio_backend

    async def serve() -> None:
        async with classes.Replier(bind=ADDRESS) as replier:
            await replier.serve(lambda request: request.reply(*request.parts))

    async def ask() -> float:
        network.node("server").start(serve)
        async with classes.Requester(connect=ADDRESS) as requester:
            await requester.request(b"first")
            start = process_time()
            for _ in range(COUNT):
                await requester.request(b"x")
            return (process_time() - start) / COUNT * 1e6

    taken: float = run(ask, network, backend)
    return taken


def an_hour(backend: str) -> float:
    """CPU seconds for an hour of requests, of which each node makes one every few seconds."""
    network = Network()
    classes: Any = twisted_backend if backend == "twisted" else asyncio_backend

    def sleep(seconds: float) -> Any:
        if backend == "twisted":
            return deferLater(network.driver.reactor, seconds)
        return anyio.sleep(seconds)

    async def serve() -> None:
        async with classes.Replier(bind=ADDRESS) as replier:
            await replier.serve(lambda request: request.reply(*request.parts))

    async def beat() -> None:
        async with classes.Requester(connect=ADDRESS) as requester:
            while True:
                await requester.request(b"alive")
                await sleep(PERIOD)

    async def main() -> None:
        network.node("server").start(serve)
        for number in range(1, NODES):
            network.node(f"node{number}").start(beat)
        await sleep(HOUR)

    start = process_time()
    run(main, network, backend)
    return process_time() - start


def measured(progress: Callable[[str], None]) -> list[Bound]:
    """The cost on each backend."""
    found = []
    for backend, limit in LIMITS.items():
        progress(f"simulation: {backend}")
        value = median(asked(backend) for _ in range(ROUNDS))
        found.append(Bound(f"a simulated request on {backend}", value, limit, "us of CPU"))
    for backend, limit in HOURS.items():
        progress(f"simulation: an hour on {backend}")
        text = f"an hour of {NODES} nodes, a request each {PERIOD} s, on {backend}"
        found.append(Bound(text, an_hour(backend), limit, "s of CPU"))
    progress("")
    return found
