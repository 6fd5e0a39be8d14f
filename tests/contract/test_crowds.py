"""Crowds of waiters get their errors in slices of time; nobody is left out, whatever ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import weakref
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

import pytest
from twisted.internet import selectreactor
from twisted.internet.testing import MemoryReactorClock

from zmqbridge import RequestTimeout, SocketClosed, twisted_backend
from zmqbridge._bridge.untold import AT_ONCE, Untold, another
from zmqbridge.asyncio_backend import Requester
from zmqbridge.txzmq import ZmqEndpoint, ZmqFactory, ZmqREQConnection

if TYPE_CHECKING:
    from tests.conftest import World

pytestmark = pytest.mark.real("slices of time")

CROWD = 1280  # more than twice as many as are told at once
TCP = "tcp://127.0.0.1:*"
# What a Deferred throws into a coroutine is held in a cycle by these, any Deferred's.
KEEPS_WHAT_IS_THROWN = (3, 12) <= sys.version_info < (3, 14)


class Asked:
    """Requests that nobody answers, and what became of them."""

    def __init__(self, w: World, requester: Any, count: int, timeout: float = 1000) -> None:
        self.ended: list[int] = []
        self.errors: set[type[Exception]] = set()
        self.turns = 0
        self.waiting = [w.spawn(self.ask(requester, number, timeout)) for number in range(count)]

    async def ask(self, requester: Any, number: int, timeout: float) -> None:
        try:
            await requester.request(b"?", timeout=timeout)
        except Exception as error:
            self.ended.append(number)
            self.errors.add(type(error))

    async def until_all_ended(self, w: World) -> None:
        while len(self.ended) < len(self.waiting):
            self.turns += 1
            await w.sleep(0)


@pytest.mark.parametrize("way", [pytest.param("close", marks=pytest.mark.every_world), "aclose"])
async def test_a_crowd_is_told_of_the_end_while_the_loop_goes_on(w: World, way: str) -> None:
    async with w.Requester(bind=TCP) as requester:
        asked = Asked(w, requester, CROWD)
        await w.until(lambda: requester.statistics().open_requests == CROWD)
        closing = w.spawn(requester.aclose()) if way == "aclose" else requester.close()
        assert len(asked.ended) <= AT_ONCE
        await asked.until_all_ended(w)
        if closing is not None:
            await closing
        assert requester.statistics().open_requests == 0
    assert asked.turns > 5
    assert sorted(asked.ended) == list(range(CROWD))
    assert all(issubclass(error, SocketClosed) for error in asked.errors)


@pytest.mark.parametrize("w", ["asyncio", "uvloop", "epoll", "asyncioreactor"], indirect=True)
async def test_a_crowd_is_told_in_the_order_in_which_it_came(w: World) -> None:
    async with w.Requester(bind=TCP) as requester:
        asked = Asked(w, requester, CROWD)
        await w.until(lambda: requester.statistics().open_requests == CROWD)
        requester.close()
        await asked.until_all_ended(w)
    assert asked.ended == list(range(CROWD))


async def test_a_few_hundred_are_told_at_once(w: World) -> None:
    async with w.Requester(bind=TCP) as requester:
        asked = Asked(w, requester, AT_ONCE)
        await w.until(lambda: requester.statistics().open_requests == AT_ONCE)
        requester.close()
        await asked.until_all_ended(w)
    assert asked.turns < 5


async def test_when_aclose_returns_all_were_told(w: World) -> None:
    async with w.Requester(bind=TCP) as requester:
        asked = Asked(w, requester, CROWD)
        await w.until(lambda: requester.statistics().open_requests == CROWD)
        requester.close()
        assert requester._link.untold
        await requester.aclose()
        assert not requester._link.untold
        await w.settled()
        assert len(asked.ended) == CROWD


async def test_receivers_are_a_crowd_as_well(w: World) -> None:
    ended: list[int] = []

    async def receives() -> None:
        with pytest.raises(SocketClosed):
            await puller.receive()
        ended.append(1)

    async with w.Puller(bind=TCP) as puller:
        for _ in range(CROWD):
            w.spawn(receives())
        await w.until(lambda: len(puller._inbox._waiters) == CROWD)
        puller.close()
        assert len(ended) <= AT_ONCE
        await w.until(lambda: len(ended) == CROWD)


async def test_a_crowd_whose_time_is_up_is_told_while_the_loop_goes_on(w: World) -> None:
    async with w.Requester(bind=TCP) as requester:
        asked = Asked(w, requester, CROWD, timeout=0.2)
        await w.until(lambda: requester.statistics().accepted == CROWD)
        await asked.until_all_ended(w)
        assert requester.statistics().queued == 0
    assert asked.errors == {RequestTimeout}
    assert sorted(asked.ended) == list(range(CROWD))


@pytest.mark.skipif(sys.implementation.name == "pypy", reason="it counts no references")
async def test_who_was_told_leaves_nothing_to_the_garbage_collector(w: World) -> None:
    if KEEPS_WHAT_IS_THROWN and w.backend is twisted_backend:
        pytest.skip("Python 3.12 and 3.13 leave it to the collector themselves")
    errors: list[Any] = []

    async def asks() -> None:
        try:
            await requester.request(b"?")
        except SocketClosed as error:
            errors.append(weakref.ref(error))

    async with w.Requester(bind=TCP) as requester:
        for _ in range(10):
            w.spawn(asks())
        await w.until(lambda: requester.statistics().open_requests == 10)
        gc.disable()
        try:
            requester.close()
            await w.until(lambda: len(errors) == 10)
            await w.settled()
            assert [error() for error in errors] == [None] * 10
        finally:
            gc.enable()


def test_the_loop_may_end_right_after_closing() -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def main() -> None:
        nonlocal tasks
        requester = Requester(bind=TCP)
        tasks = [asyncio.ensure_future(requester.request(b"?")) for _ in range(CROWD)]
        while requester.statistics().open_requests < CROWD:
            await asyncio.sleep(0)
        requester.close()

    asyncio.run(main())
    assert all(task.done() for task in tasks)
    assert all(task.cancelled() or isinstance(task.exception(), SocketClosed) for task in tasks)


def test_a_crowd_is_told_at_once_when_its_loop_does_not_run() -> None:
    async def main() -> None:
        tasks.extend(asyncio.ensure_future(requester.request(b"?")) for _ in range(CROWD))
        while requester.statistics().open_requests < CROWD:
            await asyncio.sleep(0)

    async def ends() -> list[Any]:
        return await asyncio.gather(*tasks, return_exceptions=True)

    tasks: list[asyncio.Task[Any]] = []
    requester = Requester(bind=TCP)
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(main())
        requester.close()
        assert not requester._link.untold
        errors = loop.run_until_complete(ends())
    assert {type(error).__mro__[1] for error in errors} == {SocketClosed}


def facade(reactor: Any) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    factory = ZmqFactory()
    factory.reactor = reactor
    connection = ZmqREQConnection(factory, ZmqEndpoint("connect", "inproc://nobody"))
    return lambda: connection.sendMsg(b"?"), connection.shutdown, factory.shutdown


def native(reactor: Any) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    requester = twisted_backend.Requester(connect="inproc://nobody", reactor=reactor)
    return lambda: requester.request(b"?"), requester.close, lambda: None


@pytest.mark.parametrize("make", [facade, native])
@pytest.mark.parametrize(
    "stops",
    ["after closing", "when all calls are cancelled", "when all were told", "before closing"],
)
def test_deferreds_fire_in_slices_and_when_their_reactor_stops(
    make: Callable[..., Any], stops: str
) -> None:
    def start() -> None:
        for _ in range(CROWD):
            ask().addErrback(lambda failure: ended.append(failure.type))
        if stops == "before closing":
            reactor.addSystemEventTrigger("during", "shutdown", close)
            reactor.stop()
            return
        close()
        fired.append(len(ended))
        if stops == "when all calls are cancelled":
            for call in reactor.getDelayedCalls():
                call.cancel()
        if stops in ("after closing", "when all calls are cancelled"):
            reactor.stop()
        else:
            look()

    def look() -> None:
        turns.append(1)
        if len(ended) < CROWD:
            reactor.callLater(0, look)
        else:
            left.extend(reactor._eventTriggers["shutdown"].during)
            reactor.stop()

    ended: list[type[Any]] = []
    fired: list[int] = []
    turns: list[int] = []
    left: list[tuple[Callable[..., Any], Any, Any]] = []
    reactor = selectreactor.SelectReactor()
    before = list(reactor._eventTriggers["shutdown"].during)
    ask, close, end = make(reactor)
    reactor.callWhenRunning(start)
    reactor.run(installSignalHandlers=False)
    end()
    assert ended == [SocketClosed] * CROWD
    assert reactor.getDelayedCalls() == []
    if stops != "before closing":
        assert fired[0] <= AT_ONCE
    if stops == "when all were told":
        assert len(turns) > 5
        assert left == before
    for waker in list(reactor._internalReaders):
        waker.connectionLost(None)


@pytest.mark.parametrize("make", [facade, native])
def test_a_reactor_that_does_not_run_tells_all_at_once(make: Callable[..., Any]) -> None:
    ended = []
    ask, close, end = make(MemoryReactorClock())
    for _ in range(CROWD):
        ask().addErrback(lambda failure: ended.append(failure.type))
    close()
    assert len(ended) == CROWD
    end()


def held(part: bytes) -> int:
    return sys.getrefcount(part)


@pytest.mark.skipif(not hasattr(sys, "getrefcount"), reason="PyPy frees when it likes to")
@pytest.mark.parametrize("kind", ["Requester", "Pusher"])
async def test_what_a_crowd_has_queued_is_freed_while_the_loop_goes_on(w: World, kind: str) -> None:
    part = bytes(bytearray(b"each message has this part"))
    before, count, asked = held(part), CROWD, []
    async with (w.Pusher if kind == "Pusher" else w.Requester)(bind=TCP, send_queue=inf) as socket:
        if kind == "Pusher":
            count *= 10
            for _ in range(count):
                socket.push_nowait(part)
        else:
            asked = [w.spawn(outcome(socket, part)) for _ in range(count)]
            await w.until(lambda: socket.statistics().queued == count)
        socket.close()
        assert held(part) > before + count / 2
        assert socket.statistics().queued == 0
        assert socket.statistics().dropped == count
        assert set(await w.gather(*asked)) <= {SocketClosed}
        if KEEPS_WHAT_IS_THROWN and w.backend is twisted_backend:
            gc.collect()  # nothing else may come to make it run
        await w.until(lambda: held(part) < before + 10)


async def outcome(requester: Any, part: bytes) -> type[Exception] | None:
    try:
        await requester.request(part)
    except SocketClosed:
        return SocketClosed
    return None


@pytest.mark.parametrize("count", [0, 10, 600, 3000])
@pytest.mark.parametrize("size", [100, 600, 3000])
def test_who_waits_is_told_and_what_held_him_is_freed_by_the_same_slices(
    count: int, size: int
) -> None:
    told: list[int] = []
    calls = []

    def soon(call: Callable[..., Any]) -> bool:
        calls.append(call)
        return True

    untold = Untold(lambda waiters, error: told.extend(waiters), soon)
    kept, freed = list(range(size)), dict.fromkeys(range(size))
    untold.add(range(count), SocketClosed(), [kept, freed])
    if count >= 3000 and size > AT_ONCE:
        assert kept
        assert freed
    while calls:
        assert len(untold) == count - len(told)
        calls.pop()()
    assert told == list(range(count))
    if size > AT_ONCE:
        assert not kept
        assert not freed


def test_an_error_for_each_says_the_same() -> None:
    error = RequestTimeout("sent")
    twin: Any = another(error)
    assert twin is not error
    assert (type(twin), str(twin), twin.stage) == (RequestTimeout, str(error), "sent")
