"""The scenarios of what happens at an edge: counted, taken back, half sent, or hidden by a send."""

from __future__ import annotations

import contextlib
from collections import Counter
from functools import partial
from typing import Any

import zmq

from tests.simulated.stage import ADDRESS, BACK, UNTIL, Stage, scenario
from zmqbridge import PeerUnreachable, QueueEmpty, RequestTimeout, SocketClosed


@scenario
async def each_message_is_in_one_count(stage: Stage) -> None:
    """What was asked, sent, answered, late and given up adds up, and each timeout says how far."""
    outcome: Counter[str] = Counter()
    early, count = stage.random.randint(1, 5), 20
    stage.network.node("server")

    async def handle(request: Any) -> None:
        await stage.sleep(stage.random.choice([0, 0.2]))
        await request.reply(*request.parts)

    async with stage.make("Requester", "client", connect=ADDRESS, timeout=5) as requester:

        async def ask(tag: bytes, timeout: float) -> None:
            try:
                assert await requester.request(tag, timeout=timeout) == [tag]
                outcome["answered"] += 1
            except RequestTimeout as error:
                outcome[error.stage] += 1

        for number in range(early):
            stage.spawn("client", partial(ask, b"early%d" % number, 0.2))
        await stage.sleep(0.5)
        assert outcome == {"queued": early}, "nobody is there"
        counts = requester.statistics()
        assert (counts.sent, counts.queued, counts.withdrawn) == (0, 0, early)
        async with stage.make("Replier", "server", bind=ADDRESS) as replier:
            stage.spawn("server", partial(replier.serve, handle, 100))
            for number in range(count):
                stage.spawn("client", partial(ask, b"%d" % number, stage.random.choice([0.1, 3])))
                await stage.sleep(stage.random.choice([0, 0.02]))
            await stage.sleep(4)
            counts = requester.statistics()
        assert counts.accepted == early + count == outcome.total()
        assert counts.withdrawn == outcome["queued"]
        assert counts.sent == counts.received == count + early - outcome["queued"]
        assert counts.late_replies == outcome["sent"]
        assert counts.delivered == outcome["answered"]
        assert counts.open_requests == counts.queued == counts.unread == 0


@scenario
async def what_is_given_up_was_promised_to_nobody(stage: Stage) -> None:
    """Who unsubscribes while others are about to receive: all other publications come, in order."""
    got: list[int] = []
    wanted: list[int] = []
    hears = stage.random.randint(2, 5)
    async with (
        stage.make("Publisher", "server", bind=ADDRESS) as publisher,
        stage.make("Subscriber", "client", connect=ADDRESS, tags=["a", "b"]) as subscriber,
    ):
        listening = True

        async def hear() -> None:
            nonlocal listening
            while True:
                try:
                    tag, body = await subscriber.receive()
                except SocketClosed:
                    return
                assert listening or tag == b"b", "it was unsubscribed"
                if tag == b"b":
                    got.append(int(body))
                if listening and stage.random.random() < 0.4:
                    listening = False
                    subscriber.unsubscribe("a")

        for _ in range(hears):
            stage.spawn("client", hear)
        await stage.sleep(1)
        for round_ in range(12):
            for number in range(stage.random.randint(1, 8)):
                tag = stage.random.choice(["a", "a", "b"])
                if tag == "b":
                    wanted.append(100 * round_ + number)
                publisher.publish(b"%d" % (100 * round_ + number), tag=tag)
            await stage.sleep(stage.random.choice([0.0001, 0.001, 0.5]))
            if not listening and stage.random.random() < 0.5:
                subscriber.subscribe("a")
                listening = True
                await stage.sleep(0.1)
        await stage.sleep(1)
        assert sorted(got) == wanted
        counts = subscriber.statistics()
        assert counts.unread == 0
        assert counts.delivered + counts.unwanted == counts.received


@scenario
async def who_waits_for_room_is_told_of_the_end(stage: Stage) -> None:
    """Of those who send where nobody takes it, each is refused at the end, or was accepted."""
    kind, verb = stage.random.choice([("Pusher", "push"), ("Dealer", "send")])
    count = stage.random.randint(2, 30)
    ends: Counter[str] = Counter()
    stage.network.node("server")
    sender = stage.make(kind, "client", connect=ADDRESS, options={zmq.SNDHWM: 1})

    async def send() -> None:
        try:
            await getattr(sender, verb)(b"x", b"y")
        except SocketClosed:
            ends["refused"] += 1
        else:
            ends["accepted"] += 1

    async with sender:
        for _ in range(count):
            stage.spawn("client", send)
        await stage.sleep(0.1)
        counts = sender.statistics()
        assert ends == {"accepted": counts.sent + counts.queued}, (ends, counts)
        sender.close()
        await stage.sleep(0.1)
        assert ends.total() == count, f"{count - ends.total()} were not told"
        counts = sender.statistics()
        assert counts.sent + counts.dropped == ends["accepted"]


@scenario
async def a_cut_amid_a_message_costs_no_other(stage: Stage) -> None:
    """Messages are whole: one that a cut interrupts is sent again, and the next one arrives."""
    count, parts = 40, stage.random.randint(2, 20)
    got: list[int] = []
    async with (
        stage.make("Puller", "server", bind=ADDRESS) as receiver,
        stage.make("Pusher", "client", connect=ADDRESS, options={zmq.IMMEDIATE: 1}) as sender,
    ):

        async def receive() -> None:
            while True:
                try:
                    message = await receiver.receive()
                except SocketClosed:
                    return
                assert len(message) == parts, "a part of a message"
                assert len(set(message)) == 1, "parts of two messages"
                got.append(int(message[0]))

        stage.spawn("server", receive)
        for number in range(count):
            if not number % 5:  # what follows comes in one burst, into which the cut falls
                await stage.sleep(1)
                after = stage.random.choice([0.00001, 0.0001])
                stage.network.after(after, partial(stage.network.cut, "server", "client"))
            await sender.push(*[b"%d" % number] * parts)
        await stage.sleep(3)
        assert got == sorted(set(got))
        assert len(got) + stage.lost() == count


