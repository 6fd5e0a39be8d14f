"""Anything into every class, over TCP: random multiparts, and connections of random bytes.

Some of those bytes are messages, to libzmq: those of a peer of ZMTP 1.0, which has no handshake.

    python tests/soak/fuzz.py --messages 100000 --seed 7

Between them come good messages, all of which must be served, in order; and at the end every message
must be in one count of ``statistics()``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import zmq
from twisted.logger import globalLogBeginner

from zmqbridge import asyncio_backend, txzmq

EVERY = 100  # of so many messages one is good
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + bytes(32)
READY = b"\x04\x19\x05READY\x0bSocket-Type" + (6).to_bytes(4, "big") + b"DEALER"

# The kind of the peer; how a good message with a number is sent, and what number was delivered.
NUMBER: dict[str, tuple[int, Callable[[bytes], list[bytes]], Callable[[Any], Any]]] = {
    "Puller": (zmq.PUSH, lambda n: [b"good", n], lambda item: item),
    "Dealer": (zmq.DEALER, lambda n: [b"good", n], lambda item: item),
    "Router": (zmq.DEALER, lambda n: [b"good", n], lambda item: item[1]),
    "Replier": (zmq.DEALER, lambda n: [b"id", b"", b"good", n], lambda item: item.parts),
    "Subscriber": (zmq.XPUB, lambda n: [b"good", n], list),
}


def random_message(chance: random.Random) -> list[bytes]:
    some = [b"", b"\0", b"tag\0body", b"\xff" * 16, b"\x01", bytes(70_000)]
    return [
        chance.choice(some) if chance.random() < 0.3 else chance.randbytes(chance.randrange(60))
        for _ in range(chance.randrange(1, 6))
    ]


def speak(
    kind: int,
    address: str,
    count: int,
    make_good: Callable[[bytes], list[bytes]],
    chance: random.Random,
) -> None:
    """What the hostile peer does, in its thread: messages, and bytes between them."""
    with zmq.Context() as context, context.socket(kind) as peer:
        peer.set_hwm(100)
        peer.set(zmq.LINGER, 10_000)
        if kind == zmq.XPUB:
            peer.set(zmq.XPUB_NODROP, 1)
        peer.connect(address)
        if kind == zmq.XPUB:
            peer.recv()  # it has subscribed
        for number in range(count):
            if number % EVERY == EVERY - 1:
                peer.send_multipart(make_good(b"%d" % number))
            else:
                peer.send_multipart(random_message(chance))
            if number % 1000 == 0:
                send_bytes(address, chance)


def send_bytes(address: str, chance: random.Random) -> None:
    """A connection that is no ØMQ, or begins like one."""
    host, port = address.removeprefix("tcp://").split(":")
    start = chance.choice([b"", GREETING[:10], GREETING, GREETING + READY])
    with contextlib.suppress(OSError), socket.create_connection((host, int(port))) as connection:
        connection.sendall(start + chance.randbytes(chance.randrange(1, 2000)))


async def fuzz(name: str, count: int, chance: random.Random) -> tuple[int, int]:
    """One class of the asyncio backend; the core under it is Twisted's too."""
    kind, make_good, parts_of = NUMBER[name]
    arguments = {"tags": ""} if name == "Subscriber" else {}
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    async with getattr(asyncio_backend, name)(bind="tcp://127.0.0.1:*", **arguments) as receiver:
        given = (kind, receiver.addresses[0], count, make_good, chance)
        peer = threading.Thread(target=speak, args=given)
        peer.start()
        good = taken = 0
        while good < count // EVERY:
            parts = parts_of(await asyncio.wait_for(receiver.receive(), 60))
            taken += 1
            if len(parts) == 2 and parts[0] == b"good":
                good += 1
                assert int(parts[1]) == good * EVERY - 1
        peer.join(60)
        statistics = receiver.statistics()
        while statistics.received < count:
            await asyncio.sleep(0.01)
            statistics = receiver.statistics()
        assert statistics.delivered == taken
        return good, statistics.malformed


