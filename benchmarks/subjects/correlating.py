"""Requests with timeouts over an asyncio DEALER without timeouts, as its users write them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from itertools import count as counting
from typing import Any

from benchmarks.subjects.common import TIMEOUT, Result, requests_at_once, requests_in_turn


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


async def at_once(coroutines: list[Coroutine[Any, Any, Any]]) -> None:
    await asyncio.gather(*coroutines)


async def ask_many(client: Client, count: int, body: bytes) -> Result:
    reader = asyncio.ensure_future(client.read())
    result = await requests_at_once(client.request, count, body, at_once)
    reader.cancel()
    return result


async def ask_one(client: Client, count: int, body: bytes) -> Result:
    reader = asyncio.ensure_future(client.read())
    result = await requests_in_turn(client.request, count, body)
    reader.cancel()
    return result
