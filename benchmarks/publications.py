"""Measures what publish and subscribe with state costs, each figure against its bound.

python -m benchmarks.publications            all of them; so does `nox -s bench -- publications`
python -m benchmarks.publications topics     memory of a topic that is subscribed to
python -m benchmarks.publications sequenced  numbered publications, beside plain ones
python -m benchmarks.publications replay     the latency of live ones while 10,000 are sent again
python -m benchmarks.publications crowd      how long 1,000 subscribers hold a publisher's loop
"""

from __future__ import annotations

import asyncio
import sys
import time
import tracemalloc
from collections.abc import Callable
from statistics import median
from typing import Any

import zmq

from zmqbridge import Sequence
from zmqbridge._bridge.calls import recv_of, send_of
from zmqbridge.asyncio_backend import Publisher, Subscriber
from zmqbridge.core import Topics

ANYWHERE = "tcp://127.0.0.1:*"
UNLIMITED: dict[int, int] = {zmq.SNDHWM: 0, zmq.RCVHWM: 0}
BODY = b"x" * 64


def show(what: str, figure: float, bound: float, *, least: bool = False) -> None:
    """Print a figure, and whether it keeps its bound."""
    kept = figure >= bound if least else figure <= bound
    print(f"{what}: {figure:.3g} ({'at least' if least else 'at most'} {bound:g})", flush=True)
    if not kept:
        print("  which is missed", flush=True)


def topics() -> None:
    """A million of them."""
    held = Topics()
    tracemalloc.start()
    for number in range(1_000_000):
        held.added(b"topic/%d/of/many" % number)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    show("bytes for a topic", used / len(held), 200)


NUMBER = bytes(8)
# What is published, and the arguments of both ends.
SHAPES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "in one part": (BODY, {}, {}),
    "in three parts": ([NUMBER, BODY], {"format": "parts"}, {"format": "parts"}),
    "numbered": (BODY, {"sequence": Sequence()}, {"numbered_by": "publisher"}),
}


# Of pyzmq's compiled calls alone, which no library can do without: the parts that are sent.
PLAIN: dict[str, list[bytes]] = {
    "compiled calls, one part": [b"tag\0" + BODY],
    "compiled calls, three parts": [b"tag", NUMBER, BODY],
}
Costs = tuple[float, float]  # CPU seconds of a publication: of all threads, of the loop's
BATCH = 100  # publications that are sent, and then received
ROUNDS, COUNT = 15, 10_000


def spent() -> Costs:
    """The CPU seconds of the process and of this thread up to now."""
    return time.process_time(), time.thread_time()


def each(begin: Costs) -> Costs:
    """The CPU seconds of each publication since then."""
    end = spent()
    return (end[0] - begin[0]) / COUNT, (end[1] - begin[1]) / COUNT


