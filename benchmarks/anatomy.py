"""Where the time of a message goes: what each layer adds, over inproc in one process.

Every figure is the best of several runs, as CPU time of the working thread, so that neither
libzmq's I/O threads nor other programs count. The runs take turns, so that a slow minute of the
machine affects all of them alike.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import contextmanager
from time import thread_time
from typing import Any, NamedTuple

import zmq
from zmq.backend import Socket as CompiledSocket

from zmqbridge._bridge.pump import Pump
from zmqbridge.asyncio_backend import Puller, Pusher, Replier, Requester
from zmqbridge.core.patterns import Pattern

COUNT = 10_000
RUNS = 15
BODY = b"x" * 64
DONTWAIT = int(zmq.DONTWAIT)
DONTWAIT_MORE = int(zmq.DONTWAIT | zmq.SNDMORE)
UNLIMITED: dict[int, int] = {zmq.SNDHWM: 0, zmq.RCVHWM: 0, zmq.LINGER: 0}


class Layer(NamedTuple):
    """A measurement.

    Attributes:
        name: what is measured; indented lines are the parts of the line above them.
        microseconds: for one message, or for one request with its reply.
    """

    name: str
    microseconds: float


class Idle:
    """A pump's driver that does nothing."""

    def call_soon(self) -> None:
        pass

    def tell(self, waiters: object, results: object = None) -> None:
        pass

    def report(self, error: object) -> None:
        pass

    def standby_turn(self) -> Any:
        raise AssertionError("no loop has given the pump its queue")


def best(*runs: Callable[[], float]) -> list[float]:
    """µs for each message, the best of several runs; a run returns the seconds for COUNT."""
    rounds = [[run() for run in runs] for _ in range(RUNS)]
    return [min(times) / COUNT * 1e6 for times in zip(*rounds, strict=True)]


@contextmanager
def pair(kinds: tuple[int, int] = (zmq.PUSH, zmq.PULL)) -> Any:
    """Two plain sockets that are connected and never full."""
    context = zmq.Context()
    sockets = [context.socket(kind) for kind in kinds]
    for socket in sockets:
        for option, value in UNLIMITED.items():
            socket.set(option, value)
    sockets[1].bind("inproc://anatomy")
    sockets[0].connect("inproc://anatomy")
    yield sockets
    context.destroy(0)


