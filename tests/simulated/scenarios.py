"""The scenarios of requests, pipelines and connections under faults."""

from __future__ import annotations

import contextlib
from collections import Counter
from functools import partial
from typing import Any

import zmq

from tests.simulated.stage import ADDRESS, BACK, UNTIL, Stage, scenario
from zmqbridge import (
    ConnectTimeout,
    PeerUnreachable,
    QueueFull,
    RequestTimeout,
    SocketClosed,
)
from zmqbridge.testing import faults


@scenario
async def requests_get_their_own_replies(stage: Stage) -> None:
    """Every request ends once: by its own reply, or by its timeout; none sees another's."""
    seen: Counter[bytes] = Counter()

    async def serve() -> None:
        async with stage.make("Replier", "server", bind=ADDRESS) as replier:

            async def handle(request: Any) -> None:
                seen[request.parts[0]] += 1
                if stage.random.random() < 0.2:
                    await stage.sleep(stage.random.random())
                await request.reply(b"re", *request.parts)

            await replier.serve(handle, limit=5)

    stage.spawn("server", serve)
    clients = [f"client{n}" for n in range(stage.random.randint(1, 3))]
    stage.trouble("server", *clients)
    ended: Counter[bytes] = Counter()
    done: list[str] = []
    queued: set[bytes] = set()

    async def ask(name: str) -> None:
        async with stage.make("Requester", name, connect=ADDRESS, timeout=1) as requester:
            for number in range(20):
                tag = f"{name} {number}".encode()
                await stage.sleep(stage.random.random() * 0.2)
                try:
                    reply = await requester.request(tag, b"")
                except RequestTimeout as error:
                    if error.stage == "queued":
                        queued.add(tag)
                else:
                    assert reply == [b"re", tag, b""]
                ended[tag] += 1
            await stage.sleep(max(0.0, UNTIL - stage.now()) + BACK)
            assert await requester.request(b"last") == [b"re", b"last"]
            counts = requester.statistics()
            assert counts.open_requests == counts.queued == counts.malformed == 0
            assert counts.received >= 1
        done.append(name)

    for name in clients:
        stage.spawn(name, partial(ask, name))
    while len(done) < len(clients):
        await stage.sleep(0.5)
        assert stage.now() < 60
    assert set(ended.values()) == {1}
    assert all(count == 1 for tag, count in seen.items() if tag != b"last")
    assert not queued & set(seen), "a request that ended in the queue was sent after all"


@scenario
async def pushed_messages_arrive_in_order_and_once(stage: Stage) -> None:
    """Nothing is doubled, nothing overtakes; what is missing was under way when a cut came."""
    count = stage.random.choice([10, 300])
    small = {zmq.SNDHWM: 5, zmq.RCVHWM: 5} if stage.random.random() < 0.5 else {}
    got: list[int] = []
    transport = stage.random.choice([ADDRESS, "ipc:///pipeline"])

    async def pull() -> None:
        async with stage.make("Puller", "server", bind=transport, options=small) as puller:
            while True:
                patience = stage.random.choice([0.001, 0.1, 10])
                if (parts := await stage.within(patience, puller.receive)) is not None:
                    got.append(int(parts[0]))
                    if stage.random.random() < 0.1:
                        await stage.sleep(0.02)

    stage.spawn("server", pull)
    stage.trouble("server", "client")
    async with stage.make("Pusher", "client", connect=transport, options=small) as pusher:
        for number in range(count):
            await pusher.push(b"%d" % number)
        while pusher.statistics().queued:
            await stage.sleep(0.1)
            assert stage.now() < 60
        await stage.sleep(max(0.0, UNTIL - stage.now()) + BACK)
        assert await pusher.drain(5) == 0
    await stage.sleep(5)
    assert got == sorted(set(got)), "doubled, or overtaken"
    assert len(got) + stage.lost() == count


