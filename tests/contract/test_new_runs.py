"""A publisher that begins anew, and tags that are new, are noticed whatever their numbers are."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import zmq

from zmqbridge import Gap, MalformedMessage, Restarted, Sequence

every_world = pytest.mark.every_world
_numbers = itertools.count()
RUN = 1 << 62


def inproc() -> str:
    return f"inproc://new-runs-{next(_numbers)}"


async def several(subscriber: Any, count: int) -> list[Any]:
    return [await subscriber.receive() for _ in range(count)]


def publish(publisher: Any, tag: str, *numbers: int) -> None:
    for n in numbers:
        publisher.publish(b"%d" % n, tag)


def bodies(tag: bytes, *numbers: int) -> list[tuple[bytes, bytes]]:
    return [(tag, b"%d" % n) for n in numbers]


async def away(w: Any, publisher: Any, subscriber: Any) -> str:
    """The connection is down."""
    [address] = publisher.addresses
    subscriber.disconnect(address)
    await w.until(lambda: not publisher.subscribers())
    return str(address)


@every_world
@pytest.mark.parametrize("by", ["publisher", "tag"])
@pytest.mark.parametrize("asks", [True, False], ids=["replay", "no replay"])
async def test_a_restart_is_told_also_when_the_numbers_have_passed_the_old_ones(
    w: Any, by: Any, asks: bool
) -> None:
    address, replay = inproc(), inproc()
    sequence = Sequence(replay if asks else None, by=by)
    given = {"replay": replay} if asks else {}
    async with w.Subscriber("t", numbered_by=by, on_gap="report", **given) as subscriber:
        incoming = subscriber._pattern._incoming
        # It asks the old run first, which has gone, and goes on until the new one answers.
        incoming._timeout, incoming._pause, incoming._attempts = 0.3, 0.03, 100
        async with w.Publisher(bind=address, sequence=sequence) as publisher:
            subscriber.connect(address)
            await publisher.wait_for("t", timeout=20)
            publish(publisher, "t", *range(3))
            assert await several(subscriber, 3) == bodies(b"t", 0, 1, 2)
            await away(w, publisher, subscriber)
        async with w.Publisher(bind=address, sequence=sequence) as publisher:
            publish(publisher, "t", *range(10))
            subscriber.connect(address)
            await publisher.wait_for("t", timeout=20)
            publish(publisher, "t", 10)
            restarted, *rest = await several(subscriber, 12 if asks else 3)
            assert restarted == Restarted(b"t" if by == "tag" else b"")
            if asks:
                assert rest == bodies(b"t", *range(11))
            else:
                assert (len(rest[0]), rest[1:]) == (10, bodies(b"t", 10))
            assert subscriber.statistics().missed == (0 if asks else 10)


@every_world
@pytest.mark.parametrize("latest", [True, False])
@pytest.mark.parametrize("keep", [1000, 1])
async def test_of_a_tag_that_was_new_while_the_connection_was_down_nothing_is_missed_in_silence(
    w: Any, latest: bool, keep: int
) -> None:
    sequence = Sequence(inproc(), by="tag", keep=keep)
    async with w.Publisher(bind=inproc(), barrier=True, sequence=sequence) as publisher:
        publish(publisher, "old", 0, 1)
        async with w.Subscriber(
            "",
            connect=publisher.addresses,
            replay=publisher.replay_address,
            numbered_by="tag",
            on_gap="report",
            latest=latest,
        ) as subscriber:
            await subscriber.ready(20)
            if latest:
                assert await several(subscriber, 1) == bodies(b"old", 1)
            address = await away(w, publisher, subscriber)
            publish(publisher, "new", *range(5))
            publish(publisher, "old", 2)
            publish(publisher, "silent", 0)
            subscriber.connect(address)
            await subscriber.ready(20)
            publish(publisher, "new", 5)
            publish(publisher, "old", 3)
            told: dict[bytes, list[Any]] = {b"new": [], b"old": [], b"silent": []}
            expected = {b"new": 6, b"old": 2, b"silent": 1}
            # It asks for tags of which nothing more comes when it has heard nothing for a while.
            incoming = subscriber._pattern._incoming
            incoming._interval = 0.05
            incoming._check_at = 0.0
            subscriber._pattern._asking.soon()
            while {tag: sum(map(count_of, items)) for tag, items in told.items()} != expected:
                item = await subscriber.receive()
                told[item.tag if isinstance(item, Gap) else item[0]].append(item)
            if keep == 1000:
                assert told[b"new"] == bodies(b"new", *range(6))
                assert told[b"old"] == bodies(b"old", 2, 3)
                assert told[b"silent"] == bodies(b"silent", 0)
            else:
                assert subscriber.statistics().missed >= 7


def count_of(item: Any) -> int:
    return len(item) if isinstance(item, Gap) else 1


@every_world
async def test_a_thousand_tags_are_listed_once_and_then_only_new_ones(w: Any) -> None:
    sequence = Sequence(inproc(), by="tag")
    async with w.Publisher(bind=inproc(), barrier=True, sequence=sequence) as publisher:
        for n in range(1000):
            publish(publisher, f"{n}", 0)
        async with w.Subscriber(
            "",
            connect=publisher.addresses,
            replay=publisher.replay_address,
            numbered_by="tag",
        ) as subscriber:
            await subscriber.ready(20)
            listed = publisher.statistics().sent
            assert listed >= 2002  # the publications, the list, and the answer
            assert len(subscriber._pattern._incoming._baseline.numbers) == 1000
            statistics = subscriber.statistics()
            assert (statistics.received, statistics.unwanted, statistics.unread) == (1, 1, 0)
            incoming = subscriber._pattern._incoming
            incoming._check_at = 0.0
            publisher.publish(b"0", "one more")
            assert await several(subscriber, 1) == [(b"one more", b"0")]
            subscriber._pattern._asking.soon()
            # 64 tags are asked about, and one list has what is new.
            await w.until(lambda: publisher.statistics().sent >= listed + 1 + 64 + 2)
            await w.settled()
            assert publisher.statistics().sent == listed + 1 + 64 + 2


async def test_a_tag_of_a_publisher_that_nobody_can_ask_begins_with_what_comes(w: Any) -> None:
    sequence = Sequence(inproc(), by="tag")
    async with (
        w.Publisher(bind=inproc(), barrier=True, sequence=sequence) as one,
        w.Publisher(bind=inproc(), barrier=True, sequence=Sequence(by="tag")) as two,
    ):
        publish(two, "u", 0, 1)
        async with w.Subscriber(
            "",
            connect=[*one.addresses, *two.addresses],
            replay=one.replay_address,
            numbered_by="tag",
            on_gap="report",
        ) as subscriber:
            await subscriber.ready(20)
            publish(two, "u", 2, 3)
            publish(one, "t", 0)
            told = await several(subscriber, 3)
            assert sorted(told) == [*bodies(b"t", 0), *bodies(b"u", 2, 3)]


@every_world
async def test_two_publishers_at_one_bound_subscriber_are_refused_clearly(w: Any) -> None:
    address = inproc()
    async with w.Subscriber(
        "", bind=address, numbered_by="publisher", on_gap="report"
    ) as subscriber:
        async with (
            w.Publisher(connect=address, sequence=Sequence()) as one,
            w.Publisher(connect=address, sequence=Sequence()) as two,
        ):
            for each in (one, two):
                await each.wait_for("", timeout=20)
            publish(one, "t", 0)
            assert await several(subscriber, 1) == bodies(b"t", 0)
            publish(two, "t", 0)
            assert await several(subscriber, 2) == [Restarted(), *bodies(b"t", 0)]
            publish(one, "t", 1)
            await w.until(lambda: subscriber.statistics().malformed)
            publish(two, "t", 1)
            assert await several(subscriber, 1) == bodies(b"t", 1)
            statistics = subscriber.statistics()
            assert (statistics.received, statistics.delivered, statistics.missed) == (4, 3, 0)
    [error] = w.reports
    assert isinstance(error, MalformedMessage)
    assert "numbered_by='tag'" in str(error)
    w.reports.clear()


@every_world
@pytest.mark.parametrize("numbered", [True, False])
async def test_what_only_looks_like_an_answer_is_malformed_or_delivered(
    w: Any, numbered: bool
) -> None:
    address = inproc()
    forged = [b"\0r12345678", b"12345678", b"", b""]
    given: dict[str, Any] = {"numbered_by": "publisher"} if numbered else {"format": "parts"}
    async with w.Subscriber("", bind=address, **given) as subscriber:
        with subscriber.socket.context.socket(zmq.XPUB) as plain:
            plain.connect(address)
            await w.until(lambda: plain.poll(0))
            plain.send_multipart(forged)
            if numbered:
                plain.send_multipart([b"t", bytes(8), b"x"])
                assert await subscriber.receive() == (b"t", b"x")
                assert subscriber.statistics().malformed == 1
                assert [type(each) for each in w.reports] == [MalformedMessage]
                w.reports.clear()
            else:
                assert await subscriber.receive() == (forged[0], forged[1:])


async def test_a_publishers_statistics_count_what_it_sends_again(w: Any) -> None:
    async with w.Publisher(bind=inproc(), sequence=Sequence(inproc())) as publisher:
        publish(publisher, "t", *range(5))
        with publisher.socket.context.socket(zmq.DEALER) as dealer:
            dealer.connect(publisher.replay_address)
            dealer.send_multipart([b"nonsense"])
            dealer.send_multipart([b"", bytes(8)])
            for n in range(6):
                await w.until(lambda: dealer.poll(0))
                number = int.from_bytes(dealer.recv_multipart()[-2], "big")
                assert number % 2**32 == n or n == 5
                assert number >= RUN
            statistics = publisher.statistics()
            assert (statistics.sent, statistics.malformed, statistics.received) == (11, 1, 1)
            assert statistics.delivered == 0
    assert [type(each) for each in w.reports] == [MalformedMessage]
    w.reports.clear()
