"""aiozmq's streams."""

from __future__ import annotations

import asyncio
from typing import Any

import aiozmq
import zmq

from benchmarks.subjects import correlating
from benchmarks.subjects.common import Result, Stopwatch, told_to_go


def pull(address: str, count: int) -> Result:
    return asyncio.run(receive(zmq.PULL, address, count))


def subscribe(address: str, count: int) -> Result:
    return asyncio.run(receive(zmq.SUB, address, count))


async def receive(kind: int, address: str, count: int) -> Result:
    stream = await aiozmq.create_zmq_stream(kind, bind=address)
    if kind == zmq.SUB:
        stream.transport.subscribe(b"")
    await stream.read()
    watch = Stopwatch(count)
    for _ in range(count):
        await stream.read()
    return watch.rate()


async def send(stream: Any, count: int, message: list[bytes]) -> Result:
    watch = Stopwatch(count)
    for _ in range(count):
        stream.write(message)
        await stream.drain()
    return watch.rate()


def push(address: str, count: int, body: bytes) -> Result:
    async def main() -> Result:
        stream = await aiozmq.create_zmq_stream(zmq.PUSH, bind=address)
        stream.write([b"first"])
        await stream.drain()
        return await send(stream, count, [body])

    return asyncio.run(main())


def publish(address: str, count: int, body: bytes) -> Result:
    async def main() -> Result:
        stream = await aiozmq.create_zmq_stream(zmq.PUB)
        stream.transport.setsockopt(zmq.SNDHWM, 0)
        await stream.transport.bind(address)
        while not told_to_go():
            stream.write([b"first"])
            await asyncio.sleep(0.001)
        return await send(stream, count, [b"tag", body])

    return asyncio.run(main())


def replier(address: str) -> None:
    async def main() -> None:
        stream = await aiozmq.create_zmq_stream(zmq.ROUTER, bind=address)
        while True:
            stream.write(await stream.read())

    asyncio.run(main())


async def client(address: str) -> correlating.Client:
    stream = await aiozmq.create_zmq_stream(zmq.DEALER, connect=address)

    async def write(message: list[bytes]) -> None:
        stream.write(message)
        await stream.drain()

    return correlating.Client(write, stream.read)


def ask_many(address: str, count: int, body: bytes) -> Result:
    async def main() -> Result:
        return await correlating.ask_many(await client(address), count, body)

    return asyncio.run(main())


def ask_one(address: str, count: int, body: bytes) -> Result:
    async def main() -> Result:
        return await correlating.ask_one(await client(address), count, body)

    return asyncio.run(main())
