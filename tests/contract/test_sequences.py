"""Numbered publications: gaps are filled or told, in their place, whoever is at the other end."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from zmqbridge import (
    AddressError,
    Gap,
    MalformedMessage,
    PublicationsMissed,
    PublisherRestarted,
    QueueEmpty,
    Restarted,
    Sequence,
)

every_world = pytest.mark.every_world
_numbers = itertools.count()
ANYWHERE = "tcp://127.0.0.1:*"
END = b"\xff" * 8


def inproc() -> str:
    return f"inproc://sequences-{next(_numbers)}"


def number(n: int) -> bytes:
    return n.to_bytes(8, "big")


async def several(subscriber: Any, count: int) -> list[Any]:
    return [await subscriber.receive() for _ in range(count)]


def bodies(*numbers: int, tag: bytes = b"t") -> list[tuple[bytes, bytes]]:
    return [(tag, b"%d" % each) for each in numbers]


async def cut_off(w: Any, publisher: Any, subscriber: Any) -> Callable[[], Any]:
    """Have a subscriber miss what is published until what this returns is awaited."""
    [address] = publisher.addresses
    before = publisher.subscribers("t")
    subscriber.disconnect(address)
    await w.until(lambda: publisher.subscribers("t") < before)

    async def join() -> None:
        subscriber.connect(address)
        await subscriber.ready(20)

    return join


@every_world
async def test_who_is_ready_misses_nothing_before_the_first_publication_either(w: Any) -> None:
    sequence = Sequence(inproc(), first=0)
    async with w.Publisher(bind=inproc(), barrier=True, sequence=sequence) as publisher:
        publisher.publish(b"before", "t")
        [address] = publisher.addresses
        async with (
            w.Subscriber("t", connect=address, replay=publisher.replay_address) as subscriber,
            w.Subscriber(
                "t", connect=address, numbered_by="publisher", on_gap="report"
            ) as reported,
        ):
            await reported.ready(20)
            await subscriber.ready(20)
            join_too = await cut_off(w, publisher, reported)
            join = await cut_off(w, publisher, subscriber)
            publisher.publish(b"1", "t")
            await join()
            await join_too()
            publisher.publish(b"2", "t")
            assert await several(subscriber, 2) == bodies(1, 2)
            assert await several(reported, 2) == [Gap(1, 1), *bodies(2)]


@every_world
async def test_what_was_missed_is_asked_for_and_delivered_in_order(w: Any) -> None:
    sequence = Sequence(inproc())
    async with w.Publisher(bind=inproc(), barrier=True, sequence=sequence) as publisher:
        [address] = publisher.addresses
        async with w.Subscriber(
            "t", connect=address, replay=publisher.replay_address
        ) as subscriber:
            await subscriber.ready(20)
            for n in range(3):
                publisher.publish(b"%d" % n, "t")
            assert await several(subscriber, 3) == bodies(0, 1, 2)
            join = await cut_off(w, publisher, subscriber)
            for n in range(3, 500):
                publisher.publish(b"%d" % n, "t" if n % 2 else "other")
            await join()
            publisher.publish(b"500", "t")
            publisher.publish(b"501", "t")
            expected = [*range(3, 500, 2), 500, 501]
            assert await several(subscriber, len(expected)) == bodies(*expected)
            statistics = subscriber.statistics()
            assert (statistics.delivered, statistics.unread) == (3 + len(expected), 0)
            assert statistics.malformed == statistics.late_replies == 0
    assert w.reports == []


@every_world
async def test_what_the_publisher_has_no_more_is_told_in_its_place(w: Any) -> None:
    sequence = Sequence(inproc(), keep=5, first=0)
    async with w.Publisher(bind=inproc(), barrier=True, sequence=sequence) as publisher:
        [address] = publisher.addresses
        replay = publisher.replay_address
        reported = w.Subscriber("t", connect=address, replay=replay, on_gap="report")
        raised = w.Subscriber("t", connect=address, replay=replay)
        async with reported, raised:
            for subscriber in (reported, raised):
                await subscriber.ready(20)
            publisher.publish(b"0", "t")
            for subscriber in (reported, raised):
                assert await several(subscriber, 1) == bodies(0)
            joins = [await cut_off(w, publisher, each) for each in (reported, raised)]
            for n in range(1, 21):
                publisher.publish(b"%d" % n, "t")
            for join in joins:
                await join()
            gap, *rest = await several(reported, 6)
            assert gap == Gap(1, 15)
            assert len(gap) == 15
            assert rest == bodies(*range(16, 21))
            with pytest.raises(PublicationsMissed, match="1 to 15") as caught:
                await raised.receive()
            assert caught.value.gap == gap
            assert await several(raised, 5) == bodies(*range(16, 21))
            assert raised.statistics().delivered == 6


@every_world
async def test_gaps_and_restarts_are_told_also_where_nobody_can_be_asked(w: Any) -> None:
    address = inproc()
    async with w.Subscriber("t", bind=address, numbered_by="publisher") as subscriber:
        with subscriber.socket.context.socket(zmq.XPUB) as plain:
            plain.connect(address)
            await w.until(lambda: plain.poll(0))
            waiting = w.spawn(several(subscriber, 1))
            await w.settled()
            for n in (7, 9, 0, 2):
                plain.send_multipart([b"t", number(n), b"%d" % n])
            assert await waiting == bodies(7)
            with pytest.raises(PublicationsMissed, match="8 to 8"):
                await subscriber.receive()
            assert await several(subscriber, 1) == bodies(9)
            with pytest.raises(PublisherRestarted):
                subscriber.receive_nowait()
            assert subscriber.receive_nowait() == (b"t", b"0")
            failing = w.spawn(subscriber.receive())
            with pytest.raises(PublicationsMissed):
                await failing
            heard = []
            async for publication in subscriber:
                heard.append(publication)
                break
            assert heard == bodies(2)
            with pytest.raises(QueueEmpty):
                subscriber.receive_nowait()
            statistics = subscriber.statistics()
            assert (statistics.received, statistics.delivered) == (4, 4)


@every_world
async def test_who_waits_is_told_of_a_gap_as_well(w: Any) -> None:
    address = inproc()
    async with w.Subscriber("", bind=address, numbered_by="tag") as subscriber:
        with subscriber.socket.context.socket(zmq.XPUB) as plain:
            plain.connect(address)
            await w.until(lambda: plain.poll(0))
            plain.send_multipart([b"a", number(1), b""])
            assert await subscriber.receive() == (b"a", b"")
            one = w.spawn(subscriber.receive())
            await w.settled()
            two = w.spawn(subscriber.receive())
            await w.settled()
            plain.send_multipart([b"b", number(5), b"other"])
            assert await one == (b"b", b"other")
            three = w.spawn(subscriber.receive())
            await w.settled()
            plain.send_multipart([b"a", number(3), b"3"])
            with pytest.raises(PublicationsMissed) as caught:
                await two
            assert caught.value.gap == Gap(2, 2, b"a")
            assert await three == (b"a", b"3")


async def test_each_tag_may_have_numbers_of_its_own_and_so_may_several_publishers(w: Any) -> None:
    sequence = Sequence(inproc(), by="tag")
    async with (
        w.Publisher(bind=inproc(), barrier=True, sequence=sequence) as one,
        w.Publisher(bind=inproc(), barrier=True, sequence=Sequence(by="tag")) as two,
    ):
        places = [one.addresses[0], two.addresses[0]]
        async with w.Subscriber(
            ["t", "u"], connect=places, replay=one.replay_address, numbered_by="tag"
        ) as subscriber:
            await subscriber.ready(20)
            one.publish(b"0", "t")
            two.publish(b"0", "u")
            assert set(await several(subscriber, 2)) == {(b"t", b"0"), (b"u", b"0")}
            subscriber.disconnect(places[0])
            await w.until(lambda: not one.wanted("t"))
            for n in range(1, 10):
                one.publish(b"%d" % n, "t")
                one.publish(b"x", "never heard")
            subscriber.connect(places[0])
            await subscriber.ready(20)
            one.publish(b"10", "t")
            assert await several(subscriber, 10) == bodies(*range(1, 11))


async def test_several_publishers_cannot_be_told_apart_by_publisher(w: Any) -> None:
    one, two = inproc(), inproc()
    with pytest.raises(AddressError, match="numbered_by='tag'"):
        w.Subscriber("", connect=[one, two], numbered_by="publisher")
    async with w.Subscriber("", connect=one, numbered_by="publisher") as subscriber:
        with pytest.raises(AddressError, match="told apart"):
            subscriber.connect(two)
        subscriber.disconnect(one)
        subscriber.bind(two)


@pytest.mark.parametrize("w", ["epoll"], indirect=True)
async def test_a_handler_is_given_what_was_missed(w: Any) -> None:
    address = inproc()
    heard: list[Any] = []
    async with w.Subscriber("", bind=address, numbered_by="publisher", handler=heard.append) as sub:
        with sub.socket.context.socket(zmq.XPUB) as plain:
            plain.connect(address)
            await w.until(lambda: plain.poll(0))
            for n in (1, 3, 0):
                plain.send_multipart([b"t", number(n), b"%d" % n])
            await w.until(lambda: len(heard) == 5)
    assert heard == [*bodies(1), Gap(2, 2), *bodies(3), Restarted(), *bodies(0)]


@pytest.mark.waits
async def test_a_publisher_that_comes_back_has_begun_anew(w: Any) -> None:
    # Over tcp: the subscriber comes back by itself.
    first = w.Publisher(bind=ANYWHERE, barrier=True, sequence=Sequence(ANYWHERE))
    [address], replay = first.addresses, first.replay_address
    async with w.Subscriber("t", connect=address, replay=replay, on_gap="report") as subscriber:
        async with first:
            await subscriber.ready(20)
            for n in range(5):
                first.publish(b"%d" % n, "t")
            assert await several(subscriber, 5) == bodies(*range(5))
        sequence = Sequence(replay)
        async with w.Publisher(bind=address, barrier=True, sequence=sequence) as second:
            second.publish(b"0", "t")
            await second.wait_for("t", timeout=20)
            for n in (1, 2):
                second.publish(b"%d" % n, "t")
            # The first one is missed, and asked for.
            assert await several(subscriber, 4) == [Restarted(), *bodies(0, 1, 2)]


def stand_in(pub: Any, router: Any, with_tag: bool, lost: set[int], done: threading.Event) -> None:
    """A publisher that knows nothing of this library, as inference engines have it."""
    kept: list[tuple[int, bytes]] = []
    count = 0
    while not done.is_set():
        while router.poll(0):
            client, empty, start = router.recv_multipart()
            for each, body in kept:
                if each >= int.from_bytes(start, "big"):
                    tag = [b"kv@pod"] if with_tag else []
                    router.send_multipart([client, empty, *tag, number(each), body])
            tag = [b""] if with_tag else []
            router.send_multipart([client, empty, *tag, END, b""])
        if count < 100 and pub.poll(0) + bool(count):
            if not count:
                pub.recv()
            kept.append((count, b"%d" % count))
            if count not in lost:
                pub.send_multipart([b"kv@pod", number(count), b"%d" % count])
            count += 1
        else:
            router.poll(5)


@pytest.fixture
def foreign(w: Any) -> Iterator[Callable[..., tuple[str, str]]]:
    """Starts such a publisher in a thread; returns where it publishes and answers."""
    context, done, threads = zmq.Context(), threading.Event(), []

    def start(**how: Any) -> tuple[str, str]:
        pub, router = context.socket(zmq.XPUB), context.socket(zmq.ROUTER)
        router.set(zmq.SNDHWM, 0)
        ports = [each.bind_to_random_port("tcp://127.0.0.1") for each in (pub, router)]

        def run() -> None:
            stand_in(pub, router, done=done, **how)
            pub.close(0)
            router.close(0)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return f"tcp://127.0.0.1:{ports[0]}", f"tcp://127.0.0.1:{ports[1]}"

    yield start
    done.set()
    for thread in threads:
        thread.join(20)
    context.term()


@pytest.mark.real("threads")
@pytest.mark.parametrize("with_tag", [True, False], ids=["tag", "no tag"])
async def test_a_foreign_publisher_is_asked_and_understood(
    w: Any, foreign: Callable[..., tuple[str, str]], with_tag: bool
) -> None:
    address, replay = foreign(with_tag=with_tag, lost={3, 10, 11, 12, 50, 98})
    async with w.Subscriber("kv@", connect=address, replay=replay) as subscriber:
        assert await several(subscriber, 100) == bodies(*range(100), tag=b"kv@pod")


@pytest.mark.real("a peer that blocks")
@pytest.mark.parametrize("start", [0, 40])
async def test_a_foreign_subscriber_asks_and_understands(w: Any, start: int) -> None:
    sequence = Sequence(ANYWHERE, keep=80, first=0)
    async with w.Publisher(bind=ANYWHERE, sequence=sequence) as publisher:
        with w.context() as context, context.socket(zmq.SUB) as sub:
            sub.subscribe(b"")
            sub.connect(publisher.addresses[0])
            await publisher.wait_for()
            for n in range(100):
                publisher.publish(b"%d" % n, "t")
            await w.until(lambda: sub.poll(0))
            assert [sub.recv_multipart() for _ in range(100)] == [
                [b"t", number(n), b"%d" % n] for n in range(100)
            ]
            with context.socket(zmq.DEALER) as dealer:
                dealer.connect(publisher.replay_address)
                dealer.send_multipart([b"", number(start)])
                answer: list[list[bytes]] = []
                while not answer or answer[-1][-2] != END:
                    await w.until(lambda: dealer.poll(0))
                    answer.append(dealer.recv_multipart())
                kept = range(max(start, 20), 100)
                assert answer[:-1] == [[b"", b"t", number(n), b"%d" % n] for n in kept]
                assert answer[-1] == [b"", b"", END, b""]
            with context.socket(zmq.REQ) as req:  # which gets one message, whatever is asked
                req.connect(publisher.replay_address)
                req.send(number(99))
                await w.until(lambda: req.poll(0))
                assert req.recv_multipart() == [b"t", number(99), b"99"]


async def test_bad_input_is_counted_on_both_sides(w: Any) -> None:
    sequence = Sequence(inproc())
    async with w.Publisher(bind=inproc(), barrier=True, sequence=sequence) as publisher:
        context = publisher.socket.context
        replay = publisher.replay_address
        with context.socket(zmq.DEALER) as dealer:
            dealer.connect(replay)
            for wrong in ([b""], [b"", b"7 bytes"], [b"", b"", b"", b""], [b"no"]):
                dealer.send_multipart(wrong)
            dealer.send_multipart([b"", number(0)])
            await w.until(lambda: dealer.poll(0))
            assert dealer.recv_multipart() == [b"", b"", END, b""]
            assert {type(each) for each in w.reports} == {MalformedMessage}
        address = inproc()
        async with w.Subscriber("", bind=address, numbered_by="publisher") as subscriber:
            with context.socket(zmq.XPUB) as plain:
                plain.connect(address)
                await w.until(lambda: plain.poll(0))
                for wrong in (
                    [b"t", b"1234567", b""],
                    [b"t", END, b""],
                    [b"t\0joined"],
                    [b"a"] * 4,
                ):
                    plain.send_multipart(wrong)
                plain.send_multipart([b"t", number(1), b"1"])
                assert await subscriber.receive() == (b"t", b"1")
                assert subscriber.statistics().malformed == 4


async def test_answers_that_nobody_asked_for_are_counted(w: Any) -> None:
    address, replay = inproc(), inproc()
    async with w.Subscriber("", bind=address, replay=replay, on_gap="report") as subscriber:
        context = subscriber.socket.context
        with context.socket(zmq.XPUB) as pub, context.socket(zmq.ROUTER) as router:
            router.bind(replay)
            pub.connect(address)
            await w.until(lambda: pub.poll(0))
            for n in (1, 3):
                pub.send_multipart([b"t", number(n), b"%d" % n])
            await w.until(lambda: router.poll(0))
            client, *asked = router.recv_multipart()
            assert asked == [b"", number(2)]
            router.send_multipart([client, b"what is this"])
            router.send_multipart([client, b"", b"t", number(2), b"2"])
            for _ in range(2):
                router.send_multipart([client, b"", END, b""])
            router.send_multipart([client, b"", b"t", number(9), b"nobody asked"])
            assert await several(subscriber, 3) == bodies(1, 2, 3)
            await w.until(lambda: subscriber.statistics().late_replies == 2)
            statistics = subscriber.statistics()
            assert (statistics.malformed, statistics.delivered, statistics.unread) == (1, 3, 0)


async def test_a_publisher_that_gives_no_answer_holds_up_nobody_for_ever(w: Any) -> None:
    address, replay = inproc(), inproc()
    async with w.Subscriber("", bind=address, replay=replay, on_gap="report") as subscriber:
        incoming = subscriber._pattern._incoming
        incoming._timeout = incoming._pause = 0.01
        with subscriber.socket.context.socket(zmq.XPUB) as pub:
            pub.connect(address)
            await w.until(lambda: pub.poll(0))
            for n in (1, 3, 4):
                pub.send_multipart([b"t", number(n), b"%d" % n])
            assert await several(subscriber, 4) == [*bodies(1), Gap(2, 2), *bodies(3, 4)]
            assert incoming.failures == 3


@every_world
async def test_one_who_reads_no_answer_holds_up_neither_publications_nor_others(w: Any) -> None:
    sequence = Sequence(inproc())
    async with w.Publisher(bind=inproc(), barrier=True, sequence=sequence) as publisher:
        for n in range(3_000):
            publisher.publish(b"%d" % n, "t")
        context = publisher.socket.context
        with context.socket(zmq.DEALER) as stuck, context.socket(zmq.DEALER) as other:
            stuck.set(zmq.RCVHWM, 1)
            other.set(zmq.RCVHWM, 0)
            for dealer in (stuck, other):
                dealer.connect(publisher.replay_address)
                dealer.send_multipart([b"", number(0)])
            heard = 0
            while heard <= 3_000:
                await w.until(lambda: other.poll(0))
                while other.poll(0):
                    other.recv_multipart()
                    heard += 1
            # And the one that was stuck gets the rest when it reads.
            heard = 0
            while heard <= 3_000:
                await w.until(lambda: stuck.poll(0))
                stuck.recv_multipart()
                heard += 1


@every_world
@pytest.mark.real("slices of time")
async def test_very_many_who_ask_at_once_leave_the_loop_its_turns(w: Any) -> None:
    sequence, many, kept = Sequence(inproc()), 200, 50
    async with w.Publisher(bind=inproc(), sequence=sequence) as publisher:
        for n in range(kept):
            publisher.publish(b"%d" % n, "t")
        context = publisher.socket.context
        with contextlib.ExitStack() as stack:
            peers = [stack.enter_context(context.socket(zmq.DEALER)) for _ in range(many)]
            for dealer in peers:
                dealer.connect(publisher.replay_address)
                dealer.send_multipart([b"", number(0)])
            counts = [publisher.statistics().sent]
            while counts[-1] < kept + many * (kept + 1):
                await w.sleep(0)
                counts.append(publisher.statistics().sent)
            for dealer in peers:
                assert len([dealer.recv_multipart() for _ in range(kept + 1)]) == kept + 1
        # If each had a part in a turn, it would be 16 of each.
        assert max(after - before for before, after in itertools.pairwise(counts)) < 8 * many


PUBLISHER = """
import asyncio, sys, time
from zmqbridge import Sequence
from zmqbridge.asyncio_backend import Publisher

