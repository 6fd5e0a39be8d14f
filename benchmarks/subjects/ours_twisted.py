"""zmqbridge.twisted_backend on Twisted's default reactor, which is epoll on Linux."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any

import zmq
from twisted.internet import defer, task

from benchmarks.subjects.common import OUTSTANDING, TIMEOUT, Result, Stopwatch, told_to_go
from zmqbridge.twisted_backend import Publisher, Puller, Pusher, Replier, Requester, Subscriber


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    from twisted.internet import reactor

    results: list[Any] = []

    async def measured() -> None:
        results.append(await main())

    def start(reactor: Any) -> Any:
        return defer.Deferred.fromCoroutine(measured())

    try:
        task.react(start, _reactor=reactor)
    except SystemExit:
        pass
    return results[0]


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
    return run(lambda: receive(Puller(bind=address), count))


def subscribe(address: str, count: int) -> Result:
    return run(lambda: receive(Subscriber("", bind=address), count))


def push(address: str, count: int, body: bytes) -> Result:
    async def main() -> Result:
        async with Pusher(bind=address) as pusher:
            await pusher.push(b"first")
            watch = Stopwatch(count)
            for _ in range(count):
                await pusher.push(body)
            return watch.rate()

    return run(main)


def publish(address: str, count: int, body: bytes) -> Result:
    from twisted.internet import reactor

    async def main() -> Result:
        async with Publisher(bind=address, options={zmq.SNDHWM: 0}) as publisher:
            while not told_to_go():
                publisher.publish(b"first")
                await task.deferLater(reactor, 0.001)
            watch = Stopwatch(count)
            for _ in range(count):
                publisher.publish(body, b"tag")
            return watch.rate()

    return run(main)


def replier(address: str) -> None:
    async def main() -> None:
        async with Replier(bind=address) as replier:
            async for request in replier:
                await request.reply(*request.parts)

    run(main)


def ask_many(address: str, count: int, body: bytes) -> Result:
    async def main() -> Result:
        async with Requester(TIMEOUT, connect=address) as requester:
            await requester.request(body)

            async def worker() -> None:
                for _ in range(count // OUTSTANDING):
                    await requester.request(body)

            watch = Stopwatch(count // OUTSTANDING * OUTSTANDING)
            await defer.gatherResults(
                [defer.Deferred.fromCoroutine(worker()) for _ in range(OUTSTANDING)]
            )
            return watch.rate()

    return run(main)


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

    return run(main)
