"""A loop that was held up: what had come in time is not late."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from twisted.internet.testing import MemoryReactorClock

from zmqbridge import RequestTimeout, twisted_backend
from zmqbridge._bridge.catchup import MOST_QUIET, SETTLES
from zmqbridge._bridge.keepers import Deadlines
from zmqbridge.core.requests import AT_ONCE, RequestTable
from zmqbridge.core.statistics import Statistics
from zmqbridge.txzmq import ZmqEndpoint, ZmqFactory, ZmqREQConnection

if TYPE_CHECKING:
    from tests.conftest import Call, World

pytestmark = pytest.mark.real("a loop that is held up")

SOME = ["asyncio", "uvloop", "trio", "deaf", "epoll", "asyncioreactor"]
some_worlds = pytest.mark.parametrize("w", SOME, indirect=True)
TIMEOUTS = [0.2, 0.6, 2, 6, 20]  # seconds; a busy machine does not answer all within the first
HELD_UP = MOST_QUIET * SETTLES
MANY = 1200  # requests; libzmq holds 1,000 replies, so not all are there at once
SILENT = b"do not answer"


@contextlib.contextmanager
def server(begin: threading.Event | None = None) -> Iterator[tuple[str, list[Any]]]:
    """An echo in a thread of its own, which goes on while a loop is held up."""

    def echo() -> None:
        while not stop.is_set():
            while (begin is None or begin.wait(0.01)) and router.poll(10):
                message = router.recv_multipart()
                if message[-1] != SILENT:
                    router.send_multipart(message)
                    if message[-1].isdigit():
                        answered.append(message)

    stop = threading.Event()
    answered: list[list[bytes]] = []
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.set(zmq.LINGER, 0)
        router.set(zmq.ROUTER_MANDATORY, 1)  # else it discards what it has no room for
        port = router.bind_to_random_port("tcp://127.0.0.1")
        thread = threading.Thread(target=echo)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{port}", answered
        finally:
            stop.set()
            thread.join()


@some_worlds
@pytest.mark.parametrize("count", [1, MANY])
async def test_a_reply_that_came_in_time_does_not_lose_against_its_timeout(
    w: World, count: int
) -> None:
    with server() as (address, answered):
        async with w.Requester(connect=address) as requester:
            for timeout in TIMEOUTS:
                await requester.request(b"?", timeout=20)  # all that was sent before is answered
                answered.clear()
                before = requester.statistics()
                began = time.monotonic()
                quiet = w.spawn(requester.request(SILENT, timeout=timeout))
                asking = [
                    w.spawn(requester.request(b"%d" % number, timeout=timeout))
                    for number in range(count)
                ]
                all_went = before.accepted + count + 1
                await w.until(lambda wanted=all_went: went(requester.statistics()) == wanted)
                # On a busy machine some are withdrawn before they are sent: once more, with longer.
                if requester.statistics().withdrawn == before.withdrawn:
                    while len(answered) < count:
                        time.sleep(0.001)
                    in_time = time.monotonic() < began + timeout
                    # libzmq's I/O thread may wait for a core for as long as the loop was held up.
                    time.sleep(max(0, began + timeout + HELD_UP - time.monotonic()))
                    if in_time:
                        break
                await w.gather(*map(ended, [quiet, *asking]))
            for number, reply in enumerate(asking):
                assert await reply == [b"%d" % number]
            with pytest.raises(RequestTimeout) as error:
                await quiet
            assert error.value.stage == "sent"


@some_worlds
async def test_nor_does_one_that_is_only_just_due_and_lies_behind_many_others(w: World) -> None:
    begin = threading.Event()
    with server(begin) as (address, answered):
        async with w.Requester(connect=address, timeout=math.inf) as requester:
            for timeout in TIMEOUTS:
                begin.clear()
                answered.clear()
                sent, all_went = (
                    requester.statistics().sent,
                    went(requester.statistics()) + MANY + 1,
                )
                others = [w.spawn(requester.request(b"%d" % number)) for number in range(MANY)]
                await w.until(lambda more=sent: requester.statistics().sent == more + MANY)
                began = time.monotonic()
                last = w.spawn(requester.request(b"%d" % MANY, timeout=timeout))
                await w.until(lambda wanted=all_went: went(requester.statistics()) == wanted)
                due = time.monotonic() + timeout
                begin.set()
                while len(answered) < MANY + 1 and time.monotonic() < due:
                    time.sleep(0.001)
                # libzmq's I/O threads may wait for a core, so half of the time is left to them.
                in_time = len(answered) == MANY + 1 and time.monotonic() < began + timeout / 2
                time.sleep(max(0, due - time.monotonic()))
                if in_time:
                    assert await last == [b"%d" % MANY]
                    break
                await w.gather(ended(last), *others)


def went(statistics: Statistics) -> int:
    return statistics.sent + statistics.withdrawn


async def ended(asking: Call[Any]) -> None:
    with contextlib.suppress(RequestTimeout):
        await asking


@some_worlds
async def test_replies_without_end_hold_up_no_timeout_for_long(w: World) -> None:
    stop = threading.Event()

    def flood(address: str) -> None:
        with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
            router.set(zmq.LINGER, 0)
            router.connect(address)
            peer = router.recv_multipart()[0]
            while not stop.is_set():
                router.send_multipart([peer, b"nobody's", b"", b"x"])

    async with w.Requester(timeout=0.1) as requester:
        thread = threading.Thread(target=flood, args=[requester.bind("tcp://127.0.0.1:*")])
        thread.start()
        try:
            first = w.spawn(requester.request(b"?", timeout=math.inf))
            await w.until(lambda: requester.statistics().late_replies > 100)
            asking = w.spawn(requester.request(b"?"))
            time.sleep(0.15)
            with pytest.raises(RequestTimeout):
                await asking
            first.cancel()
            with pytest.raises(w.Cancelled):
                await first
        finally:
            stop.set()
            thread.join()


@contextlib.contextmanager
def native(
    reactor: MemoryReactorClock, address: str
) -> Iterator[tuple[Callable[..., Any], zmq.Context[Any] | None]]:
    requester = twisted_backend.Requester(connect=address, reactor=reactor)
    try:
        yield lambda part: requester.request(part, timeout=1), requester.socket.context
    finally:
        requester.close()


@contextlib.contextmanager
def facade(
    reactor: MemoryReactorClock, address: str
) -> Iterator[tuple[Callable[..., Any], zmq.Context[Any] | None]]:
    factory = ZmqFactory()
    factory.reactor = reactor
    connection = ZmqREQConnection(factory, ZmqEndpoint("connect", address))
    try:
        yield lambda part: connection.sendMsg(part, timeout=1), factory.context
    finally:
        factory.shutdown()


@pytest.mark.parametrize("make", [native, facade])
def test_replies_that_libzmq_hands_over_little_by_little_are_all_in_time(
    make: Callable[..., Any],
) -> None:
    # Its I/O thread refills what a loop that was held up empties, and may have to wait for a core.
    def answer() -> None:
        router.send_multipart(router.recv_multipart())

    reactor = MemoryReactorClock()
    look = 1.5 * SETTLES  # one at a time
    address = "inproc://little by little"
    with make(reactor, address) as (ask, context), context.socket(zmq.ROUTER) as router:
        router.set(zmq.LINGER, 0)
        router.bind(address)
        asking = [ask(b"%d" % number) for number in range(4)]
        errors: list[Any] = []
        asking[-1].addErrback(errors.append)
        reactor.advance(0)
        answer()
        reactor.advance(2)
        assert [each.called for each in asking] == [True, False, False, False]
        for number in 1, 2:
            reactor.pump([look] * (MOST_QUIET - 1))
            answer()
            reactor.advance(look)
            assert asking[number].result == [b"%d" % number]
        reactor.pump([look] * (MOST_QUIET - 1))
        assert errors == []
        reactor.advance(look)
        assert errors[0].check(RequestTimeout)
        assert reactor.getDelayedCalls() == []


class Reading:
    """A pump that has read all, or not; it notes which looks were the first for their deadline."""

    def __init__(self) -> None:
        self.done = False
        self.firsts: list[bool] = []

    def send(self, message: object, key: object) -> None:
        pass

    def discard(self, key: object) -> bool:
        return False

    def caught_up(self, late: float, again: bool = True) -> bool:
        self.firsts.append(not again)
        return self.done


class Clock:
    """A loop whose clock is set by hand."""

    def __init__(self) -> None:
        self.time = 0.0
        self.due: float | None = None

    def now(self) -> float:
        return self.time

    def call_at(self, deadline: float) -> None:
        self.due = deadline

    def disarm(self) -> None:
        self.due = None


def deadlines() -> tuple[Deadlines, Reading, Clock, list[object]]:
    pump, loop, failed = Reading(), Clock(), list[object]()
    driver: Any = loop
    return (
        Deadlines(RequestTable(), pump, driver, lambda waiters, error: failed.extend(waiters)),
        pump,
        loop,
        failed,
    )


def test_all_that_was_due_by_the_end_of_a_reading_expires_without_another() -> None:
    keeper, pump, loop, failed = deadlines()
    for number in range(3 * AT_ONCE):  # they expire in so many steps
        keeper.open(number, [b"?"], timeout=1)
    keeper.open("later", [b"?"], timeout=9)
    loop.time, pump.done = 3.0, True
    for _ in range(3):
        keeper.alarm()
    assert len(failed) == 3 * AT_ONCE
    assert pump.firsts == [True]
    loop.time = 10.0
    keeper.alarm()
    assert failed[-1] == "later"
    assert pump.firsts == [True, True]


def test_each_deadline_begins_a_reading_of_its_own() -> None:
    keeper, pump, loop, _ = deadlines()
    for _ in range(2):
        request = keeper.open("answered meanwhile", [b"?"], timeout=1)
        for _ in range(3):
            loop.time += 2
            keeper.alarm()
        keeper.give_up(request)
        assert loop.due is None
    assert pump.firsts == [True, False, False] * 2
