"""Publishing and receiving publications, against another checkout of this project, in pairs.

python -m benchmarks.against FOLDER [--pairs 24] [asyncio-send asyncio-receive ...]

Each run is a process of its own, and takes the least CPU time of many short stretches, so that a
busy machine changes little. The two checkouts take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

import zmq

COUNT, STRETCHES = 1_000, 60
BODY = b"x" * 64
HERE = Path(__file__).parent.parent
MOST = 1.03  # times as much as the other checkout
Sleep = Callable[[float], Awaitable[object]]


async def send(backend: Any, sleep: Sleep, context: zmq.Context[Any]) -> float:
    """The least CPU seconds of a publication; a plain SUB takes them."""
    least = 1.0
    async with backend.Publisher(bind="tcp://127.0.0.1:*", options={zmq.SNDHWM: 0}) as publisher:
        with context.socket(zmq.SUB) as sub:
            sub.set(zmq.RCVHWM, 0)
            sub.subscribe(b"")
            sub.connect(publisher.addresses[0])
            while not sub.poll(1):
                publisher.publish(BODY, b"tag")
                await sleep(0.01)
            for _ in range(STRETCHES):
                begin = time.thread_time()
                for _ in range(COUNT):
                    publisher.publish(BODY, b"tag")
                least = min(least, (time.thread_time() - begin) / COUNT)
                await sleep(0)
                while sub.poll(50):
                    sub.recv()
    return least


async def receive(backend: Any, sleep: Sleep, context: zmq.Context[Any]) -> float:
    """The least CPU seconds of a publication that has come from a plain PUB."""
    least = 1.0
    with context.socket(zmq.XPUB) as xpub:
        xpub.set(zmq.SNDHWM, 0)
        port = xpub.bind_to_random_port("tcp://127.0.0.1")
        async with backend.Subscriber(
            "", connect=f"tcp://127.0.0.1:{port}", options={zmq.RCVHWM: 0}
        ) as subscriber:
            while not xpub.poll(0):
                await sleep(0.01)
            for _ in range(STRETCHES):
                for _ in range(COUNT):
                    xpub.send(b"tag\0" + BODY)
                time.sleep(0.01)
                begin = time.thread_time()
                for _ in range(COUNT):
                    await subscriber.receive()
                least = min(least, (time.thread_time() - begin) / COUNT)
    return least


def run(world: str, way: str) -> float:
    """One run in this process."""
    found: list[float] = []

    async def main(backend: Any, sleep: Sleep) -> None:
        with zmq.Context() as context:
            found.append(await {"send": send, "receive": receive}[way](backend, sleep, context))

    if world == "asyncio":
        from zmqbridge import asyncio_backend

        asyncio.run(main(asyncio_backend, asyncio.sleep))
        return found[0]

    from twisted.internet.defer import Deferred
    from twisted.internet.task import deferLater, react

    from zmqbridge import twisted_backend

    def begin(reactor: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(main(twisted_backend, lambda s: deferLater(reactor, s)))

    try:
        react(begin)
    except SystemExit:
        pass
    return found[0]


def measured(folder: Path, what: str) -> float:
    """One run in a process that uses the library of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, str(Path(__file__)), "--run", what]
    return float(subprocess.check_output(command, env=environment, timeout=120))


def main() -> None:
    """Compare, or do one run."""
    every = [f"{world}-{way}" for world in ("asyncio", "twisted") for way in ("send", "receive")]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=HERE)
    parser.add_argument("what", nargs="*", default=every)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    given = parser.parse_intermixed_args()
    if given.run:
        print(run(*given.run.split("-")))
        return
    for what in given.what:
        pairs = []
        for number in range(given.pairs):
            both = {"other": given.folder.resolve(), "here": HERE}
            names = sorted(both, reverse=bool(number % 2))
            pairs.append({name: measured(both[name], what) for name in names})
        here, other = (min(pair[name] for pair in pairs) for name in ("here", "other"))
        middle = median(pair["here"] / pair["other"] for pair in pairs)
        print(f"{what}: {here * 1e6:.3f} µs here, {other * 1e6:.3f} µs there,", end=" ")
        print(f"{here / other:.3f} times, of a pair {middle:.3f} (at most {MOST})", flush=True)


if __name__ == "__main__":
    main()
