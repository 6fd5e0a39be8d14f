"""Delayed calls on a reactor: none is left when nobody waits, and anybody may cancel them."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from twisted.internet.testing import MemoryReactorClock

from zmqbridge import RequestTimeout
from zmqbridge.security import CurveClient, CurveServer, Peer, Policy
from zmqbridge.twisted_backend import Puller, Pusher, Requester
from zmqbridge.txzmq import ZmqEndpoint, ZmqFactory, ZmqREPConnection, ZmqREQConnection

if TYPE_CHECKING:
    from tests.conftest import World

on_reactors = pytest.mark.parametrize("w", ["epoll", "asyncioreactor"], indirect=True)


def cancel_all(reactor: Any, spared: Collection[Any] = ()) -> None:
    """As trial does after a test, and many a tearDown; those that come of it, too."""
    while calls := [call for call in reactor.getDelayedCalls() if call not in spared]:
        for call in calls:
            call.cancel()


class Native:
    def __init__(self, w: World, address: str) -> None:
        self.replier = w.Replier(bind=address)
        self.replier.serve(lambda r: None if r.parts == [b"quiet"] else r.reply(*r.parts))
        self.requester = w.Requester(connect=address)

    def ask(self, part: bytes, timeout: float = 50) -> Any:
        return self.requester.request(part, timeout=timeout)

    def close(self) -> None:
        self.requester.close()
        self.replier.close()


class Facade:
    def __init__(self, w: World, address: str) -> None:
        self.factory = ZmqFactory()
        self.factory.reactor = w.reactor
        rep: Any = ZmqREPConnection(self.factory, ZmqEndpoint("bind", address))
        rep.gotMessage = lambda request, *parts: parts != (b"quiet",) and rep.reply(request, *parts)
        self.req = ZmqREQConnection(self.factory, ZmqEndpoint("connect", address))

    def ask(self, part: bytes, timeout: float = 50) -> Any:
        return self.req.sendMsg(part, timeout=timeout)

    def close(self) -> None:
        self.factory.shutdown()


@pytest.fixture(params=[Native, Facade])
def pair(request: pytest.FixtureRequest, w: World) -> Iterator[Facade | Native]:
    pair = request.param(w, "inproc://delayed")
    yield pair
    pair.close()


class Timers:
    """The timers of requests, apart from those of the test itself."""

    def __init__(self, reactor: Any) -> None:
        self.reactor, self.made = reactor, 0
        self.others = set(reactor.getDelayedCalls())
        self.call_later = reactor.callLater
        reactor.callLater = self.count

    def count(self, delay: float, *call: Any) -> Any:
        self.made += delay > 20
        return self.call_later(delay, *call)

    def set(self) -> list[Any]:
        return [c for c in self.reactor.getDelayedCalls() if self.long(c)]

    def long(self, call: Any) -> bool:
        return call not in self.others and call.getTime() > self.reactor.seconds() + 20


@on_reactors
async def test_no_timer_is_left_when_all_is_answered_or_given_up(
    w: World, pair: Facade | Native
) -> None:
    await w.sleep(0)
    timers = Timers(w.reactor)
    assert await pair.ask(b"x") == [b"x"]
    await w.until(lambda: not timers.set())
    waiting = [pair.ask(b"quiet") for _ in range(3)]
    assert len(timers.set()) == 1
    for each in waiting:
        each.cancel()
        with pytest.raises(w.Cancelled):
            await each
    assert timers.set() == []
    with pytest.raises(RequestTimeout):
        await pair.ask(b"quiet", timeout=0.001)
    assert timers.set() == []
    assert await w.gather(*(pair.ask(b"%d" % number) for number in range(50)))
    await w.until(lambda: not timers.set())


@on_reactors
async def test_requests_one_after_another_share_one_timer(w: World, pair: Facade | Native) -> None:
    await w.sleep(0)
    timers = Timers(w.reactor)
    for number in range(100):
        assert await pair.ask(b"%d" % number) == [b"%d" % number]
    assert timers.made == 1


@on_reactors
async def test_an_earlier_deadline_sets_the_timer_anew_and_later_ones_do_not(
    w: World, pair: Facade | Native
) -> None:
    await w.sleep(0)
    timers = Timers(w.reactor)
    waiting = [pair.ask(b"quiet", timeout=timeout) for timeout in (50, 30)]
    for number in range(10):
        assert await pair.ask(b"%d" % number) == [b"%d" % number]
    assert timers.made == 2
    assert len(timers.set()) == 1
    for each in waiting:
        each.cancel()
        with pytest.raises(w.Cancelled):
            await each


@on_reactors
async def test_a_timer_that_somebody_cancelled_is_set_anew_by_the_next_request(
    w: World, pair: Facade | Native
) -> None:
    await w.sleep(0)
    timers = Timers(w.reactor)
    before = pair.ask(b"quiet", timeout=30)
    cancel_all(w.reactor, spared=timers.others)
    assert timers.set() == []
    after = pair.ask(b"quiet", timeout=50)
    (timer,) = timers.set()
    assert timer.getTime() < w.reactor.seconds() + 40  # for the first one, too
    cancel_all(w.reactor, spared=timers.others)
    assert await pair.ask(b"x") == [b"x"]
    assert len(timers.set()) == 1
    after.cancel()
    with pytest.raises(w.Cancelled):
        await after
    before.cancel()
    with pytest.raises(w.Cancelled):
        await before
    assert timers.set() == []


@on_reactors
async def test_a_turn_that_somebody_cancelled_comes_all_the_same(
    w: World, pair: Facade | Native
) -> None:
    await w.sleep(0)
    spared = set(w.reactor.getDelayedCalls())
    for number in range(30):
        waiting = pair.ask(b"%d" % number)
        cancel_all(w.reactor, spared)
        assert await waiting == [b"%d" % number]
    received: list[list[bytes]] = []
    async with w.Puller(bind="inproc://turns", handler=received.append) as puller:
        async with w.Pusher(connect="inproc://turns") as pusher:
            for number in range(30):
                await pusher.push(b"%d" % number)
                puller.socket.get(zmq.EVENTS)  # which silences the FD, so a turn is asked for
                cancel_all(w.reactor, spared)
                await w.until(lambda: len(received) == number + 1)  # noqa: B023


def test_a_loop_that_cancels_until_there_is_nothing_left_comes_to_its_end() -> None:
    reactor = MemoryReactorClock()
    puller = Puller(bind="inproc://until nothing", reactor=reactor)
    requester = Requester(connect="inproc://until nothing else", timeout=5, reactor=reactor)
    waiting = requester.request(b"x")
    for _ in range(100):
        if not reactor.getDelayedCalls():
            break
        reactor.getDelayedCalls()[0].cancel()
    assert reactor.getDelayedCalls() == []
    pusher = Pusher(connect="inproc://until nothing", reactor=reactor)
    pusher.push_nowait(b"x")
    receiving = puller.receive()
    puller.doRead()
    assert receiving.result == [b"x"]
    waiting.addErrback(lambda failure: None)
    for each in (puller, requester, pusher):
        each.close()
    assert reactor.getDelayedCalls() == []


@on_reactors
async def test_a_closed_socket_is_not_kept_by_a_timer_that_it_had(w: World) -> None:
    # A reactor keeps a cancelled call until its time has come.
    requester = w.Requester(connect="inproc://nobody")
    requester.request(b"x", timeout=50).addErrback(lambda failure: None)
    gone = weakref.ref(requester)
    await w.sleep(0)
    requester.close()
    del requester
    await w.until(lambda: gc.collect() != -1 and gone() is None)


@on_reactors
@pytest.mark.parametrize("turn", [True, False])
async def test_nor_by_a_cancelled_call_that_somebody_keeps(w: World, turn: bool) -> None:
    before = set(w.reactor.getDelayedCalls())
    requester = w.Requester(connect="inproc://nobody")
    if not turn:
        await w.sleep(0)
        requester.request(b"x", timeout=50).addErrback(lambda failure: None)
    calls = [call for call in w.reactor.getDelayedCalls() if call not in before]
    for call in calls:
        call.cancel()
    gone = weakref.ref(requester)
    requester.close()
    del requester
    await w.until(lambda: gc.collect() != -1 and gone() is None)
    assert calls


def test_nor_by_a_reactor_that_does_not_run(make_reactor: Callable[[str], Any]) -> None:
    reactor = make_reactor("select")
    requester = Requester(connect="inproc://nobody", reactor=reactor)
    requester.request(b"x", timeout=50).addErrback(lambda failure: None)
    for call in reactor.getDelayedCalls():
        call.cancel()
    gone = weakref.ref(requester)
    requester.close()
    del requester, call
    gc.collect()
    assert gone() is None
    for waker in list(reactor._internalReaders):
        waker.connectionLost(None)


@on_reactors
async def test_closing_cancels_its_own_calls_and_asks_for_nothing_in_their_place(
    w: World, pair: Facade | Native
) -> None:
    handed_in, hand_in = [], w.reactor.callFromThread
    w.reactor.callFromThread = lambda *call: handed_in.append(call) or hand_in(*call)
    waiting = pair.ask(b"quiet")  # so that there are a turn and a timer
    waiting.addErrback(lambda failure: None)
    pair.close()
    await w.settled()
    del w.reactor.callFromThread
    assert handed_in == []


@on_reactors
async def test_a_refused_client_tries_again_although_its_timer_was_cancelled(w: World) -> None:
    await w.sleep(0)
    spared = set(w.reactor.getDelayedCalls())
    server, client = zmq.curve_keypair(), zmq.curve_keypair()
    context = zmq.Context()
    refused = []

    def refuse(peer: Peer) -> bool:
        refused.append(peer)
        return False

    async with (
        w.Authenticator({"*": Policy(check=refuse)}, context=context),
        w.Puller(bind="tcp://127.0.0.1:*", security=CurveServer(server[1]), context=context) as at,
        w.Pusher(
            connect=at.addresses, security=CurveClient(server[0], *client), context=context
        ) as pusher,
    ):
        assert not pusher.closed
        await w.until(lambda: w.reports)
        cancel_all(w.reactor, spared)
        await w.until(lambda: len(refused) > 1)
    context.term()
