"""Twisted and asyncio in one process: on one loop, and each with a thread of its own."""

from __future__ import annotations

import asyncio
import functools
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred, gatherResults

from zmqbridge import RequestTimeout, asyncio_backend, twisted_backend

COUNT = 2000
WORKERS = 50
BOUND = 50  # seconds
# Asyncio's debug mode says so when a callback was slow, as all are on a busy machine.
SLOW = re.compile(r"^Executing <.* took [0-9.]+ seconds\n", re.MULTILINE)
EXAMPLE = Path(__file__).parents[1] / "examples" / "both_worlds.py"


async def ask(request: Callable[..., Any], who: bytes, gather: Callable[..., Any]) -> None:
    """Put numbered requests, many at a time; each reply repeats its question."""

    async def work(first: int) -> None:
        for number in range(first, COUNT, WORKERS):
            question = b"%s asks %d" % (who, number)
            assert await request(question) == [b"answer", question]

    await gather([work(first) for first in range(WORKERS)])


def answer(request: Any) -> Any:
    return request.reply(b"answer", *request.parts)


def gather_deferreds(coroutines: list[Coroutine[Any, Any, Any]]) -> Deferred[Any]:
    return gatherResults([Deferred.fromCoroutine(each) for each in coroutines])


async def gather_tasks(coroutines: list[Coroutine[Any, Any, Any]]) -> None:
    await asyncio.gather(*coroutines)


async def on_one_loop(reactor: AsyncioSelectorReactor, loop: asyncio.AbstractEventLoop) -> str:
    """An asyncio task that uses sockets of both worlds."""
    async with (
        asyncio_backend.Replier(bind="inproc://asyncio answers") as replier,
        asyncio_backend.Requester(BOUND, connect="inproc://twisted answers") as requester,
    ):
        twisted_replier = twisted_backend.Replier(bind="inproc://twisted answers", reactor=reactor)
        twisted_requester = twisted_backend.Requester(
            BOUND, connect="inproc://asyncio answers", reactor=reactor
        )
        assert len({each.socket.context for each in (replier, twisted_replier)}) == 1

        def as_deferred(question: bytes) -> Deferred[Any]:
            return Deferred.fromFuture(asyncio.ensure_future(requester.request(question)))

        def as_future(question: bytes) -> asyncio.Future[Any]:
            return twisted_requester.request(question).asFuture(loop)

        serving = asyncio.create_task(replier.serve(answer))
        twisted_serving = twisted_replier.serve(answer)
        # Each requester is used by its own world, and at the same time by the other one.
        await asyncio.gather(
            ask(requester.request, b"asyncio", gather_tasks),
            ask(as_future, b"asyncio through twisted", gather_tasks),
            Deferred.fromCoroutine(
                ask(twisted_requester.request, b"twisted", gather_deferreds)
            ).asFuture(loop),
            Deferred.fromCoroutine(
                ask(as_deferred, b"twisted through asyncio", gather_deferreds)
            ).asFuture(loop),
        )
        for each in (requester, twisted_requester):
            assert each.statistics().sent == 2 * COUNT
            assert each.statistics()[-2:] == (0, 0)  # no open requests, no late replies
        await twisted_requester.aclose().asFuture(loop)
        twisted_replier.close()
        await twisted_serving.asFuture(loop)
        replier.close()
        await serving
    return "done"


def reactor_runs(reactor: AsyncioSelectorReactor, loop: asyncio.AbstractEventLoop) -> str:
    """Twisted is the host, and ends it all."""
    results: list[Any] = []

    def start() -> None:
        finished = Deferred.fromFuture(loop.create_task(on_one_loop(reactor, loop)))
        finished.addBoth(results.append)
        finished.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(start)
    reactor.run(installSignalHandlers=False)
    return results[0]


def loop_runs(reactor: AsyncioSelectorReactor, loop: asyncio.AbstractEventLoop) -> str:
    """Asyncio is the host, and ends it all."""
    reactor.startRunning(installSignalHandlers=False)
    result = loop.run_until_complete(on_one_loop(reactor, loop))
    reactor.stop()
    loop.run_forever()  # until the reactor's shutdown stops it
    return result


