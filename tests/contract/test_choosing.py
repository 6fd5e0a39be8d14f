"""A subscriber that chooses: exact tags only, or of each tag the newest publication."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest
import zmq

every_world = pytest.mark.every_world
_numbers = itertools.count()
UNLIMITED = {zmq.SNDHWM: 0, zmq.RCVHWM: 0}  # else libzmq drops the newest, where a loop is held up


@pytest.fixture
def address() -> str:
    return f"inproc://choosing-{next(_numbers)}"


@every_world
@pytest.mark.parametrize("exact", [True, "framed"])
async def test_an_exact_subscriber_hears_its_tags_and_no_longer_ones(
    w: Any, address: str, exact: Any
) -> None:
    async with w.Publisher(bind=address, barrier=True) as publisher:
        async with w.Subscriber(["a", "ab"], connect=address, exact=exact) as subscriber:
            await subscriber.ready(20)
            for tag in ("a", "abc", "b", "ab", ""):
                publisher.publish(tag.encode(), tag)
            assert await subscriber.receive() == (b"a", b"a")
            assert await subscriber.receive() == (b"ab", b"ab")
            for tag in ("ab", "a", "ab", "a"):
                publisher.publish(b"again", tag)
            publisher.publish(b"the last", "a")
            await w.until(lambda: subscriber.statistics().unread == 5)
            subscriber.unsubscribe("ab")
            bodies = [(await subscriber.receive()) for _ in range(3)]
            assert bodies == [(b"a", b"again"), (b"a", b"again"), (b"a", b"the last")]
            statistics = subscriber.statistics()
            # What is framed, the publisher does not even send.
            assert statistics.unwanted == (4 if exact is True else 3)
            assert statistics.received == statistics.delivered + statistics.unwanted


async def test_an_exact_subscriber_takes_publications_of_plain_peers(w: Any, address: str) -> None:
    async with w.Subscriber(["a", ""], bind=address, exact=True) as subscriber:
        with subscriber.socket.context.socket(zmq.XPUB) as plain:
            plain.connect(address)
            await w.until(lambda: plain.poll(0))
            for parts in ([b"a", b"1"], [b"abc", b"2"], [b"no tag"], [b"a\0" + b"3"]):
                plain.send_multipart(parts)
            heard = [await subscriber.receive() for _ in range(3)]
            assert heard == [(b"a", b"1"), (b"", b"no tag"), (b"a", b"3")]


@every_world
async def test_of_each_tag_the_newest_waits_in_the_order_in_which_the_tags_came(
    w: Any, address: str
) -> None:
    async with w.Publisher(bind=address, barrier=True) as publisher:
        async with w.Subscriber("", connect=address, conflate=True) as subscriber:
            await subscriber.ready(20)
            for number in range(900):  # as many as libzmq takes
                publisher.publish(b"%d" % number, b"tag%d" % (number % 3))
            await w.until(lambda: subscriber.statistics().unwanted == 897 + 1)
            assert [await subscriber.receive() for _ in range(3)] == [
                (b"tag0", b"897"),
                (b"tag1", b"898"),
                (b"tag2", b"899"),
            ]
            waiting = w.spawn(subscriber.receive())
            await w.settled()
            publisher.publish(b"at once", b"tag1")
            assert await waiting == (b"tag1", b"at once")
            subscriber.unsubscribe("")
            statistics = subscriber.statistics()
            assert (statistics.delivered, statistics.unread) == (4, 0)


@pytest.mark.parametrize("w", ["asyncio", "trio", "epoll"], indirect=True)
async def test_a_consumer_a_hundred_times_too_slow_is_never_behind(w: Any, address: str) -> None:
    tracemalloc = pytest.importorskip("tracemalloc", exc_type=ImportError)  # PyPy has none
    tags = [b"tag%d" % number for number in range(5)]
    body, count = b"x" * 1000, 20_000
    async with w.Publisher(bind=address, barrier=True, options=UNLIMITED) as publisher:
        async with w.Subscriber(
            "", connect=address, conflate=True, options=UNLIMITED
        ) as subscriber:
            await subscriber.ready(20)
            heard: dict[bytes, bytes] = {}
            taken = published = 0

            async def consume() -> None:
                nonlocal taken
                async for tag, newest in subscriber:
                    heard[tag] = newest
                    taken += 1
                    while published < min(100 * taken, count):
                        await w.sleep(0)

            consuming = w.spawn(consume())
            tracemalloc.start()
            try:
                for number in range(count):
                    publisher.publish(b"%d " % number + body, tags[number % 5])
                    published = number + 1
                    if number % 100 == 99:
                        await w.sleep(0)
                        assert subscriber.statistics().unread <= 5
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            await w.until(
                lambda: (
                    [int(heard.get(tag, b"0 ").split()[0]) for tag in tags]
                    == [*range(count - 5, count)]
                )
            )
            assert taken < count // 20
            assert peak < count * len(body) // 10
        await consuming


@pytest.mark.parametrize("w", ["epoll"], indirect=True)
async def test_also_a_handler_that_holds_up_its_reactor(w: Any, address: str) -> None:
    heard: dict[bytes, bytes] = {}

    def slow(publication: tuple[bytes, bytes]) -> None:
        time.sleep(0.005)
        heard[publication[0]] = publication[1]

    async with w.Publisher(bind=address, barrier=True) as publisher:
        async with w.Subscriber("", connect=address, conflate=True, handler=slow) as subscriber:
            await subscriber.ready(20)
            for number in range(5000):
                publisher.publish(b"%d" % number, b"tag%d" % (number % 5))
                if number % 50 == 49:
                    await w.sleep(0)
            await w.until(lambda: set(heard.values()) == {b"%d" % n for n in range(4995, 5000)})


async def test_what_waits_is_bounded_by_prefetch_where_that_is_given(w: Any, address: str) -> None:
    async with w.Publisher(bind=address, barrier=True) as publisher:
        async with w.Subscriber("", connect=address, conflate=True, prefetch=2) as subscriber:
            await subscriber.ready(20)
            for number in range(100):
                publisher.publish(b"%d" % number, b"%d" % number)
            await w.until(lambda: subscriber.statistics().unread >= 2)
            heard = {(await subscriber.receive())[1] for _ in range(100)}
            assert heard == {b"%d" % number for number in range(100)}


def test_what_does_not_go_together_is_refused(w: Any, address: str) -> None:
    wrong: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"exact": 1}, TypeError),
        ({"exact": "prefix"}, TypeError),
        ({"conflate": "yes"}, TypeError),
        ({"exact": "framed", "format": "two-part"}, ValueError),
        ({"conflate": True, "format": "raw"}, ValueError),
        ({"conflate": True, "prefetch_bytes": 10}, ValueError),
    ]
    for arguments, error in wrong:
        with pytest.raises(error):
            w.Subscriber("", connect=address, **arguments)
    with pytest.raises(TypeError, match="barrier"):
        w.Publisher(bind=address, barrier="yes")
