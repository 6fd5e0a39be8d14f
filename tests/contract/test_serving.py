"""What a handler of `serve` lets out or leaves behind does not concern the next request."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import anyio
import pytest
from twisted.internet import defer
from twisted.internet.defer import Deferred

from zmqbridge import PeerUnreachable, SocketClosed

if TYPE_CHECKING:
    from tests.conftest import Request, World

SIMULATED = ["sim-asyncio", "sim-trio", "sim-twisted"]
some_worlds = pytest.mark.parametrize(
    "w",
    ["asyncio", "uvloop", "trio", "deaf", "epoll", "asyncioreactor", *SIMULATED],
    indirect=True,
)
seen_by: contextvars.ContextVar[Any] = contextvars.ContextVar("seen_by", default="nobody")
ADDRESS = "inproc://serving"


class Outcome(BaseException):
    """As pytest's own, which is no Exception."""


async def of_what_it_awaits(w: World) -> None:
    twisted = w.backend.__name__.endswith("twisted_backend")
    work: Any = defer.Deferred() if twisted else asyncio.Future()
    work.cancel()
    await work


async def of_itself(w: World) -> None:
    asyncio.current_task().cancel()
    await w.sleep(0)


async def not_at_all(w: World) -> None:
    raise Outcome("in a handler")


def has_no_tasks(w: World, lets_out: Callable[..., Any]) -> bool:
    """Only asyncio has Futures and tasks that may be cancelled by whoever holds them."""
    on_trio = getattr(w, "how", {}).get("backend") == "trio"
    on_twisted = w.backend.__name__.endswith("twisted_backend")
    if lets_out is of_itself:
        return on_trio or on_twisted
    return lets_out is of_what_it_awaits and on_trio


@some_worlds
@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("lets_out", [of_what_it_awaits, of_itself, not_at_all])
async def test_what_nobody_aimed_at_serve_is_reported_and_the_next_is_served(
    w: World, lets_out: Callable[..., Any], limit: int
) -> None:
    if has_no_tasks(w, lets_out):
        pytest.skip("there is no task that could be cancelled")

    async def handler(request: Request) -> None:
        if request.parts == [b"poison"]:
            await lets_out(w)
        await request.reply(b"well")

    async with w.Replier(bind=ADDRESS) as replier, w.Requester(connect=ADDRESS) as requester:
        serving = w.spawn(replier.serve(handler, limit))
        for _ in range(5):
            poisoned = w.spawn(requester.request(b"poison"))
            expected = len(w.reports) + 1
            await w.until(lambda expected=expected: len(w.reports) == expected)
            poisoned.cancel()
            with pytest.raises(w.Cancelled):
                await poisoned
            assert await requester.request(b"?", timeout=5) == [b"well"]
        kinds = (
            {Outcome} if lets_out is not_at_all else {asyncio.CancelledError, defer.CancelledError}
        )
        assert {type(report) for report in w.reports} <= kinds
        assert not w.done(serving)
        # While one aimed at serve ends it, with the handlers that are under way.
        serving.cancel()
        with pytest.raises(w.Cancelled):
            await serving
        assert len(w.reports) == 5


@pytest.mark.parametrize("w", ["asyncio", "uvloop"], indirect=True)
@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("by_itself", [True, False])
async def test_a_cancellation_that_comes_after_its_handler_stops_nothing(
    w: World, limit: int, by_itself: bool
) -> None:
    async def handler(request: Request) -> None:
        tasks.append(asyncio.current_task())
        await request.reply(b"well")
        if by_itself:
            tasks[-1].cancel()

    tasks: list[Any] = []
    async with w.Replier(bind=ADDRESS) as replier, w.Requester(connect=ADDRESS) as requester:
        serving = w.spawn(replier.serve(handler, limit))
        for number in range(1, 6):
            assert await requester.request(b"?", timeout=5) == [b"well"]
            await w.settled()
            if not by_itself:
                tasks[-1].cancel()  # as one that cancels a job which it holds to be under way
            await w.until(lambda number=number: len(w.reports) == number)
        assert {type(report) for report in w.reports} == {asyncio.CancelledError}
        serving.cancel()
        with pytest.raises(w.Cancelled):
            await serving


@pytest.mark.parametrize("w", ["asyncio", "uvloop"], indirect=True)
async def test_a_cancellation_that_nobody_aimed_at_serve_leaves_no_mark_on_the_next_handler(
    w: World,
) -> None:
    async def handler(request: Request) -> None:
        marks.append(asyncio.current_task().cancelling())
        if request.parts == [b"poison"]:
            marks[0:0] = [asyncio.current_task()]
            marks[0].cancel()
            await asyncio.sleep(0)
        same.append(asyncio.current_task() is marks[0])
        await request.reply(b"well")

    marks: list[Any] = []
    same: list[bool] = []
    async with w.Replier(bind=ADDRESS) as replier, w.Requester(connect=ADDRESS) as requester:
        serving = w.spawn(replier.serve(handler, 1))
        poisoned = w.spawn(requester.request(b"poison"))
        await w.until(lambda: w.reports)
        assert await requester.request(b"?", timeout=5) == [b"well"]
        assert marks[1:] == [0, 0]
        assert same == [True]  # it was the same worker
        poisoned.cancel()
        replier.close()
        await serving


