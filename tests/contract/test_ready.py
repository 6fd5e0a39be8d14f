"""Subscriber.ready: from then on nothing is missed, also through proxies, and without a sleep."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from zmqbridge import NotAnswered, SocketClosed

every_world = pytest.mark.every_world
_numbers = itertools.count()
# As the contract has it: PAIRS=1000 pytest tests/contract/test_ready.py. Here fewer, for the time.
PAIRS = int(os.environ.get("PAIRS", "100"))


def addresses(count: int, transport: str = "inproc") -> list[str]:
    return [f"{transport}://ready-{next(_numbers)}" for _ in range(count)]


@pytest.fixture
def proxied() -> Iterator[Callable[[], list[str]]]:
    """The addresses of both ends of two plain proxies in a row, each with its own thread."""
    context = zmq.Context()
    ends: list[str] = []
    threads: list[threading.Thread] = []
    sockets: list[zmq.Socket[bytes]] = []

    def run(front: Any, back: Any) -> None:
        try:
            zmq.proxy(front, back)
        except zmq.ContextTerminated:
            pass
        front.close()
        back.close()

    def start() -> list[str]:
        first, second, third, fourth = (context.socket(kind) for kind in [zmq.XSUB, zmq.XPUB] * 2)
        sockets.extend([first, second, third, fourth])
        for each in sockets:
            each.linger = 0  # on PyPy no option can be set when the context has ended
        ports = [each.bind_to_random_port("tcp://127.0.0.1") for each in (first, second, fourth)]
        third.connect(f"tcp://127.0.0.1:{ports[1]}")
        for pair in ((first, second), (third, fourth)):
            thread = threading.Thread(target=run, args=pair)
            thread.start()
            threads.append(thread)
        ends.extend(f"tcp://127.0.0.1:{port}" for port in (ports[0], ports[2]))
        return ends

    yield start
    context.destroy(0) if not threads else context.term()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


async def first_publication(w: Any, publisher: Any, subscriber: Any) -> None:
    await subscriber.ready(20)
    publisher.publish(b"the first", "t")
    assert await subscriber.receive() == (b"t", b"the first")


async def test_of_fresh_pairs_each_hears_the_first_publication(w: Any) -> None:
    for _ in range(PAIRS):
        async with w.Publisher(bind="tcp://127.0.0.1:*", barrier=True) as publisher:
            async with w.Subscriber("t", connect=publisher.addresses[0]) as subscriber:
                await first_publication(w, publisher, subscriber)


@pytest.mark.real("threads")
async def test_also_through_two_plain_proxies(w: Any, proxied: Callable[[], list[str]]) -> None:
    front, back = proxied()
    async with w.Publisher(connect=front, barrier=True) as publisher:
        # It is there when the first subscriber is told so; a publisher that comes later is another
        # matter, of which no subscriber can know.
        async with w.Subscriber("t", connect=back) as subscriber:
            await first_publication(w, publisher, subscriber)
        for _ in range(PAIRS):
            async with w.Subscriber("t", connect=back) as subscriber:
                await first_publication(w, publisher, subscriber)


@every_world
async def test_each_publisher_answers_for_itself(w: Any) -> None:
    one, two = addresses(2)
    async with w.Subscriber("t", connect=[one, two]) as subscriber:
        async with w.Publisher(bind=one, barrier=True):
            with pytest.raises(NotAnswered, match="1 of 2") as caught:
                await subscriber.ready(0.1)
            assert isinstance(caught.value, TimeoutError)
            async with w.Publisher(bind=two, barrier=True):
                await w.gather(subscriber.ready(20), subscriber.ready())


async def test_a_bound_subscriber_is_answered_by_the_first(w: Any) -> None:
    [address] = addresses(1)
    async with w.Subscriber("t", bind=address) as subscriber:
        async with w.Publisher(connect=address, barrier=True) as publisher:
            await first_publication(w, publisher, subscriber)


@every_world
async def test_who_gives_no_answer_is_told_apart(w: Any) -> None:
    [address] = addresses(1)
    async with w.Publisher(bind=address) as publisher:
        async with w.Subscriber("t", connect=address) as subscriber:
            with pytest.raises(NotAnswered, match="0 of 1"):
                await subscriber.ready(0.05)
            for timeout, error in ((0, ValueError), ("1", TypeError)):
                with pytest.raises(error):
                    await subscriber.ready(timeout)
            assert publisher.subscribers("t") == 1
            waiting, cancelled = w.spawn(subscriber.ready()), w.spawn(subscriber.ready())
            await w.settled()
            cancelled.cancel()
            with pytest.raises(w.Cancelled):
                await cancelled
        with pytest.raises(SocketClosed):
            await waiting
        with pytest.raises(SocketClosed):
            await subscriber.ready()
        # A barrier is nobody's subscription, neither while it is waited for nor later.
        assert publisher._audience.topics.unfounded == 0
        await w.until(lambda: publisher.subscribers("t") == 0)


@every_world
async def test_it_is_answered_also_when_the_inbox_is_full(w: Any) -> None:
    [address] = addresses(1)
    options = {zmq.SNDHWM: 0, zmq.RCVHWM: 0}
    async with w.Publisher(bind=address, barrier=True, options=options) as publisher:
        async with w.Subscriber("t", connect=address, prefetch=0, options=options) as subscriber:
            await subscriber.ready(20)
            for number in range(3000):
                publisher.publish(b"%d" % number, "t")
            await subscriber.ready(20)
            for number in range(3000):
                assert await subscriber.receive() == (b"t", b"%d" % number)
            statistics = subscriber.statistics()
            assert (statistics.delivered, statistics.unread, statistics.unwanted) == (3000, 0, 2)


@pytest.mark.parametrize("format", ["joined", "two-part", "parts", "raw"])
async def test_the_answer_to_one_disturbs_no_other(w: Any, format: str) -> None:
    [address] = addresses(1)
    async with w.Publisher(bind=address, barrier=True, format=format) as publisher:
        all_of_it = w.Subscriber("", connect=address, format=format)
        async with all_of_it, w.Subscriber("t", connect=address, format=format) as subscriber:
            await all_of_it.ready(20)
            await subscriber.ready(20)
            body = {"parts": [b"x"], "raw": [b"t", b"x"]}.get(format, b"x")
            publisher.publish(body, b"" if format == "raw" else b"t")
            assert await all_of_it.receive() == await subscriber.receive()
            statistics = all_of_it.statistics()
            assert (statistics.malformed, statistics.unwanted) == (0, 2)
            assert statistics.received == statistics.delivered + 2
    assert w.reports == []


async def test_a_foreign_subscriber_of_everything_sees_one_odd_message(w: Any) -> None:
    [address] = addresses(1)
    async with w.Publisher(bind=address, barrier=True) as publisher:
        with publisher.socket.context.socket(zmq.SUB) as plain:
            plain.subscribe(b"")
            plain.connect(address)
            await publisher.wait_for()
            async with w.Subscriber("t", connect=address) as subscriber:
                await first_publication(w, publisher, subscriber)
                await w.until(lambda: plain.poll(0))
                tag, header, *rest = plain.recv_multipart()
                assert (tag[:2], len(tag), len(header), rest) == (b"\0r", 10, 8, [b"", b""])
                await w.until(lambda: plain.poll(0))
                assert plain.recv_multipart() == [b"t\0the first"]
