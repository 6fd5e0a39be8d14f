"""Handlers of every kind, on every reactor: whatever they raise, the next message is delivered."""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.python import log

from zmqbridge.core.connectionevents import MonitorEvent
from zmqbridge.twisted_backend._handlers import dispatch
from zmqbridge.txzmq import ZmqEndpoint, ZmqFactory, ZmqPullConnection, ZmqPushConnection

if TYPE_CHECKING:
    from tests.conftest import World

REACTORS = ["epoll", "poll", "select", "asyncioreactor", "asyncioreactor-uvloop"]
on_reactors = pytest.mark.parametrize("w", REACTORS, indirect=True)


class Outcome(BaseException):
    """As what a test framework raises to end a test."""


RAISED = {
    b"1": SystemExit,
    b"2": asyncio.CancelledError,
    b"3": GeneratorExit,
    b"4": Outcome,
    b"5": ZeroDivisionError,
    b"6": CancelledError,
}
NUMBERS = [b"%d" % number for number in range(8)]
WAYS = ["at once", "in a coroutine", "later in a coroutine", "by a Deferred"]


def raising(w: World, how: str, got: list[Any]) -> Callable[..., Any]:
    """A hook that remembers what it got, and goes wrong in some way."""

    def check(message: list[bytes]) -> None:
        got.append(message[0])
        if message[0] in RAISED:
            raise RAISED[message[0]]("in a hook")

    async def check_in_a_coroutine(message: list[bytes]) -> None:
        if how.startswith("later"):
            await w.sleep(0)
        check(message)

    def check_by_a_deferred(message: list[bytes]) -> Deferred[Any] | None:
        try:
            check(message)
        except BaseException:
            return fail()
        return None

    return {"at once": check, "by a Deferred": check_by_a_deferred}.get(how, check_in_a_coroutine)


def in_order(errors: list[Any]) -> list[type[Any]]:
    return sorted((type(error) for error in errors), key=list(RAISED.values()).index)


@on_reactors
@pytest.mark.parametrize("how", WAYS)
async def test_a_native_handler_may_raise_anything(w: World, how: str) -> None:
    got: list[bytes] = []
    async with (
        w.Puller(bind="inproc://h", handler=raising(w, how, got)) as puller,
        w.Pusher(connect="inproc://h") as pusher,
    ):
        for number in NUMBERS:
            await pusher.push(number)
            await w.until(lambda: number in got)  # noqa: B023
        await w.until(lambda: len(w.reports) == len(RAISED))
        assert not puller.closed
    assert got == NUMBERS
    assert in_order(w.reports) == list(RAISED.values())


@on_reactors
@pytest.mark.parametrize("how", WAYS[:3])
async def test_a_hook_of_the_facade_may_raise_anything(w: World, how: str) -> None:
    got: list[bytes] = []
    factory = ZmqFactory()
    factory.reactor = w.reactor
    reports = []

    def observe(event: dict[str, Any]) -> None:
        if event.get("isError"):
            reports.append(event["failure"].value)

    log.addObserver(observe)
    try:
        puller = ZmqPullConnection(factory, ZmqEndpoint("bind", "inproc://h"))
        puller.messageReceived = raising(w, how, got)
        pusher = ZmqPushConnection(factory, ZmqEndpoint("connect", "inproc://h"))
        for number in NUMBERS:
            pusher.push(number)
            await w.until(lambda: number in got)  # noqa: B023
        await w.until(lambda: len(reports) == len(RAISED))
        assert puller in w.reactor.getReaders()
    finally:
        factory.shutdown()
        log.removeObserver(observe)
    assert got == NUMBERS
    assert in_order(reports) == list(RAISED.values())


@on_reactors
async def test_a_handler_of_events_may_raise_anything(w: World) -> None:
    told = []

    def handler(event: MonitorEvent) -> None:
        told.append(event.kind)
        raise Outcome

    async with w.Puller(bind="tcp://127.0.0.1:*", monitor=True) as puller:
        puller.events(handler)
        async with w.Pusher(connect=puller.addresses):
            await w.until(lambda: len(told) > 2)
    assert {type(error) for error in w.reports} == {Outcome}
    assert len(w.reports) > 2


@on_reactors
async def test_a_keyboard_interrupt_in_a_handler_of_events_is_no_mere_error(w: World) -> None:
    # As in each Deferred's callback: nobody is called again, and Twisted says who was not told.
    told, seen = [], []

    def handler(event: MonitorEvent) -> None:
        told.append(event.kind)
        raise KeyboardInterrupt

    async with w.Puller(bind="tcp://127.0.0.1:*", monitor=True) as puller:
        puller.events(handler)
        puller.events(lambda event: seen.append(event.kind))
        async with w.Pusher(connect=puller.addresses):
            await w.until(lambda: len(seen) > 2)
    assert len(told) == 1
    await w.until(lambda: gc.collect() != -1 and w.reports)
    assert [type(error) for error in w.reports] == [KeyboardInterrupt]


def test_a_keyboard_interrupt_is_for_the_reactor() -> None:
    class Owner:
        def hook(self, message: str) -> None:
            raise KeyboardInterrupt

    messages = deque(["one", "two"])
    reports: list[Any] = []
    with pytest.raises(KeyboardInterrupt):
        dispatch(messages, Owner(), "hook", reports.append)
    assert list(messages) == ["two"]
    assert reports == []


def test_who_is_not_to_be_followed_keeps_his_deferred() -> None:
    class Owner:
        def hook(self, message: Deferred[Any]) -> Deferred[Any]:
            return message

    waiter: Deferred[Any] = Deferred()
    seen: list[Any] = []

    def see(result: object, report: Callable[..., Any], message: object) -> None:
        seen.append(result)

    dispatch(deque([waiter]), Owner(), "hook", seen.append, see_through=see)
    waiter.addErrback(lambda failure: seen.append(failure.type))
    waiter.errback(ZeroDivisionError())
    assert seen == [waiter, ZeroDivisionError]
