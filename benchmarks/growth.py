"""How cost grows with outstanding requests, sockets and imports, and how much memory each keeps."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from statistics import median
from time import process_time

import zmq

from benchmarks.report import Bound
from zmqbridge.asyncio_backend import Puller, Replier, Requester

ROUNDS = 5
HELD = b"held"  # a request that is not answered, so that it stays outstanding


async def asked(outstanding: int, count: int = 20_000, batch: int = 500) -> float:
    """CPU seconds for a request and its reply, both ends, while many others are outstanding."""
    async with (
        Replier(bind="inproc://outstanding") as replier,
        Requester(1000.0, connect="inproc://outstanding") as requester,
    ):

        async def serve() -> None:
            async for request in replier:
                if request.parts[0] != HELD:
                    await request.reply(b"")

        serving = asyncio.create_task(serve())
        held = [asyncio.create_task(requester.request(HELD)) for _ in range(outstanding)]
        while replier.statistics().received < outstanding:
            await asyncio.sleep(0.01)
        gc.collect()  # so that the collection for making so many tasks is not in the measured time
        start = process_time()
        for _ in range(count // batch):
            await asyncio.gather(*(requester.request(b"x") for _ in range(batch)))
        seconds = (process_time() - start) / count
        for task in [serving, *held]:
            task.cancel()
        await asyncio.gather(serving, *held, return_exceptions=True)
        return seconds


def outstanding_requests() -> float:
    few, many = [], []
    for _ in range(ROUNDS):
        few.append(asyncio.run(asked(1_000)))
        many.append(asyncio.run(asked(100_000)))
    return median(many) / median(few)


def timer_calls() -> float:
    """Timer calls for 1,000 steady requests that each have a timeout."""

    async def main() -> float:
        calls = 0
        loop = asyncio.get_running_loop()
        original = loop.call_at

        def counted(*args: object, **kwargs: object) -> object:
            nonlocal calls
            calls += 1
            return original(*args, **kwargs)  # type: ignore[arg-type]

        loop.call_at = counted  # type: ignore[method-assign, assignment]
        await asked(0, 10_000)
        return calls / 10

    return asyncio.run(main())


def idle_sockets() -> float:
    """CPU time of 1,000 idle sockets, in ms per second."""

    async def main() -> float:
        # libzmq allows 1,023 sockets in a context, so there are no others
        sockets = [Puller(bind=f"inproc://idle-{number}") for number in range(1_000)]
        for socket in sockets:
            await socket.__aenter__()
        await asyncio.sleep(0.5)
        start, cpu = time.perf_counter(), process_time()
        await asyncio.sleep(2)
        used = (process_time() - cpu) / (time.perf_counter() - start)
        for socket in sockets:
            socket.close()
        return used * 1000

    return asyncio.run(main())


def open_and_close() -> float:
    """The time to open and close a bound socket, relative to plain pyzmq."""
    context = zmq.Context()
    count = 300

    async def ours() -> float:
        start = process_time()
        for _ in range(count):
            async with Puller(bind="tcp://127.0.0.1:*", context=context):
                pass
        return process_time() - start

    def plain() -> float:
        start = process_time()
        for _ in range(count):
            socket = context.socket(zmq.PULL)
            socket.set(zmq.LINGER, 0)
            socket.bind("tcp://127.0.0.1:*")
            socket.get(zmq.LAST_ENDPOINT)
            socket.close()
        return process_time() - start

    rounds = [(asyncio.run(ours()), plain()) for _ in range(ROUNDS)]
    context.term()
    return median(a for a, _ in rounds) / median(b for _, b in rounds)


def import_time() -> float:
    """The time to import a socket of asyncio, relative to ``zmq.asyncio``.

    The package itself loads nothing; with its Requester comes what all sockets have in common.
    """

    # An installer compiles the modules; in a clone Python must be allowed to keep compiled ones.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}

    def seconds(statement: str) -> float:
        code = f"import time; t = time.perf_counter(); {statement}"
        command = [sys.executable, "-c", f"{code}; print(time.perf_counter() - t)"]
        return float(subprocess.check_output(command, env=environment))

    socket = "from zmqbridge.asyncio_backend import Requester"
    seconds(socket)
    ours, theirs = [], []
    for _ in range(4 * ROUNDS):
        ours.append(seconds(socket))
        theirs.append(seconds("import zmq.asyncio"))
    return median(ours) / median(theirs)


class Kept:
    """Inside ``with``, counts the memory of the Python objects that are made and kept."""

    def __enter__(self) -> Kept:
        gc.collect()
        tracemalloc.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        gc.collect()
        self.kibibytes = tracemalloc.get_traced_memory()[0] / 1024
        tracemalloc.stop()


def idle_connection() -> float:
    count = 200

    async def main() -> float:
        names = iter(range(2 * count))

        async def opened() -> list[Puller]:
            sockets = [Puller(bind=f"inproc://idle-{next(names)}") for _ in range(count)]
            for socket in sockets:
                await socket.__aenter__()
            await asyncio.sleep(0.05)  # now they are idle
            return sockets

        sockets = await opened()  # objects made once for all do not count for a connection
        with Kept() as kept:
            sockets += await opened()
        for socket in sockets:
            socket.close()
        return kept.kibibytes / count

    return asyncio.run(main())


def outstanding_request() -> float:
    """The memory of an outstanding request, without the task of its caller."""
    count = 10_000

    async def main() -> float:
        async with Requester(1000.0, connect="inproc://nobody") as requester:
            tasks = [asyncio.ensure_future(requester.request(b"x" * 64)) for _ in range(count)]
            with Kept() as kept:
                await asyncio.sleep(0)  # now the requests are made
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return kept.kibibytes / count

    return asyncio.run(main())


MEASURED: list[tuple[str, Callable[[], float], float, str]] = [
    ("a request with 100,000 outstanding, against 1,000", outstanding_requests, 1.5, "times"),
    ("timer calls for 1,000 steady requests with timeouts", timer_calls, 1.0, "calls"),
    ("1,000 idle sockets", idle_sockets, 5.0, "ms of CPU a second"),
    ("opening and closing a socket, against plain pyzmq", open_and_close, 1.5, "times"),
    ("importing a Requester of asyncio, against zmq.asyncio", import_time, 1.2, "times"),
    ("Python objects of an idle connection", idle_connection, 4.0, "KiB"),
    ("Python objects of an outstanding request of 64 bytes", outstanding_request, 1.0, "KiB"),
]


def measured(progress: Callable[[str], None]) -> list[Bound]:
    """All measurements."""
    bounds = []
    for name, measure, limit, unit in MEASURED:
        progress(name)
        bounds.append(Bound(name, measure(), limit, unit))
    progress("")
    return bounds
