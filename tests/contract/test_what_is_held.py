"""How many messages a socket holds in advance: prefetch, RCVHWM, CONFLATE, send_queue."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zmqbridge import QueueFull

if TYPE_CHECKING:
    from tests.conftest import Puller, Request, World

every_world = pytest.mark.every_world
handlers = pytest.mark.parametrize("w", ["epoll", "asyncioreactor"], indirect=True)

RECEIVERS = ["Puller", "Subscriber", "Dealer", "Router", "Replier"]
SENDERS = ["Pusher", "Publisher", "Dealer", "Router", "Replier", "Requester"]


def one_peer(kind: str, receiver: Any) -> zmq.Socket[bytes]:
    """A plain peer that sends without limits, in the same context."""
    plain = {"Puller": zmq.PUSH, "Subscriber": zmq.PUB, "Dealer": zmq.DEALER}
    peer = receiver.socket.context.socket(plain.get(kind, zmq.DEALER))
    peer.set(zmq.LINGER, 0)
    peer.set(zmq.SNDHWM, 0)
    peer.connect(receiver.addresses[0])
    return peer


def send(kind: str, peer: zmq.Socket[bytes], number: int) -> None:
    peer.send_multipart([b"id", b"", b"%d" % number] if kind == "Replier" else [b"%d" % number])


def number_in(kind: str, message: Any) -> int:
    if kind == "Replier":
        return int(message.parts[0])
    if kind in ("Subscriber", "Router"):
        message = message[1]
    return int(message if kind == "Subscriber" else message[0])


async def filled(
    w: World, kind: str, receiver: Any, peer: zmq.Socket[bytes], count: int, held: int
) -> None:
    """Send that many, once the peer is heard, and see how many are held."""
    if kind == "Subscriber":
        receiver.subscribe("")
        receiving = w.spawn(receiver.receive())
        while not w.done(receiving):
            peer.send(b"0")
            await w.sleep(0.002)
        await receiving
        peer.send(b"-1")
        while number_in(kind, await receiver.receive()) >= 0:
            pass
    for number in range(count):
        send(kind, peer, number)
    await w.until(lambda: receiver.statistics().unread >= held)
    await w.settled()  # for more to come
    assert receiver.statistics().unread == held


@every_world
@pytest.mark.parametrize("kind", ["Puller", "Subscriber", "Replier"])
@pytest.mark.parametrize("prefetch", [0, 3])
async def test_no_more_is_held_than_prefetch_says_and_all_comes_in_order(
    w: World, kind: str, prefetch: int
) -> None:
    async with getattr(w, kind)(bind="inproc://prefetch", prefetch=prefetch) as receiver:
        with one_peer(kind, receiver) as peer:
            await filled(w, kind, receiver, peer, 20, prefetch)
            for number in range(20):
                assert number_in(kind, await receiver.receive()) == number
                assert receiver.statistics().unread <= prefetch
            # Several that wait get one each, in the order of asking, and those who leave none.
            waiting = []
            for _ in range(4):
                waiting.append(w.spawn(receiver.receive()))
                await w.settled()
            waiting.pop(1).cancel()
            await w.settled()
            for number in range(20, 24 + prefetch):
                send(kind, peer, number)
            assert [number_in(kind, await each) for each in waiting] == [20, 21, 22]
            left = [number_in(kind, await receiver.receive()) for _ in range(prefetch + 1)]
            assert left == list(range(23, 24 + prefetch))
            statistics = receiver.statistics()
            assert statistics.received == statistics.delivered + statistics.unread


@pytest.mark.waits
@pytest.mark.parametrize("kind", RECEIVERS)
async def test_no_more_bytes_are_held_than_prefetch_bytes_says(w: World, kind: str) -> None:
    async with getattr(w, kind)(bind="inproc://bytes", prefetch_bytes=3_000_000) as receiver:
        with one_peer(kind, receiver) as peer:
            await filled(w, kind, receiver, peer, 0, 0)
            for number in range(20):
                parts = [b"id", b"", b"%d" % number] if kind == "Replier" else [b"%d" % number]
                parts[-1] = parts[-1].rjust(1_000_000)
                peer.send_multipart(parts)
            await w.until(lambda: receiver.statistics().unread == 3)
            await w.settled()  # for more to come
            for number in range(20):
                assert receiver.statistics().unread <= 3
                assert number_in(kind, await receiver.receive()) == number


@pytest.mark.parametrize("kind", ["Puller", "Router"])
async def test_what_is_held_follows_rcvhwm_however_that_is_set(w: World, kind: str) -> None:
    made = getattr(w, kind)
    async with made(bind="inproc://small", options={zmq.RCVHWM: 3}) as receiver:
        with one_peer(kind, receiver) as peer:
            await filled(w, kind, receiver, peer, 40, 3)
            receiver.socket.rcvhwm = 7
            assert number_in(kind, await receiver.receive()) == 0
            assert number_in(kind, await receiver.receive()) == 1
            assert number_in(kind, await receiver.receive()) == 2
            await w.until(lambda: receiver.statistics().unread == 7)
            for number in range(3, 40):
                assert number_in(kind, await receiver.receive()) == number
    async with made(bind="inproc://later") as receiver:
        receiver.socket.setsockopt(zmq.RCVHWM, 2)
        with one_peer(kind, receiver) as peer:
            await filled(w, kind, receiver, peer, 20, 2)
    for options in ({}, {zmq.RCVHWM: 0}, {zmq.RCVHWM: 5000}):
        async with made(bind="inproc://large", options=options) as receiver:
            with one_peer(kind, receiver) as peer:
                await filled(w, kind, receiver, peer, 1200, 1000)
    async with made(bind="inproc://both", options={zmq.RCVHWM: 2}, prefetch=5) as receiver:
        with one_peer(kind, receiver) as peer:
            await filled(w, kind, receiver, peer, 20, 5)


async def test_a_router_has_nothing_of_conflate_and_holds_what_it_is_to(w: World) -> None:
    options = {zmq.CONFLATE: 1}
    async with w.Router(bind="inproc://router", options=options, prefetch=5) as router:
        with one_peer("Router", router) as peer:
            await filled(w, "Router", router, peer, 20, 5)


@pytest.mark.real("SNDBUF")
async def test_a_slow_worker_that_prefetches_nothing_hoards_nothing(
    w: World, tmp_path: Path
) -> None:
    done = {"slow": 0, "fast": 0}
    options = {zmq.RCVHWM: 1, zmq.RCVBUF: 8192}

    async def work(name: str, puller: Puller) -> None:
        async for _ in puller:
            if name == "slow":  # it is at its first until the other one has done most of them
                await w.until(lambda: done["fast"] >= 30)
            done[name] += 1

    async with (
        w.Pusher(
            bind=f"ipc://{tmp_path}/tasks", options={zmq.SNDHWM: 1, zmq.SNDBUF: 8192}
        ) as pusher,
        w.Puller(connect=pusher.addresses, options=options, prefetch=0, monitor=True) as slow,
        w.Puller(connect=pusher.addresses, options=options, prefetch=0, monitor=True) as fast,
    ):
        await slow.connected()
        await fast.connected()
        working = [w.spawn(work("slow", slow)), w.spawn(work("fast", fast))]
        for _ in range(40):
            await pusher.push(bytes(256 * 1024))
        await w.until(lambda: sum(done.values()) == 40)
        slow.close()
        fast.close()
        await w.gather(*working)


async def test_a_server_takes_only_requests_that_a_handler_is_free_for(w: World) -> None:
    started = []
    async with (
        w.Replier(bind="inproc://idle", prefetch=0) as replier,
        w.Requester(connect="inproc://idle", timeout=10) as requester,
    ):
        going_on: list[bool] = []

        async def handler(request: Request) -> None:
            started.append(request)
            while not going_on:
                await w.sleep(0.002)
            await request.reply(*request.parts)

        serving = w.spawn(replier.serve(handler, limit=3))
        asking = [w.spawn(requester.request(b"%d" % number)) for number in range(12)]
        await w.until(lambda: len(started) == 3 and requester.statistics().sent == 12)
        await w.settled()
        assert (len(started), replier.statistics().received) == (3, 3)
        going_on.append(True)
        assert [await each for each in asking] == [[b"%d" % number] for number in range(12)]
        replier.close()
        await serving


@pytest.mark.waits
@pytest.mark.parametrize("kind", ["Puller", "Subscriber", "Dealer"])
@pytest.mark.parametrize("call", ["receive", "iteration"])
async def test_conflate_gives_the_newest(w: World, kind: str, call: str, tmp_path: Path) -> None:
    async with getattr(w, kind)(
        bind=f"ipc://{tmp_path}/newest", options={zmq.CONFLATE: 1}
    ) as receiver:
        if kind == "Subscriber":
            receiver.subscribe("")
        with one_peer(kind, receiver) as peer:
            # The first may be any that was sent so far.
            receiving = w.spawn(receiver.receive())
            while not w.done(receiving):
                send(kind, peer, 0)
                await w.sleep(0.002)
            await receiving
            taken = 1
            for last in (100, 200, 300):
                for number in range(last - 99, last + 1):
                    send(kind, peer, number)
                await w.sleep(0.02)  # busy with the one before
                numbers = [0]
                while numbers[-1] != last:  # on a busy machine some are still on their way
                    message = await (receiver.receive() if call == "receive" else anext(receiver))
                    numbers.append(number_in(kind, message))
                assert len(numbers) < 50
                taken += len(numbers) - 1
            statistics = receiver.statistics()
            assert statistics.received == taken + statistics.unwanted + statistics.unread


async def test_a_subscriber_that_was_held_up_gets_the_newest_of_all(w: World) -> None:
    options = {zmq.CONFLATE: 1, zmq.RCVHWM: 0}
    async with w.Subscriber("", bind="inproc://held up", options=options) as subscriber:
        with one_peer("Subscriber", subscriber) as peer:
            receiving = w.spawn(subscriber.receive())
            while not w.done(receiving):
                peer.send(b"0")
                await w.sleep(0.002)
            for number in range(1, 3001):  # more than one burst
                peer.send(b"%d" % number)
            assert await subscriber.receive() == (b"", b"3000")
            # Where it never runs dry, one is delivered all the same.
            for number in range(20_000):
                peer.send(b"%d" % number)
            received = [int((await subscriber.receive())[1])]
            while received[-1] < 19_999:
                received.append(int((await subscriber.receive())[1]))
            assert 1 < len(received) < 10
            statistics = subscriber.statistics()
            assert statistics.received == statistics.delivered + statistics.unwanted


async def test_conflate_loses_no_subscription(w: World, tmp_path: Path) -> None:
    # libzmq conflates the subscriptions, too, and sends the last one only.
    tags = [f"tag{number}." for number in range(50)]
    async with (
        w.Publisher(bind=f"ipc://{tmp_path}/tags") as publisher,
        w.Subscriber(tags, connect=publisher.addresses, options={zmq.CONFLATE: 1}) as subscriber,
    ):
        await w.connected(publisher, subscriber, tags[-1])
        for tag in tags:
            publisher.publish(b"x", tag)
            assert await subscriber.receive() == (tag.encode(), b"x")


@handlers
@pytest.mark.parametrize("kind", RECEIVERS)
@pytest.mark.parametrize("prefetch", [0, 2])
async def test_a_handler_gets_one_at_a_time_and_none_while_it_is_paused(
    w: World, kind: str, prefetch: int
) -> None:
    handled = []

    def handler(message: Any) -> None:
        handled.append(number_in(kind, message))
        if handled[-1] == 5:
            receiver.pauseProducing()

    receiver = getattr(w, kind)(bind="inproc://handled", handler=handler, prefetch=prefetch)
    async with receiver:
        with one_peer(kind, receiver) as peer:
            if kind == "Subscriber":
                receiver.subscribe("")
                while not handled:
                    peer.send(b"-1")
                    await w.sleep(0.002)
            for number in range(20):
                send(kind, peer, number)
            await w.until(lambda: handled[-1:] == [5])
            await w.settled()
            assert handled[-1] == 5
            assert receiver.statistics().unread <= prefetch
            receiver.resumeProducing()
            await w.until(lambda: handled[-1] == 19)
            assert handled[-20:] == list(range(20))


@handlers
async def test_a_handler_with_conflate_gets_the_newest(w: World, tmp_path: Path) -> None:
    handled = []
    receiver = w.Subscriber(
        "",
        bind=f"ipc://{tmp_path}/h",
        options={zmq.CONFLATE: 1},
        handler=lambda item: handled.append(int(item[1])),
    )
    async with receiver:
        with one_peer("Subscriber", receiver) as peer:
            while not handled:
                peer.send(b"0")
                await w.sleep(0.002)
            receiver.pauseProducing()
            for number in range(1, 101):
                peer.send(b"%d" % number)
            await w.until(lambda: receiver.statistics().unwanted >= 99)
            receiver.resumeProducing()
            await w.until(lambda: handled[-1] == 100)
            assert not set(handled) & set(range(1, 100))


@pytest.mark.waits
@pytest.mark.parametrize("kind", ["Pusher", "Dealer", "Requester"])
async def test_the_send_queue_holds_what_its_argument_says(w: World, kind: str) -> None:
    async with getattr(w, kind)(bind="inproc://queue", send_queue=3) as sender:
        if kind == "Requester":
            asking = [w.spawn(sender.request(b"x")) for _ in range(3)]
            await w.settled()
            with pytest.raises(QueueFull, match="3 messages wait"):
                await sender.request(b"x")
            assert not any(map(w.done, asking))
        else:
            send = sender.push_nowait if kind == "Pusher" else sender.send_nowait
            for _ in range(3):
                send(b"x")
            with pytest.raises(QueueFull, match="3 messages wait"):
                send(b"x")
        assert sender.statistics().queued == 3
        for each in asking if kind == "Requester" else ():
            each.cancel()
            with pytest.raises(w.Cancelled):
                await each


@pytest.mark.parametrize("kind", ["Router", "Replier"])
async def test_each_peer_has_a_send_queue(w: World, kind: str) -> None:
    full = {zmq.SNDHWM: 1}
    async with getattr(w, kind)(bind="inproc://queue", send_queue=3, options=full) as sender:
        with sender.socket.context.socket(zmq.DEALER) as stuck:
            stuck.set(zmq.LINGER, 0)
            stuck.set(zmq.RCVHWM, 1)
            stuck.set(zmq.ROUTING_ID, b"stuck")
            stuck.connect("inproc://queue")
            stuck.send_multipart([b"id", b"", b"hello"])
            await sender.receive()
            for _ in range(2 + 3):
                sender._pump.send([b"stuck", b"x"])
            with pytest.raises(QueueFull, match="3 messages wait"):
                sender._pump.send([b"stuck", b"x"])
            assert sender.statistics().queued == 3


async def test_marks_are_checked_and_shown(w: World) -> None:
    for kind in RECEIVERS:
        made = getattr(w, kind)
        for bad, error in ((-1, ValueError), (1.5, TypeError), ("1", TypeError), (True, TypeError)):
            with pytest.raises(error, match=rf"prefetch={bad!r}"):
                made(prefetch=bad)
        for bad, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)):
            with pytest.raises(error, match=rf"prefetch_bytes={bad!r}"):
                made(prefetch_bytes=bad)
    for kind in SENDERS:
        made = getattr(w, kind)
        for bad, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError), ("1", TypeError)):
            with pytest.raises(error, match=rf"send_queue={bad!r}"):
                made(send_queue=bad)
        async with made(send_queue=math.inf):
            pass
    for kind in {*RECEIVERS, *SENDERS}:
        shown = inspect.signature(getattr(w.backend, kind)).parameters
        assert {"bind", "connect", "context", "options", "security"} <= set(shown)
        assert ({"prefetch", "prefetch_bytes"} <= set(shown)) == (kind in RECEIVERS)
        assert ("send_queue" in shown) == (kind in SENDERS)
