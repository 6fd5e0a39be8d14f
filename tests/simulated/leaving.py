"""The scenarios of an end: who stops serving, drains, closes, or tells a crowd."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import zmq

from tests.simulated.stage import ADDRESS, Stage, scenario
from zmqbridge import RequestTimeout, SocketClosed

CROWD = 600  # more than are told at once, and more than expire at once


@scenario
async def a_server_gives_back_what_it_has_not_answered(stage: Stage) -> None:
    """Of all requests that it has taken each is answered or given back, once; no more are taken."""
    count, limit = stage.random.randint(1, 30), stage.random.randint(1, 40)
    begun: list[bytes] = []
    ended: dict[bytes, list[bytes]] = {}
    served: list[str] = []

    async def handle(request: Any) -> None:
        begun.append(request.parts[0])
        await stage.sleep(stage.random.choice([0, 0.1, 0.5, 100]))
        await request.reply(b"done")

    async with (
        stage.make("Replier", "server", bind=ADDRESS) as replier,
        stage.make("Requester", "client", connect=ADDRESS, timeout=30) as requester,
    ):

        async def serve() -> None:
            await replier.serve(handle, limit)
            served.append("ended")

        async def ask(tag: bytes) -> None:
            try:
                ended[tag] = await requester.request(tag)
            except SocketClosed:
                assert tag == b"late"

        stage.spawn("server", serve)
        for number in range(count):
            stage.spawn("client", partial(ask, b"%d" % number))
        await stage.sleep(0.2)
        assert replier.statistics().received == count
        left = await replier.stop_serving(timeout=stage.random.choice([0, 0.2, 1]))
        await stage.sleep(0)
        assert served == ["ended"]
        done, before = set(ended), len(begun)
        stage.spawn("client", partial(ask, b"late"))
        await stage.sleep(1)
        tags = [request.parts[0] for request in left]
        assert Counter([*tags, *ended]) == Counter(b"%d" % n for n in range(count)), (tags, done)
        for request in left:
            await request.reply(b"ask another")
        await stage.sleep(1)
        assert ended == {
            b"%d" % n: [b"ask another" if b"%d" % n in tags else b"done"] for n in range(count)
        }
        assert len(begun) == before


@scenario
async def a_server_that_leaves_is_heard(stage: Stage) -> None:
    """Who closes as soon as it has replied: the reply is read, and the next server is found."""
    address = stage.random.choice([ADDRESS, "ipc:///leaving"])
    stage.network.node("server")
    async with stage.make("Requester", "client", connect=address, timeout=5) as requester:

        async def ask() -> None:
            assert await requester.request(b"?") == [b"!"]
            answered.append(1)

        answered: list[int] = []
        for number in range(5):
            async with stage.make("Replier", "server", bind=address) as replier:
                stage.spawn("client", ask)
                request = await replier.receive()
                await stage.sleep(stage.random.choice([0, 0.001]))
                await request.reply(b"!")
            await stage.sleep(0.1)
            assert len(answered) == number + 1


@scenario
async def what_a_drain_says_is_so(stage: Stage) -> None:
    """It waits until nothing is queued, or for its time; how many it says are left, are queued."""
    count = stage.random.randint(1, 60)
    small = {zmq.SNDHWM: 2, zmq.RCVHWM: 2}
    got: list[int] = []
    async with (
        stage.make("Puller", "server", bind=ADDRESS, options=small, prefetch=1) as puller,
        stage.make("Pusher", "client", connect=ADDRESS, options=small) as pusher,
    ):

        async def pull() -> None:
            while True:
                try:
                    got.append(int((await puller.receive())[0]))
                except SocketClosed:
                    return

        stage.network.slow("server", "client", per_second=20_000)
        for number in range(count):
            pusher.push_nowait(b"%d" % number, bytes(1000))
        stage.spawn("server", pull)
        while True:
            patience, began = stage.random.choice([0.1, 0.5, None]), stage.now()
            left = await pusher.drain(patience)
            assert left == pusher.statistics().queued
            if not left:
                break
            assert patience is not None
            assert stage.now() >= began + patience - 0.001
        assert stage.now() < 30
        await stage.sleep(5)
        assert got == list(range(count))


@scenario
async def each_of_a_crowd_is_told(stage: Stage) -> None:
    """Hundreds of calls that wait: each ends once, at the end of its time or of the socket."""
    closes = stage.random.random() < 0.5
    count = CROWD + stage.random.randint(0, 100)
    told: Counter[str] = Counter()
    stage.network.node("server")
    requester = stage.make("Requester", "client", connect=ADDRESS, send_queue=2 * CROWD)

    async def ask() -> None:
        try:
            await requester.request(b"?", timeout=5 if closes else 0.5)
        except RequestTimeout as error:
            told[error.stage] += 1
        except SocketClosed:
            told["closed"] += 1

    async with requester:
        for _ in range(count):
            stage.spawn("client", ask)
        await stage.sleep(0.4)
        assert not told
        if closes:
            await requester.aclose()
        await stage.sleep(0.3)
    assert told == {"closed" if closes else "queued": count}, (told, count)