@pytest.mark.parametrize("host", [reactor_runs, loop_runs])
def test_on_one_loop_both_worlds_ask_and_answer_each_other(host: Callable[..., Any]) -> None:
    loop = asyncio.new_event_loop()
    reactor = AsyncioSelectorReactor(loop)
    try:
        assert host(reactor, loop) == "done"
        assert not asyncio.all_tasks(loop)
        assert not [r for r in reactor.getReaders() if "zmq" in type(r).__module__]
    finally:
        loop.close()


async def take_part(
    backend: ModuleType,
    mine: str,
    others: str,
    gather: Callable[..., Any],
    start: Callable[..., Any],
    has_asked: Callable[..., Any],
    may_end: Callable[..., Any],
    **where: Any,
) -> None:
    """One world's side: ask the other, answer it, and end when it may."""
    async with (
        backend.Replier(bind=f"inproc://{mine}", **where) as replier,
        backend.Requester(BOUND, connect=f"inproc://{others}", **where) as requester,
    ):
        serving = start(replier.serve(answer))
        await ask(requester.request, mine.encode(), gather)
        has_asked()
        if await may_end() == "alone":
            with pytest.raises(RequestTimeout):
                await requester.request(b"is anybody there?", timeout=0.05)
        assert requester.statistics().late_replies == 0
        replier.close()
        await serving


@pytest.mark.parametrize("first", ["twisted", "asyncio"])
def test_each_in_its_thread_they_ask_and_answer_and_either_may_end_first(
    first: str, make_reactor: Callable[[str], Any]
) -> None:
    twisted_may_end: Deferred[str] = Deferred()
    outcomes: list[None] = []
    reactor = make_reactor("epoll")

    def nobody_waits() -> None:
        pass

    def start_twisted(has_asked: Callable[..., Any]) -> None:
        side = Deferred.fromCoroutine(
            take_part(
                twisted_backend,
                "twisted",
                "asyncio",
                gather_deferreds,
                lambda serving: serving,
                has_asked,
                lambda: twisted_may_end,
                reactor=reactor,
            )
        )
        side.addBoth(outcomes.append)
        side.addBoth(lambda _: reactor.stop())

    def run_reactor(has_asked: Callable[..., Any]) -> None:
        reactor.callWhenRunning(start_twisted, has_asked)
        reactor.run(installSignalHandlers=False)

    def end_twisted(how: str) -> None:
        reactor.callFromThread(twisted_may_end.callback, how)

    async def main() -> threading.Thread:
        may_end: Callable[[], Any]
        loop, asked = asyncio.get_running_loop(), asyncio.Event()
        if first == "twisted":
            thread = threading.Thread(target=run_reactor, args=[nobody_waits])

            async def may_end() -> str:
                await asyncio.to_thread(thread.join)
                return "alone"

        else:
            has_asked = functools.partial(loop.call_soon_threadsafe, asked.set)
            thread = threading.Thread(target=run_reactor, args=[has_asked])
            may_end = asked.wait
        thread.start()
        await take_part(
            asyncio_backend,
            "asyncio",
            "twisted",
            gather_tasks,
            asyncio.ensure_future,
            functools.partial(end_twisted, "together") if first == "twisted" else nobody_waits,
            may_end,
        )
        return thread

    thread = asyncio.run(asyncio.wait_for(main(), BOUND))
    if first == "asyncio":
        end_twisted("alone")
    thread.join(BOUND)
    assert not thread.is_alive()
    assert outcomes == [None]


def test_the_example_of_an_application_on_its_way_ends_in_peace() -> None:
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", EXAMPLE],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Started in the background, the suite ignores Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        said = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=BOUND)
    finally:
        process.kill()
    assert said == ["there are 12 apples\n", "there are 3 pears\n", "there are 0 plums\n"]
    assert (SLOW.sub("", complaints), process.returncode) == ("", 0)
