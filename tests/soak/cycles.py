"""Sockets of every class are opened, used and closed thousands of times; nothing may remain.

python tests/soak/cycles.py --cycles 2000
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import time
from types import SimpleNamespace
from typing import Any

from zmqbridge import SocketClosed

SENDING = ["Publisher", "Pusher", "Requester"]
RECEIVING = ["Subscriber", "Puller", "Replier", "Dealer", "Router"]
WARM = 200  # cycles before the first count
STEP = 500  # cycles between two lines of progress


def resident() -> float:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def count() -> tuple[int, int, float]:
    gc.collect()
    return len(os.listdir("/proc/self/fd")), len(gc.get_objects()), resident()


async def cycle(loop: Any) -> None:
    sockets = {kind: getattr(loop.backend, kind)(bind="ipc://*") for kind in SENDING + RECEIVING}
    waiting = [loop.spawn(sockets[kind].receive()) for kind in RECEIVING]
    waiting.append(loop.spawn(sockets["Requester"].request(b"x", timeout=100)))
    sockets["Pusher"].push_nowait(b"x")
    await loop.sleep(0)
    for socket in sockets.values():
        socket.close()
    for each in waiting:
        try:
            await each
        except SocketClosed:
            pass


async def run(loop: Any, name: str, cycles: int) -> None:
    async def settled() -> tuple[int, int, float]:
        for _ in range(100):  # libzmq's own thread closes its descriptors a little later
            counts = count()
            await loop.sleep(0.05)
            if count()[0] == counts[0]:
                break
        return count()

    with_context = loop.backend.Puller(bind="inproc://keeps the context")
    for _ in range(WARM):
        await cycle(loop)
    before = await settled()
    start = time.monotonic()
    for number in range(1, cycles + 1):
        await cycle(loop)
        if number % STEP == 0:
            print(f"{name}: {number} of {cycles} cycles", flush=True)
    took = time.monotonic() - start
    after = await settled()
    with_context.close()
    print(
        f"{name:10}{cycles:8} cycles of {len(SENDING + RECEIVING)} classes in {took:6.1f} s:"
        f"  descriptors {before[0]} -> {after[0]},  objects {before[1]} -> {after[1]},"
        f"  resident {before[2]:.1f} -> {after[2]:.1f} MB",
        flush=True,
    )
    if after[0] > before[0] or after[1] > before[1] + cycles // 10:
        sys.exit(f"{name}: something remains")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=2000)
    cycles = parser.parse_args().cycles

    from twisted.internet import task
    from twisted.internet.defer import Deferred

    from zmqbridge import asyncio_backend, twisted_backend

    on_asyncio = SimpleNamespace(
        backend=asyncio_backend, sleep=asyncio.sleep, spawn=asyncio.ensure_future
    )
    asyncio.run(run(on_asyncio, "asyncio", cycles))

    def on_twisted(reactor: Any) -> Deferred[None]:
        loop = SimpleNamespace(
            backend=twisted_backend,
            sleep=lambda seconds: task.deferLater(reactor, seconds),
            spawn=lambda waiting: waiting,
        )
        return Deferred.fromCoroutine(run(loop, "Twisted", cycles))

    task.react(on_twisted)


if __name__ == "__main__":
    main()
