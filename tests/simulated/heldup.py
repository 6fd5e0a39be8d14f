"""The scenarios of a loop that was held up, and of peers for which the program does not read.

While a loop is held up, the network goes on: what comes meanwhile has come in time.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import zmq

from tests.simulated.stage import ADDRESS, Stage, scenario
from zmqbridge import PeerUnreachable, QueueEmpty, RequestTimeout

SLOW = (0.1, 0.2)  # seconds that a message takes


def hold_up(stage: Stage, seconds: float) -> None:
    """Compute for so long: the loop stands still, and messages arrive all the while."""
    stage.network.deliver_until(stage.now() + seconds)


@scenario
async def what_came_in_time_is_not_late(stage: Stage) -> None:
    """A reply that came while the loop was held up counts; without one it ends by its timeout."""
    outcome: Counter[str] = Counter()

    async def handle(request: Any) -> None:
        if request.parts != [b"silent"]:
            await request.reply(*request.parts)

    async with (
        stage.make("Replier", "server", bind=ADDRESS) as replier,
        stage.make("Requester", "client", connect=ADDRESS, timeout=10) as requester,
    ):
        stage.spawn("server", partial(replier.serve, handle, 100))
        assert await requester.request(b"first") == [b"first"]
        stage.network.slow("server", "client", latency=SLOW)

        async def ask(tag: bytes, timeout: float) -> None:
            try:
                assert await requester.request(tag, timeout=timeout) == [tag]
                outcome["answered"] += 1
            except RequestTimeout as error:
                outcome[error.stage] += 1

        for _ in range(5):
            outcome.clear()
            count = stage.random.choice([1, 5, 40])
            for number in range(count):
                stage.spawn("client", partial(ask, b"%d" % number, 0.5))
            stage.spawn("client", partial(ask, b"silent", stage.random.choice([0.4, 0.5, 0.6])))
            await stage.sleep(0.25)  # by now all are answered, and replies are under way
            hold_up(stage, stage.random.choice([0.2, 0.3, 2, 30]))
            await stage.sleep(3)
            assert outcome == {"answered": count, "sent": 1}, outcome


@scenario
async def what_is_taken_at_once_hides_nothing(stage: Stage) -> None:
    """`receive_nowait` after the loop was held up, and then `receive`: all comes, in order."""
    size = stage.random.choice([1, 50_000])
    got: list[int] = []
    async with (
        stage.make(
            "Puller", "server", bind=ADDRESS, prefetch=stage.random.choice([0, 5, None])
        ) as puller,
        stage.make("Pusher", "client", connect=ADDRESS) as pusher,
    ):
        await pusher.push(b"0")
        assert await puller.receive() == [b"0"]
        stage.network.slow("server", "client", latency=(0.1, 0.1))  # so they come at once
        for _ in range(4):
            got.clear()
            count = stage.random.randint(1, 40)
            for number in range(count):
                pusher.push_nowait(b"%d" % number, bytes(size))
            await stage.sleep(0.05)
            hold_up(stage, 0.2)
            for _ in range(stage.random.randint(1, count)):
                try:
                    got.append(int(puller.receive_nowait()[0]))
                except QueueEmpty as error:
                    raise AssertionError(f"{count} have come, and {len(got)} are told") from error
            while len(got) < count:
                parts = await stage.within(1, puller.receive)
                assert parts is not None, f"{count - len(got)} are not told"
                got.append(int(parts[0]))
            assert got == list(range(count))


@scenario
async def who_waits_for_one_that_died_is_told(stage: Stage) -> None:
    """A sender that waits for room learns of the death of its peer, though nothing is read."""
    small = {zmq.SNDHWM: 5, zmq.RCVHWM: 5}
    named = {**small, zmq.ROUTING_ID: b"stuck"}
    told: list[float] = []
    async with (
        stage.make("Dealer", "stuck", connect=ADDRESS, options=named, prefetch=1) as stuck,
        stage.make(
            "Router", "server", bind=ADDRESS, options=small, prefetch=1, send_queue=10
        ) as router,
    ):
        await stuck.send(b"hello")
        assert await router.receive() == (b"stuck", [b"hello"])
        unread = stage.random.choice([0, 30])  # above the marks, or the end is seen at once
        for number in range(unread):
            stuck.send_nowait(b"%d" % number)
        await stage.sleep(0.1)
        stage.network.slow("server", "stuck", per_second=1000)

        async def send() -> None:
            try:
                while True:
                    await router.send(b"stuck", bytes(10_000))
            except PeerUnreachable:
                told.append(stage.now())

        senders = stage.random.randint(1, 3)
        for _ in range(senders):
            stage.spawn("server", send)
        await stage.sleep(stage.random.uniform(0.2, 3))
        assert not told
        stage.network.node("stuck").kill()
        died = stage.now()
        await stage.sleep(3)
        assert len(told) == senders, told
        assert max(told) < died + 2
