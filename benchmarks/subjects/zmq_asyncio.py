"""pyzmq's own asyncio sockets."""

from __future__ import annotations

import asyncio

import zmq
import zmq.asyncio

from benchmarks.subjects import correlating
from benchmarks.subjects.common import Result, Stopwatch, told_to_go


def bound(kind: int, address: str) -> zmq.asyncio.Socket:
    socket = zmq.asyncio.Context().socket(kind)
    socket.set(zmq.LINGER, 0)
    socket.bind(address)
    return socket


async def receive(socket: zmq.asyncio.Socket, count: int) -> Result:
    await socket.recv_multipart()
    watch = Stopwatch(count)
    for _ in range(count):
        await socket.recv_multipart()
    return watch.rate()


def pull(address: str, count: int) -> Result:
    async def main() -> Result:
        return await receive(bound(zmq.PULL, address), count)

    return asyncio.run(main())


def subscribe(address: str, count: int) -> Result:
    async def main() -> Result:
        socket = bound(zmq.SUB, address)
        socket.set(zmq.SUBSCRIBE, b"")
        return await receive(socket, count)

    return asyncio.run(main())


def push(address: str, count: int, body: bytes) -> Result:
    async def main() -> Result:
        socket = bound(zmq.PUSH, address)
        await socket.send(b"first")
        watch = Stopwatch(count)
        for _ in range(count):
            await socket.send_multipart([body])
        return watch.rate()

    return asyncio.run(main())


def publish(address: str, count: int, body: bytes) -> Result:
    async def main() -> Result:
        socket = zmq.asyncio.Context().socket(zmq.PUB)
        socket.set(zmq.SNDHWM, 0)
        socket.bind(address)
        while not told_to_go():
            await socket.send(b"first")
            await asyncio.sleep(0.001)
        watch = Stopwatch(count)
        for _ in range(count):
            await socket.send_multipart([b"tag", body])
        return watch.rate()

    return asyncio.run(main())


def replier(address: str) -> None:
    async def main() -> None:
        socket = bound(zmq.ROUTER, address)
        while True:
            await socket.send_multipart(await socket.recv_multipart())

    asyncio.run(main())


def client(address: str) -> correlating.Client:
    socket = zmq.asyncio.Context().socket(zmq.DEALER)
    socket.connect(address)
    return correlating.Client(socket.send_multipart, socket.recv_multipart)


def ask_many(address: str, count: int, body: bytes) -> Result:
    async def main() -> Result:
        return await correlating.ask_many(client(address), count, body)

    return asyncio.run(main())


def ask_one(address: str, count: int, body: bytes) -> Result:
    async def main() -> Result:
        return await correlating.ask_one(client(address), count, body)

    return asyncio.run(main())
