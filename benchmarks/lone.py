"""What each layer adds to a message that comes alone, as large ones do: python -m benchmarks.lone

Everything is in one thread, over inproc. A copy of 1 MiB empties the caches, as a message of that
size does. Then a small message is sent, and the time is measured until the receiver is ready for
the next one. The figures do not include libzmq's I/O threads, the copy of the message itself, and
the time asleep.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import thread_time
from typing import Any

import zmq
from zmq.backend import Socket as CompiledSocket

from zmqbridge.asyncio_backend import Puller
from zmqbridge.core.framing import Message
from zmqbridge.core.patterns import Pattern

COUNT = 2_000
RUNS = 15
ADDRESS = "inproc://lone"
LARGE = bytes(1 << 20)
DONTWAIT = int(zmq.DONTWAIT)
EVENTS = int(zmq.EVENTS)


class Cycle:
    """Sends messages one by one, and sums up the CPU time from each message to the next."""

    def __init__(self, send: Callable[[], object] = lambda: None) -> None:
        self._send = send
        self._sent_at = thread_time()
        self.seconds = 0.0
        self.left = COUNT + 1

    def next(self) -> None:
        """Send one more message; the receiver calls this when it is ready."""
        self.seconds += thread_time() - self._sent_at
        if self.left > COUNT:
            self.seconds = 0.0
        self.left -= 1
        bytearray(LARGE)
        self._send()
        self._sent_at = thread_time()


@contextmanager
def pair() -> Iterator[tuple[Any, Callable[[], object]]]:
    """A plain socket without messages, and a function that sends one to it."""
    context: zmq.Context[Any] = zmq.Context()
    pull, push = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    pull.bind(ADDRESS)
    push.connect(ADDRESS)
    pull.get(EVENTS)
    yield pull, lambda: push.send(b"x")
    context.destroy(0)


def calls(pull: Any) -> tuple[Callable[[], None], Callable[[], object]]:
    """Take a message as the pump does, and make libzmq signal the FD for the next one."""
    receive, get = CompiledSocket.recv.__get__(pull), CompiledSocket.get.__get__(pull)

    def take() -> None:
        frame = receive(DONTWAIT, False)
        _ = [frame.bytes], frame.more

    return take, lambda: get(EVENTS)


def nothing() -> float:
    cycle = Cycle()
    while cycle.left:
        cycle.next()
    return cycle.seconds


def received() -> float:
    with pair() as (pull, send):
        cycle = Cycle(send)
        take, silence = calls(pull)
        while cycle.left:
            cycle.next()
            take()
            silence()
        return cycle.seconds


def polled() -> float:
    with pair() as (pull, send), select.epoll() as epoll:
        cycle = Cycle(send)
        take, silence = calls(pull)
        epoll.register(pull.fileno(), select.EPOLLIN)
        while cycle.left:
            cycle.next()
            epoll.poll()
            take()
            silence()
        return cycle.seconds


def on_a_loop(attach: Callable[[Any, Callable[[], None]], object]) -> float:
    """Measure a receiver that calls `got` for each message."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        context: zmq.Context[Any] = zmq.Context()
        push = context.socket(zmq.PUSH)
        cycle = Cycle(lambda: push.send(b"x"))

        def got() -> None:
            # Not at once: the receiver must fall asleep first, as it does when messages are rare.
            if cycle.left:
                loop.call_soon(cycle.next)
            else:
                done.set_result(cycle.seconds)

        async with Puller(bind=ADDRESS, context=context) as puller:
            push.connect(ADDRESS)
            await asyncio.sleep(0)
            attached = attach(puller, got)  # kept, as the loop holds a task only weakly
            got()
            seconds: float = await done
        del attached
        push.close(0)
        context.term()
        return seconds

    return asyncio.run(main())


def rounds() -> float:
    """The cost of the loop iteration that `got` needs, and nothing else."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        cycle = Cycle()

        def next_round() -> None:
            cycle.next()
            if cycle.left:
                loop.call_soon(next_round)
            else:
                done.set_result(cycle.seconds)

        next_round()
        seconds: float = await done
        return seconds

    return asyncio.run(main())


def watched() -> float:
    def attach(puller: Puller, got: Callable[[], None]) -> None:
        take, silence = calls(puller.socket)

        def ring() -> None:
            take()
            got()
            silence()

        asyncio.get_running_loop().add_reader(puller.socket.fileno(), ring)

    return on_a_loop(attach)


def pumped() -> float:
    def attach(puller: Any, got: Callable[[], None]) -> None:
        puller._pump._pattern = Counting(got)

    return on_a_loop(attach)


class Counting(Pattern):
    """A pattern that does nothing else with the messages."""

    def __init__(self, got: Callable[[], None]) -> None:
        super().__init__()
        self._got = got

    def feed(self, burst: object) -> Any:
        self._got()
        return super().feed([])


class Told:
    """A waiter of the inbox that is no task."""

    done = False

    def __init__(self, inbox: Any, got: Callable[[], None]) -> None:
        self._inbox, self._got = inbox, got

    def set_result(self, _: None) -> None:
        message: Message = self._inbox.take(self)
        assert message
        self._got()
        assert self._inbox.poll() is None
        self._inbox.wait(self)

    def set_exception(self, _: Exception) -> None:
        """Do nothing: the socket is closed, and all messages were counted."""


def kept() -> float:
    def attach(puller: Any, got: Callable[[], None]) -> None:
        puller._inbox.wait(Told(puller._inbox, got))

    return on_a_loop(attach)


def iterated() -> float:
    def attach(puller: Puller, got: Callable[[], None]) -> asyncio.Task[None]:
        async def receive() -> None:
            async for _ in puller:
                got()

        return asyncio.create_task(receive())

    return on_a_loop(attach)


# Each layer contains the layer above it. The second function measures the cost of the measurement.
LAYERS: list[tuple[str, Callable[[], float], Callable[[], float]]] = [
    ("pyzmq's recv, .bytes, .more, and EVENTS", received, nothing),
    ("epoll_wait", polled, nothing),
    ("asyncio's loop: add_reader", watched, rounds),
    ("the pump", pumped, rounds),
    ("the inbox", kept, rounds),
    ("the task: async for", iterated, rounds),
]


def main() -> None:
    """Print the table."""
    measured = {run for _, *pair in LAYERS for run in pair}
    times: dict[Callable[[], float], list[float]] = {run: [] for run in measured}
    for _ in range(RUNS):
        for run, seconds in times.items():
            seconds.append(run())
    best = {run: min(seconds) / COUNT * 1e6 for run, seconds in times.items()}
    print(f"{'a lone message, caches emptied':44}     adds       all")
    below = 0.0
    for name, run, beside in LAYERS:
        total = best[run] - best[beside]
        print(f"{name:44}{total - below:6.1f} µs {total:6.1f} µs")
        below = total


if __name__ == "__main__":
    main()
