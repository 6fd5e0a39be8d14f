"""XPublisher, XSubscriber and Pair: what each does, and what stands between publishers and them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from peers import plain

from zmqbridge import MalformedMessage, QueueFull, SocketClosed, Subscribed, Unsubscribed

if TYPE_CHECKING:
    from tests.conftest import World

every_world = pytest.mark.every_world
FORMATS = ["joined", "two-part", "parts", "raw"]
EACH = {zmq.XPUB_VERBOSER: 1}
_numbers = itertools.count()


@pytest.fixture
def address() -> str:
    """An address that nobody had before: a plain socket gives its own back only some time later."""
    return f"inproc://extended-{next(_numbers)}"


def body_in(format: str, text: bytes) -> Any:
    return {"parts": [text], "raw": [b"t", text]}.get(format, text)


def received_in(format: str, text: bytes) -> Any:
    return {"parts": (b"t", [text]), "raw": [b"t", text]}.get(format, (b"t", text))


@every_world
async def test_an_xpublisher_knows_what_its_subscribers_want(w: World, address: str) -> None:
    async with w.XPublisher(bind=address) as publisher:
        async with w.Subscriber(["a", b"\0"], connect=address) as subscriber:
            changes = {await publisher.receive(), await publisher.receive()}
            assert changes == {Subscribed(b"a"), Subscribed(b"\0")}
            publisher.publish(b"1", "ab")
            publisher.publish(b"2", "b")
            publisher.publish(b"3")
            assert await subscriber.receive() == (b"ab", b"1")
            assert await subscriber.receive() == (b"", b"3")
            subscriber.unsubscribe("a")
            change = await publisher.receive()
            assert change == Unsubscribed(b"a")
            assert type(change) is Unsubscribed
            assert change.tag == b"a"
        assert await publisher.receive() == Unsubscribed(b"\0")
        statistics = publisher.statistics()
        assert (statistics.sent, statistics.received, statistics.malformed) == (3, 4, 0)


@pytest.mark.waits
async def test_of_each_subscriber_where_that_is_asked_for(w: World, address: str) -> None:
    async with (
        w.XPublisher(bind=address, options=EACH) as publisher,
        w.Subscriber("t", connect=address) as one,
    ):
        assert await publisher.receive() == Subscribed(b"t")
        two = w.Subscriber("t", connect=address)
        async with two:
            assert await publisher.receive() == Subscribed(b"t")
            publisher.publish(b"both", "t")
            assert await one.receive() == await two.receive() == (b"t", b"both")
        assert await publisher.receive() == Unsubscribed(b"t")
        publisher.publish(b"one", "t")
        assert await one.receive() == (b"t", b"one")


@every_world
@pytest.mark.parametrize("format", FORMATS)
async def test_an_xsubscriber_subscribes_by_messages(w: World, format: str, address: str) -> None:
    async with w.XSubscriber("t", format=format) as subscriber:
        subscriber.connect(address)  # who comes later is told, too
        async with w.XPublisher(bind=address, format=format) as publisher:
            tag = () if format == "raw" else ("t",)
            assert await publisher.receive() == Subscribed(b"t")
            publisher.publish(body_in(format, b"1"), *tag)
            assert await subscriber.receive() == received_in(format, b"1")
            subscriber.subscribe("Ø")
            assert await publisher.receive() == Subscribed("Ø".encode())
            subscriber.unsubscribe("t")
            subscriber.unsubscribe("never subscribed")
            assert await publisher.receive() == Unsubscribed(b"t")
            publisher.publish(body_in(format, b"2"), *tag)
            if format == "raw":
                publisher.publish(["Ø".encode()])
                assert await subscriber.receive() == ["Ø".encode()]
            else:
                publisher.publish(body_in(format, b"3"), "Ø")
                assert (await subscriber.receive())[0] == "Ø".encode()
            assert subscriber.statistics().malformed == 0


@pytest.mark.real("INVERT_MATCHING")
async def test_nothing_is_filtered_by_an_xsubscriber(w: World, address: str) -> None:
    async with w.XSubscriber("a", bind=address) as subscriber:
        with plain(subscriber, zmq.XPUB, address, INVERT_MATCHING=1) as xpub:
            await w.until(lambda: xpub.poll(1))
            xpub.send(b"b\0nobody asked for it")
            assert await subscriber.receive() == (b"b", b"nobody asked for it")


@every_world
async def test_what_is_no_subscription_is_malformed_and_the_next_one_is_heard(
    w: World, address: str
) -> None:
    async with w.XPublisher(bind=address) as publisher:
        with plain(publisher, zmq.XSUB, address) as xsub:
            for count, message in enumerate([[b"\2t"], [b"t", b"\3"], [b""]], 1):
                xsub.send_multipart(message)
                xsub.send(b"\1%d" % count)
                assert await publisher.receive() == Subscribed(b"%d" % count)
                assert publisher.statistics().malformed == count
                assert type(w.reports[-1]) is MalformedMessage
                assert w.reports[-1].message == message
            xsub.send(b"\1" + bytes(4000))
            assert await publisher.receive() == Subscribed(bytes(4000))


@pytest.mark.parametrize("options", [{}, {zmq.SNDHWM: 10}], ids=["by default", "at a low mark"])
async def test_all_of_very_many_subscriptions_of_an_xsubscriber_are_heard(
    w: World, options: Any, tmp_path: Path
) -> None:
    many = [f"tag{number}." for number in range(3000)]
    address = f"ipc://{tmp_path}/many"
    async with w.XSubscriber(many, connect=address, options=options):
        async with w.XPublisher(bind=address) as publisher:
            heard = {(await publisher.receive()).tag.decode() for _ in many}
            assert heard == set(many)


@every_world
async def test_a_broker_on_the_loop_passes_on_what_it_likes(w: World, tmp_path: Path) -> None:
    """XSUB and XPUB with logic in between: publications are marked, subscriptions narrowed."""
    front_address, back_address = f"ipc://{tmp_path}/front", f"ipc://{tmp_path}/back"
    async with (
        w.XSubscriber(bind=front_address) as front,
        w.XPublisher(bind=back_address) as back,
        w.Publisher(connect=front_address) as publisher,
        w.Subscriber("news/", connect=back_address) as subscriber,
    ):

        async def publications() -> None:
            async for tag, body in front:
                if not tag.endswith(b"secret"):
                    back.publish(body + b" (checked)", tag)

        async def subscriptions() -> None:
            async for change in back:
                onward = front.subscribe if type(change) is Subscribed else front.unsubscribe
                onward(change.tag)

        passing = [w.spawn(publications()), w.spawn(subscriptions())]
        await w.until(lambda: publisher.publish(b"?", "news/") or subscriber.statistics().received)
        publisher.publish(b"1", "news/secret")
        publisher.publish(b"2", "gossip")
        publisher.publish(b"3", "news/home")
        while (got := await subscriber.receive()) != (b"news/home", b"3 (checked)"):
            assert got == (b"news/", b"? (checked)")
        subscriber.unsubscribe("news/")  # which reaches the publisher
        counted = front.statistics().received
        await w.until(lambda: front.statistics().sent == 2)
        assert front.statistics().received == counted
        front.close()
        back.close()
        await w.gather(*passing)


@every_world
async def test_a_pair_talks_both_ways_in_order(w: World, address: str) -> None:
    async with w.Pair(bind=address) as one, w.Pair(connect=address) as two:
        for number in range(200):
            await one.send(b"%d" % number, b"")
            two.send_nowait(b"back", b"%d" % number)
        for number in range(200):
            assert await two.receive() == [b"%d" % number, b""]
            assert await one.receive() == [b"back", b"%d" % number]
        with pytest.raises(TypeError, match=r"\.encode\(\)"):
            await one.send("text")
        with pytest.raises(ValueError, match="at least one part"):
            await one.send()


@every_world
async def test_a_pair_waits_for_its_peer_and_a_cancelled_send_sends_nothing(
    w: World, address: str
) -> None:
    async with w.Pair(bind=address, send_queue=3, options={zmq.SNDHWM: 1}) as one:
        for number in range(3):
            one.send_nowait(b"%d" % number)
        with pytest.raises(QueueFull):
            one.send_nowait(b"too many")
        sending = w.spawn(one.send(b"given up"))
        await w.settled()
        sending.cancel()
        with pytest.raises(w.Cancelled):
            await sending
        sending = w.spawn(one.send(b"3", b"more"))
        async with w.Pair(connect=address) as two:
            for number in range(3):
                assert await two.receive() == [b"%d" % number]
            assert await two.receive() == [b"3", b"more"]
            await sending
            assert await one.drain(timeout=10) == 0


async def test_a_second_peer_of_a_pair_hears_nothing(w: World, tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/pair"
    async with w.Pair(bind=address) as one, w.Pair(connect=address) as two:
        await two.send(b"here I am")
        assert await one.receive() == [b"here I am"]
        async with w.Pair(connect=address) as third:
            third.send_nowait(b"me too")
            for number in range(100):
                await one.send(b"%d" % number)
                assert await two.receive() == [b"%d" % number]
            assert third.statistics().received == 0
            assert one.statistics().received == 1


@pytest.mark.waits
async def test_a_pair_that_came_too_early_is_turned_away_for_good_and_a_new_one_is_heard(
    w: World, address: str
) -> None:
    async with w.Pair(bind=address) as one:
        async with w.Pair(connect=address) as first:
            await first.send(b"here I am")
            assert await one.receive() == [b"here I am"]
            early = w.Pair(connect=address)
        async with early:
            early.send_nowait(b"me, too")
            while one.statistics().received == 1:
                async with w.Pair(connect=address) as again:
                    again.send_nowait(b"and me")
                    for _ in range(20):
                        await w.sleep(0.002)
            assert await one.receive() == [b"and me"]
            assert early.statistics().received == 0


@pytest.mark.parametrize("kind", ["XPublisher", "XSubscriber", "Pair"])
async def test_who_waits_for_one_that_is_closed_is_told(w: World, kind: str, address: str) -> None:
    made = getattr(w, kind)(bind=address)
    async with made:
        receiving = w.spawn(made.receive())
        await w.settled()
    with pytest.raises(SocketClosed):
        await receiving
    assert [item async for item in made] == []


@pytest.mark.parametrize("w", ["epoll", "asyncioreactor"], indirect=True)
async def test_a_handler_gets_what_receive_would_give(w: World, address: str) -> None:
    changes: list[Any] = []
    parts: list[Any] = []
    publisher = w.XPublisher(bind=address, handler=changes.append)
    pair = w.Pair(bind=address + "-pair", handler=parts.append)
    async with publisher, pair:
        async with (
            w.XSubscriber("t", connect=address),
            w.Pair(connect=address + "-pair") as other,
        ):
            await other.send(b"1", b"2")
            await w.until(lambda: parts and changes)
        await w.until(lambda: len(changes) == 2)
        assert changes == [Subscribed(b"t"), Unsubscribed(b"t")]
        assert parts == [[b"1", b"2"]]
