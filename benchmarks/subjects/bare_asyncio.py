"""The floor of requests and of large messages: asyncio and pyzmq's calls, and nothing else.

There is no queue, no deadline, no check of ids, no handling of errors. So this is the least that
any library takes on this loop and this binding.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

import zmq
from zmq.backend import Socket as CompiledSocket

from benchmarks.subjects.common import OUTSTANDING, Result, Stopwatch

DONTWAIT = int(zmq.DONTWAIT)
DONTWAIT_MORE = int(zmq.DONTWAIT | zmq.SNDMORE)
ID = b"an id of 16 byte"


def calls(socket: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Send a message, then read all messages, which the FD needs after a send anyway."""
    send_part = CompiledSocket.send.__get__(socket)
    receive_part = CompiledSocket.recv.__get__(socket)

    def send(message: list[bytes]) -> None:
        for part in message[:-1]:
            send_part(part, DONTWAIT_MORE)
        send_part(message[-1], DONTWAIT)

    def read(deliver: Callable[[list[bytes]], None]) -> None:
        try:
            while True:
                frame = receive_part(DONTWAIT, False)
                message = [frame.bytes]
                while frame.more:
                    frame = receive_part(DONTWAIT, False)
                    message.append(frame.bytes)
                deliver(message)
                del frame, message  # otherwise malloc returns the memory of large ones each time
        except zmq.Again:
            pass

    return send, read


def pull(address: str, count: int) -> Result:
    async def main() -> Result:
        done = asyncio.get_running_loop().create_future()
        socket = zmq.Context().socket(zmq.PULL)
        socket.bind(address)
        _, read = calls(socket)
        left, watch = count + 1, Stopwatch(count)

        def got(message: list[bytes]) -> None:
            nonlocal left, watch
            left -= 1
            if left == count:
                watch = Stopwatch(count)
            elif not left:
                done.set_result(watch.rate())

        asyncio.get_running_loop().add_reader(socket.fileno(), read, got)
        read(got)
        return await done

    return asyncio.run(main())


def replier(address: str) -> None:
    async def main() -> None:
        socket = zmq.Context().socket(zmq.ROUTER)
        socket.set(zmq.SNDHWM, 0)  # at its high water mark a ROUTER drops messages
        socket.bind(address)
        send, read = calls(socket)
        asyncio.get_running_loop().add_reader(socket.fileno(), read, send)
        read(send)
        await asyncio.Event().wait()

    asyncio.run(main())


def ask_one(address: str, count: int, body: bytes) -> Result:
    async def main() -> Result:
        loop = asyncio.get_running_loop()
        socket = zmq.Context().socket(zmq.DEALER)
        socket.connect(address)
        send, read = calls(socket)
        waiter = loop.create_future()

        def got(message: list[bytes]) -> None:
            waiter.set_result(message)

        loop.add_reader(socket.fileno(), read, got)
        latencies = []
        watch = Stopwatch(count)
        for _ in range(count):
            start = perf_counter()
            waiter = loop.create_future()
            send([ID, b"", body])
            loop.call_soon(read, got)
            await waiter
            latencies.append(perf_counter() - start)
        return watch.typical(latencies)

    return asyncio.run(main())


def ask_many(address: str, count: int, body: bytes) -> Result:
    async def main() -> Result:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        socket = zmq.Context().socket(zmq.DEALER)
        socket.set(zmq.SNDHWM, 0)
        socket.connect(address)
        send, read = calls(socket)
        missing, unasked = count, count - OUTSTANDING

        def got(message: list[bytes]) -> None:
            nonlocal missing, unasked
            missing -= 1
            if unasked:
                unasked -= 1
                send([ID, b"", body])
            elif not missing:
                done.set_result(None)

        loop.add_reader(socket.fileno(), read, got)
        watch = Stopwatch(count)
        for _ in range(OUTSTANDING):
            send([ID, b"", body])
        loop.call_soon(read, got)
        await done
        return watch.rate()

    return asyncio.run(main())
