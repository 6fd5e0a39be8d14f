"""`zmqbridge bench`: how fast a pattern is on this machine, between two processes."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from threading import Thread
from time import perf_counter
from typing import Any

import zmq

from zmqbridge._cli import pretty
from zmqbridge._cli.ending import OK
from zmqbridge.asyncio_backend import Puller, Pusher, Replier, Requester

WARMING = 200  # messages
OUTSTANDING = 100  # requests, where many are under way
BOUND = 60.0  # seconds; if a measurement takes longer, something is wrong


def run(pattern: str, transport: str, size: int, count: int, as_json: bool) -> int:
    """Measure, and print the figures; returns the exit status."""
    with tempfile.TemporaryDirectory(prefix="zmqbridge-bench-") as folder:
        address = f"ipc://{Path(folder, 'it')}" if transport == "ipc" else "tcp://127.0.0.1:*"
        try:
            figures = asyncio.run(measure(pattern, address, size, count))
        except TimeoutError as error:
            raise TimeoutError(str(error) or "it takes too long") from None
    figures = {"pattern": pattern, "transport": transport, "bytes": size, **figures}
    if as_json:
        print(json.dumps(figures))
        return OK
    rows = [
        (name.replace("_", " "), figure if isinstance(figure, str) else f"{figure:,}")
        for name, figure in figures.items()
    ]
    console = pretty.console_of(sys.stdout)
    if console is not None:
        console.print(pretty.table(None, ("figure", "value"), rows))
        return OK
    for name, figure in rows:
        print(f"{name:24}{figure}")
    return OK


async def measure(pattern: str, address: str, size: int, count: int) -> dict[str, Any]:
    """The figures of one pattern; the other end is a process of its own."""
    work = PATTERNS[pattern]
    kind = Puller if pattern == "push" else Requester
    ours: Any = kind(bind=address) if kind is Puller else Requester(BOUND, bind=address)
    async with ours, asyncio.timeout(BOUND):
        spawning = multiprocessing.get_context("spawn")
        peer = spawning.Process(
            target=be_peer, args=(pattern, ours.addresses[0], size, count), daemon=True
        )
        peer.start()
        try:
            return await work(ours, bytes(size), count)
        finally:
            peer.terminate()
            peer.join()


def be_peer(pattern: str, address: str, size: int, count: int) -> None:
    """The other end, in its process, until it is ended."""
    Thread(target=end_with_parent, daemon=True).start()
    try:
        asyncio.run(push(address, size, count) if pattern == "push" else answer(address))
    except KeyboardInterrupt:
        pass


def end_with_parent() -> None:
    """End this process when the one that has started it is gone, killed perhaps."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)


async def push(address: str, size: int, count: int) -> None:
    """Push the messages that are measured."""
    body = bytes(size)
    async with Pusher(connect=address, options={zmq.LINGER: int(BOUND * 1000)}) as pusher:
        for _ in range(WARMING + count):
            await pusher.push(body)
        await pusher.drain()
        await asyncio.sleep(BOUND)


async def answer(address: str) -> None:
    """Answer each request by itself."""
    async with Replier(connect=address) as replier:
        async for request in replier:
            await request.reply(*request.parts)


async def receive(puller: Puller, body: bytes, count: int) -> dict[str, Any]:
    """Messages a second through push and pull."""
    for _ in range(WARMING):
        await puller.receive()
    began = perf_counter()
    for _ in range(count):
        await puller.receive()
    return rates(perf_counter() - began, count, len(body))


async def ask(requester: Requester, body: bytes, count: int) -> dict[str, Any]:
    """How long one request takes, when no other is under way."""
    await several(requester, body, WARMING)
    took = []
    for _ in range(count):
        began = perf_counter()
        await requester.request(body)
        took.append(perf_counter() - began)
    took.sort()
    return rates(sum(took), count, len(body)) | {
        f"{name}_us": round(took[min(count - 1, int(count * share))] * 1e6, 1)
        for name, share in (("median", 0.5), ("p99", 0.99), ("longest", 1.0))
    }


async def ask_many(requester: Requester, body: bytes, count: int) -> dict[str, Any]:
    """Requests a second with a hundred under way."""
    await several(requester, body, WARMING)
    began = perf_counter()
    await several(requester, body, count)
    return rates(perf_counter() - began, count, len(body))


async def several(requester: Requester, body: bytes, count: int) -> None:
    """Send `count` requests, a hundred at a time."""
    left = iter(range(count))

    async def one_after_the_other() -> None:
        for _ in left:
            await requester.request(body)

    await asyncio.gather(*(one_after_the_other() for _ in range(OUTSTANDING)))


def rates(seconds: float, count: int, size: int) -> dict[str, Any]:
    """The figures for a number of messages in a time."""
    return {
        "messages": count,
        "seconds": round(seconds, 3),
        "per_second": round(count / seconds),
        "megabytes_per_second": round(count * size / seconds / 1e6, 1),
    }


PATTERNS: dict[str, Callable[[Any, bytes, int], Awaitable[dict[str, Any]]]] = {
    "push": receive,
    "req": ask,
    "req-many": ask_many,
}
