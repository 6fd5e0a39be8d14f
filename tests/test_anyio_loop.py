"""Loops without ``add_reader``: the tasks of a socket live in its ``async with``."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import zmq

from zmqbridge import LoopError, RequestTimeout, SocketClosed
from zmqbridge.asyncio_backend import Puller, Pusher, Replier, Request, Requester, Subscriber
from zmqbridge.testing import Network
from zmqbridge.testing import run as simulated

trio = pytest.importorskip("trio")
testing = pytest.importorskip("trio.testing")


@pytest.fixture(params=["trio", "deaf"])
def run(
    request: pytest.FixtureRequest, deaf_loop: type[asyncio.AbstractEventLoop]
) -> Callable[..., Any]:
    """Run a coroutine function on one of these loops."""
    if request.param == "trio":
        return functools.partial(anyio.run, backend="trio")
    return functools.partial(anyio.run, backend_options={"loop_factory": deaf_loop})


async def turns(condition: Callable[..., Any]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.001)


def test_outside_async_with_the_error_says_so(run: Callable[..., Any]) -> None:
    async def main() -> None:
        puller = Puller(bind="inproc://outside")
        with pytest.raises(LoopError, match=r"no add_reader.*`async with`"):
            await puller.receive()
        async with puller, Pusher(connect="inproc://outside") as pusher:
            await pusher.push(b"inside")
            assert await puller.receive() == [b"inside"]

    run(main)


def test_a_loop_that_can_watch_needs_no_async_with_whatever_its_name() -> None:
    class ProactorEventLoop(asyncio.SelectorEventLoop):
        pass

    async def main() -> None:
        puller, pusher = Puller(bind="inproc://named"), Pusher(connect="inproc://named")
        await pusher.push(b"x")
        assert await puller.receive() == [b"x"]
        async with pusher, puller:  # it may still be used as one
            await pusher.push(b"y")
            assert await puller.receive() == [b"y"]

    with asyncio.Runner(loop_factory=ProactorEventLoop) as runner:
        runner.run(main())


def test_what_the_block_raises_comes_out_as_it_is(run: Callable[..., Any]) -> None:
    async def main() -> None:
        with pytest.raises(RequestTimeout):
            async with Requester(timeout=0.01) as requester:
                await requester.request(b"nobody is there")
        with anyio.move_on_after(0.01) as scope:
            async with Puller(bind="inproc://block") as puller:
                await puller.receive()
        assert scope.cancelled_caught
        assert puller.closed

    run(main)


def test_closing_ends_its_tasks_and_not_the_block(run: Callable[..., Any]) -> None:
    async def main() -> None:
        async with Puller() as puller:
            puller.close()
            await anyio.sleep(0)
            with pytest.raises(SocketClosed):
                await puller.receive()
            puller.close()
        await puller.aclose()
        async with Puller() as other:
            await other.aclose()
            await anyio.sleep(0)

    run(main)


def test_a_cancelled_block_may_use_its_socket_to_clean_up(run: Callable[..., Any]) -> None:
    async def main() -> None:
        async with Replier(bind="inproc://cleaning") as replier, anyio.create_task_group() as group:

            async def client() -> None:
                async with Requester(connect="inproc://cleaning", timeout=5) as requester:
                    try:
                        await anyio.sleep_forever()
                    finally:
                        with anyio.CancelScope(shield=True):
                            replies.append(await requester.request(b"bye"))

            async def echo(request: Request) -> None:
                await request.reply(*request.parts)

            replies: list[list[bytes]] = []
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as clients:
                    clients.start_soon(client)
                    await anyio.sleep(0.01)
                    group.start_soon(replier.serve, echo)
                    scope.cancel()
            assert replies == [[b"bye"]]
            replier.close()

    run(main)


def test_leaving_a_cancelled_block_takes_no_time_though_something_is_queued(
    run: Callable[..., Any],
) -> None:
    async def main() -> None:
        started = anyio.current_time()
        with anyio.CancelScope() as scope:
            async with Pusher(bind="inproc://unsent", options={zmq.LINGER: 5000}) as pusher:
                pusher.push_nowait(b"for nobody")
                scope.cancel()
        assert pusher.closed
        assert anyio.current_time() - started < 2.5  # its linger time is 5

    run(main)


def test_no_task_outlives_its_socket() -> None:
    async def main() -> None:
        before = trio.lowlevel.current_statistics().tasks_living
        for _ in range(3):
            async with Subscriber("", bind="inproc://tasks"), Puller() as puller:
                assert trio.lowlevel.current_statistics().tasks_living > before
                puller.close()
        assert trio.lowlevel.current_statistics().tasks_living == before

    trio.run(main)


def test_the_loop_hears_of_the_end_of_an_fd_before_it_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    puller: Any = None

    notify, heard = anyio.notify_closing, []

    def listen(fd: int) -> None:
        heard.append((fd, puller.socket.fileno()))
        notify(fd)

    async def main() -> None:
        nonlocal puller
        async with Puller() as puller:
            fd = puller.socket.fileno()
            await anyio.sleep(0.01)
            puller.close()
            assert heard == [(fd, fd)]

    monkeypatch.setattr(anyio, "notify_closing", listen)
    trio.run(main)
    assert len(heard) == 1


def test_a_socket_can_be_closed_from_a_plain_callback(
    deaf_loop: type[asyncio.AbstractEventLoop],
) -> None:
    async def main() -> None:
        async with Puller(bind="inproc://plain-callback") as puller:
            asyncio.get_running_loop().call_soon(puller.close)
            with pytest.raises(SocketClosed):
                await puller.receive()

    with asyncio.Runner(loop_factory=deaf_loop) as runner:
        runner.run(asyncio.wait_for(main(), 10))


def test_native_cancellation_is_as_safe_as_that_of_scopes(
    deaf_loop: type[asyncio.AbstractEventLoop],
) -> None:
    async def main() -> None:
        async with Puller(bind="inproc://native") as puller:
            async with Pusher(connect="inproc://native") as pusher:
                for number in range(100):
                    receiving = asyncio.create_task(puller.receive())
                    await asyncio.sleep(0)
                    await pusher.push(b"%d" % number)
                    while not puller.statistics().received > number:
                        await asyncio.sleep(0)
                    receiving.cancel()  # told already, and not gone on yet
                    try:
                        message = await receiving
                    except asyncio.CancelledError:
                        message = await puller.receive()
                    assert message == [b"%d" % number]

    with asyncio.Runner(loop_factory=deaf_loop) as runner:
        runner.run(asyncio.wait_for(main(), 60))


def test_timeouts_run_on_trios_clock() -> None:
    async def main() -> None:
        async with Requester() as requester:
            started = trio.current_time()
            with pytest.raises(RequestTimeout):
                await requester.request(b"", timeout=3600)
            assert 3600 <= trio.current_time() - started < 3601

    trio.run(main, clock=testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_timers_go_off_in_the_order_of_their_deadlines(backend: str) -> None:
    # In virtual time: on a busy machine a task may begin later than another one has to end.
    async def main() -> None:
        ended: list[float] = []

        async def ask(timeout: float) -> None:
            with pytest.raises(RequestTimeout):
                await requester.request(b"", timeout=timeout)
            ended.append(timeout)

        async with Requester() as requester, anyio.create_task_group() as group:
            for timeout in (0.06, 0.02, 0.04):
                group.start_soon(ask, timeout)
        assert ended == [0.02, 0.04, 0.06]

    for seed in range(5):
        simulated(main, Network(seed), backend)


def test_an_error_of_no_call_goes_to_the_log_on_trio_and_the_reader_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with (
            Replier(bind="inproc://logged") as replier,
            Requester(connect="inproc://logged", timeout=0.1) as requester,
            trio.open_nursery() as nursery,
        ):

            async def handler(request: Any) -> None:
                if request.parts == [b"bad"]:
                    raise LookupError("on purpose")
                await request.reply(b"fine")

            nursery.start_soon(replier.serve, handler)
            with pytest.raises(RequestTimeout):
                await requester.request(b"bad")
            assert await requester.request(b"good", timeout=10) == [b"fine"]
            nursery.cancel_scope.cancel()

    with caplog.at_level(logging.ERROR, "zmqbridge"):
        trio.run(main)
    assert [str(record.exc_info[1]) for record in caplog.records] == ["on purpose"]


def test_a_callback_that_raises_is_reported_and_the_next_one_called(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        reports = []
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            loop.set_exception_handler(lambda _, context: reports.append(context["exception"]))

        def broken(burst: list[list[bytes]]) -> list[list[bytes]]:
            if burst == [[b"bad"]]:
                raise LookupError("a bug of ours")
            return burst

        monkeypatch.setattr(Puller, "_decode", staticmethod(broken))
        async with Puller(bind="inproc://broken") as puller:
            async with Pusher(connect="inproc://broken") as pusher:
                await pusher.push(b"bad")
                await turns(lambda: reports or caplog.records)
                await pusher.push(b"good")
                assert await puller.receive() == [b"good"]
                reports += [record.exc_info[1] for record in caplog.records]
                assert [str(report) for report in reports] == ["a bug of ours"]

    run(main)


def test_another_loop_is_told_apart(run: Callable[..., Any]) -> None:
    puller: Any = None

    async def other() -> None:
        with pytest.raises(LoopError, match="belongs to"):
            await puller.receive()

    async def main() -> None:
        nonlocal puller
        async with Puller() as puller:
            await anyio.to_thread.run_sync(run, other)

    run(main)


def test_an_interrupt_comes_neither_amid_a_turn_nor_amid_a_send(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Parts(tuple[bytes, ...]):
        def __len__(self) -> int:
            held.append(trio.lowlevel.currently_ki_protected())
            return super().__len__()

    def decode(burst: list[list[bytes]]) -> list[list[bytes]]:
        held.append(trio.lowlevel.currently_ki_protected())
        return burst

    async def main() -> None:
        async with Puller(bind="inproc://held") as puller:
            async with Pusher(connect="inproc://held") as pusher:
                pusher._pump.send(Parts([b"x"]))
                await puller.receive()

    held: list[bool] = []
    monkeypatch.setattr(Puller, "_decode", staticmethod(decode))
    trio.run(main)
    assert len(held) >= 2
    assert all(held)