@scenario
async def a_cancelled_receive_loses_nothing(stage: Stage) -> None:
    """However often receives are cancelled, each message comes once and in order."""
    got: list[int] = []

    async def push() -> None:
        async with stage.make("Pusher", "client", connect=ADDRESS) as pusher:
            for number in range(100):
                await pusher.push(b"%d" % number)
                await stage.sleep(stage.random.choice([0, 0, 0.0001, 0.001]))
            await stage.sleep(100)

    stage.spawn("client", push)
    async with stage.make("Puller", "server", bind=ADDRESS) as puller:

        async def receive() -> None:
            while len(got) < 100:
                patience = stage.random.choice([0, 0.0001, 0.0003, 0.001])
                if (parts := await stage.within(patience, puller.receive)) is not None:
                    got.append(int(parts[0]))
                await stage.sleep(0)

        for _ in range(stage.random.randint(1, 3)):
            stage.spawn("server", receive)
        while len(got) < 100:
            await stage.sleep(0.5)
            assert stage.now() < 5, puller.statistics()
    assert sorted(got) == list(range(100))


@scenario
async def what_a_cancelled_receiver_was_promised_is_not_lost(stage: Stage) -> None:
    """Receivers that get a message of a burst cancel others; all of it comes to those who wait."""
    got: list[int] = []
    waiting: list[Any] = []
    spare = 0  # so many receivers can be cancelled, and there are enough for the messages

    async def receive(puller: Any) -> None:
        nonlocal spare
        attempt = stage.attempt(puller.receive)
        waiting.append(attempt)
        parts = await attempt.result()
        waiting.remove(attempt)
        if parts is None:
            return
        got.append(int(parts[0]))
        for _ in range(stage.random.randint(0, min(spare, len(waiting)))):
            spare -= 1
            waiting[0 if stage.random.random() < 0.5 else -1].cancel()

    async with (
        stage.make("Puller", "server", bind=ADDRESS) as puller,
        stage.make("Pusher", "client", connect=ADDRESS) as pusher,
    ):
        stage.network.slow("server", "client", latency=(0.1, 0.1))  # so they come at once
        await pusher.push(b"0")
        assert await puller.receive() == [b"0"]
        for _ in range(5):
            got.clear()
            count, spare = stage.random.randint(3, 6), stage.random.randint(1, 5)
            for _ in range(count + spare):
                stage.spawn("server", partial(receive, puller))
            await stage.sleep(0.01)
            for number in range(count):
                pusher.push_nowait(b"%d" % number)
            await stage.sleep(1)
            assert sorted(got) == list(range(count))
            while waiting:
                waiting[-1].cancel()
                await stage.sleep(0.01)


@scenario
async def subscribers_hear_their_tags_in_order(stage: Stage) -> None:
    """Only what was subscribed to, in order, never twice; and again after each reconnection."""
    heard: list[tuple[bytes, int]] = []
    stage.trouble("server", "client")

    async def publish() -> None:
        async with stage.make("Publisher", "server", bind=ADDRESS) as publisher:
            for number in range(200):
                tag = stage.random.choice([b"a", b"b", b"ab"])
                publisher.publish(b"%d" % number, tag)
                await stage.sleep(0.05)

    async with stage.make("Subscriber", "client", connect=ADDRESS, tags=["a"]) as subscriber:
        stage.spawn("server", publish)
        last = 0.0
        while (publication := await stage.within(8, subscriber.receive)) is not None:
            heard.append((publication[0], int(publication[1])))
            last = stage.now()
        assert subscriber.statistics().malformed == 0
    numbers = [number for _, number in heard]
    assert {tag for tag, _ in heard} <= {b"a", b"ab"}
    assert numbers == sorted(set(numbers))
    assert last > 9, "silent after the faults were over"