async def main(address, replay, first):
    sequence = Sequence(replay, first=int(first))
    async with Publisher(bind=address, sequence=sequence) as publisher:
        while True:
            for _ in range(20):
                number = publisher._audience.outgoing.end + int(first)
                publisher.publish(b"%d" % number, "t")
            print(number, flush=True)
            await asyncio.sleep(0.002)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("w", ["asyncio", "epoll"], indirect=True)
async def test_the_ledger_balances_when_publishers_are_killed(w: Any, tmp_path: Any) -> None:
    address, replay = (f"ipc://{tmp_path}/{name}" for name in ("pub", "replay"))
    async with w.Subscriber("", connect=address, replay=replay, on_gap="report") as subscriber:
        expected, base, gaps, heard = -1, -1, 0, 0
        for run in range(3):
            first = run * 1_000_000  # so that numbers never go back
            program = [sys.executable, "-c", PUBLISHER, address, replay, str(first)]
            with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as publisher:
                assert publisher.stdout is not None
                await w.until(lambda: subscriber.statistics().unread)
                while expected < first + 200:
                    item = await subscriber.receive()
                    if isinstance(item, Gap):
                        assert item.first == expected
                        expected, gaps = item.last + 1, gaps + len(item)
                        continue
                    n = int(item[1])
                    base = n if base < 0 else base
                    assert expected in (-1, n)
                    expected, heard = n + 1, heard + 1
                publisher.kill()
        assert (heard + gaps, heard > 0) == (expected - base, True)


