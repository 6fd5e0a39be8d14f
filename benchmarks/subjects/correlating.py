"""Requests with timeouts over an asyncio DEALER that knows none, as its users write them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count as counting
from time import perf_counter
from typing import Any

from benchmarks.subjects.common import OUTSTANDING, TIMEOUT, Result, Stopwatch


class Client:
    """Matches replies by id, with one reader task and a timeout for each request."""

    def __init__(
        self,
        send: Callable[[list[bytes]], Awaitable[Any]],
        receive: Callable[[], Awaitable[list[bytes]]],
    ) -> None:
        self.send = send
        self.receive = receive
        self.ids = counting()
        self.waiting: dict[bytes, asyncio.Future[list[bytes]]] = {}

    async def read(self) -> None:
        while True:
            request_id, _, *parts = await self.receive()
            if (waiter := self.waiting.pop(request_id, None)) is not None:
                waiter.set_result(parts)

    async def request(self, body: bytes) -> list[bytes]:
        request_id = next(self.ids).to_bytes(8, "big")
        waiter = self.waiting[request_id] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(TIMEOUT):
            await self.send([request_id, b"", body])
            return await waiter


async def ask_many(client: Client, count: int, body: bytes) -> Result:
    reader = asyncio.ensure_future(client.read())
    await client.request(body)

    async def worker() -> None:
        for _ in range(count // OUTSTANDING):
            await client.request(body)

    watch = Stopwatch(count // OUTSTANDING * OUTSTANDING)
    await asyncio.gather(*(worker() for _ in range(OUTSTANDING)))
    result = watch.rate()
    reader.cancel()
    return result


async def ask_one(client: Client, count: int, body: bytes) -> Result:
    reader = asyncio.ensure_future(client.read())
    latencies = []
    watch = Stopwatch(count)
    for _ in range(count):
        start = perf_counter()
        await client.request(body)
        latencies.append(perf_counter() - start)
    reader.cancel()
    return watch.typical(latencies)
