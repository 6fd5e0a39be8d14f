"""The waiter of the asyncio backend: its task goes on at once where that can be, else soon."""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import pytest

from zmqbridge import SocketClosed
from zmqbridge.asyncio_backend import Puller, Pusher, Replier, Requester
from zmqbridge.asyncio_backend import _waiter as module
from zmqbridge.asyncio_backend._driver import LoopDriver
from zmqbridge.asyncio_backend._waiter import (
    FutureWaiter,
    MeasuredWaiter,
    Waiter,
    can_be_stepped,
    waiter_for,
)

name = contextvars.ContextVar("name", default="nobody")


def in_python(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    """A Task without C, as other interpreters have it."""
    return vars(asyncio.tasks)["_PyTask"](coroutine, loop=loop, **options)


@pytest.fixture(params=[None, in_python], ids=["C", "Python"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        with asyncio.Runner() as runner:
            runner.get_loop().set_task_factory(request.param)
            return runner.run(main())

    return run


async def parked(
    kind: type[Any] = Waiter,
) -> tuple[MeasuredWaiter | Waiter, list[Any], asyncio.Task[Any]]:
    """A waiter, a list of what its task came to, and the task, which waits."""
    waiter, log = kind(asyncio.get_running_loop()), []

    async def wait() -> None:
        name.set("the task")
        try:
            log.append(await waiter)
        except (LookupError, asyncio.CancelledError) as error:
            log.append(type(error))
        log.append(name.get())

    task = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    return waiter, log, task


def test_told_by_the_loop_the_task_goes_on_before_the_call_returns(run: Callable[..., Any]) -> None:
    async def main() -> None:
        waiter, log, task = await parked()
        seen = []

        def tell() -> None:
            waiter.set_result("hello")
            seen.append(list(log))

        asyncio.get_running_loop().call_soon(tell)
        await task
        assert seen == [["hello", "the task"]]

    run(main)


@pytest.mark.parametrize("by", ["the loop", "a task"])
def test_where_callbacks_are_named_it_goes_on_soon_whoever_tells(
    run: Callable[..., Any], by: str
) -> None:
    async def main() -> None:
        waiter, log, task = await parked(MeasuredWaiter)
        seen = []

        def tell() -> None:
            waiter.set_result("hello")
            seen.append(list(log))
            assert not waiter.cancel()  # it was told

        if by == "the loop":
            asyncio.get_running_loop().call_soon(tell)
        else:
            tell()
        await task
        assert seen == [[]]
        assert log == ["hello", "the task"]

    run(main)


def test_where_nobody_names_callbacks_it_goes_on_at_once(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with (
            Puller(bind="inproc://once") as puller,
            Pusher(connect="inproc://once") as pusher,
        ):
            receiving = asyncio.ensure_future(puller.receive())
            receiving.add_done_callback(lambda _: None)
            await asyncio.sleep(0)
            tell, stepped = LoopDriver.tell, []

            def note(*told: Any) -> None:
                stepped.append((tell(*told), receiving.done()))

            monkeypatch.setattr(LoopDriver, "tell", note)
            await pusher.push(b"x")
            assert await receiving == [b"x"]
            assert stepped == [(None, True)]

    run(main)


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt])
def test_a_task_that_ends_the_program_takes_nothing_from_those_told_with_it(end: Any) -> None:
    async def main() -> None:
        async with (
            Replier(bind="inproc://ends") as replier,
            Requester(connect="inproc://ends") as requester,
        ):
            asking = [asyncio.ensure_future(ask(requester, number)) for number in range(4)]
            for request in [await replier.receive() for _ in asking]:
                await request.reply(*request.parts)
            try:
                await asyncio.wait(asking[1:])
            finally:
                assert [each.result() for each in asking[1:]] == [[b"1"], [b"2"], [b"3"]]
                assert requester.statistics().late_replies == 0

    async def ask(requester: Any, number: int) -> Any:
        reply = await requester.request(b"%d" % number)
        if not number:
            raise end
        return reply

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        going_on = loop.create_task(main())
        with pytest.raises(end):
            loop.run_until_complete(going_on)
        loop.run_until_complete(going_on)  # as a notebook does, or a signal handler of a program


def test_a_reply_is_its_callers_alone(run: Callable[..., Any]) -> None:
    tracemalloc = pytest.importorskip("tracemalloc")  # PyPy has none

    async def main() -> None:
        async with (
            Replier(bind="inproc://held") as replier,
            Requester(connect="inproc://held") as requester,
        ):
            # Not by `serve`: since 3.14 anyio does not learn that a task in Python runs.
            answering = asyncio.ensure_future(answer(replier))
            tracemalloc.start()
            try:
                assert await requester.request(b"?") == [large]
                await asyncio.sleep(0)
                assert tracemalloc.get_traced_memory()[0] < len(large) / 2
            finally:
                tracemalloc.stop()
            replier.close()
            await answering

    async def answer(replier: Replier) -> None:
        async for request in replier:
            await request.reply(large)
            del request

    large = bytes(10_000_000)
    run(main)


def test_told_by_another_task_it_goes_on_soon(run: Callable[..., Any]) -> None:
    async def main() -> None:
        waiter, log, task = await parked()
        waiter.set_result("hello")
        assert log == []
        await task
        assert log == ["hello", "the task"]

    run(main)


def test_an_error_comes_soon(run: Callable[..., Any]) -> None:
    async def main() -> None:
        waiter, log, task = await parked()
        waiter.set_exception(LookupError())
        assert log == []
        await task
        assert log == [LookupError, "the task"]

    run(main)


def test_a_cancelled_task_is_not_told_and_one_that_was_told_is_not_cancelled(
    run: Callable[..., Any],
) -> None:
    async def main() -> None:
        waiter, log, task = await parked()
        task.cancel()
        assert waiter.done
        await task
        assert log == [asyncio.CancelledError, "the task"]
        waiter, log, task = await parked()
        waiter.set_result("hello")
        assert not waiter.cancel()
        await task
        assert log == ["hello", "the task"]

    run(main)


def test_what_was_told_before_is_there_without_waiting(run: Callable[..., Any]) -> None:
    async def main() -> None:
        waiter = Waiter(asyncio.get_running_loop())
        waiter.set_result("hello")
        assert await waiter == "hello"
        waiter = Waiter(asyncio.get_running_loop())
        waiter.set_exception(LookupError())
        with pytest.raises(LookupError):
            await waiter

    run(main)


def test_a_task_of_another_loop_may_not_wait_for_it(run: Callable[..., Any]) -> None:
    async def main() -> None:
        other = asyncio.new_event_loop()
        try:
            with pytest.raises(RuntimeError, match="different loop"):
                await Waiter(other)
        finally:
            other.close()

    run(main)


# Interpreters whose tasks are not what ours are.


@types.coroutine
def seeing_futures_only(
    coroutine: Coroutine[Any, Any, Any],
) -> Generator[Any, Any, Any]:
    call: Any
    argument: Any
    call, argument = coroutine.send, None
    while True:
        try:
            awaited = call(argument)
        except StopIteration as done:
            return done.value
        if awaited is not None and not isinstance(awaited, asyncio.Future):
            call, argument = coroutine.throw, RuntimeError(f"bad yield: {awaited!r}")
            continue
        try:
            yield awaited
            call, argument = coroutine.send, None
        except BaseException as error:
            call, argument = coroutine.throw, error


def strict(
    coroutine: Coroutine[Any, Any, Any], *, loop: asyncio.AbstractEventLoop, **options: Any
) -> asyncio.Task[Any]:
    """A task that waits for Futures and nothing else."""

    async def run() -> Any:
        return await seeing_futures_only(coroutine)

    return asyncio.Task(run(), loop=loop, **options)


def raising(
    coroutine: Coroutine[Any, Any, Any], *, loop: asyncio.AbstractEventLoop, **options: Any
) -> None:
    """There are no tasks to be made."""
    coroutine.close()
    raise TypeError


def test_here_tasks_can_be_stepped() -> None:
    assert module.STEPS
    assert can_be_stepped(asyncio.Task)
    assert can_be_stepped(vars(asyncio.tasks)["_PyTask"])


def test_that_is_found_out_within_a_task_as_well(run: Callable[..., Any]) -> None:
    async def main() -> None:
        def known() -> object:  # a task in Python is not, since 3.14
            return asyncio.current_task(), asyncio.all_tasks()

        before = known()
        assert can_be_stepped(asyncio.Task)
        assert known() == before
        await asyncio.sleep(0)
        assert known() == before

    run(main)


@pytest.mark.parametrize("kind", [strict, raising])
def test_where_they_cannot_nothing_is_left_of_the_trial(kind: Callable[..., Any]) -> None:
    assert not can_be_stepped(kind)
    assert asyncio._get_running_loop() is None


def test_where_tasks_wait_for_futures_only_they_get_futures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STEPS", can_be_stepped(strict))

    async def main() -> None:
        assert waiter_for(asyncio.get_running_loop()) is FutureWaiter
        async with (
            Replier(bind="inproc://strict") as replier,
            Requester(connect="inproc://strict", timeout=10) as requester,
            Pusher(bind="inproc://push", send_queue=1) as pusher,
        ):
            serving = asyncio.ensure_future(replier.serve(lambda request: request.reply(b"y")))
            asked = [asyncio.ensure_future(requester.request(b"x")) for _ in range(10)]
            given_up = asyncio.ensure_future(requester.request(b"x"))
            await asyncio.sleep(0)
            given_up.cancel()
            assert await asyncio.gather(*asked) == [[b"y"]] * 10
            with pytest.raises(asyncio.CancelledError):
                await given_up
            pusher.push_nowait(b"queued")
            pushing = asyncio.ensure_future(pusher.push(b"waits"))
            await asyncio.sleep(0)
            async with Puller(connect="inproc://push") as puller:
                assert [await puller.receive() for _ in range(2)] == [[b"queued"], [b"waits"]]
                await pushing
                receiving = asyncio.ensure_future(puller.receive())
                await asyncio.sleep(0)
                puller.close()
                with pytest.raises(SocketClosed):
                    await receiving
            replier.close()
            await serving

    with asyncio.Runner() as runner:
        runner.get_loop().set_task_factory(lambda loop, coro, **kw: strict(coro, loop=loop, **kw))
        runner.run(main())


@pytest.mark.parametrize("kind", [Waiter, MeasuredWaiter, FutureWaiter])
def test_what_awaits_it_and_is_no_task_is_told_so_and_does_not_spin(kind: Any) -> None:
    """As a coroutine of Twisted does, which goes on at once with whatever it does not know."""

    async def main() -> None:
        waiting = kind(asyncio.get_running_loop()).__await__()
        next(waiting)
        with pytest.raises(RuntimeError, match=r"await"):
            waiting.send(None)
        async with (
            Requester(connect="tcp://127.0.0.1:9") as requester,
            Puller(bind="inproc://no-task") as puller,
        ):
            for call in (requester.request(b"?"), puller.receive()):
                call.send(None)
                with pytest.raises(RuntimeError, match=r"task of asyncio: in a coroutine of Twis"):
                    call.send(None)
            assert requester.statistics().open_requests == 0

    asyncio.run(main())
