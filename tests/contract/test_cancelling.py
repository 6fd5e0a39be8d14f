"""Cancelling: whatever moment it comes in, no message is lost and none comes twice."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from zmqbridge import HandshakeFailed, SocketClosed
from zmqbridge._bridge.untold import AT_ONCE

if TYPE_CHECKING:
    from tests.conftest import World

if TYPE_CHECKING:
    from tests.conftest import Request, World

pytestmark = pytest.mark.every_world

MESSAGES = 300


async def test_cancelled_receivers_lose_no_message(w: World) -> None:
    chance = random.Random(5)
    received: list[int] = []
    async with w.Puller(bind="inproc://hail") as puller:
        async with w.Pusher(connect="inproc://hail") as pusher:
            sent = 0
            while len(received) < MESSAGES:
                receivers = []
                for _ in range(3):
                    receivers.append(w.spawn(puller.receive()))
                    await w.sleep(0)
                while sent < MESSAGES and chance.random() < 0.7:
                    pusher.push_nowait(b"%d" % sent)
                    sent += 1
                for _ in range(chance.randrange(4)):  # some are woken by now, some took it, …
                    await w.sleep(0)
                for each in receivers:
                    each.cancel()
                for each in receivers:
                    try:
                        received.append(int((await each)[0]))
                    except w.Cancelled:
                        pass
            assert sorted(received) == list(range(MESSAGES))
            assert puller.statistics().unread == 0


async def test_cancelled_requests_are_forgotten(w: World) -> None:
    async with w.Replier(bind="inproc://forgotten") as replier:
        async with w.Requester(connect="inproc://forgotten", timeout=10) as requester:
            asking = [w.spawn(requester.request(b"%d" % number)) for number in range(20)]
            requests = [await replier.receive() for _ in asking]
            for each in asking[::2]:
                each.cancel()
            for each in asking[::2]:
                with pytest.raises(w.Cancelled):
                    await each
            assert requester.statistics().open_requests == 10
            for request in requests:
                await request.reply(*request.parts)
            assert [await each for each in asking[1::2]] == [[b"%d" % n] for n in range(1, 20, 2)]
            await w.until(lambda: requester.statistics().late_replies == 10)
            # A server does not know who has given up: only the client counts such replies.
            assert (replier.statistics().sent, replier.statistics().unroutable) == (20, 0)


@pytest.mark.parametrize("w", ["asyncio", "uvloop", "epoll", "asyncioreactor"], indirect=True)
async def test_a_reply_is_late_whose_caller_another_cancels_in_the_same_burst(w: World) -> None:
    async def ask_and_cancel() -> None:
        await requester.request(b"1")
        asking[2].cancel()

    async with w.Replier(bind="inproc://forgotten") as replier:
        async with w.Requester(connect="inproc://forgotten", timeout=10) as requester:
            asking = [
                w.spawn(requester.request(b"it comes alone, by the ring of the FD")),
                w.spawn(ask_and_cancel()),
                w.spawn(requester.request(b"2")),
            ]
            for request in [await replier.receive() for _ in asking]:
                await request.reply(*request.parts)
            await asking[0]
            await asking[1]
            with pytest.raises(w.Cancelled):
                await asking[2]
            await w.until(lambda: requester.statistics().late_replies == 1)


async def test_no_reply_is_late_of_a_request_cancelled_in_the_turn_of_its_timeout(w: World) -> None:
    async with w.Requester(connect="inproc://nobody") as requester:
        asking = w.spawn(requester.request(b"", timeout=60))
        await w.until(lambda: requester.statistics().open_requests == 1)
        deadlines = requester._deadlines
        [request_id] = deadlines.table.by_id
        asking.cancel()
        deadlines._time_out(request_id)  # in the same turn of the loop
        with pytest.raises(w.Cancelled):
            await asking
        assert requester.statistics().late_replies == 0


@pytest.mark.waits
@pytest.mark.parametrize("many", [3, AT_ONCE + 200])
async def test_no_reply_is_late_of_a_request_cancelled_while_others_are_told_of_a_refusal(
    w: World, many: int
) -> None:
    async def first() -> None:
        try:
            await requester.request(b"")
        finally:
            asking[-1].cancel()

    async with w.Requester() as requester:
        asking = [w.spawn(first())]
        asking += [w.spawn(requester.request(b"")) for _ in range(many - 1)]
        await w.until(lambda: requester.statistics().open_requests == many)
        requester._deadlines.refused(HandshakeFailed("no", None))  # type: ignore[arg-type]
        for each in asking:
            with pytest.raises((HandshakeFailed, w.Cancelled)):
                await each
        assert requester.statistics().late_replies == 0
        assert requester.statistics().withdrawn == many


async def test_no_reply_is_late_when_the_socket_closes_on_cancelled_requests(w: World) -> None:
    async with w.Requester(connect="inproc://nobody") as requester:
        asking = [w.spawn(requester.request(b"")) for _ in range(3)]
        await w.until(lambda: requester.statistics().open_requests == 3)
        for each in asking:
            each.cancel()
        requester.close()
        for each in asking:
            with pytest.raises((w.Cancelled, SocketClosed)):
                await each
        assert requester.statistics().late_replies == 0


async def test_cancelling_serve_cancels_its_handlers(w: World) -> None:
    async with w.Replier(bind="inproc://served") as replier:
        async with w.Requester(connect="inproc://served") as requester:
            running = 0

            async def handler(request: Request) -> None:
                nonlocal running
                running += 1
                try:
                    await w.sleep(1000)
                finally:
                    running -= 1

            serving = w.spawn(replier.serve(handler))
            asking = [w.spawn(requester.request(b"")) for _ in range(5)]
            await w.until(lambda: running == 5)
            serving.cancel()
            with pytest.raises(w.Cancelled):
                await serving
            assert running == 0
            requester.close()
            for each in asking:
                with pytest.raises(SocketClosed):
                    await each


async def test_a_cancelled_receiver_passes_its_message_on(w: World) -> None:
    async with w.Puller(bind="inproc://passed") as puller:
        async with w.Pusher(connect="inproc://passed") as pusher:
            for number in range(1, 51):
                first = w.spawn(puller.receive())
                await w.settled()
                second = w.spawn(puller.receive())
                await w.settled()
                pusher.push_nowait(b"x")
                while puller.statistics().received < number:
                    await w.sleep(0)
                first.cancel()  # mostly it was told by now, and has not gone on
                try:
                    await first
                except w.Cancelled:
                    assert await second == [b"x"]
                else:
                    second.cancel()
                    with pytest.raises(w.Cancelled):
                        await second


async def test_one_receiver_cancels_the_next_when_both_were_told(w: World) -> None:
    async with w.Puller(bind="ipc://*") as puller:
        async with w.Pusher(connect=puller.addresses) as pusher:
            pusher.push_nowait(b"connected")
            await puller.receive()

            async def receive_and_cancel() -> list[bytes]:
                message = await puller.receive()
                waiting[2].cancel()
                waiting.append(w.spawn(puller.receive()))
                return message

            waiting = []
            # The first, because the message that rings comes by itself.
            for receive in (puller.receive, receive_and_cancel, puller.receive, puller.receive):
                waiting.append(w.spawn(receive()))
                await w.settled()
            lone, first, second, third = waiting
            for body in (b"lone", b"first", b"next", b"last"):
                pusher.push_nowait(body)
            assert [await lone, await first] == [[b"lone"], [b"first"]]
            fourth = waiting[4]
            try:
                assert await second == [b"next"]  # on trio it had gone on by then
            except w.Cancelled:
                assert [await third, await fourth] == [[b"next"], [b"last"]]
            else:
                assert await third == [b"last"]
                fourth.cancel()
                with pytest.raises(w.Cancelled):
                    await fourth
