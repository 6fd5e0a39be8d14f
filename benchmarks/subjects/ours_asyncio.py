"""zmqbridge.asyncio_backend on asyncio's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from time import perf_counter
from typing import Any

import zmq

from benchmarks.subjects.common import OUTSTANDING, TIMEOUT, Result, Stopwatch, told_to_go
from zmqbridge.asyncio_backend import Publisher, Puller, Pusher, Replier, Requester, Subscriber

loop_factory: Any = None


def run(main: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(main)


async def receive(socket: Any, count: int) -> Result:
    async with socket:
        await socket.receive()
        watch = Stopwatch(count)
        left = count
        async for _ in socket:
            left -= 1
            if not left:
                break
        return watch.rate()


def pull(address: str, count: int) -> Result:
    return run(receive(Puller(bind=address), count))


def subscribe(address: str, count: int) -> Result:
    return run(receive(Subscriber("", bind=address), count))


def push(address: str, count: int, body: bytes) -> Result:
    async def main() -> Result:
        async with Pusher(bind=address) as pusher:
            await pusher.push(b"first")
            watch = Stopwatch(count)
            for _ in range(count):
                await pusher.push(body)
            return watch.rate()

    return run(main())


def publish(address: str, count: int, body: bytes) -> Result:
    async def main() -> Result:
        async with Publisher(bind=address, options={zmq.SNDHWM: 0}) as publisher:
            while not told_to_go():
                publisher.publish(b"first")
                await asyncio.sleep(0.001)
            watch = Stopwatch(count)
            for _ in range(count):
                publisher.publish(body, b"tag")
            return watch.rate()

    return run(main())


def replier(address: str) -> None:
    async def main() -> None:
        async with Replier(bind=address) as replier:
            async for request in replier:
                await request.reply(*request.parts)

    run(main())


def ask_many(address: str, count: int, body: bytes) -> Result:
    async def main() -> Result:
        async with Requester(TIMEOUT, connect=address) as requester:
            await requester.request(body)

            async def worker() -> None:
                for _ in range(count // OUTSTANDING):
                    await requester.request(body)

            watch = Stopwatch(count // OUTSTANDING * OUTSTANDING)
            await asyncio.gather(*(worker() for _ in range(OUTSTANDING)))
            return watch.rate()

    return run(main())


def ask_one(address: str, count: int, body: bytes) -> Result:
    async def main() -> Result:
        async with Requester(TIMEOUT, connect=address) as requester:
            latencies = []
            watch = Stopwatch(count)
            for _ in range(count):
                start = perf_counter()
                await requester.request(body)
                latencies.append(perf_counter() - start)
            return watch.typical(latencies)

    return run(main())