@scenario
async def a_router_says_who_is_gone(stage: Stage) -> None:
    """A peer that is gone is unreachable soon, and others are served all the while."""
    router = stage.make("Router", "server", bind=ADDRESS)
    alive = {"one", "two", "three"}
    answered: Counter[str] = Counter()

    async def dealer(name: str) -> None:
        options = {zmq.ROUTING_ID: name.encode()}
        async with stage.make("Dealer", name, connect=ADDRESS, options=options) as it:
            while True:
                await it.send(b"ping")
                assert await it.receive() == [b"pong"]
                answered[name] += 1
                await stage.sleep(0.05)

    async with router:
        for name in sorted(alive):
            stage.network.node(name)
            stage.spawn(name, partial(dealer, name))
        victim = stage.random.choice(sorted(alive))
        stage.network.after(1, stage.network.node(victim).kill)
        while stage.now() < 5:
            peer, parts = await router.receive()
            assert parts == [b"ping"]
            with contextlib.suppress(PeerUnreachable):
                await router.send(peer, b"pong")
        try:
            await router.send(victim.encode(), b"anybody?")
        except PeerUnreachable as error:
            assert error.peer == victim.encode()
        else:
            raise AssertionError("a dead peer takes messages")
        before = Counter(answered)
        while stage.now() < 6:
            peer, parts = await router.receive()
            await router.send(peer, b"pong")
        assert all(answered[name] > before[name] for name in alive - {victim})
        assert answered[victim] == before[victim]


@scenario
async def a_slow_reader_pushes_back_and_costs_bounded_memory(stage: Stage) -> None:
    """The marks hold: what is queued never exceeds what was asked for, and it all arrives."""
    got: list[int] = []
    count = 400
    small = {zmq.SNDHWM: 10, zmq.RCVHWM: 10}
    # Bytes are counted after a burst, which is as large as libzmq's queue at most.
    held: dict[str, int]
    in_bytes = {"prefetch": 1000, "prefetch_bytes": 30}
    held, most = stage.random.choice([({"prefetch": 5}, 5), (in_bytes, 15)])
    async with (
        stage.make("Puller", "server", bind=ADDRESS, options=small, **held) as puller,
        stage.make("Pusher", "client", connect=ADDRESS, options=small, send_queue=20) as pusher,
    ):
        stage.network.slow("server", "client", per_second=20_000)
        refused = []

        async def push() -> None:
            for number in range(count):
                if stage.random.random() < 0.5:
                    await pusher.push(b"%06d" % number)
                else:
                    try:
                        pusher.push_nowait(b"%06d" % number)
                    except QueueFull:
                        refused.append(number)
                        await pusher.push(b"%06d" % number)
                assert pusher.statistics().queued <= 21

        stage.spawn("client", push)
        while len(got) < count:
            [part] = await puller.receive()
            got.append(int(part))
            assert puller.statistics().unread <= most
            await stage.sleep(stage.random.choice([0, 0.001, 0.01]))
    assert got == list(range(count))


@scenario
async def what_was_sent_before_the_close_arrives(stage: Stage) -> None:
    """Closing in peace loses nothing, over tcp and ipc, also with the receiver at its mark."""
    address = stage.random.choice([ADDRESS, "ipc:///ending", "ipc://@abstract"])
    count = stage.random.choice([1, 50, 3000])
    small = {zmq.RCVHWM: 5} if stage.random.random() < 0.5 else {}
    async with stage.make("Puller", "server", bind=address, options=small, prefetch=5) as puller:
        async with stage.make(
            "Pusher", "client", connect=address, options={zmq.LINGER: 60_000}
        ) as pusher:
            await pusher.push(b"0")
            assert await puller.receive() == [b"0"]
            for number in range(1, count):
                await pusher.push(b"%d" % number)
            while pusher.statistics().queued:
                await stage.sleep(0.01)
                if puller.statistics().unread:
                    break
        got = [0]
        while len(got) < count:
            parts = await stage.within(30, puller.receive)
            assert parts is not None, f"{count - len(got)} were lost"
            got.append(int(parts[0]))
        assert got == list(range(count))