def test_what_makes_no_sense_is_refused(w: Any) -> None:
    wrong: list[tuple[str, dict[str, Any], type[Exception]]] = [
        ("Publisher", {"sequence": "tag"}, TypeError),
        ("Publisher", {"sequence": Sequence(), "format": "parts"}, ValueError),
        ("Publisher", {"sequence": Sequence(), "options": {zmq.CONFLATE: 1}}, ValueError),
        ("Subscriber", {"on_gap": "raise"}, ValueError),
        ("Subscriber", {"numbered_by": "both"}, ValueError),
        ("Subscriber", {"numbered_by": "tag", "on_gap": "ignore"}, ValueError),
        ("Subscriber", {"numbered_by": "tag", "format": "raw"}, ValueError),
        ("Subscriber", {"numbered_by": "tag", "conflate": True}, ValueError),
        ("Subscriber", {"numbered_by": "tag", "exact": True}, ValueError),
        ("Subscriber", {"replay": "nonsense"}, AddressError),
    ]
    for name, arguments, error in wrong:
        with pytest.raises(error):
            getattr(w, name)(**arguments)
    with pytest.raises(AddressError):
        w.Publisher(sequence=Sequence("tcp://nowhere.invalid:1"))
    wrong_numbers: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"keep": 0}, ValueError),
        ({"replay": 5}, TypeError),
        ({"replay": ["tcp://*:1"]}, TypeError),
        ({"size": 1.5}, TypeError),
        ({"first": -1}, ValueError),
        ({"first": 2**63}, ValueError),
        ({"by": "nobody"}, ValueError),
    ]
    for arguments, error in wrong_numbers:
        with pytest.raises(error):
            Sequence(**arguments)
    assert "keep=7" in repr(Sequence(keep=7))