@scenario
async def a_send_that_fails_hides_nothing_that_has_come(stage: Stage) -> None:
    """Peers are heard at once, although sends to one that is gone fail at the same time."""
    count = 12
    done: list[str] = []
    names = [f"peer{n}" for n in range(stage.random.randint(1, 2))]

    async def ask(name: str) -> None:
        options = {zmq.ROUTING_ID: name.encode()}
        async with stage.make("Dealer", name, connect=ADDRESS, options=options) as dealer:
            for number in range(count):
                await dealer.send(b"%d" % number)
                came = await stage.within(0.1, dealer.receive)
                assert came == [b"%d" % number], "not heard at once"
                await stage.sleep(stage.random.random() * 0.003)
        done.append(name)

    async with stage.make("Router", "server", bind=ADDRESS) as router:
        for name in names:
            stage.spawn(name, partial(ask, name))
            await stage.sleep(0.01)

        async def serve() -> None:
            with contextlib.suppress(SocketClosed):
                async for peer, parts in router:
                    router.send_nowait(peer, *parts)

        stage.spawn("server", serve)
        while len(done) < len(names):
            with contextlib.suppress(PeerUnreachable):
                router.send_nowait(b"gone", b"x")
                raise AssertionError("nobody has this name")
            await stage.sleep(stage.random.choice([0.0011, 0.002]))
            assert stage.now() < 30


@scenario
async def what_was_given_up_is_not_read(stage: Stage) -> None:
    """With `prefetch=0` only as many messages are read as there are receivers that wait."""
    count, given_up = stage.random.randint(1, 10), stage.random.randint(1, 5)
    got: list[int] = []
    async with (
        stage.make("Puller", "server", bind=ADDRESS, prefetch=0) as puller,
        stage.make("Pusher", "client", connect=ADDRESS) as pusher,
    ):

        async def receive(attempt: Any) -> None:
            if (parts := await attempt.result()) is not None:
                got.append(int(parts[0]))

        attempts = [stage.attempt(puller.receive) for _ in range(given_up + 1)]
        for attempt in attempts:
            stage.spawn("server", partial(receive, attempt))
        await stage.sleep(0.1)
        stays = stage.random.choice(attempts)
        for attempt in attempts:
            if attempt is not stays:
                attempt.cancel()
        for number in range(count):
            await pusher.push(b"%d" % number)
        await stage.sleep(1)
        assert got == [0]
        counts = puller.statistics()
        assert (counts.received, counts.unread) == (1, 0), counts
        while len(got) < count:
            got.append(int((await puller.receive())[0]))
        assert got == list(range(count))


@scenario
async def a_send_that_was_given_up_is_whole_or_not_at_all(stage: Stage) -> None:
    """Pushes that are cancelled while they wait: what was accepted arrives, whole and in order."""
    count, parts = 60, stage.random.randint(1, 4)
    small = {zmq.SNDHWM: 2, zmq.RCVHWM: 2}
    accepted: list[int] = []
    got: list[int] = []
    async with (
        stage.make("Puller", "server", bind=ADDRESS, options=small, prefetch=1) as puller,
        stage.make("Pusher", "client", connect=ADDRESS, options=small) as pusher,
    ):

        async def pull() -> None:
            with contextlib.suppress(SocketClosed):
                async for message in puller:
                    assert len(message) == parts, "a part of a message"
                    assert len({*message}) == 1, "parts of two messages"
                    got.append(int(message[0]))

        async def push(number: int) -> None:
            await pusher.push(*[b"%06d" % number] * parts)
            accepted.append(number)

        stage.network.slow("server", "client", per_second=2_000)
        stage.spawn("server", pull)
        for number in range(count):
            patience = stage.random.choice([0, 0.0001, 0.01, 5])
            await stage.within(patience, partial(push, number))
        assert await pusher.drain(30) == 0
        await stage.sleep(10)
        assert accepted
        assert set(accepted) <= set(got)
        assert got == sorted(set(got))
        counts = pusher.statistics()
        assert counts.sent == len(got)


@scenario
async def with_conflate_the_newest_comes(stage: Stage) -> None:
    """A receiver that is too slow gets newer and newer ones, and the last, also after faults."""
    ways = ["receive", "receive_nowait", "async for"]
    way, got, last = stage.random.choice(ways), [-1], 0
    options = {zmq.CONFLATE: 1}

    async def next_one(puller: Any) -> Any:
        if way == "receive":
            return await puller.receive()
        if way == "async for":
            return await puller.__anext__()
        while True:
            with contextlib.suppress(QueueEmpty):
                return puller.receive_nowait()
            await stage.sleep(0.01)

    async with stage.make("Puller", "server", bind=ADDRESS, options=options) as puller:

        async def pull() -> None:
            with contextlib.suppress(SocketClosed, StopAsyncIteration):
                while True:
                    number = int((await next_one(puller))[0])
                    assert number > got[-1], "older than the one before"
                    got.append(number)
                    await stage.sleep(0.1)

        stage.spawn("server", pull)
        stage.network.node("client")
        stage.trouble("server", "client")
        async with stage.make("Pusher", "client", connect=ADDRESS, options=options) as pusher:
            while stage.now() < UNTIL + BACK:
                last += 1
                await pusher.push(b"%d" % last)
                await stage.sleep(stage.random.choice([0.001, 0.01, 0.05]))
            await stage.sleep(1)
    assert got[-1] == last
    assert len(got) < last
