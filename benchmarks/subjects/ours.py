"""The roles of zmqbridge's native classes, written once, because both backends have the same API.

The differences are how a program is run, how it sleeps and how it does many things at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import zmq

from benchmarks.subjects.common import (
    TIMEOUT,
    Result,
    Stopwatch,
    requests_at_once,
    requests_in_turn,
    told_to_go,
)

Main = Callable[[], Coroutine[Any, Any, Any]]


def roles(
    backend: Any,
    run: Callable[[Main], Any],
    sleep: Callable[[float], Awaitable[Any]],
    at_once: Callable[[list[Coroutine[Any, Any, Any]]], Awaitable[Any]],
) -> dict[str, Callable[..., Any]]:
    """All roles on one backend."""

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
        return run(lambda: receive(backend.Puller(bind=address), count))

    def subscribe(address: str, count: int) -> Result:
        return run(lambda: receive(backend.Subscriber("", bind=address), count))

    def push(address: str, count: int, body: bytes) -> Result:
        async def main() -> Result:
            async with backend.Pusher(bind=address) as pusher:
                await pusher.push(b"first")
                await pusher.drain()  # the first message that has to wait is in the queue
                watch = Stopwatch(count)
                for _ in range(count):
                    await pusher.push(body)
                return watch.rate()

        return run(main)

    def publish(address: str, count: int, body: bytes) -> Result:
        async def main() -> Result:
            async with backend.Publisher(bind=address, options={zmq.SNDHWM: 0}) as publisher:
                while not told_to_go():
                    publisher.publish(b"first")
                    await sleep(0.001)
                watch = Stopwatch(count)
                for _ in range(count):
                    publisher.publish(body, b"tag")
                return watch.rate()

        return run(main)

    def replier(address: str) -> None:
        async def main() -> None:
            async with backend.Replier(bind=address) as replier:
                async for request in replier:
                    await request.reply(*request.parts)

        run(main)

    def ask_many(address: str, count: int, body: bytes) -> Result:
        async def main() -> Result:
            async with backend.Requester(TIMEOUT, connect=address) as requester:
                return await requests_at_once(requester.request, count, body, at_once)

        return run(main)

    def ask_one(address: str, count: int, body: bytes) -> Result:
        async def main() -> Result:
            async with backend.Requester(TIMEOUT, connect=address) as requester:
                return await requests_in_turn(requester.request, count, body)

        return run(main)

    return {
        role.__name__: role for role in (pull, subscribe, push, publish, replier, ask_many, ask_one)
    }