@scenario
async def what_waits_at_the_close_is_sent(stage: Stage) -> None:
    """Closing waits for what libzmq has not taken yet, also for a server that is late."""
    count = stage.random.choice([1, 20, 300])
    got: list[int] = []

    async def push() -> None:
        options = {zmq.SNDHWM: 3, zmq.LINGER: 60_000}
        async with stage.make("Pusher", "client", connect=ADDRESS, options=options) as pusher:
            for number in range(count):
                pusher.push_nowait(b"%d" % number)

    stage.network.node("server")
    stage.spawn("client", push)
    await stage.sleep(stage.random.choice([0, 1]))
    small = {zmq.RCVHWM: 3}
    async with stage.make("Puller", "server", bind=ADDRESS, options=small, prefetch=2) as puller:
        while len(got) < count:
            parts = await stage.within(30, puller.receive)
            assert parts is not None, f"{count - len(got)} were lost"
            got.append(int(parts[0]))
    assert got == list(range(count))


@scenario
async def a_server_goes_on_after_its_death(stage: Stage) -> None:
    """Clients come back to a server that was killed and started anew, and to a paused one."""
    lives: list[float] = []

    async def serve() -> None:
        lives.append(stage.now())
        async with stage.make("Replier", "server", bind=ADDRESS) as replier:
            await replier.serve(lambda request: request.reply(*request.parts))

    stage.spawn("server", serve)
    stage.network.node("client")
    kinds = stage.random.choice([("restart",), ("pause",)])
    if stage.classes.__name__.endswith("asyncio_backend") or kinds == ("restart",):
        found = faults.draw(
            stage.random, ["server", "client"], UNTIL, most=1, kinds=kinds, longest=0.5
        )
        faults.apply(stage.network, [each._replace(a="server", b="client") for each in found])
    answered = 0
    async with stage.make("Requester", "client", connect=ADDRESS, timeout=0.5) as requester:
        while stage.now() < UNTIL + BACK:
            with contextlib.suppress(RequestTimeout):
                assert await requester.request(b"x") == [b"x"]
                answered += 1
            await stage.sleep(0.05)
        assert await requester.request(b"y", timeout=5) == [b"y"]
    assert answered > 10


@scenario
async def connections_are_told_as_they_are(stage: Stage) -> None:
    """The state of connections follows what happens, and `connected` ends in time."""
    async with stage.make("Dealer", "client", connect=ADDRESS, monitor=True) as dealer:
        try:
            await dealer.connected(timeout=0.5)
        except ConnectTimeout:
            pass
        else:
            raise AssertionError("nobody is there")
        async with stage.make("Router", "server", bind=ADDRESS):
            await dealer.connected(timeout=5)
            stage.network.cut("client", "server")
            await stage.sleep(0.01)
            try:
                await dealer.connected(timeout=0.01)
            except ConnectTimeout:
                pass
            else:
                raise AssertionError("the connection was cut")
            await dealer.connected(timeout=5)
            dealer.disconnect(ADDRESS)
            await stage.sleep(stage.random.choice([0, 0.5]))
            try:
                await dealer.connected(timeout=0.1)
            except ConnectTimeout:
                pass
            else:
                raise AssertionError("it is connected to nobody")
            dealer.connect(ADDRESS)
            await dealer.connected(timeout=5)


