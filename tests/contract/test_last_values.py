"""Last values: who comes late gets the last publication of each tag, asked for or sent again."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import zmq

from zmqbridge import OptionError, Restarted, Sequence

every_world = pytest.mark.every_world
_numbers = itertools.count()
ANYWHERE = "tcp://127.0.0.1:*"
COPY = 1 << 63


def inproc() -> str:
    return f"inproc://last-values-{next(_numbers)}"


def number(n: int) -> bytes:
    return n.to_bytes(8, "big")


async def several(subscriber: Any, count: int) -> list[Any]:
    return [await subscriber.receive() for _ in range(count)]


@every_world
async def test_who_joins_is_given_the_last_of_each_tag_and_then_what_follows(w: Any) -> None:
    sequence = Sequence(inproc(), by="tag", keep=2, last_values=100)
    async with w.Publisher(bind=inproc(), barrier=True, sequence=sequence) as publisher:
        for tag in ("temp/oslo", "temp/rome", "other"):
            for n in range(5):
                publisher.publish(b"%d" % n, tag)
        [address], replay = publisher.addresses, publisher.replay_address
        async with w.Subscriber(
            "temp/", connect=address, replay=replay, numbered_by="tag", latest=True
        ) as subscriber:
            expected = [(b"temp/oslo", b"4"), (b"temp/rome", b"4")]
            assert await several(subscriber, 2) == expected
            await subscriber.ready(20)
            publisher.publish(b"5", "temp/rome")
            assert await several(subscriber, 1) == [(b"temp/rome", b"5")]
            # One who wants more later is given that, too, and nothing twice.
            subscriber.subscribe("")
            assert await several(subscriber, 1) == [(b"other", b"4")]
            publisher.publish(b"5", "other")
            assert await several(subscriber, 1) == [(b"other", b"5")]
            statistics = subscriber.statistics()
            assert (statistics.delivered, statistics.unread, statistics.malformed) == (5, 0, 0)
            assert statistics.received == statistics.delivered + statistics.unwanted
    assert w.reports == []


@every_world
@pytest.mark.parametrize("tags", ["", [f"t{n}" for n in range(9)]])
async def test_ready_does_not_wait_for_a_receiver(w: Any, tags: Any) -> None:
    sequence = Sequence(inproc(), by="tag", last_values=100)
    async with w.Publisher(bind=inproc(), barrier=True, sequence=sequence) as publisher:
        for n in range(9):
            publisher.publish(b"last", f"t{n}")
        async with w.Subscriber(
            tags,
            connect=publisher.addresses,
            replay=publisher.replay_address,
            numbered_by="tag",
            latest=True,
            prefetch=2,
        ) as subscriber:
            await subscriber.ready(20)
            publisher.publish(b"next", "t0")
            told = await several(subscriber, 10)
            assert sorted(told[:9]) == [(b"t%d" % n, b"last") for n in range(9)]
            assert told[9:] == [(b"t0", b"next")]


async def test_without_more_memory_the_last_ones_of_all_are_given(w: Any) -> None:
    sequence = Sequence(inproc(), by="tag", keep=2)
    async with w.Publisher(bind=inproc(), sequence=sequence) as publisher:
        for n, tag in enumerate(("a", "b", "c", "c")):
            publisher.publish(b"%d" % n, tag)
        async with w.Subscriber(
            "",
            connect=publisher.addresses,
            replay=publisher.replay_address,
            numbered_by="tag",
            latest=True,
        ) as subscriber:
            assert await several(subscriber, 1) == [(b"c", b"3")]


async def test_very_many_last_values_come_in_parts(w: Any) -> None:
    sequence = Sequence(inproc(), by="tag", keep=1, last_values=2000)
    async with w.Publisher(bind=inproc(), sequence=sequence) as publisher:
        body = bytes(100)
        for n in range(3000):
            publisher.publish(body * 1000 if n == 2500 else body, b"%d" % n)
        given: dict[str, Any] = {
            "connect": publisher.addresses,
            "replay": publisher.replay_address,
            "numbered_by": "tag",
            "latest": True,
        }
        one, another = w.Subscriber("2", **given), w.Subscriber("", **given)
        async with one, another:
            wanted = [b"%d" % n for n in range(1000, 3000)]
            assert [tag for tag, _ in await several(another, 2000)] == wanted
            assert [tag for tag, _ in await several(one, 1000)] == wanted[1000:]


@pytest.mark.waits
async def test_one_who_is_there_before_its_publisher_joins_when_that_comes(w: Any) -> None:
    async with w.Publisher(bind=ANYWHERE, sequence=Sequence(ANYWHERE)) as probe:
        [address], replay = probe.addresses, probe.replay_address
    async with w.Subscriber(
        "", connect=address, replay=replay, numbered_by="tag", latest=True, on_gap="report"
    ) as subscriber:
        waiting = w.spawn(several(subscriber, 1))
        await w.settled()
        sequence = Sequence(replay, by="tag")
        async with w.Publisher(bind=address, sequence=sequence) as publisher:
            publisher.publish(b"0", "t")
            assert await waiting == [(b"t", b"0")]
            await publisher.wait_for("t", timeout=20)
        async with w.Publisher(bind=address, sequence=sequence) as publisher:
            # The number is the same; what it says is new.
            await publisher.wait_for("t", timeout=20)
            publisher.publish(b"anew", "t")
            assert await several(subscriber, 2) == [Restarted(b"t"), (b"t", b"anew")]


@every_world
@pytest.mark.parametrize("format", ["joined", "two-part", "parts", "numbered"])
async def test_who_cannot_ask_is_sent_them_again(w: Any, format: str) -> None:
    how: dict[str, Any] = (
        {"sequence": Sequence(by="tag", first=0)} if format == "numbered" else {"format": format}
    )
    async with w.Publisher(bind=inproc(), last_values=2, **how) as publisher:
        for said, tag in ((b"0", b"forgotten"), (b"1", b"a"), (b"2", b"b"), (b"3", b"a")):
            publisher.publish([said] if format == "parts" else said, tag)
        with publisher.socket.context.socket(zmq.SUB) as plain:
            plain.subscribe(b"a")
            plain.connect(publisher.addresses[0])
            for round_, expected in enumerate([[b"a"], [b"b", b"a"]]):
                for tag in expected:
                    await w.until(lambda: plain.poll(0))
                    parts = plain.recv_multipart()
                    said = b"3" if tag == b"a" else b"2"
                    assert parts == {
                        "joined": [tag + b"\0" + said],
                        "numbered": [tag, number(COPY + (tag == b"a")), said],
                    }.get(format, [tag, said])
                if not round_:
                    plain.subscribe(b"")
            assert not plain.poll(0)


@every_world
async def test_to_send_them_again_leaves_the_loop_its_turns(w: Any) -> None:
    async with w.Publisher(bind=inproc(), last_values=1000) as publisher:
        for n in range(600):
            publisher.publish(b"", b"%d" % n)
        with publisher.socket.context.socket(zmq.SUB) as plain:
            plain.subscribe(b"")
            plain.connect(publisher.addresses[0])
            counts = [publisher.statistics().sent]
            while counts[-1] < 1200:
                await w.sleep(0)
                counts.append(publisher.statistics().sent)
        # Part after part of at most 16, of which two may be between two looks.
        assert max(after - before for before, after in itertools.pairwise(counts)) <= 32


async def test_copies_for_others_disturb_nobody_and_ready_comes_behind_them(w: Any) -> None:
    sequence = Sequence(by="tag")
    async with w.Publisher(
        bind=inproc(), barrier=True, last_values=1000, sequence=sequence
    ) as publisher:
        [address] = publisher.addresses
        early = w.Subscriber("", connect=address, numbered_by="tag", on_gap="report")
        late = w.Subscriber("", connect=address, numbered_by="tag", on_gap="report")
        async with early, late:
            early_tags = {tag for tag, _ in await several(early, 0)}
            await early.ready(20)
            for n in range(500):
                publisher.publish(b"", b"%d" % n)
            early_tags |= {tag for tag, _ in await several(early, 500)}
            late.disconnect(address)
            await w.until(lambda: publisher.subscribers() == 1)
            late.connect(address)
            await late.ready(20)
            assert {tag for tag, _ in await several(late, 500)} == early_tags
            publisher.publish(b"new", b"7")
            for each in (early, late):
                assert await several(each, 1) == [(b"7", b"new")]
                statistics = each.statistics()
                assert (statistics.unread, statistics.malformed) == (0, 0)
                assert statistics.received == statistics.delivered + statistics.unwanted


def test_what_makes_no_sense_is_refused(w: Any) -> None:
    wrong: list[tuple[str, dict[str, Any], type[Exception]]] = [
        ("Publisher", {"last_values": 0}, ValueError),
        ("Publisher", {"last_values": True}, TypeError),
        ("Publisher", {"last_values": "9"}, TypeError),
        ("Publisher", {"last_values": 9, "format": "raw"}, ValueError),
        ("Publisher", {"last_values": 9, "sequence": Sequence()}, ValueError),
        ("Publisher", {"last_values": 9, "options": {zmq.CONFLATE: 1}}, OptionError),
        ("Subscriber", {"latest": 1}, TypeError),
        ("Subscriber", {"latest": True}, ValueError),
        ("Subscriber", {"latest": True, "replay": "inproc://x"}, ValueError),
        ("Subscriber", {"latest": True, "numbered_by": "tag"}, ValueError),
    ]
    for name, arguments, error in wrong:
        with pytest.raises(error, match=r"last_values|latest"):
            getattr(w, name)(**arguments)
    with pytest.raises(ValueError, match="by='tag'"):
        Sequence(last_values=5)
