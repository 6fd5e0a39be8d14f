"""A process that says where an earlier one stopped is given, or told of, all that came since."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from zmqbridge import Gap, PublicationsMissed, PublisherRestarted, Restarted, Sequence

every_world = pytest.mark.every_world
_numbers = itertools.count()
Numbered = tuple[bytes, bytes, int]


def inproc() -> str:
    return f"inproc://resuming-{next(_numbers)}"


async def several(subscriber: Any, count: int) -> list[Any]:
    return [await subscriber.receive() for _ in range(count)]


def numbered(*numbers: int, tag: bytes = b"t") -> list[Numbered]:
    return [(tag, b"%d" % each, each) for each in numbers]


def publish(publisher: Any, *numbers: int, tag: str = "t") -> None:
    for number in numbers:
        publisher.publish(b"%d" % number, tag)


@every_world
async def test_a_later_process_is_given_what_was_published_since_the_earlier_one(w: Any) -> None:
    sequence = Sequence(inproc(), first=0)
    async with w.Publisher(bind=inproc(), barrier=True, sequence=sequence) as publisher:
        given = {"connect": publisher.addresses, "replay": publisher.replay_address}
        publish(publisher, *range(100))
        async with w.Subscriber("", numbers=True, since=-1, **given) as first:
            assert await several(first, 40) == numbered(*range(40))  # it has more, unread
        async with w.Subscriber("", numbers=True, since=39, **given) as second:
            assert await several(second, 60) == numbered(*range(40, 100))
            await second.ready(20)
            publish(publisher, 100)
            assert await several(second, 1) == numbered(100)
            publish(publisher, 101)
            await w.until(lambda: second.statistics().unread)
            assert second.receive_nowait() == numbered(101)[0]
            assert second.statistics().malformed == second.statistics().late_replies == 0


@every_world
async def test_of_each_tag_it_is_given_what_it_has_not_received(w: Any) -> None:
    sequence = Sequence(inproc(), by="tag", first=0)
    async with w.Publisher(bind=inproc(), barrier=True, sequence=sequence) as publisher:
        for tag in ("a", "ab", "c"):
            publish(publisher, *range(5), tag=tag)
        async with w.Subscriber(
            "a",
            connect=publisher.addresses,
            replay=publisher.replay_address,
            numbered_by="tag",
            numbers=True,
            since={"a": 2, b"ab": 3, "c": -1, "gone": 7},
        ) as subscriber:
            expected = [*numbered(3, 4, tag=b"a"), *numbered(4, tag=b"ab")]
            assert await several(subscriber, 3) == expected
            subscriber.subscribe("c")
            assert await several(subscriber, 5) == numbered(*range(5), tag=b"c")
            await subscriber.ready(20)
            publish(publisher, 5, tag="ab")
            assert await several(subscriber, 1) == numbered(5, tag=b"ab")
            assert subscriber.statistics().unwanted == 1  # the answer to `ready`


@every_world
async def test_what_is_there_no_more_is_told_in_its_place(w: Any) -> None:
    sequence = Sequence(inproc(), keep=3, first=0)
    async with w.Publisher(bind=inproc(), sequence=sequence) as publisher:
        publish(publisher, *range(20))
        given = {"connect": publisher.addresses, "replay": publisher.replay_address}
        async with (
            w.Subscriber("", since=9, on_gap="report", numbers=True, **given) as reported,
            w.Subscriber("", since=9, **given) as raised,
        ):
            assert await several(reported, 4) == [Gap(10, 16), *numbered(17, 18, 19)]
            with pytest.raises(PublicationsMissed, match="10 to 16"):
                await raised.receive()
            assert await raised.receive() == (b"t", b"17")


@every_world
async def test_without_a_replay_address_it_is_told_with_the_next_publication(w: Any) -> None:
    sequence = Sequence(by="tag", first=0)
    async with w.Publisher(bind=inproc(), barrier=True, sequence=sequence) as publisher:
        publish(publisher, *range(3))
        async with w.Subscriber(
            "t",
            connect=publisher.addresses,
            numbered_by="tag",
            on_gap="report",
            since={b"t": 0},
        ) as subscriber:
            await subscriber.ready(20)
            publish(publisher, 3)
            assert await several(subscriber, 2) == [Gap(1, 2, b"t"), (b"t", b"3")]


@every_world
@pytest.mark.parametrize("asks", [True, False])
async def test_a_publisher_that_began_anew_meanwhile_is_told_also_if_it_is_silent(
    w: Any, asks: bool
) -> None:
    sequence = Sequence(inproc() if asks else None, first=0)
    async with w.Publisher(bind=inproc(), barrier=True, sequence=sequence) as publisher:
        publish(publisher, 0, 1)
        given = {"replay": publisher.replay_address} if asks else {}
        async with w.Subscriber(
            "",
            connect=publisher.addresses,
            numbered_by="publisher",
            on_gap="report",
            numbers=True,
            since=77,
            **given,
        ) as subscriber:
            await subscriber.ready(20)
            assert await several(subscriber, 1) == [Restarted()]
            expected = numbered(0, 1) if asks else [Gap(0, 1)]
            assert await several(subscriber, len(expected)) == expected
            publish(publisher, 2)
            assert await several(subscriber, 1) == numbered(2)


@every_world
async def test_a_restart_shows_with_the_first_publication_where_nobody_is_asked(w: Any) -> None:
    async with w.Publisher(bind=inproc(), sequence=Sequence(inproc(), first=0)) as publisher:
        async with w.Subscriber(
            "", connect=publisher.addresses, replay=publisher.replay_address, since=77
        ) as subscriber:
            await publisher.wait_for("t", timeout=20)
            publish(publisher, 0)
            with pytest.raises(PublisherRestarted):
                await subscriber.receive()
            assert await subscriber.receive() == (b"t", b"0")


@every_world
async def test_it_may_be_there_before_its_publisher(w: Any) -> None:
    address, replay = inproc(), inproc()
    async with w.Subscriber(
        "", connect=address, replay=replay, since=1, numbers=True
    ) as subscriber:
        waiting = w.spawn(several(subscriber, 2))
        async with w.Publisher(sequence=Sequence(replay, first=0)) as publisher:
            publish(publisher, *range(4))
            publisher.bind(address)
            assert await waiting == numbered(2, 3)


@pytest.mark.parametrize("w", ["epoll"], indirect=True)
async def test_a_handler_is_given_numbers_too(w: Any) -> None:
    told: list[Any] = []
    async with w.Publisher(
        bind=inproc(), sequence=Sequence(inproc(), keep=2, first=0)
    ) as publisher:
        publish(publisher, *range(4))
        async with w.Subscriber(
            "",
            connect=publisher.addresses,
            replay=publisher.replay_address,
            since=0,
            numbers=True,
            handler=told.append,
        ):
            await w.until(lambda: len(told) == 3)
    assert told == [Gap(1, 1), *numbered(2, 3)]


@every_world
async def test_the_numbers_of_the_last_values_come_with_them(w: Any) -> None:
    sequence = Sequence(inproc(), by="tag", last_values=10, first=0)
    async with w.Publisher(bind=inproc(), sequence=sequence) as publisher:
        publish(publisher, 0, 1, 2)
        async with w.Subscriber(
            "t",
            connect=publisher.addresses,
            replay=publisher.replay_address,
            numbered_by="tag",
            latest=True,
            numbers=True,
            prefetch_bytes=1,
        ) as subscriber:
            assert await several(subscriber, 1) == numbered(2)


def test_what_makes_no_sense_is_refused(w: Any) -> None:
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"since": 1}, ValueError, "since= is for numbered"),
        ({"numbers": True}, ValueError, "numbers= is for numbered"),
        ({"numbers": 1, "numbered_by": "tag"}, TypeError, "numbers=1"),
        ({"since": {"t": 1}, "numbered_by": "publisher"}, TypeError, "one number"),
        ({"since": 1, "numbered_by": "tag"}, TypeError, "mapping"),
        ({"since": {"t": "1"}, "numbered_by": "tag"}, TypeError, "whole number"),
        ({"since": {1: 1}, "numbered_by": "tag"}, TypeError, "a tag"),
        ({"since": -2, "numbered_by": "publisher"}, ValueError, "at least -1"),
        ({"since": True, "numbered_by": "publisher"}, TypeError, "whole number"),
    ]
    joins = {"since": {}, "numbered_by": "tag", "replay": "inproc://a", "latest": True}
    wrong.append((joins, ValueError, "give one"))
    for arguments, error, match in wrong:
        with pytest.raises(error, match=match):
            w.Subscriber("", **arguments)