async def throughput(shape: str) -> Costs:
    """What a publication costs through both ends."""
    body, publishes, receives = SHAPES[shape]
    async with Publisher(bind=ANYWHERE, barrier=True, options=UNLIMITED, **publishes) as publisher:
        [address] = publisher.addresses
        async with Subscriber("", connect=address, options=UNLIMITED, **receives) as subscriber:
            await subscriber.ready(10)
            begin = spent()
            for _ in range(COUNT // BATCH):
                for _ in range(BATCH):
                    publisher.publish(body, b"tag")
                for _ in range(BATCH):
                    await subscriber.receive()
            return each(begin)


def plain_throughput(parts: list[bytes]) -> Costs:
    """The same of the calls alone, which wait for what comes."""
    with zmq.Context() as context, context.socket(zmq.XPUB) as pub, context.socket(zmq.SUB) as sub:
        for option in UNLIMITED:
            pub.set(option, 0)
            sub.set(option, 0)
        sub.subscribe(b"")
        sub.connect(f"tcp://127.0.0.1:{pub.bind_to_random_port('tcp://127.0.0.1')}")
        pub.recv()
        send, receive = send_of(pub), recv_of(sub)
        *first, last = parts
        more = int(zmq.SNDMORE)
        begin = spent()
        for _ in range(COUNT // BATCH):
            for _ in range(BATCH):
                for part in first:
                    send(part, more)
                send(last)
            for _ in range(BATCH):
                frame = receive(0, False)
                came = [frame.bytes]
                while frame.more:
                    frame = receive(0, False)
                    came.append(frame.bytes)
        return each(begin)


def sequenced() -> None:
    """Each shape in turn, many times; the least of each, as the machine may be busy."""
    found: dict[str, Costs] = {}
    for _ in range(ROUNDS):
        for shape, parts in PLAIN.items():
            found[shape] = least(found.get(shape), plain_throughput(parts))
        for shape in SHAPES:
            found[shape] = least(found.get(shape), asyncio.run(throughput(shape)))
    for shape, (process, thread) in found.items():
        print(f"{shape}: {process * 1e6:.2f} µs of CPU, {thread * 1e6:.2f} in the loop's thread")
    one, three, numbered = (found[shape] for shape in SHAPES)
    in_one, in_three = (found[shape] for shape in PLAIN)
    show("numbered, times as fast as plain in three parts", three[0] / numbered[0], 0.7, least=True)
    show("numbered, times as fast as plain in one part", one[0] / numbered[0], 0.7, least=True)
    print(f"  in the loop's thread: {one[1] / numbered[1]:.2f}")
    print(f"compiled calls, three parts as fast as one: {in_one[0] / in_three[0]:.2f}")
    print(f"  in their thread: {in_one[1] / in_three[1]:.2f}")
    at_best = [
        ours / (ours + most - few) for ours, few, most in zip(one, in_one, in_three, strict=True)
    ]
    print(f"so numbered, if numbers cost nothing, as fast as in one part: {at_best[0]:.2f}")
    print(f"  in the loop's thread: {at_best[1]:.2f}")


def least(before: Costs | None, now: Costs) -> Costs:
    """The least of each."""
    return now if before is None else (min(before[0], now[0]), min(before[1], now[1]))


async def latency(publisher: Any, subscriber: Any, while_: Callable[[], bool]) -> list[float]:
    """The seconds from publishing to receiving, of one after the other."""
    found = []
    while while_():
        begin = time.perf_counter()
        publisher.publish(BODY, b"live")
        await subscriber.receive()
        found.append(time.perf_counter() - begin)
    return found


async def replayed() -> float:
    """How many times as long a live publication takes while others are sent again."""
    sequence = Sequence(ANYWHERE)
    async with Publisher(bind=ANYWHERE, barrier=True, sequence=sequence) as publisher:
        [address] = publisher.addresses
        for _ in range(10_000):
            publisher.publish(BODY, b"kept")
        async with Subscriber("live", connect=address, numbered_by="publisher") as subscriber:
            await subscriber.ready(10)
            rounds = iter(range(2000))
            quiet = await latency(publisher, subscriber, lambda: next(rounds, None) is not None)
            with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
                dealer.set(zmq.RCVHWM, 0)
                dealer.connect(str(publisher.replay_address))
                dealer.send_multipart([b"", bytes(8)])
                end = publisher._audience.replays
                assert end is not None
                while not end.busy:
                    await asyncio.sleep(0)
                busy = await latency(publisher, subscriber, lambda: bool(end.busy))
            print(f"quiet {median(quiet) * 1e6:.0f} µs, during {median(busy) * 1e6:.0f} µs", end="")
            print(f" ({len(busy)} live ones meanwhile)")
            return median(busy) / median(quiet)


def replay() -> None:
    """Several times."""
    ratios = [asyncio.run(replayed()) for _ in range(5)]
    show("the latency of live ones during a replay", median(ratios), 2)


async def coming_and_going() -> list[float]:
    """The seconds of CPU of each turn in which subscriptions are read."""
    async with Publisher(bind=ANYWHERE) as publisher:
        turns: list[float] = []
        turn = publisher._pump.ring

        def measured() -> None:
            before = time.thread_time()
            turn()
            turns.append(time.thread_time() - before)

        publisher.subscribers()
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)
        loop.add_reader(publisher.socket.fileno(), measured)
        with zmq.Context() as context:
            context.set(zmq.MAX_SOCKETS, 3000)
            subs = []
            for _ in range(1000):
                sub = context.socket(zmq.SUB)
                sub.linger = 0
                sub.subscribe(b"news")
                sub.connect(publisher.addresses[0])
                subs.append(sub)
            while publisher.subscribers("news") < 1000:
                await asyncio.sleep(0.001)
            for sub in subs:
                sub.close()
            while publisher.subscribers("news"):
                await asyncio.sleep(0.001)
        return turns


def crowd() -> None:
    """The longest turn."""
    longest = [max(asyncio.run(coming_and_going())) for _ in range(3)]
    show("milliseconds of the longest turn", median(longest) * 1000, 1)


ALL: dict[str, Callable[[], None]] = {
    "topics": topics,
    "sequenced": sequenced,
    "replay": replay,
    "crowd": crowd,
}


def main(names: list[str]) -> None:
    """Measure these, or all."""
    for name in names or ALL:
        ALL[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