async def fuzz_requester(name: str, count: int, chance: random.Random) -> tuple[int, int]:
    """Lies to one who asks: the true reply comes last, and is the only one to arrive."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as liar:
        address = f"tcp://127.0.0.1:{liar.bind_to_random_port('tcp://127.0.0.1')}"
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)

        def lie() -> None:
            for _ in range(count // EVERY):
                peer, request_id, _, body = liar.recv_multipart()
                for _ in range(EVERY - 1):
                    liar.send_multipart([peer, *random_message(chance)])
                liar.send_multipart([peer, request_id, b"", b"true", body])

        peer = threading.Thread(target=lie)
        peer.start()
        async with asyncio_backend.Requester(connect=address, timeout=60) as requester:
            for number in range(count // EVERY):
                assert await requester.request(b"%d" % number) == [b"true", b"%d" % number]
            peer.join(60)
            statistics = requester.statistics()
            assert statistics.received == statistics.delivered + (
                statistics.malformed + statistics.late_replies
            )
            return statistics.delivered, statistics.malformed


HOOKS: dict[str, tuple[int, Callable[[bytes], list[bytes]], str]] = {
    "ZmqPullConnection": (zmq.PUSH, lambda n: [b"good", n], "onPull"),
    "ZmqSubConnection": (zmq.XPUB, lambda n: [b"good", n], "gotMessage"),
    "ZmqREPConnection": (zmq.DEALER, lambda n: [b"id", b"", b"good", n], "gotMessage"),
    "ZmqRouterConnection": (zmq.DEALER, lambda n: [b"good", n], "gotMessage"),
    "ZmqDealerConnection": (zmq.DEALER, lambda n: [b"good", n], "gotMessage"),
}


def fuzz_facade(name: str, count: int, chance: random.Random) -> tuple[int, int]:
    """One class of the facade, on a reactor of its own."""
    from twisted.internet import epollreactor

    kind, make_good, hook = HOOKS[name]
    factory = txzmq.ZmqFactory()
    factory.reactor = reactor = epollreactor.EPollReactor()
    good = []

    def got(*parts: Any) -> None:
        flat = parts[0] if isinstance(parts[0], list) else list(parts)
        if name == "ZmqSubConnection":
            flat.reverse()  # it is given the message first
        if len(flat) > 1 and flat[-2] == b"good":
            good.append(int(flat[-1]))

    receiver = getattr(txzmq, name)(factory)
    receiver.addEndpoints([txzmq.ZmqEndpoint("bind", "tcp://127.0.0.1:*")])
    if name == "ZmqSubConnection":
        receiver.subscribe(b"")
    vars(receiver)[hook] = got
    address = receiver.socket.get(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
    arguments = (kind, address, count, make_good, chance)
    peer = threading.Thread(target=speak, args=arguments)
    end = time.monotonic() + 300

    def look() -> None:
        all_came = receiver.statistics().received >= count and len(good) == count // EVERY
        if all_came or time.monotonic() > end:
            reactor.stop()
        else:
            reactor.callLater(0.02, look)

    reactor.callWhenRunning(peer.start)
    reactor.callWhenRunning(look)
    reactor.run(installSignalHandlers=False)
    peer.join(60)
    statistics = receiver.statistics()
    factory.shutdown()
    assert good == list(range(EVERY - 1, count, EVERY)), (len(good), count // EVERY)
    assert statistics.received >= count
    return len(good), statistics.malformed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    seed = random.randrange(1_000_000) if given.seed is None else given.seed
    print(f"seed {seed}, {given.messages} messages", flush=True)
    observers: Any = [lambda event: None]
    globalLogBeginner.beginLoggingTo(observers, redirectStandardIO=False)
    print(f"{'class':24}{'messages':>10}{'good, served':>14}{'malformed':>11}{'seconds':>9}")
    runs = {name: lambda *a: asyncio.run(fuzz(*a)) for name in NUMBER}
    runs["Requester"] = lambda *a: asyncio.run(fuzz_requester(*a))
    runs |= dict.fromkeys(HOOKS, fuzz_facade)
    for name, run in runs.items():
        start = time.monotonic()
        good, malformed = run(name, given.messages, random.Random(seed))
        took = time.monotonic() - start
        print(f"{name:24}{given.messages:10}{good:14}{malformed:11}{took:9.1f}", flush=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
