"""Numbered publications, whatever programs and peers do: the ledger balances, and nobody hangs."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import zmq

from zmqbridge import (
    Gap,
    MalformedMessage,
    OptionError,
    PublicationsMissed,
    ResourcesExhausted,
    Restarted,
    Sequence,
)

every_world = pytest.mark.every_world
_numbers = itertools.count()
ANYWHERE = "tcp://127.0.0.1:*"
END = b"\xff" * 8


def inproc() -> str:
    return f"inproc://hard-sequences-{next(_numbers)}"


def number(n: int) -> bytes:
    return n.to_bytes(8, "big")


async def several(subscriber: Any, count: int) -> list[Any]:
    return [await subscriber.receive() for _ in range(count)]


class Wire:
    """The plain sockets at the other ends of a subscriber, of which one is asked."""

    def __init__(self, w: Any, subscriber: Any, pub: Any, router: Any) -> None:
        self.w, self.subscriber, self.pub, self.router = w, subscriber, pub, router

    def send(self, tag: bytes, *numbers: int) -> None:
        for n in numbers:
            self.pub.send_multipart([tag, number(n), b"%d" % n])

    async def asked(self) -> tuple[bytes, list[bytes]]:
        while True:
            await self.w.until(lambda: self.router.poll(0))
            client, _, *question = self.router.recv_multipart()
            if len(question[0]) < 16:
                return client, question
            self.router.send_multipart([client, b"", b"", END, b""])  # which tags there are: none

    def answer(self, client: bytes, tag: bytes, *numbers: int) -> None:
        for n in numbers:
            self.router.send_multipart([client, b"", tag, number(n), b"%d" % n])
        self.router.send_multipart([client, b"", b"", END, b""])


@contextlib.asynccontextmanager
async def wired(w: Any, tags: Any, **arguments: Any) -> Any:
    address, replay = inproc(), inproc()
    given = {"bind": address, "replay": replay, "on_gap": "report", **arguments}
    async with w.Subscriber(tags, **given) as subscriber:
        context = subscriber.socket.context
        with context.socket(zmq.XPUB) as pub, context.socket(zmq.ROUTER) as router:
            pub.set(zmq.SNDHWM, 0)
            router.bind(replay)
            pub.connect(address)
            await w.until(lambda: pub.poll(0))
            yield Wire(w, subscriber, pub, router)


@every_world
async def test_what_is_held_goes_with_its_subscription_and_a_new_one_begins_anew(w: Any) -> None:
    async with wired(w, ["t", "u"], numbered_by="tag") as wire:
        wire.send(b"t", 0)
        assert await several(wire.subscriber, 1) == [(b"t", b"0")]
        wire.send(b"t", 2, 3)
        client, question = await wire.asked()
        assert question == [number(1), b"t"]
        wire.subscriber.unsubscribe("t")
        wire.send(b"u", 7)
        wire.answer(client, b"t", 1, 2, 3)
        assert await several(wire.subscriber, 1) == [(b"u", b"7")]
        wire.subscriber.subscribe("t")
        await w.until(lambda: wire.pub.poll(0))
        wire.send(b"u", 8)
        assert await several(wire.subscriber, 1) == [(b"u", b"8")]

        def joined() -> bool:
            wire.send(b"t", 9)
            return wire.subscriber.statistics().unread > 0

        await w.until(joined)
        assert await wire.subscriber.receive() == (b"t", b"9")
        statistics = wire.subscriber.statistics()
        assert statistics.delivered + statistics.unread + statistics.unwanted <= statistics.received


async def test_of_the_publishers_count_what_is_unsubscribed_is_only_counted(w: Any) -> None:
    async with wired(w, ["t", "u"]) as wire:
        wire.send(b"t", 0)
        assert await several(wire.subscriber, 1) == [(b"t", b"0")]
        wire.send(b"t", 2)
        wire.send(b"u", 3)
        client, _ = await wire.asked()
        await w.until(lambda: wire.subscriber.statistics().unread == 2)
        wire.subscriber.unsubscribe("t")
        wire.answer(client, b"t", 1, 2)
        assert await several(wire.subscriber, 1) == [(b"u", b"3")]
        assert wire.subscriber.statistics().unread == 0


@every_world
async def test_tags_that_begin_as_one_another_have_each_their_numbers(w: Any) -> None:
    tags = [b"t", b"tt", b"ttt", b""]
    async with wired(w, ["", "t", "tt"], numbered_by="tag") as wire:
        for n in range(3):
            for tag in tags:
                wire.send(tag, n)
        expected = [(tag, b"%d" % n) for n in range(3) for tag in tags]
        assert await several(wire.subscriber, 12) == expected
        wire.subscriber.unsubscribe("")
        wire.subscriber.unsubscribe("t")
        wire.send(b"tt", 4)
        client, question = await wire.asked()
        assert question == [number(3), b"tt"]
        wire.answer(client, b"tt", 3)
        wire.send(b"ttt", 3)
        assert sorted(await several(wire.subscriber, 3)) == [
            (b"tt", b"3"),
            (b"tt", b"4"),
            (b"ttt", b"3"),
        ]


@every_world
async def test_a_receiver_that_is_too_slow_costs_bounded_memory(w: Any) -> None:
    sequence = Sequence(inproc(), keep=200, first=0)
    async with w.Publisher(bind=inproc(), barrier=True, sequence=sequence) as publisher:
        async with w.Subscriber(
            "", connect=publisher.addresses, replay=publisher.replay_address, prefetch=10
        ) as subscriber:
            incoming = subscriber._pattern._incoming
            incoming._interval = 0.001
            await subscriber.ready(20)
            publisher.publish(b"0", "t")
            assert await subscriber.receive() == (b"t", b"0")
            replays = publisher._audience.replays
            for n in range(1, 20_000, 200):
                for each in range(n, n + 200):
                    publisher.publish(b"%d" % each, "t")
                await w.until(lambda: not replays.busy)
                await w.settled()
            assert subscriber.statistics().unread <= 10 + 200 + 1000
            # And it goes on, in order, with what it missed told in its place.
            heard = 0
            while heard < 19_999:
                try:
                    heard = int((await subscriber.receive())[1])
                except PublicationsMissed as error:
                    assert error.gap.first == heard + 1
                    heard = error.gap.last


async def test_bytes_are_bounded_also_where_gaps_are_raised(w: Any, still: None) -> None:
    address = inproc()
    async with w.Subscriber(
        "", bind=address, numbered_by="publisher", prefetch_bytes=5000
    ) as subscriber:
        with subscriber.socket.context.socket(zmq.XPUB) as pub:
            pub.connect(address)
            await w.until(lambda: pub.poll(0))
            for n in range(50):
                pub.send_multipart([b"t", number(n), bytes(1000)])
            assert (await subscriber.receive())[1] == bytes(1000)
            await w.until(lambda: subscriber.statistics().unread == 49)
            for n in range(51, 100):
                pub.send_multipart([b"t", number(n), bytes(1000)])
            await w.settled()
            assert subscriber.statistics().unread == 49  # it reads no more
            heard = 1
            with pytest.raises(PublicationsMissed):
                while True:
                    await subscriber.receive()
                    heard += 1
            assert heard == 50
            await several(subscriber, 49)


@every_world
async def test_the_newest_alone_does_not_go_with_numbers(w: Any) -> None:
    with pytest.raises(OptionError, match="CONFLATE"):
        w.Subscriber("", numbered_by="tag", options={zmq.CONFLATE: 1})
    async with wired(w, "") as wire:
        with pytest.raises(OptionError, match="CONFLATE"):
            wire.subscriber.socket.set(zmq.CONFLATE, 1)
        wire.send(b"t", *range(100))
        assert len(await several(wire.subscriber, 100)) == 100


@every_world
async def test_no_room_for_another_socket_holds_up_nobody_for_ever(w: Any) -> None:
    async with wired(w, "") as wire:
        pattern = wire.subscriber._pattern
        incoming, asking = pattern._incoming, pattern._asking
        incoming._timeout = incoming._pause = 0.01
        refused, open_ = [], asking._open

        def no_room() -> None:
            refused.append(1)
            if len(refused) > 1:
                asking._open = open_
            raise ResourcesExhausted("no room", errno.EMFILE)

        asking._open = no_room
        wire.send(b"t", 0, 2)
        client, _ = await wire.asked()
        await w.until(lambda: len(refused) > 1)
        wire.answer(client, b"t", 1)  # too late: nobody waits for it on this connection
        assert await several(wire.subscriber, 3) == [(b"t", b"0"), Gap(1, 1), (b"t", b"2")]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are counted in /proc")
@every_world
async def test_asking_again_and_again_keeps_no_sockets(w: Any) -> None:
    async with wired(w, "") as wire:
        incoming = wire.subscriber._pattern._incoming
        incoming._timeout = incoming._pause = 0.001
        incoming._attempts = 1_000
        wire.send(b"t", 0, 2)

        def tries(count: int) -> Any:
            def tried() -> bool:
                # In the end the pause would be long.
                incoming.failures = min(incoming.failures, 1)
                while wire.router.poll(0):
                    asked.append(wire.router.recv_multipart())
                return len(asked) >= count

            return tried

        asked: list[Any] = []
        await w.until(tries(3))
        before = descriptors()
        await w.until(tries(40))
        # libzmq closes in a thread of its own.
        await w.until(lambda: tries(0)() and descriptors() <= before + 12)


ODD: list[bytes] = [b"", b"\0", b"t", b"\0r12345678", END, number(0), number(1 << 63), b"7 bytes"]


def odd_messages(seed: int, count: int) -> Iterator[list[bytes]]:
    chance = Random(seed)
    for _ in range(count):
        yield [
            chance.choice([*ODD, chance.randbytes(8), chance.randbytes(chance.randrange(12))])
            for _ in range(chance.randint(1, 5))
        ]


@every_world
@pytest.mark.parametrize("by", ["publisher", "tag"])
async def test_any_bytes_at_all_are_an_error_of_nobody_else(w: Any, by: str) -> None:
    latest = {"latest": True} if by == "tag" else {}
    async with wired(w, "", numbered_by=by, **latest) as wire:
        client, _ = (await wire.asked()) if latest else (b"", [])
        incoming = wire.subscriber._pattern._incoming
        incoming._timeout = incoming._pause = 0.01
        for sent, message in enumerate(odd_messages(1, 1500), 1):
            wire.pub.send_multipart(message)
            while wire.router.poll(0):
                client = wire.router.recv_multipart()[0]
            if client:
                with contextlib.suppress(zmq.ZMQError):
                    wire.router.send_multipart([client, b"", *message])
            if not sent % 50:
                await w.settled()
                incoming.failures = 0  # else the pauses would be long
        incoming.failures, incoming._not_before = 0, 0.0
        # Whatever it was told, 0 begins anew.
        wire.pub.send_multipart([b"the last", number(0), b"x"])
        while (item := await wire.subscriber.receive()) != (b"the last", b"x"):
            assert isinstance(item, tuple | Gap | Restarted)
    assert {type(each) for each in w.reports} <= {MalformedMessage}
    w.reports.clear()


@every_world
async def test_any_question_at_all_is_answered_or_counted(w: Any) -> None:
    sequence = Sequence(inproc(), by="tag", last_values=5, first=0)
    async with w.Publisher(bind=inproc(), sequence=sequence, last_values=5) as publisher:
        for n in range(20):
            publisher.publish(b"x", b"t" * (n % 3))
        context = publisher.socket.context
        with context.socket(zmq.DEALER) as dealer, context.socket(zmq.XSUB) as sub:
            dealer.set(zmq.RCVHWM, 0)
            dealer.connect(publisher.replay_address)
            sub.connect(publisher.addresses[0])
            for message in odd_messages(2, 1000):
                dealer.send_multipart(message)
                sub.send_multipart(message)
            with context.socket(zmq.DEALER) as other:
                other.connect(publisher.replay_address)
                other.send_multipart([b"", b"", b"tt"])
                for expected in ([b"", b"tt", number(5), b"x"], [b"", b"", END, b""]):
                    await w.until(lambda: other.poll(0))
                    assert other.recv_multipart() == expected
            await w.until(lambda: publisher.statistics().malformed)
    assert {type(each) for each in w.reports} <= {MalformedMessage}
    w.reports.clear()


@pytest.mark.waits
@pytest.mark.parametrize("by", ["publisher", "tag"])
async def test_subscribers_come_and_go_in_the_middle_of_a_replay(w: Any, by: Any) -> None:
    sequence = Sequence(inproc(), by=by, keep=50_000)
    async with w.Publisher(bind=inproc(), barrier=True, sequence=sequence) as publisher:
        [address], replay = publisher.addresses, publisher.replay_address
        count = itertools.count()

        def publish(some: int) -> None:
            for _ in range(some):
                publisher.publish(b"%d" % next(count), "t")

        async def come_and_go(chance: Random) -> None:
            async with w.Subscriber(
                "t", connect=address, replay=replay, numbered_by=by, on_gap="report"
            ) as subscriber:
                await subscriber.ready(20)
                publish(1)
                [(_, first)] = await several(subscriber, 1)
                expected = int(first) + 1
                subscriber.disconnect(address)
                publish(chance.choice([100, 2000]))
                subscriber.connect(address)
                await subscriber.ready(20)
                publish(1)
                for _ in range(chance.choice([1, 50, 100])):
                    item = await subscriber.receive()
                    assert (int(item[1]), item[0]) == (expected, b"t")
                    expected += 1

        for round_ in range(4):
            await w.gather(*(come_and_go(Random(10 * round_ + each)) for each in range(3)))
        await w.until(lambda: not publisher._audience.replays.busy)
    assert w.reports == []


@pytest.mark.waits
@pytest.mark.parametrize("first", [0, 1000])
async def test_a_publisher_that_comes_back_by_tag_has_begun_anew_or_goes_on(
    w: Any, first: int
) -> None:
    one = w.Publisher(bind=ANYWHERE, barrier=True, sequence=Sequence(ANYWHERE, by="tag", first=0))
    [address], replay = one.addresses, one.replay_address
    async with w.Subscriber(
        ["t", "u"], connect=address, replay=replay, numbered_by="tag", on_gap="report"
    ) as subscriber:
        async with one:
            await subscriber.ready(20)
            for tag in ("t", "u"):
                for n in range(3):
                    one.publish(b"%d" % n, tag)
            assert len(await several(subscriber, 6)) == 6
        sequence = Sequence(replay, by="tag", first=first)
        async with w.Publisher(bind=address, barrier=True, sequence=sequence) as two:
            await two.wait_for("t", timeout=20)
            await two.wait_for("u", timeout=20)
            two.publish(b"new", "u")
            told = Gap(3, 999, b"u") if first else Restarted(b"u")
            assert await several(subscriber, 2) == [told, (b"u", b"new")]
            two.publish(b"new", "t")
            told = Gap(3, 999, b"t") if first else Restarted(b"t")
            assert await several(subscriber, 2) == [told, (b"t", b"new")]
