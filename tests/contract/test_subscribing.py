"""Subscriptions: all of them are heard, and what is not subscribed any more is not delivered."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zmq
from peers import subscribed

if TYPE_CHECKING:
    from tests.conftest import Subscriber, World

every_world = pytest.mark.every_world
_numbers = itertools.count()
MANY = [f"tag{number}." for number in range(5000)]


@pytest.fixture
def address() -> str:
    """An address that nobody had before: a plain socket gives its own back only some time later."""
    return f"inproc://subscribing-{next(_numbers)}"


def publisher_at(
    address: str, context: zmq.Context[zmq.Socket[bytes]], kind: int = zmq.XPUB
) -> zmq.Socket[bytes]:
    socket = context.socket(kind)
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.SNDHWM, 0)
    try:
        socket.bind(address)
    except zmq.ZMQError:
        socket.close()
        raise
    return socket


async def heard(w: World, xpub: zmq.Socket[bytes]) -> set[str]:
    """Read subscriptions until there are as many as there should be."""
    tags = set()

    def all_of_them() -> bool:
        while xpub.poll(0):
            tags.add(xpub.recv()[1:].decode())
        return len(tags) >= len(MANY)

    await w.until(all_of_them)
    return tags


def made(
    w: World, setting: str, address: str, context: zmq.Context[zmq.Socket[bytes]]
) -> Subscriber:
    soon = {zmq.RECONNECT_IVL: 10}  # milliseconds; it is 100 otherwise
    if setting == "options":
        few = soon | {zmq.SNDHWM: 10}
        return w.Subscriber(MANY, connect=address, options=few, context=context)
    subscriber = w.Subscriber(connect=address, options=soon, context=context)
    if setting == "raw":
        subscriber.socket.set_hwm(10)
    for tag in MANY:
        subscriber.subscribe(tag)
    return subscriber


@pytest.mark.parametrize("setting", ["options", "later", "raw"])
@pytest.mark.parametrize("transport", ["tcp", "ipc", "inproc"])
async def test_all_of_very_many_subscriptions_are_heard(
    w: World, transport: str, setting: str, tmp_path: Path
) -> None:
    context = w.context()
    addresses = {
        "tcp": "tcp://127.0.0.1:*",
        "ipc": f"ipc://{tmp_path}/many",
        "inproc": f"inproc://subscribing-{next(_numbers)}",
    }
    with publisher_at(addresses[transport], context) as xpub:
        address = xpub.get(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
        async with made(w, setting, address, context):
            assert await heard(w, xpub) == set(MANY)
            xpub.close()
            if transport != "inproc":  # whose peers do not come again
                again = []

                def free() -> bool:
                    try:
                        again.append(publisher_at(address, context))
                    except zmq.ZMQError:
                        return False
                    return True

                await w.until(free)
                with again[-1] as xpub:
                    assert await heard(w, xpub) == set(MANY)
    context.destroy(0)


@every_world
async def test_publishers_of_ours_hear_them_all(w: World, tmp_path: Path) -> None:
    # libzmq learns late how much was taken, and drops what is more than SNDHWM ahead of that.
    options = {zmq.RCVHWM: 10, zmq.SNDHWM: 0}
    async with (
        w.Publisher(bind=f"ipc://{tmp_path}/ours", options=options) as publisher,
        w.Subscriber(MANY, connect=publisher.addresses) as subscriber,
    ):
        await w.connected(publisher, subscriber, MANY[-1])
        for tag in MANY:
            publisher.publish(b"x", tag)
        for tag in MANY:
            assert await subscriber.receive() == (tag.encode(), b"x")


@every_world
async def test_what_was_unsubscribed_is_not_delivered(w: World, address: str) -> None:
    async with w.Subscriber(["old", "new"], connect=address) as subscriber:
        with publisher_at(address, subscriber.socket.context) as xpub:
            await subscribed(w, xpub, b"old", b"new")
            for number in range(200):
                xpub.send(b"old\0%d" % number)
                xpub.send(b"new\0%d" % number)
            for number in range(5):
                assert await subscriber.receive() == (b"old", b"%d" % number)
                assert await subscriber.receive() == (b"new", b"%d" % number)
            subscriber.unsubscribe("old")
            for number in range(5, 200):
                assert await subscriber.receive() == (b"new", b"%d" % number)
            statistics = subscriber.statistics()
            assert statistics.delivered == 205
            assert statistics.received == 205 + statistics.unwanted
            assert statistics.unread == 0


@pytest.mark.parametrize("prefetch", [0, 1])
async def test_nor_is_the_one_that_libzmq_has_fetched_in_advance(
    w: World, prefetch: int, address: str
) -> None:
    async with w.Subscriber("", connect=address, prefetch=prefetch) as subscriber:
        with publisher_at(address, subscriber.socket.context) as xpub:
            await subscribed(w, xpub, b"")
            for _ in range(3):
                xpub.send(b"old\0")
            await w.until(lambda: subscriber.socket.get(zmq.EVENTS) & zmq.POLLIN)
            await w.until(lambda: subscriber.statistics().unread == prefetch)
            subscriber.socket.subscribe("new")
            subscriber.socket.unsubscribe("")
            await subscribed(w, xpub, b"new")
            xpub.send(b"new\0")
            assert await subscriber.receive() == (b"new", b"")


async def test_nor_is_the_newest_while_a_newer_one_is_still_unread(w: World, address: str) -> None:
    options = {zmq.CONFLATE: 1, zmq.RCVHWM: 0}
    async with w.Subscriber("old", connect=address, options=options) as subscriber:
        with publisher_at(address, subscriber.socket.context) as xpub:
            xpub.sndhwm = 0
            await subscribed(w, xpub, b"old")
            for _ in range(20_000):
                xpub.send(b"old\0")
            while not subscriber.statistics().received:
                await w.sleep(0)
            assert subscriber.statistics().received < 20_000
            assert subscriber.statistics().unread == 1
            subscriber.unsubscribe("old")
            assert subscriber.statistics().unread == 0
            statistics = subscriber.statistics()
            assert statistics.unwanted == statistics.received


@pytest.mark.real("a peer that blocks")
async def test_what_another_subscription_wants_is_kept_whatever_its_shape(
    w: World, address: str
) -> None:
    shapes = [
        [b"a\0x"],
        [b"ab\0x"],
        [b"abc"],  # without a tag
        [b"a", b"xyz"],  # in two parts, of which libzmq compares the first
        [b"a\0xyz"],
        [b"ab", b""],
        [b"\0abc"],  # an empty tag
        [b"", b"abc"],
        [b"b\0"],
    ]
    choose = random.Random(7)
    prefixes = [b"", b"a", b"ab", b"abc", b"a\0x", b"a\0xy", b"b", b"\0", b"\0a"]
    end = b"end\0"
    async with w.Subscriber([b"end"], connect=address) as subscriber:
        with publisher_at(address, subscriber.socket.context) as xpub:
            await subscribed(w, xpub, b"end")
            for _ in range(40):
                counts = choose.choices(prefixes, k=5)
                for prefix in counts:
                    subscriber.subscribe(prefix)
                await subscribed(w, xpub, *set(counts))
                for shape in shapes:
                    xpub.send_multipart(shape)
                xpub.send(end)
                # The end included.
                got = 1 + sum(s[0].startswith(tuple(counts)) for s in shapes)
                await w.until(lambda got=got: subscriber.statistics().unread == got)
                for _ in range(choose.randint(1, 5)):
                    subscriber.unsubscribe(counts.pop())
                subscriber.unsubscribe(b"never")
                wanted = [shape for shape in shapes if shape[0].startswith(tuple(counts))]
                received = []
                while (publication := await subscriber.receive()) != (b"end", b""):
                    received.append(publication)
                expected = [
                    tuple(shape)
                    if len(shape) == 2
                    else tuple(shape[0].split(b"\0", 1))
                    if b"\0" in shape[0]
                    else (b"", shape[0])
                    for shape in wanted
                ]
                assert received == expected
                for prefix in counts:
                    subscriber.unsubscribe(prefix)
                while xpub.poll(10):
                    xpub.recv()


@every_world
@pytest.mark.parametrize("prefetch", [None, 0])
async def test_who_was_told_of_what_was_then_unsubscribed_waits_on(
    w: World, prefetch: int | None, address: str
) -> None:
    received = []
    async with w.Subscriber("new", connect=address, prefetch=prefetch) as subscriber:
        with publisher_at(address, subscriber.socket.context) as xpub:

            async def receive(name: int) -> None:
                while True:
                    tag, body = await subscriber.receive()
                    if tag == b"end":
                        break
                    assert tag == b"new"
                    received.append(int(body))
                    if old:
                        subscriber.unsubscribe(old.pop())

            old = []
            receivers = [w.spawn(receive(name)) for name in range(3)]
            await w.settled()
            for number in range(30):
                old.append(b"old%d" % number)
                subscriber.subscribe(old[0])
                await subscribed(w, xpub, old[0])
                xpub.send(b"new\0%d" % number)
                xpub.send(old[0] + b"\0")
                xpub.send(old[0] + b"\0")
                subscriber._pump.turn()  # which reads all three of them at once
                await w.until(lambda count=number + 1: len(received) == count and not old)
                await w.settled()
            subscriber.subscribe("end")
            await subscribed(w, xpub, b"end")
            for _ in receivers:
                xpub.send(b"end\0")
            for each in receivers:
                await each
            assert received == list(range(30))
            statistics = subscriber.statistics()
            assert statistics.received == 33 + statistics.unwanted
            assert statistics.unwanted >= 50  # it came to that


@pytest.mark.parametrize("w", ["epoll", "asyncioreactor"], indirect=True)
async def test_a_handler_that_unsubscribes_gets_no_more_of_it(w: World, address: str) -> None:
    handled = []

    def handler(publication: tuple[bytes, bytes]) -> None:
        handled.append(publication)
        if publication == (b"old", b"5"):
            subscriber.unsubscribe("old")

    subscriber = w.Subscriber(["old", "new"], connect=address, handler=handler)
    async with subscriber:
        with publisher_at(address, subscriber.socket.context) as xpub:
            await subscribed(w, xpub, b"old", b"new")
            for number in range(50):
                xpub.send(b"old\0%d" % number)
            xpub.send(b"new\0")
            await w.until(lambda: (b"new", b"") in handled)
            assert handled == [*((b"old", b"%d" % number) for number in range(6)), (b"new", b"")]


@pytest.mark.real("INVERT_MATCHING")
async def test_inverted_matching_drops_nothing_that_is_wanted(w: World, address: str) -> None:
    options = {zmq.INVERT_MATCHING: 1}
    async with w.Subscriber(["a"], connect=address, options=options) as subscriber:
        context = subscriber.socket.context
        with context.socket(zmq.XPUB) as xpub:
            xpub.set(zmq.LINGER, 0)
            xpub.set(zmq.INVERT_MATCHING, 1)
            xpub.bind(address)
            await subscribed(w, xpub, b"a")
            xpub.send(b"b\0")
            await w.until(lambda: subscriber.statistics().unread == 1)
            subscriber.unsubscribe("a")
            subscriber.subscribe("b")
            subscriber.unsubscribe("b")  # so it is wanted again
            assert await subscriber.receive() == (b"b", b"")