@some_worlds
async def test_handlers_that_set_context_variables_leave_room_for_as_many_as_before(
    w: World,
) -> None:
    async def handler(request: Request) -> None:
        seen_by.set(request.parts[0])
        running.append(request)
        while gate:
            await w.sleep(0.001)
        await request.reply(b"well")
        running.remove(request)

    running: list[Any] = []
    gate = []
    async with w.Replier(bind=ADDRESS) as replier, w.Requester(connect=ADDRESS) as requester:
        serving = w.spawn(replier.serve(handler, 3))
        for number in range(10):
            await requester.request(b"%d" % number, timeout=5)
        gate.append(True)
        asking = [w.spawn(requester.request(b"%d" % number)) for number in range(9)]
        await w.until(lambda: len(running) == 3)
        gate.clear()
        await w.gather(*asking)
        replier.close()
        await serving


@pytest.mark.parametrize("w", ["asyncio", "uvloop"], indirect=True)
async def test_who_serves_may_have_been_cancelled_before(w: World) -> None:
    async def handler(request: Request) -> None:
        if request.parts == [b"poison"]:
            await of_what_it_awaits(w)
        await request.reply(b"well")

    async def serve() -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await replier.serve(handler)

    async with w.Replier(bind=ADDRESS) as replier, w.Requester(connect=ADDRESS) as requester:
        serving = asyncio.ensure_future(serve())
        await asyncio.sleep(0)
        serving.cancel()
        poisoned = w.spawn(requester.request(b"poison"))
        await w.until(lambda: w.reports)
        assert await requester.request(b"?", timeout=5) == [b"well"]
        poisoned.cancel()
        serving.cancel()
        with pytest.raises(w.Cancelled):
            await serving
        assert len(w.reports) == 1


@pytest.mark.parametrize("w", ["asyncio", "uvloop"], indirect=True)
@pytest.mark.parametrize("how", ["all tasks", "a scope", "a timeout", "one of anyio's"])
async def test_whatever_cancels_serve_nothing_is_said_of_its_handlers(w: World, how: str) -> None:
    # All tasks at once, as ``asyncio.run`` does when its program has ended.
    async def handler(request: Request) -> None:
        handling.append(asyncio.current_task())
        await asyncio.sleep(100)

    async def serve() -> None:
        if how == "a scope":
            with scope:
                await replier.serve(handler)
        elif how == "a timeout":
            async with asyncio.timeout(0.2):
                await replier.serve(handler)
        elif how == "one of anyio's":
            with anyio.fail_after(0.2):
                await replier.serve(handler)
        else:
            await replier.serve(handler)

    handling: list[asyncio.Task[Any] | None] = []
    scope = anyio.CancelScope()
    async with w.Replier(bind=ADDRESS) as replier, w.Requester(connect=ADDRESS) as requester:
        asking = [w.spawn(requester.request(b"%d" % number)) for number in range(5)]
        serving = asyncio.ensure_future(serve())
        await w.until(lambda: len(handling) == 5)
        if how == "all tasks":
            for task in [*handling, serving]:
                task.cancel()
        elif how == "a scope":
            scope.cancel()
        ended = await asyncio.wait_for(asyncio.gather(serving, return_exceptions=True), 5)
        kinds = {"all tasks": asyncio.CancelledError, "a scope": type(None)}
        assert type(ended[0]) is kinds.get(how, TimeoutError)
        assert w.reports == []
        for each in asking:
            each.cancel()


@pytest.mark.parametrize("w", ["asyncio", "uvloop", "trio"], indirect=True)
async def test_handlers_that_have_tasks_are_cancelled_without_a_word(w: World) -> None:
    on_trio = getattr(w, "how", {}).get("backend") == "trio"
    # That of trio lets a group of cancellations out.
    tasks = pytest.importorskip("trio").open_nursery if on_trio else anyio.create_task_group

    async def handler(request: Request) -> None:
        async with tasks() as group:
            group.start_soon(anyio.sleep, 100)
            group.start_soon(anyio.sleep, 100)
            began.append(request)

    began: list[Request] = []
    async with w.Replier(bind=ADDRESS) as replier, w.Requester(connect=ADDRESS) as requester:
        serving = w.spawn(replier.serve(handler))
        asking = w.spawn(requester.request(b"?"))
        await w.until(lambda: began)
        serving.cancel()
        with pytest.raises(w.Cancelled):
            await serving
        assert w.reports == []
        asking.cancel()
        with pytest.raises(w.Cancelled):
            await asking


