"""zmq-anyio's sockets, on asyncio."""

from __future__ import annotations

import asyncio
from typing import Any

import zmq
import zmq_anyio

from benchmarks.subjects import correlating
from benchmarks.subjects.common import Result, Stopwatch, told_to_go


def made(kind: int) -> Any:
    return zmq_anyio.Socket(zmq.Context().socket(kind))


async def receive(socket: Any, count: int) -> Result:
    async with socket:
        await socket.arecv_multipart()
        watch = Stopwatch(count)
        for _ in range(count):
            await socket.arecv_multipart()
        return watch.rate()


def pull(address: str, count: int) -> Result:
    async def main() -> Result:
        socket = made(zmq.PULL)
        socket.bind(address)
        return await receive(socket, count)

    return asyncio.run(main())


def subscribe(address: str, count: int) -> Result:
    async def main() -> Result:
        socket = made(zmq.SUB)
        socket.set(zmq.SUBSCRIBE, b"")
        socket.bind(address)
        return await receive(socket, count)

    return asyncio.run(main())


def push(address: str, count: int, body: bytes) -> Result:
    async def main() -> Result:
        async with made(zmq.PUSH) as socket:
            socket.bind(address)
            await socket.asend_multipart([b"first"])
            watch = Stopwatch(count)
            for _ in range(count):
                await socket.asend_multipart([body])
            return watch.rate()

    return asyncio.run(main())


def publish(address: str, count: int, body: bytes) -> Result:
    async def main() -> Result:
        async with made(zmq.PUB) as socket:
            socket.set(zmq.SNDHWM, 0)
            socket.bind(address)
            while not told_to_go():
                await socket.asend_multipart([b"first"])
                await asyncio.sleep(0.001)
            watch = Stopwatch(count)
            for _ in range(count):
                await socket.asend_multipart([b"tag", body])
            return watch.rate()

    return asyncio.run(main())


def replier(address: str) -> None:
    async def main() -> None:
        async with made(zmq.ROUTER) as socket:
            socket.bind(address)
            while True:
                await socket.asend_multipart(await socket.arecv_multipart()).wait()

    asyncio.run(main())


async def asked(measure: Any, address: str, count: int, body: bytes) -> Result:
    async with made(zmq.DEALER) as socket:
        socket.connect(address)
        client = correlating.Client(socket.asend_multipart, socket.arecv_multipart)
        result: Result = await measure(client, count, body)
        return result


def ask_many(address: str, count: int, body: bytes) -> Result:
    return asyncio.run(asked(correlating.ask_many, address, count, body))


def ask_one(address: str, count: int, body: bytes) -> Result:
    return asyncio.run(asked(correlating.ask_one, address, count, body))
