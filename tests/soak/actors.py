"""One process of the soak, which does its part on some loop and keeps a ledger.

A ledger is a file of lines that are written at once, so that they survive a SIGKILL.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from zmqbridge import PeerUnreachable, RequestTimeout

TIMEOUT = 0.5  # seconds of a request
ASKERS = 20  # requests that a client has open
THINKING = 0.005  # seconds between a reply and the next request
SIZE = 1000  # bytes of a pushed message
LIFE = 10_000_000  # numbers of a life of a publisher
TAGS = ["a", "b", "c", "d"]
LIMITS = {"SNDHWM": 100, "RCVHWM": 100}


class Ledger:
    """Where an actor notes what happens, and finds whether it shall end."""

    def __init__(self, folder: str, role: str, name: str) -> None:
        self.file = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.stop_file = f"{folder}/stop-{role}"
        self.name = name
        self.folder = folder

    def earlier(self) -> list[list[str]]:
        """What earlier lives have noted."""
        whose, _, life = self.name.rpartition(".")
        paths = [f"{self.folder}/{whose}.{each}" for each in range(1, int(life))]
        texts = [Path(path).read_text() for path in paths if os.path.exists(path)]
        return [line.split(" ") for text in texts for line in text.splitlines()]

    def note(self, *words: str) -> None:
        os.write(self.file, (" ".join(words) + "\n").encode())

    def note_statistics(self, socket: Any) -> None:
        statistics = socket.statistics()
        counts = {**statistics._asdict(), "accepted": statistics.accepted}
        self.note("statistics", json.dumps(counts, separators=(",", ":")))

    def ended(self) -> bool:
        return os.path.exists(self.stop_file)


def goes_on(name: str) -> bool:
    """Whether a subscriber goes on where its earlier life was; the others begin anew."""
    return "asyncio" not in name


def options() -> dict[int, int]:
    import zmq

    return {getattr(zmq, name): value for name, value in LIMITS.items()}


# The roles, which are the same words on asyncio and on Twisted.


async def client(loop: Any, ledger: Ledger, *addresses: str) -> None:
    numbers = itertools.count()

    async def ask() -> None:
        while not ledger.ended():
            body = f"{ledger.name}-{next(numbers)}"
            ledger.note("begin", body)
            try:
                reply = await requester.request(body.encode())
            except RequestTimeout as error:
                end = error.stage
            else:
                end = "replied" if reply == [b"re", body.encode()] else "crossed"
            ledger.note("end", body, end)
            await loop.sleep(THINKING)

    async with loop.backend.Requester(connect=addresses, timeout=TIMEOUT) as requester:
        await loop.gather(*(ask() for _ in range(ASKERS)))
        ledger.note_statistics(requester)


async def server(loop: Any, ledger: Ledger, address: str) -> None:
    async def handler(request: Any) -> None:
        ledger.note("seen", request.parts[0].decode())
        try:
            await request.reply(b"re", *request.parts)
        except PeerUnreachable:
            pass  # the client was killed

    async with loop.backend.Replier(bind=address) as replier:
        serving = loop.spawn(replier.serve(handler))
        while not ledger.ended():
            await loop.sleep(0.02)
        ledger.note_statistics(replier)
        replier.close()
        await serving


async def pusher(loop: Any, ledger: Ledger, address: str) -> None:
    async with loop.backend.Pusher(bind=address, options=options()) as socket:
        number = 0
        while not ledger.ended():
            await socket.push(b"%d" % number, bytes(SIZE))
            number += 1
            if number % 20 == 0:
                await loop.sleep(0.005)
        left = await socket.drain(10)
        ledger.note("pushed", str(number), str(left))
        ledger.note_statistics(socket)
        while not os.path.exists(f"{ledger.stop_file}-for-good"):
            await loop.sleep(0.02)


async def puller(loop: Any, ledger: Ledger, address: str) -> None:
    async with loop.backend.Puller(connect=address, options=options()) as socket:

        async def take() -> None:
            async for number, rest in socket:
                ledger.note("got", number.decode(), str(len(rest)))

        taking = loop.spawn(take())
        quiet = 0
        while quiet < 25:
            before = socket.statistics().received
            await loop.sleep(0.02)
            quiet = quiet + 1 if ledger.ended() and before == socket.statistics().received else 0
        ledger.note_statistics(socket)
        socket.close()
        await taking


async def publisher(loop: Any, ledger: Ledger, address: str, replay: str, by: str) -> None:
    from zmqbridge import Sequence

    life = int(ledger.name.rpartition(".")[2])
    first = life * LIFE
    counts = dict.fromkeys(TAGS if by == "tag" else [""], first)
    sequence = Sequence(replay, by=by, first=first, keep=1_000_000)  # type: ignore[arg-type]
    async with loop.backend.Publisher(
        bind=address, sequence=sequence, options=options()
    ) as publisher:
        while not ledger.ended():
            for tag in TAGS:
                key = tag if by == "tag" else ""
                ledger.note("published", key, str(counts[key]))
                publisher.publish(b"%d " % counts[key] + bytes(SIZE), tag)
                counts[key] += 1
            await loop.sleep(0.005)
        ledger.note("end", *(f"{key}={count - 1}" for key, count in counts.items()))
        while not os.path.exists(f"{ledger.stop_file}-for-good"):
            await loop.sleep(0.02)


async def subscriber(loop: Any, ledger: Ledger, address: str, replay: str, by: str) -> None:
    from zmqbridge import Gap, Restarted

    wanted = TAGS[:2] if by == "tag" else ""
    last = {words[1]: int(words[3]) for words in ledger.earlier() if words[0] in ("got", "gap")}
    since: Any = last if by == "tag" else last.get("")
    async with loop.backend.Subscriber(
        wanted,
        connect=address,
        replay=replay,
        numbered_by=by,
        numbers=True,
        since=since if goes_on(ledger.name) else None,
        on_gap="report",
        options=options(),
    ) as subscriber:

        async def hear() -> None:
            async for told in subscriber:
                if isinstance(told, Gap):
                    ledger.note("gap", told.tag.decode(), str(told.first), str(told.last))
                elif isinstance(told, Restarted):
                    ledger.note("restarted", told.tag.decode(), "0", "0")
                else:
                    number = told[1].partition(b" ")[0].decode()
                    assert int(number) == told[2]
                    tag = told[0].decode() if by == "tag" else ""
                    ledger.note("got", tag, number, number)

        hearing = loop.spawn(hear())
        while not ledger.ended():
            await loop.sleep(0.02)
        ledger.note_statistics(subscriber)
        subscriber.close()
        await hearing


# The loops.


def run_asyncio(role: Callable[..., Any], *arguments: Any) -> None:
    from zmqbridge import asyncio_backend

    loop = SimpleNamespace(
        backend=asyncio_backend,
        sleep=asyncio.sleep,
        spawn=asyncio.ensure_future,
        gather=asyncio.gather,
    )
    asyncio.run(role(loop, *arguments))


def run_uvloop(role: Callable[..., Any], *arguments: Any) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        from zmqbridge import asyncio_backend

        loop = SimpleNamespace(
            backend=asyncio_backend,
            sleep=asyncio.sleep,
            spawn=asyncio.ensure_future,
            gather=asyncio.gather,
        )
        runner.run(role(loop, *arguments))


def run_twisted(role: Callable[..., Any], *arguments: Any) -> None:
    from twisted.internet import task
    from twisted.internet.defer import Deferred, gatherResults

    from zmqbridge import twisted_backend

    def main(reactor: Any) -> Deferred[None]:
        loop = SimpleNamespace(
            backend=twisted_backend,
            sleep=lambda seconds: task.deferLater(reactor, seconds),
            spawn=lambda work: work if isinstance(work, Deferred) else Deferred.fromCoroutine(work),
            gather=lambda *works: gatherResults(map(Deferred.fromCoroutine, works)),
        )
        return Deferred.fromCoroutine(role(loop, *arguments))

    task.react(main)


def run_facade(role: Callable[..., Any], *arguments: Any) -> None:
    from twisted.internet import task
    from twisted.internet.defer import Deferred, gatherResults

    from zmqbridge import txzmq

    async def facade_client(ledger: Ledger, *addresses: str) -> None:
        numbers = itertools.count()
        requester = txzmq.ZmqREQConnection(factory)
        requester.addEndpoints(txzmq.ZmqEndpoint("connect", address) for address in addresses)

        async def ask() -> None:
            while not ledger.ended():
                body = f"{ledger.name}-{next(numbers)}"
                ledger.note("begin", body)
                try:
                    reply = await requester.sendMsg(body.encode(), timeout=TIMEOUT)
                except txzmq.ZmqRequestTimeoutError as error:
                    end = error.stage
                else:
                    end = "replied" if reply == [b"re", body.encode()] else "crossed"
                ledger.note("end", body, end)
                await task.deferLater(factory.reactor, THINKING)

        await gatherResults([Deferred.fromCoroutine(ask()) for _ in range(ASKERS)])
        ledger.note_statistics(requester)

    async def facade_server(ledger: Ledger, address: str) -> None:
        class Server(txzmq.ZmqREPConnection):
            def gotMessage(self, request: bytes, *parts: bytes) -> None:
                ledger.note("seen", parts[0].decode())
                self.reply(request, b"re", *parts)

        replier = Server(factory, txzmq.ZmqEndpoint("bind", address))
        while not ledger.ended():
            await task.deferLater(factory.reactor, 0.02)
        ledger.note_statistics(replier)

    factory = txzmq.ZmqFactory()

    def main(reactor: Any) -> Deferred[None]:
        factory.registerForShutdown()
        roles: dict[Any, Callable[..., Any]] = {client: facade_client, server: facade_server}
        facade_role = roles[role]
        return Deferred.fromCoroutine(facade_role(*arguments))

    task.react(main)


if __name__ == "__main__":
    folder, loop, role, name, *addresses = sys.argv[1:]
    globals()[f"run_{loop}"](globals()[role], Ledger(folder, role, name), *addresses)