@pytest.mark.parametrize("w", ["trio"], indirect=True)
@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, GeneratorExit])
async def test_what_ends_the_program_ends_serve_also_out_of_a_group(
    w: World, end: type[BaseException]
) -> None:
    # On asyncio the loop itself lets it out.
    async def handler(request: Request) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(child)

    async def child() -> None:
        raise BaseExceptionGroup("several", [end(), ValueError("reported")])

    async def serve() -> None:
        try:
            await replier.serve(handler)
        except BaseExceptionGroup as error:
            ended.append(error.split(end))

    ended: list[Any] = []
    async with w.Replier(bind=ADDRESS) as replier, w.Requester(connect=ADDRESS) as requester:
        serving = w.spawn(serve())
        asking = w.spawn(requester.request(b"?"))
        await serving
        assert [rest for _, rest in ended] == [None]
        assert [type(report.exceptions[0].exceptions[0]) for report in w.reports] == [ValueError]
        asking.cancel()
        with pytest.raises(w.Cancelled):
            await asking


@some_worlds
async def test_each_handler_runs_in_a_copy_of_the_context_of_serve(w: World) -> None:
    seen = []

    async def handler(request: Request) -> None:
        seen.append(seen_by.get())
        seen_by.set(request.parts[0])
        await w.sleep(0)
        seen.append(seen_by.get())
        await request.reply(b"well")

    async with w.Replier(bind=ADDRESS) as replier, w.Requester(connect=ADDRESS) as requester:
        seen_by.set("who serves")
        serving = w.spawn(replier.serve(handler, 2))
        seen_by.set("another")
        for number in range(5):
            await requester.request(b"%d" % number)
        assert seen == [word for number in range(5) for word in ("who serves", b"%d" % number)]
        # Several at once, too.
        seen.clear()
        await w.gather(*(requester.request(b"%d" % number) for number in range(10)))
        assert seen.count("who serves") == 10
        replier.close()
        await serving
    assert seen_by.get() == "another"


def eager(loop: Any, coroutine: Any, **options: Any) -> Any:
    """A program's own factory; for asyncio's own, anyio makes tasks that begin later."""
    # uvloop gives the factory `eager_start`, too.
    return asyncio.Task(coroutine, loop=loop, **options | {"eager_start": True})


async def set_factory_or_skip(loop: Any, factory: Any) -> None:
    loop.set_task_factory(factory)
    waiting = asyncio.sleep(0)
    try:
        await loop.create_task(waiting)
    except TypeError:
        loop.set_task_factory(None)
        waiting.close()
        pytest.skip("uvloop gives this Python's eager_task_factory what that does not take")
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(asyncio.sleep, 0)
    except BaseExceptionGroup:
        pytest.skip("anyio's groups cannot have tasks that begin at once, from 4.14 on")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no eager tasks before 3.12")
@pytest.mark.parametrize("w", ["asyncio", "uvloop"], indirect=True)
@pytest.mark.parametrize("own", [True, False])
async def test_so_it_does_where_tasks_begin_at_once(w: World, own: bool) -> None:
    # What has come when `serve` is called is handled within the call that starts the first worker.
    seen = []

    async def handler(request: Request) -> None:
        seen.append(seen_by.get())
        seen_by.set(request.parts[0])
        await request.reply(b"well")

    loop = asyncio.get_running_loop()
    await set_factory_or_skip(loop, eager if own else vars(asyncio)["eager_task_factory"])
    async with w.Replier(bind=ADDRESS) as replier, w.Requester(connect=ADDRESS) as requester:
        for limit in (1, 3):
            asking = [w.spawn(requester.request(b"%d" % number)) for number in range(5)]
            await w.until(lambda: replier.statistics().unread == 5)
            seen_by.set("who serves")
            serving = w.spawn(replier.serve(handler, limit))
            assert await w.gather(*asking) == [[b"well"]] * 5
            assert await requester.request(b"?") == [b"well"]
            serving.cancel()
            with pytest.raises(w.Cancelled):
                await serving
        assert seen == ["who serves"] * 12
    assert w.reports == []


@pytest.mark.parametrize("w", ["epoll", "asyncioreactor"], indirect=True)
async def test_so_does_a_handler_that_is_no_coroutine(w: World) -> None:
    seen = []

    def handler(request: Request) -> Any:
        seen.append(seen_by.get())
        seen_by.set("a handler")
        return request.reply(b"well")

    async with w.Replier(bind=ADDRESS) as replier, w.Requester(connect=ADDRESS) as requester:
        serving = replier.serve(handler)
        for _ in range(3):
            await requester.request(b"?")
        assert seen == ["nobody"] * 3
        replier.close()
        await serving