def timed(work: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """CPU seconds of `work`, after `before`."""
    before()
    start = thread_time()
    work()
    return thread_time() - start


def fill(socket: Any) -> None:
    send = CompiledSocket.send.__get__(socket)
    for _ in range(COUNT):
        send(BODY, DONTWAIT)


def drain(socket: Any) -> None:
    receive = CompiledSocket.recv.__get__(socket)
    try:
        while True:
            receive(DONTWAIT)
    except zmq.Again:
        pass


def repeat(call: Callable[[], object]) -> Callable[[], None]:
    def work() -> None:
        for _ in range(COUNT):
            call()

    return work


def receiving() -> list[Layer]:
    async def iterated() -> float:
        context = zmq.Context()
        push = context.socket(zmq.PUSH)
        push.set(zmq.SNDHWM, 0)
        async with Puller(bind="inproc://anatomy", context=context, options=UNLIMITED) as puller:
            push.connect("inproc://anatomy")
            fill(push)
            left = COUNT
            start = thread_time()
            async for _ in puller:
                left -= 1
                if not left:
                    break
            seconds = thread_time() - start
        push.close(0)
        context.term()
        return seconds

    with pair() as (push, pull):
        receive = CompiledSocket.recv.__get__(pull)

        def frames() -> None:
            frame = receive(DONTWAIT, False)
            frame.bytes, frame.more  # noqa: B018

        pump = Pump(pull, Idle(), Pattern(), str)

        def turns() -> None:
            until = pump.received + COUNT
            while pump.received < until:
                pump.turn()

        def filled() -> None:
            fill(push)

        multipart, bare, read, pumped, whole = best(
            lambda: timed(repeat(pull.recv_multipart), filled),
            lambda: timed(repeat(lambda: receive(DONTWAIT, False)), filled),
            lambda: timed(repeat(frames), filled),
            lambda: timed(turns, filled),
            lambda: asyncio.run(iterated()),
        )
    return [
        Layer("blocking pyzmq: recv_multipart", multipart),
        Layer("zmqbridge: async for, Puller on asyncio", whole),
        Layer("  pyzmq's recv(copy=False)", bare),
        Layer("  its .bytes and .more", read - bare),
        Layer("  the pump: bursts, lists, EVENTS, the clock", pumped - read),
        Layer("  inbox, iteration, the loop", whole - pumped),
    ]


def sending() -> list[Layer]:
    async def pushed() -> float:
        context = zmq.Context()
        async with Pusher(bind="inproc://anatomy", context=context, options=UNLIMITED) as pusher:
            pull = context.socket(zmq.PULL)
            pull.set(zmq.RCVHWM, 0)
            pull.connect("inproc://anatomy")
            await pusher.push(BODY)
            start = thread_time()
            for _ in range(COUNT):
                await pusher.push(BODY)
            seconds = thread_time() - start
            pull.close(0)
        context.term()
        return seconds

    with pair() as (push, pull):
        send = CompiledSocket.send.__get__(push)
        pump = Pump(push, Idle(), Pattern(), str)
        message = (BODY,)

        def drained() -> None:
            drain(pull)

        multipart, bare, pumped, whole = best(
            lambda: timed(repeat(lambda: push.send_multipart([BODY])), drained),
            lambda: timed(repeat(lambda: send(BODY, DONTWAIT)), drained),
            lambda: timed(repeat(lambda: pump.send(message)), drained),
            lambda: asyncio.run(pushed()),
        )

    return [
        Layer("blocking pyzmq: send_multipart", multipart),
        Layer("zmqbridge: await push, Pusher on asyncio", whole),
        Layer("  pyzmq's send", bare),
        Layer("  the pump", pumped - bare),
        Layer("  the coroutine and its checks", whole - pumped),
    ]


def requesting() -> list[Layer]:
    outstanding = 500

    async def woken() -> float:
        """The time that asyncio takes when each of many tasks waits for a future and goes on."""
        loop = asyncio.get_running_loop()
        waiters: list[Any] = []

        async def wait() -> None:
            for _ in range(COUNT // outstanding):
                waiters.append(loop.create_future())
                await waiters[-1]

        tasks = [loop.create_task(wait()) for _ in range(outstanding)]
        await asyncio.sleep(0)
        start = thread_time()
        while waiters:
            told, waiters[:] = waiters[:], []
            for waiter in told:
                waiter.set_result(None)
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        return thread_time() - start

    async def asked() -> float:
        async with (
            Replier(bind="inproc://anatomy") as replier,
            Requester(1000.0, connect="inproc://anatomy") as requester,
        ):

            async def serve() -> None:
                async for request in replier:
                    await request.reply(*request.parts)

            async def ask() -> None:
                for _ in range(COUNT // outstanding):
                    await requester.request(BODY)

            serving = asyncio.ensure_future(serve())
            await requester.request(BODY)
            start = thread_time()
            await asyncio.gather(*(ask() for _ in range(outstanding)))
            seconds = thread_time() - start
            replier.close()
            await serving
            return seconds

    with pair((zmq.DEALER, zmq.ROUTER)) as (dealer, router):
        ends = [
            (CompiledSocket.send.__get__(end), CompiledSocket.recv.__get__(end))
            for end in (dealer, router)
        ]

        def forward(message: list[bytes], end: int) -> None:
            send = ends[end][0]
            for part in message[:-1]:
                send(part, DONTWAIT_MORE)
            send(message[-1], DONTWAIT)

        def take(end: int) -> list[bytes]:
            receive, message, more = ends[end][1], [], True
            while more:
                frame = receive(0, False)
                message.append(frame.bytes)
                more = frame.more
            return message

        def there_and_back() -> None:
            forward([b"i" * 16, b"", BODY], 0)
            forward(take(1), 1)
            take(0)

        bare, waking, whole = best(
            lambda: timed(repeat(there_and_back)),
            lambda: asyncio.run(woken()),
            lambda: asyncio.run(asked()),
        )

    return [
        Layer("zmqbridge: request and reply, both ends, 500 at once", whole),
        Layer("  pyzmq's sends and receives, 14 frames", bare),
        Layer("  asyncio's waking of a task by a future, were it used", waking),
        Layer("  the rest: ids, table, deadlines, framing, coroutines", whole - bare - waking),
    ]


def shown(layers: list[Layer]) -> str:
    """A table."""
    width = max(len(layer.name) for layer in layers)
    return "\n".join(f"{layer.name:{width}}{layer.microseconds:8.2f} µs" for layer in layers)


if __name__ == "__main__":
    print(f"Python {sys.version.split()[0]}, pyzmq {zmq.__version__}, 64 bytes, inproc\n")
    for measure in (receiving, sending, requesting):
        print(shown(measure()), end="\n\n")
