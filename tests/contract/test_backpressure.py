"""Slow peers: what is kept, who waits, who is not held up; and every message is accounted for."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zmqbridge import PeerUnreachable, QueueFull, RequestTimeout
from zmqbridge.core._pacing import STRIDE

if TYPE_CHECKING:
    from tests.conftest import Dealer, Pusher, Request, Router, World

SIMULATED = ["sim-asyncio", "sim-trio", "sim-twisted"]
some_worlds = pytest.mark.parametrize(
    "w",
    ["asyncio", "uvloop", "trio", "epoll", "asyncioreactor", *SIMULATED],
    indirect=True,
)
small = {zmq.SNDHWM: 1, zmq.RCVHWM: 1}


@some_worlds
async def test_multiparts_of_two_tasks_are_whole_and_never_mixed(w: World) -> None:
    each = 1500
    async with (
        w.Dealer(bind="ipc://*", options=small) as sender,
        w.Dealer(connect=sender.addresses, options=small) as receiver,
    ):

        async def send(name: bytes) -> None:
            for number in range(each):
                parts = [name, b"%d" % number, name * (number % 50)]
                if number % 3:
                    await sender.send(*parts)
                else:
                    try:
                        sender.send_nowait(*parts)
                    except QueueFull as full:
                        assert full.message == parts
                        await sender.send(*parts)

        sending = [w.spawn(send(name)) for name in (b"a", b"b")]
        received: dict[bytes, list[int]] = {b"a": [], b"b": []}
        for _ in range(2 * each):
            name, number, rest = await receiver.receive()
            assert rest == name * (int(number) % 50)
            received[name].append(int(number))
        for one in sending:
            await one
    assert received == {b"a": list(range(each)), b"b": list(range(each))}


@some_worlds
async def test_a_router_with_one_stuck_peer_serves_the_nine_others(w: World) -> None:
    each = 200
    async with w.Router(bind="inproc://ten", options=small) as router:
        stuck = router.socket.context.socket(zmq.DEALER)
        stuck.set(zmq.RCVHWM, 1)
        stuck.set(zmq.IDENTITY, b"stuck")
        stuck.connect("inproc://ten")
        stuck.send(b"here")
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(stuck.close, 0)
            names = [b"%d" % number for number in range(9)]
            dealers = [
                await stack.enter_async_context(
                    w.Dealer(connect="inproc://ten", options={zmq.IDENTITY: name, **small})
                )
                for name in names
            ]
            for dealer in dealers:
                await dealer.send(b"here")
            for _ in range(10):
                await router.receive()
            # Its queue is full, and somebody waits for room in it.
            with pytest.raises(QueueFull):
                while True:
                    router.send_nowait(b"stuck", b"x")
            waiting = w.spawn(router.send(b"stuck", b"x"))

            async def serve(name: bytes) -> None:
                for number in range(each):
                    await router.send(name, b"%d" % number)

            async def receive(dealer: Dealer) -> list[int]:
                return [int((await dealer.receive())[0]) for _ in range(each)]

            serving = [w.spawn(serve(name)) for name in names]
            got = await w.gather(*map(receive, dealers))
            assert got == [list(range(each))] * 9
            for one in serving:
                await one
            assert not w.done(waiting)
            assert router.statistics().queued == 1000  # all of them are the stuck one's
            waiting.cancel()
            with pytest.raises(w.Cancelled):
                await waiting
            with pytest.raises(PeerUnreachable):
                await router.send(b"nobody", b"x")


@some_worlds
async def test_a_pause_that_begins_and_ends_while_many_wait_leaves_nobody_deaf(w: World) -> None:
    many = 1000  # as many messages as pause reading
    async with w.Puller(bind="inproc://pause", options={zmq.RCVHWM: 0}) as puller:
        with puller.socket.context.socket(zmq.PUSH) as peer:
            peer.set(zmq.SNDHWM, 0)
            peer.connect("inproc://pause")
            receiving = [w.spawn(puller.receive()) for _ in range(many)]
            await w.settled()
            for number in range(3 * many):
                peer.send(b"%d" % number)
            received = [await each for each in receiving]
            received += [await puller.receive() for _ in range(2 * many)]
    assert sorted(int(body) for [body] in received) == list(range(3 * many))


class Ledger:
    """What the calls of a test said, to be compared with what the socket says of itself."""

    def __init__(self) -> None:
        self.accepted = self.refused = 0

    def send(self, call: Callable[..., Any]) -> None:
        """Make a call that sends without waiting."""
        try:
            call()
        except (QueueFull, PeerUnreachable):
            self.refused += 1
        else:
            self.accepted += 1


@some_worlds
@pytest.mark.parametrize("seed", range(3))
async def test_every_message_is_in_one_count_at_every_step_of_a_random_run(
    w: World, seed: int
) -> None:
    chance = random.Random(seed)
    router_book, dealer_book = Ledger(), Ledger()
    taken = {"router": 0, "dealer": 0}
    options = {zmq.SNDHWM: 2, zmq.RCVHWM: 2}
    identified = {**options, zmq.IDENTITY: b"peer"}
    async with w.Router(bind="inproc://ledger", options=options) as router:
        dealer = None

        async def connect() -> None:
            nonlocal dealer, dealer_book
            if dealer is None:
                dealer = await stack.enter_async_context(
                    w.Dealer(connect="inproc://ledger", options=identified)
                )
                dealer_book = Ledger()
                taken["dealer"] = 0

        async def leave() -> None:
            nonlocal dealer
            if dealer is not None:
                before = dealer.statistics()
                dealer.close()
                after = dealer.statistics()
                assert after.dropped == before.dropped + before.queued
                assert after.unclaimed == before.unread
                balances(dealer, dealer_book, taken["dealer"])
                dealer = None

        async def take(who: str) -> None:
            receiver = router if who == "router" else dealer
            while receiver is not None and receiver.statistics().unread:
                await receiver.receive()
                taken[who] += 1
                if chance.random() < 0.3:
                    break

        async def send_to_peer() -> None:
            router_book.send(lambda: router.send_nowait(b"peer", b"x", b"y"))

        async def send_to_router() -> None:
            if dealer is not None:
                dealer_book.send(lambda: dealer.send_nowait(b"x"))

        steps: dict[Callable[[], Any], int] = {
            send_to_peer: 40,
            send_to_router: 40,
            connect: 2,
            leave: 1,
            lambda: take("router"): 10,
            lambda: take("dealer"): 5,
            lambda: w.sleep(0): 10,
            lambda: w.sleep(0.001): 1,
        }
        async with contextlib.AsyncExitStack() as stack:
            for step in chance.choices(list(steps), list(steps.values()), k=3000):
                await step()
                balances(router, router_book, taken["router"])
                if dealer is not None:
                    balances(dealer, dealer_book, taken["dealer"])
            await leave()
        statistics = router.statistics()
        assert statistics.unreachable == statistics.dropped
        assert router_book.accepted > 100
        assert router_book.refused > 0
    after = router.statistics()
    assert (after.queued, after.unread) == (0, 0)
    balances(router, router_book, taken["router"])


def balances(socket: Dealer | Router, book: Ledger, taken: int) -> None:
    statistics = socket.statistics()
    assert statistics.accepted == book.accepted
    parts = statistics.sent + statistics.queued + statistics.withdrawn + statistics.dropped
    assert parts == book.accepted
    assert statistics.delivered == taken


SOON, LATER = 0.05, 3600.0  # seconds: it is over while the test runs; it never is


@some_worlds
async def test_every_request_is_in_one_count_and_ends_in_one_way(w: World) -> None:
    chance = random.Random(7)
    ends = {"replied": 0, "timed out": 0}
    # What becomes of a request does not depend on how fast the machine is: an answered one has all
    # the time there is, a forgotten one has little. Only a raced one can end in either way.
    fates = chance.choices([b"answered", b"forgotten", b"raced"], [2, 1, 1], k=400)
    async with (
        w.Requester(options={zmq.SNDHWM: 5}) as requester,
        w.Replier(bind="inproc://ends") as replier,
    ):

        async def ask(number: int) -> None:
            timeout = {b"answered": LATER, b"forgotten": SOON}.get(fates[number])
            timeout = timeout or chance.uniform(0.001, 0.1)
            try:
                reply = await requester.request(fates[number], b"%d" % number, timeout=timeout)
            except RequestTimeout:
                ends["timed out"] += 1
            else:
                assert reply == [b"%d" % number]
                ends["replied"] += 1

        async def handler(request: Request) -> None:
            fate, number = request.parts
            if fate == b"forgotten":
                return  # nobody answers this one
            await w.sleep(chance.uniform(0, 0.002))
            await request.reply(number)

        serving = w.spawn(replier.serve(handler))
        asking, cancelled = [], 0
        for number in range(400):
            asking.append(w.spawn(ask(number)))
            if number == 50:
                requester.connect("inproc://ends")
            if chance.random() < 0.2:
                await w.sleep(0.001)
                one = chance.choice(asking[-20:])  # most of the latest are open on any machine
                if not w.done(one):
                    one.cancel()
        for one in asking:
            try:
                await one
            except w.Cancelled:
                cancelled += 1
        replier.close()
        await serving
        await w.until(lambda: requester.statistics().received >= replier.statistics().sent)
        statistics = requester.statistics()
        assert statistics.open_requests == statistics.queued == 0
        assert statistics.accepted == statistics.sent + statistics.withdrawn <= 400
        assert statistics.withdrawn > 0
        assert ends["replied"] + ends["timed out"] + cancelled == 400
        assert ends["replied"] <= statistics.delivered
        assert min(ends["replied"], ends["timed out"], cancelled) > 10


@some_worlds
async def test_a_push_that_let_the_loop_go_round_waits_when_others_have_filled_the_queue(
    w: World,
) -> None:
    context = w.context()
    options = {zmq.SNDHWM: STRIDE}
    async with w.Pusher(
        bind="inproc://round", context=context, options=options, send_queue=1
    ) as pusher:
        with context.socket(zmq.PULL) as peer:
            peer.rcvhwm = 2 * STRIDE
            peer.connect("inproc://round")
            for _ in range(STRIDE):
                pusher.push_nowait(b"")
            pushing = w.spawn(pusher.push(b"waits"))
            filling = w.spawn(fill(pusher))
            await filling
            assert pusher.statistics().queued == 1

            def read() -> bool:
                with contextlib.suppress(zmq.Again):
                    return peer.recv(zmq.DONTWAIT) == b"waits"
                return False

            await w.until(read)
            await pushing
    context.term()


async def fill(pusher: Pusher) -> None:
    with pytest.raises(QueueFull):
        while True:
            pusher.push_nowait(b"")