@pytest.mark.parametrize("w", ["epoll", "asyncioreactor"], indirect=True)
@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError, GeneratorExit, Outcome])
async def test_on_twisted_whatever_a_handler_raises_is_logged(
    w: World, error: type[Exception]
) -> None:
    def handler(request: Request) -> Any:
        if request.parts == [b"poison"]:
            raise error("in a handler")
        return request.reply(b"well")

    async with w.Replier(bind=ADDRESS) as replier, w.Requester(connect=ADDRESS) as requester:
        serving = replier.serve(handler, 1)
        poisoned = requester.request(b"poison")
        assert await requester.request(b"?", timeout=5) == [b"well"]
        assert [type(report) for report in w.reports] == [error]
        poisoned.addErrback(lambda _: None)
        replier.close()
        await serving


@pytest.mark.parametrize("w", ["epoll", "asyncioreactor"], indirect=True)
async def test_on_twisted_cancelling_serve_cancels_its_handlers_without_a_word(w: World) -> None:
    handling: list[Deferred[Any]] = []
    ended = []
    async with w.Replier(bind=ADDRESS) as replier, w.Requester(connect=ADDRESS) as requester:
        serving = replier.serve(lambda request: handling.append(defer.Deferred()) or handling[-1])
        asking = [requester.request(b"?") for _ in range(3)]
        await w.until(lambda: len(handling) == 3)
        serving.cancel()
        with pytest.raises(w.Cancelled):
            await serving
        assert [each.called for each in handling] == [True] * 3
        assert w.reports == []
        # What ends the program is not reported, either.
        serving = replier.serve(interrupt)
        serving.addErrback(lambda failure: ended.append(failure.type))
        asking.append(requester.request(b"?"))
        await w.until(lambda: ended == [KeyboardInterrupt])
        assert w.reports == []
        for each in asking:
            each.addErrback(lambda _: None)


def interrupt(request: Request) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("w", ["asyncio", "trio"], indirect=True)
async def test_values_that_cannot_be_compared_are_no_obstacle(w: World) -> None:
    class Odd:
        def __eq__(self, other: object) -> NoReturn:
            raise ValueError("as an array of numpy's")

        __hash__ = object.__hash__

    seen = []

    async def handler(request: Request) -> None:
        seen.append(seen_by.get())
        seen_by.set(Odd())
        await request.reply(b"well")

    odd = Odd()
    seen_by.set(odd)
    async with w.Replier(bind=ADDRESS) as replier, w.Requester(connect=ADDRESS) as requester:
        serving = w.spawn(replier.serve(handler))
        for _ in range(3):
            await requester.request(b"?")
        assert all(one is odd for one in seen)
        replier.close()
        await serving


@pytest.mark.parametrize("w", ["epoll", "select", "asyncioreactor"], indirect=True)
@pytest.mark.parametrize("way", ["coroutine", "Deferred", "nobody looks", "serve"])
async def test_clients_that_left_are_reported_once_each_in_whatever_way_it_handles(
    w: World, way: str
) -> None:
    begun: list[Any] = []
    gone: defer.Deferred[None] = defer.Deferred()

    def later() -> defer.Deferred[None]:
        waiting: defer.Deferred[None] = defer.Deferred()
        gone.addCallback(lambda _: waiting.callback(None))
        return waiting

    async def by_coroutine(request: Request) -> None:
        await later()
        await request.reply(b"x")

    def handle(request: Request) -> object:
        begun.append(request)
        if way in ("coroutine", "serve"):
            return by_coroutine(request)
        waiting = later().addCallback(lambda _: answer(request))
        return waiting if way == "Deferred" else None

    def answer(request: Request) -> object:
        replied = request.reply(b"x")
        return replied if way == "Deferred" else None

    replier: Any = w.Replier(
        bind="tcp://127.0.0.1:*", handler=None if way == "serve" else handle, monitor=True
    )
    async with replier:
        serving = replier.serve(handle) if way == "serve" else None
        async with w.Requester(connect=replier.addresses) as requester:
            asking = [requester.request(b"%d" % number) for number in range(20)]
            await w.until(lambda: len(begun) == 20)
            events = replier.events()
        for each in asking:
            each.addErrback(lambda failure: failure.trap(SocketClosed))
        async for event in events:
            if event.kind.name == "DISCONNECTED":
                break
        async with w.Requester(connect=replier.addresses, timeout=20) as other:
            asked = other.request(b"another client")
            await w.until(lambda: len(begun) == 21)
            gone.callback(None)
            assert await asked == [b"x"]
        gc.collect()
        await w.until(lambda: w.reports)
        await w.settled()
        counts = replier.statistics()
        assert (counts.received, counts.sent, counts.unroutable) == (21, 1, 20)
    if serving is not None:
        await serving
    assert [type(each) for each in w.reports] == [PeerUnreachable]
