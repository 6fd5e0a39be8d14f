"""What each pattern does, on every loop."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zmqbridge import (
    AlreadyReplied,
    PeerUnreachable,
    QueueFull,
    RequestTimeout,
    SocketClosed,
)

if TYPE_CHECKING:
    from tests.conftest import Request, World

pytestmark = pytest.mark.every_world


async def test_pushed_messages_arrive_in_order(w: World) -> None:
    async with w.Puller(bind="tcp://127.0.0.1:*") as puller:
        async with w.Pusher(connect=puller.addresses) as pusher:
            for number in range(3000):
                pusher.push_nowait(b"%d" % number, b"") if number % 2 else await pusher.push(
                    b"%d" % number, b""
                )
                if number % 500 == 499:
                    for expected in range(number - 499, number + 1):
                        assert await puller.receive() == [b"%d" % expected, b""]
            assert pusher.statistics().sent == puller.statistics().received == 3000


async def test_subscribers_get_tags_and_bodies_they_want(w: World) -> None:
    async with w.Subscriber("a", bind="inproc://topics") as subscriber:
        async with w.Publisher(connect="inproc://topics") as publisher:
            await w.connected(publisher, subscriber, "a")
            publisher.publish(b"1", "abc")
            publisher.publish(b"2", b"b")
            publisher.publish(bytearray(b"3\0"), "a")
            assert await subscriber.receive() == (b"abc", b"1")
            assert await subscriber.receive() == (b"a", b"3\0")
            subscriber.subscribe("b")
            subscriber.unsubscribe(b"a")
            subscriber.unsubscribe("never subscribed")
            await w.connected(publisher, subscriber, "b")
            publisher.publish(b"4", b"a")
            publisher.publish(b"5", b"b")
            assert await subscriber.receive() == (b"b", b"5")


async def test_each_request_gets_its_own_reply(w: World) -> None:
    async with w.Replier(bind="ipc://*") as replier:
        async with w.Requester(timeout=10, connect=replier.addresses) as requester:

            async def handler(request: Request) -> None:
                if int(request.parts[0]) % 3 == 0:
                    await w.sleep(0.001)
                await request.reply(b"re", *request.parts)

            serving = w.spawn(replier.serve(handler))
            replies = await w.gather(*(requester.request(b"%d" % n, b"") for n in range(500)))
            assert replies == [[b"re", b"%d" % n, b""] for n in range(500)]
            assert requester.statistics().open_requests == 0
            replier.close()
            await serving


async def test_requests_can_be_taken_one_by_one_and_answered_once(w: World) -> None:
    async with w.Replier(bind="inproc://one") as replier:
        async with w.Requester(connect="inproc://one") as requester:
            asking = w.spawn(requester.request(b"question"))
            request = await replier.receive()
            assert request.parts == [b"question"]
            assert request.peer
            assert len(request.id) == 16
            with pytest.raises(TypeError, match=r"\.encode\(\)"):
                await request.reply("text")
            await request.reply(b"answer")
            with pytest.raises(AlreadyReplied):
                await request.reply(b"another")
            assert await asking == [b"answer"]


@pytest.mark.waits
async def test_a_request_times_out_where_it_is(w: World) -> None:
    async with w.Replier(bind="inproc://slow") as replier:
        async with w.Requester(timeout=0.05) as requester:
            with pytest.raises(RequestTimeout) as queued:
                await requester.request(b"nobody is there")
            assert queued.value.stage == "queued"
            requester.connect("inproc://slow")
            with pytest.raises(TimeoutError) as sent:
                await requester.request(b"nobody answers")
            late: Any = sent.value
            assert late.stage == "sent"
            assert (await replier.receive()).parts == [b"nobody answers"]
            asking = w.spawn(requester.request(b"patience", timeout=math.inf))
            request = await replier.receive()
            await w.sleep(0.1)
            await request.reply(b"at last")
            assert await asking == [b"at last"]


@pytest.mark.waits
async def test_a_server_that_comes_late_sees_no_request_that_timed_out(
    w: World, tmp_path: Path
) -> None:
    address = f"ipc://{tmp_path}/late"
    async with w.Requester(connect=address) as requester:
        for number in range(5):
            with pytest.raises(RequestTimeout):
                await requester.request(b"%d" % number, timeout=0.01)
        async with w.Replier(bind=address) as replier:
            asking = w.spawn(requester.request(b"fresh"))
            request = await replier.receive()
            assert request.parts == [b"fresh"]
            await request.reply(b"ok")
            assert await asking == [b"ok"]


async def test_late_doubled_and_forged_replies_reach_nobody(w: World) -> None:
    async with w.Router(bind="inproc://odd") as router:
        async with w.Requester(connect="inproc://odd") as requester:
            first = w.spawn(requester.request(b"first"))
            peer, (first_id, *_) = await router.receive()
            await router.send(peer, first_id, b"", b"one")
            await router.send(peer, first_id, b"", b"one again")
            await router.send(peer, b"forged", b"", b"x")
            assert await first == [b"one"]
            second = w.spawn(requester.request(b"second"))
            third = w.spawn(requester.request(b"third"))
            ids = {}
            for _ in range(2):
                request_id, _, question = (await router.receive())[1]
                ids[question] = request_id
            await router.send(peer, ids[b"third"], b"", b"three")
            await router.send(peer, first_id, b"", b"one, late")
            await router.send(peer, ids[b"second"], b"", b"two")
            assert await second == [b"two"]
            assert await third == [b"three"]
            assert requester.statistics().late_replies == 3


async def test_dealer_and_router_talk_both_ways(w: World) -> None:
    options = {zmq.IDENTITY: b"me"}
    async with w.Router(bind="inproc://both") as router:
        async with w.Dealer(connect="inproc://both", options=options) as dealer:
            await dealer.send(b"hello", b"there")
            assert await router.receive() == (b"me", [b"hello", b"there"])
            await router.send(b"me", b"welcome")
            router.send_nowait(b"me", b"", b"again")
            assert await dealer.receive() == [b"welcome"]
            assert await dealer.receive() == [b"", b"again"]
            with pytest.raises(PeerUnreachable) as gone:
                await router.send(b"you", b"x")
            assert gone.value.peer == b"you"
            with pytest.raises(PeerUnreachable):
                router.send_nowait(b"you", b"in", b"parts")
            counts = router.statistics()
            assert (counts.unroutable, counts.accepted, counts.dropped) == (2, 2, 0)


async def test_one_full_peer_holds_up_no_other(w: World) -> None:
    small = {zmq.SNDHWM: 1, zmq.RCVHWM: 1}
    async with (
        w.Router(bind="inproc://full", options=small) as router,
        w.Dealer(connect="inproc://full", options={zmq.IDENTITY: b"live"}) as live,
    ):
        stuck = live.socket.context.socket(zmq.DEALER)
        stuck.set(zmq.IDENTITY, b"stuck")
        stuck.set(zmq.RCVHWM, 1)
        stuck.connect("inproc://full")
        stuck.send(b"here")
        await live.send(b"here")
        for _ in range(2):
            await router.receive()
        with pytest.raises(QueueFull) as full:
            for number in range(5000):
                router.send_nowait(b"stuck", b"%d" % number)
        assert full.value.message[0] == b"stuck"
        for number in range(100):
            await router.send(b"live", b"%d" % number)
            assert await live.receive() == [b"%d" % number]
        stuck.close(0)


async def test_several_receivers_are_served_in_the_order_of_asking(w: World) -> None:
    async with w.Puller(bind="inproc://queue") as puller:
        async with w.Pusher(connect="inproc://queue") as pusher:
            receivers = []
            for _ in range(5):
                receivers.append(w.spawn(puller.receive()))
                await w.settled()  # trio starts tasks in random order
            receivers[1].cancel()
            with pytest.raises(w.Cancelled):
                await receivers.pop(1)
            for number in range(4):
                await pusher.push(b"%d" % number)
            assert [await each for each in receivers] == [[b"%d" % n] for n in range(4)]


async def test_the_queue_is_bounded_and_hands_messages_back(w: World) -> None:
    async with w.Pusher(bind="inproc://nobody") as pusher:
        with pytest.raises(QueueFull) as full:
            for number in range(5000):
                pusher.push_nowait(b"%d" % number)
        assert full.value.message == [b"1000"]
        assert pusher.statistics().queued == 1000
        waiting = w.spawn(pusher.push(b"patient"))
        await w.settled()
        assert not w.done(waiting)
        async with w.Puller(connect="inproc://nobody") as puller:
            received = [(await puller.receive())[0] for _ in range(1001)]
        await waiting
        assert received == [b"%d" % n for n in range(1000)] + [b"patient"]


async def test_a_cancelled_push_is_not_sent(w: World) -> None:
    async with w.Pusher(bind="inproc://cancelled") as pusher:
        pusher.push_nowait(b"queued")
        waiting = w.spawn(pusher.push(b"cancelled"))
        await w.settled()
        waiting.cancel()
        with pytest.raises(w.Cancelled):
            await waiting
        async with w.Puller(connect="inproc://cancelled") as puller:
            assert await puller.receive() == [b"queued"]
            await pusher.push(b"next")
            assert await puller.receive() == [b"next"]


@pytest.mark.waits
async def test_a_consumer_that_pauses_holds_little_and_pushes_back(w: World) -> None:
    async with w.Puller(bind="ipc://*", options={zmq.RCVHWM: 10}, prefetch=1000) as puller:
        options = {zmq.SNDHWM: 10}
        async with w.Pusher(connect=puller.addresses, options=options) as pusher:
            sent = 0

            async def flood() -> None:
                nonlocal sent
                while True:
                    await pusher.push(b"x" * 10_000)
                    sent += 1

            flooding = w.spawn(flood())
            await w.until(lambda: sent >= 1000)
            seen = -1
            while sent != seen:
                seen = sent
                await w.sleep(0.1)
            assert sent < 3000
            assert puller.statistics().unread <= 1000
            for _ in range(sent):
                await puller.receive()
            flooding.cancel()
            with pytest.raises(w.Cancelled):
                await flooding


async def test_closing_tells_whoever_waits_and_ends_iteration(w: World) -> None:
    async def iterate() -> list[Any]:
        return [message async for message in puller]

    async with (
        w.Puller(bind="inproc://closing") as puller,
        w.Requester(connect="inproc://closing-too") as requester,
        w.Pusher(bind="inproc://closing-three") as pusher,
    ):
        pusher.push_nowait(b"")
        waiting = [
            w.spawn(puller.receive()),
            w.spawn(requester.request(b"x")),
            w.spawn(pusher.push(b"x")),
        ]
        iterating = w.spawn(iterate())
        await w.settled()
        for socket in (puller, requester, pusher):
            socket.close()
            socket.close()
        for each in waiting:
            with pytest.raises(SocketClosed):
                await each
        assert await iterating == []
    for call in (puller.receive, lambda: requester.request(b"x"), lambda: pusher.push(b"x")):
        with pytest.raises(SocketClosed):
            await call()
    assert puller.closed
    assert "closed" in repr(puller)


async def test_closing_in_peace_sends_what_is_queued(w: World) -> None:
    async with w.Pusher(bind="inproc://peace", options={zmq.LINGER: 5000}) as pusher:
        for number in range(100):
            pusher.push_nowait(b"%d" % number)
        assert pusher.statistics().queued == 100
        async with w.Puller(connect="inproc://peace") as puller:
            closing = w.spawn(pusher.aclose())
            assert [await puller.receive() for _ in range(100)] == [[b"%d" % n] for n in range(100)]
            await closing


async def test_whatever_is_done_to_the_raw_socket_the_receiver_wakes(w: World) -> None:
    async with (
        w.Dealer(bind="inproc://raw") as dealer,
        w.Dealer(connect="inproc://raw") as other,
    ):
        for number in range(200):
            receiving = w.spawn(dealer.receive())
            await w.sleep(0)
            await other.send(b"%d" % number)
            dealer.socket.send(b"raw")  # silences the FD that has just rung
            assert await receiving == [b"%d" % number]
            assert await other.receive() == [b"raw"]


@pytest.mark.real("a loop that is held up")
@pytest.mark.parametrize("transport", ["tcp", "ipc"])
async def test_a_reply_outlives_its_server_if_requests_may_wait_in_libzmq(
    w: World, tmp_path: Path, transport: str
) -> None:
    # By default libzmq drops it, where the loop was held up: docs/what-can-be-lost.md.
    with w.context() as context, context.socket(zmq.ROUTER) as server:
        server.linger = 10_000
        server.bind(f"ipc://{tmp_path}/server" if transport == "ipc" else "tcp://127.0.0.1:*")
        there = server.last_endpoint.decode()
        async with w.Requester(connect=there, timeout=20, options={zmq.IMMEDIATE: 0}) as requester:
            asking = w.spawn(requester.request(b"?"))
            await w.until(lambda: server.poll(0))
            with requester.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED) as ends:
                server.send_multipart(server.recv_multipart())
                server.close()
                assert ends.poll(10_000)  # which holds up the loop
                requester.socket.disable_monitor()
            assert await asking == [b"?"]