@scenario
async def who_gives_up_is_not_heard(stage: Stage) -> None:
    """A request that was cancelled in the queue is never sent; one under way is dropped."""
    seen: set[bytes] = set()
    gone: set[bytes] = set()
    async with stage.make("Requester", "client", connect=ADDRESS, timeout=30) as requester:

        async def ask(tag: bytes, patience: float) -> None:
            reply = await stage.within(patience, partial(requester.request, tag))
            assert reply in ([tag], None)
            if reply is None:
                gone.add(tag)

        for number in range(10):
            patience = stage.random.choice([0.1, 0.3, 20])
            stage.spawn("client", partial(ask, b"%d" % number, patience))
        await stage.sleep(1)
        queued = 10 - len(gone)
        assert requester.statistics().queued == queued
        async with stage.make("Replier", "server", bind=ADDRESS) as replier:

            async def handle(request: Any) -> None:
                seen.add(request.parts[0])
                await request.reply(*request.parts)

            stage.spawn("server", partial(replier.serve, handle))
            await stage.sleep(2)
            assert len(seen) == queued
            assert not seen & gone
            late = [stage.random.choice([0.0, 0.0001, 0.0003, 0.001]) for _ in range(30)]
            for number, patience in enumerate(late):
                stage.spawn("client", partial(ask, b"late%d" % number, patience))
            await stage.sleep(1)
            counts = requester.statistics()
            assert counts.open_requests == counts.queued == 0
            assert await requester.request(b"last") == [b"last"]


@scenario
async def the_end_of_a_socket_is_told_to_all_who_wait(stage: Stage) -> None:
    """Each call that waits ends with SocketClosed when the socket is closed; none hangs."""
    kind, verb = stage.random.choice(
        [("Puller", "receive"), ("Requester", "request"), ("Subscriber", "receive")]
    )
    arguments: dict[str, Any] = {"tags": [""]} if kind == "Subscriber" else {}
    socket = stage.make(kind, "client", connect=ADDRESS, **arguments)
    count = stage.random.choice([1, 7, 700])
    told = []

    async def wait() -> None:
        try:
            await getattr(socket, verb)(*([b"x"] if verb == "request" else []))
        except SocketClosed:
            told.append(True)

    async with socket:
        for _ in range(count):
            stage.spawn("client", wait)
        await stage.sleep(0.1)
        socket.close()
        await stage.sleep(0.1)
    assert len(told) == count


@scenario
async def a_server_survives_its_handlers(stage: Stage) -> None:
    """Handlers that fail are reported and cost one request; never more run than the limit says."""
    running, most, limit = 0, 0, stage.random.randint(1, 4)

    async def handle(request: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await stage.sleep(stage.random.random() * 0.01)
            if request.parts == [b"fail"]:
                raise ArithmeticError("on purpose")
            await request.reply(*request.parts)
        finally:
            running -= 1

    async with (
        stage.make("Replier", "server", bind=ADDRESS) as replier,
        stage.make("Requester", "client", connect=ADDRESS, timeout=2) as requester,
    ):
        stage.spawn("server", partial(replier.serve, handle, limit))
        outcome: Counter[str] = Counter()

        async def ask(what: bytes) -> None:
            try:
                assert await requester.request(what) == [what]
                outcome["answered"] += 1
            except RequestTimeout as error:
                outcome[f"timeout {error.stage}"] += 1

        failing = stage.random.randint(0, 5)
        whats = [b"fail"] * failing + [b"%d" % number for number in range(20)]
        stage.random.shuffle(whats)
        for what in whats:
            stage.spawn("client", partial(ask, what))
        await stage.sleep(3)
        assert outcome["answered"] == 20, outcome
        assert outcome["timeout sent"] == failing, outcome
        assert most <= limit
        left = await replier.stop_serving(timeout=1)
        assert left == []


@scenario
async def what_was_unsubscribed_is_not_heard(stage: Stage) -> None:
    """After `unsubscribe` nothing of a tag is delivered, also what had come before."""
    async with (
        stage.make("Publisher", "server", bind=ADDRESS) as publisher,
        stage.make("Subscriber", "client", connect=ADDRESS, tags=["a", "b"]) as subscriber,
    ):
        await stage.sleep(1)
        for number in range(20):
            publisher.publish(b"%d" % number, tag=stage.random.choice(["a", "b"]))
        await stage.sleep(stage.random.choice([0, 0.0001, 1]))
        subscriber.unsubscribe("a")
        await stage.sleep(1)
        publisher.publish(b"none", tag="a")
        publisher.publish(b"last", tag="b")
        before = -1
        while True:
            tag, body = await subscriber.receive()
            assert tag == b"b"
            if body == b"last":
                break
            assert int(body) > before
            before = int(body)


@scenario
async def one_that_does_not_read_holds_up_no_other(stage: Stage) -> None:
    """A router's stuck peer costs its own queue; others are answered at once all the while."""
    small = {zmq.SNDHWM: 5, zmq.RCVHWM: 5}
    stuck = stage.make(
        "Dealer", "stuck", connect=ADDRESS, options={**small, zmq.ROUTING_ID: b"stuck"}, prefetch=1
    )
    async with (
        stuck,
        stage.make("Router", "server", bind=ADDRESS, options=small, send_queue=10) as router,
        stage.make("Requester", "client", connect=ADDRESS, timeout=1) as requester,
    ):
        stage.network.slow("server", "stuck", per_second=1000)
        await stuck.send(b"hello")
        assert await router.receive() == (b"stuck", [b"hello"])

        async def serve() -> None:
            async for peer, (request_id, empty, *parts) in router:
                await router.send(peer, request_id, empty, *parts)

        stage.spawn("server", serve)
        refused = 0
        for number in range(300):
            try:
                router.send_nowait(b"stuck", b"%03d" % number + bytes(10_000))
            except QueueFull:
                refused += 1
            if not number % 10:
                assert await requester.request(b"x") == [b"x"]
        assert refused
        assert router.statistics().queued <= 11
        stage.network.node("stuck").kill()
        await stage.sleep(3)
        with contextlib.suppress(PeerUnreachable):
            router.send_nowait(b"stuck", b"more")
            raise AssertionError("a dead peer takes messages")
        assert router.statistics().queued == 0
        assert await requester.request(b"y") == [b"y"]


@scenario
async def bursts_keep_their_order(stage: Stage) -> None:
    """What is sent at once, while some waits and there is room again, arrives in order."""
    small = {zmq.SNDHWM: 3, zmq.RCVHWM: 3}
    got: list[int] = []
    async with (
        stage.make("Puller", "server", bind=ADDRESS, options=small, prefetch=3) as puller,
        stage.make("Pusher", "client", connect=ADDRESS, options=small) as pusher,
    ):

        async def push() -> None:
            number = 0
            while number < 400:
                for _ in range(stage.random.randint(1, 30)):
                    pusher.push_nowait(b"%d" % number + b"|" + bytes(100_000))
                    number += 1
                await stage.sleep(stage.random.choice([0, 0.00005, 0.001, 0.02]))
            pusher.push_nowait(b"-1|")

        stage.spawn("client", push)
        while True:
            [part] = await puller.receive()
            got.append(int(part.partition(b"|")[0]))
            if got[-1] < 0:
                break
    assert got[:-1] == list(range(len(got) - 1))


@scenario
async def both_ways_at_once(stage: Stage) -> None:
    """Two sockets that send and receive at the same time hear all of each other, in order."""
    count = 150
    done: list[str] = []

    async def talk(node: str, parts: int, **arguments: Any) -> None:
        async with stage.make("Dealer", node, **arguments) as dealer:

            async def send() -> None:
                for number in range(count):
                    await dealer.send(*[b"%d" % number] * parts)
                    await stage.sleep(stage.random.choice([0, 0, 0.0001, 0.0002]))

            stage.spawn(node, send)
            for number in range(count):
                assert (await dealer.receive())[0] == b"%d" % number
            done.append(node)
            await stage.sleep(1)

    parts = stage.random.choice([1, 2])
    stage.network.node("client")
    stage.spawn("server", partial(talk, "server", parts, bind=ADDRESS))
    stage.spawn("client", partial(talk, "client", parts, connect=ADDRESS))
    while len(done) < 2:
        await stage.sleep(0.5)
        assert stage.now() < 30, done
