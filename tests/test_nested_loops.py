"""A loop that is run again from within a task, as nest_asyncio does, and one that is measured."""

from __future__ import annotations

import asyncio
import logging
import select
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import zmq

from zmqbridge import PeerUnreachable
from zmqbridge._bridge.calls import COMPILED
from zmqbridge.asyncio_backend import Dealer, Puller, Pusher, Replier, Request, Requester, Router
from zmqbridge.asyncio_backend._driver import LoopDriver
from zmqbridge.core._pacing import BURST


class Done:
    _cancelled = True


class Ready(deque[Any]):
    """What a loop will do next; a run within may have done what the outer one has counted."""

    def popleft(self) -> Any:
        return super().popleft() if self else Done


@pytest.fixture
def loop() -> Iterator[Any]:
    loop: Any = asyncio.new_event_loop()
    loop._ready = Ready()
    yield loop
    loop.close()


def run_again(loop: Any, coroutine: Coroutine[Any, Any, Any] | asyncio.Future[Any]) -> Any:
    """Run a loop until this is done, from within one of its tasks; asyncio itself forbids it."""
    task: Any = asyncio.current_task()
    thread = loop._thread_id
    asyncio.tasks._leave_task(loop, task)
    loop._thread_id = None
    asyncio._set_running_loop(None)
    try:
        return loop.run_until_complete(asyncio.wait_for(coroutine, 10))
    finally:
        loop._thread_id = thread
        asyncio._set_running_loop(loop)
        asyncio.tasks._enter_task(loop, task)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("address", ["inproc://nested", "tcp://127.0.0.1:*"])
def test_a_task_that_was_told_runs_the_loop_until_another_request_is_answered(
    loop: Any, depth: int, address: str
) -> None:
    requester: Any = None

    async def echo(request: Request) -> None:
        await request.reply(*request.parts)

    async def ask_nested(depth: int) -> list[bytes]:
        (first,) = await requester.request(b"%d" % depth)
        # The reply has just stepped this task: the delivery is not over.
        return [first] + (run_again(loop, ask_nested(depth - 1)) if depth else [])

    async def main() -> None:
        nonlocal requester
        async with Replier(bind=address) as replier:
            async with Requester(connect=replier.addresses, timeout=5) as requester:
                serving = asyncio.ensure_future(replier.serve(echo))
                assert await ask_nested(depth) == [b"%d" % n for n in range(depth, -1, -1)]
                # And all is well after that.
                for number in range(3):
                    assert await requester.request(b"%d" % number) == [b"%d" % number]
                replier.close()
                await serving

    loop.run_until_complete(main())


@pytest.mark.parametrize("count", [1, 3, 2 * BURST])
def test_others_receive_while_one_runs_the_loop_again(loop: Any, count: int) -> None:
    # By the FD's ring alone: nobody sends or begins to wait in the run within.
    puller: Any = None
    pushing: Any = None

    async def take() -> None:
        async for _ in puller:
            got.append(True)
            if len(got) == 2 * count + 1:
                break

    async def nest() -> None:
        await puller.receive()

        async def until_the_others_have_all() -> None:
            push(count)
            while len(got) < count:
                await asyncio.sleep(0.001)
            push(count + 1)
            while len(got) < 2 * count + 1:
                await asyncio.sleep(0.001)

        run_again(loop, until_the_others_have_all())

    def push(count: int) -> None:
        for _ in range(count):
            pushing.send(b"x")

    async def main() -> None:
        nonlocal puller, pushing
        async with Puller(bind="tcp://127.0.0.1:*") as puller:
            with zmq.Context() as context, context.socket(zmq.PUSH) as pushing:
                pushing.connect(puller.addresses[0])
                nesting = asyncio.ensure_future(nest())
                await asyncio.sleep(0)
                taking = asyncio.ensure_future(take())
                push(1)
                await nesting
                await taking

    got: list[bool] = []
    loop.run_until_complete(main())


@pytest.mark.parametrize("depth", [1, 3])
def test_those_who_were_to_be_told_next_are_told_by_the_run_within(loop: Any, depth: int) -> None:
    # Several replies, and several requests for `serve`, come in one burst.
    requester: Any = None
    puller: Any = None

    async def echo(request: Request) -> None:
        if request.parts[0] == b"nest":
            asked = [requester.request(b"%d" % number) for number in range(depth + 1)]
            within = gather(asked)
            await request.reply(*(answer for (answer,) in run_again(loop, within)))
        else:
            await request.reply(*request.parts)

    async def gather(
        coroutines: Sequence[Awaitable[Any]],
    ) -> list[Any]:
        return await asyncio.gather(*coroutines)

    async def ask(number: int) -> bytes:
        (answer,) = await requester.request(b"%d" % number)
        if number < depth:
            run_again(loop, asyncio.shield(asking[number + 1]))
        return answer

    async def main() -> None:
        nonlocal requester
        async with Replier(bind="inproc://told") as replier:
            async with Requester(connect="inproc://told", timeout=5) as requester:
                serving = asyncio.ensure_future(replier.serve(echo))
                asking.extend(asyncio.ensure_future(ask(number)) for number in range(depth + 1))
                assert await gather(asking) == [b"%d" % number for number in range(depth + 1)]
                nested = [b"%d" % number for number in range(depth + 1)]
                assert await requester.request(b"nest") == nested
                replier.close()
                await serving

    async def receive(number: int) -> list[bytes]:
        message = await puller.receive()
        if number < depth:
            run_again(loop, asyncio.shield(receiving[number + 1]))
        return message

    async def pull() -> None:
        nonlocal puller
        async with Puller(bind="inproc://told") as puller:
            async with Pusher(connect="inproc://told") as pusher:
                receiving.extend(
                    asyncio.ensure_future(receive(number)) for number in range(depth + 1)
                )
                await asyncio.sleep(0)
                for number in range(depth + 1):
                    pusher.push_nowait(b"%d" % number)
                assert await gather(receiving) == [[b"%d" % number] for number in range(depth + 1)]

    asking: list[asyncio.Future[bytes]] = []
    receiving: list[asyncio.Future[list[bytes]]] = []
    loop.run_until_complete(main())
    loop.run_until_complete(pull())


def test_a_sender_that_found_room_runs_the_loop_until_it_is_answered(
    loop: Any,
) -> None:
    dealer: Any = None
    far: Any = None

    async def send_and_nest() -> list[bytes]:
        await dealer.send(b"the last")  # it waits for room, and is stepped when there is some

        async def until_answered() -> list[bytes]:
            while dealer.statistics().queued:
                await asyncio.sleep(0.001)
            far.send(b"answer")
            return await dealer.receive()

        return run_again(loop, until_answered())

    async def main() -> None:
        nonlocal dealer, far
        options: dict[int, Any] = {zmq.SNDHWM: 1, zmq.SNDBUF: 4096}
        with zmq.Context() as context, context.socket(zmq.DEALER) as far:
            far.set(zmq.RCVHWM, 1)
            far.set(zmq.RCVBUF, 4096)
            port = far.bind_to_random_port("tcp://127.0.0.1")
            async with Dealer(connect=f"tcp://127.0.0.1:{port}", options=options) as dealer:
                while dealer.statistics().queued < 20:
                    dealer.send_nowait(bytes(10_000))
                nesting = asyncio.ensure_future(send_and_nest())
                while not nesting.done():
                    await asyncio.sleep(0.001)
                    while far.poll(0):
                        far.recv()
                assert await nesting == [b"answer"]
        assert errors == []

    errors = []
    loop.set_exception_handler(lambda loop, context: errors.append(context))
    loop.run_until_complete(main())


def test_of_those_whose_peer_has_died_the_first_runs_the_loop_until_the_others_know(
    loop: Any,
) -> None:
    router: Any = None
    peer: Any = None

    async def send_and_nest(number: int) -> None:
        with pytest.raises(PeerUnreachable):
            await router.send(peer, b"the last")
        if number < 2:
            run_again(loop, asyncio.shield(sending[number + 1]))

    async def main() -> None:
        nonlocal router, peer
        options: dict[int, Any] = {zmq.SNDHWM: 5, zmq.SNDBUF: 8192}
        async with Router(bind="tcp://127.0.0.1:*", options=options, prefetch=1) as router:
            with zmq.Context() as context, context.socket(zmq.DEALER) as far:
                far.sndhwm, far.rcvhwm, far.linger = 0, 1, 0
                far.set(zmq.RCVBUF, 8192)
                far.connect(router.addresses[0])
                for _ in range(3000):  # most stay unread, so libzmq does not tell that it dies
                    far.send(b"?")
                peer, _ = await router.receive()
                while router.statistics().queued < 200:  # more than the kernel takes late
                    router.send_nowait(peer, bytes(4096))
                sending.extend(asyncio.ensure_future(send_and_nest(number)) for number in range(3))
                await asyncio.sleep(0)
            await asyncio.wait_for(asyncio.gather(*sending), 30)
            if COMPILED:  # elsewhere frames name no connection, and reading on tells
                assert router.statistics().unread == 1

    sending: list[asyncio.Future[None]] = []
    loop.run_until_complete(main())


def test_of_those_who_wait_until_all_is_sent_the_first_runs_the_loop_until_the_others_know(
    loop: Any, tmp_path: Path
) -> None:
    requester: Any = None

    async def drain_and_nest(number: int) -> None:
        assert await requester.drain() == 0
        if number < 2:
            run_again(loop, asyncio.shield(draining[number + 1]))

    async def main() -> None:
        nonlocal requester
        async with Requester(connect=f"ipc://{tmp_path}/later", timeout=10) as requester:
            asking = asyncio.ensure_future(requester.request(b"?"))
            await asyncio.sleep(0)
            assert requester.statistics().queued == 1
            draining.extend(asyncio.ensure_future(drain_and_nest(number)) for number in range(3))
            await asyncio.sleep(0)
            async with Replier(bind=f"ipc://{tmp_path}/later") as replier:
                await asyncio.gather(*draining)
                request = await replier.receive()
                await request.reply(b"yes")
                assert await asking == [b"yes"]

    draining: list[asyncio.Future[None]] = []
    loop.run_until_complete(main())


def test_a_turn_that_is_due_already_is_not_all_that_a_run_within_needs(
    loop: Any,
) -> None:
    # The run needs a new reader, too, as the one that rang is being called.
    one: Any = None
    two: Any = None
    far: Any = None

    async def first() -> None:
        await one.receive()
        two.socket.get(zmq.EVENTS)  # so a turn is due, and the other FD is about to ring

    async def second() -> bool:
        await two.receive()

        async def until_more_has_come() -> bool:
            for number in range(3):
                far.send(b"%d" % number)
                assert await two.receive() == [b"%d" % number]
            return True

        return run_again(loop, until_more_has_come())

    async def main() -> None:
        nonlocal one, two, far
        async with Puller(bind="tcp://127.0.0.1:*") as one, Puller(bind="tcp://127.0.0.1:*") as two:
            with zmq.Context() as context, context.socket(zmq.PUSH) as near:
                with context.socket(zmq.PUSH) as far:
                    for socket, puller in (near, one), (far, two):
                        socket.set(zmq.IMMEDIATE, 1)
                        socket.connect(puller.addresses[0])
                    receiving = [asyncio.ensure_future(each()) for each in (first, second)]
                    while not (near.poll(0, zmq.POLLOUT) and far.poll(0, zmq.POLLOUT)):
                        await asyncio.sleep(0.001)  # until both are connected
                    for _ in range(10):
                        await asyncio.sleep(0)
                    near.send(b"x")
                    far.send(b"x")
                    fds = {each.socket.get(zmq.FD) for each in (one, two)}
                    while set(select.select(fds, [], [])[0]) != fds:
                        pass  # both are there when the loop looks
                    assert await asyncio.gather(*receiving) == [None, True]
        assert errors == []

    errors = []
    loop.set_exception_handler(lambda loop, context: errors.append(context))
    loop.run_until_complete(main())


def test_a_loop_that_is_not_run_again_has_no_more_to_do(
    loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with Replier(bind="tcp://127.0.0.1:*") as replier:
            async with Requester(connect=replier.addresses, timeout=5) as requester:
                serving = asyncio.ensure_future(replier.serve(lambda r: r.reply(*r.parts)))
                for count in (1, 1, 1, 300):
                    await asyncio.gather(*(requester.request(b"?") for _ in range(count)))
                replier.close()
                await serving
        async with Puller(bind="inproc://room", options={zmq.RCVHWM: 1}) as puller:
            async with Pusher(
                connect="inproc://room", options={zmq.SNDHWM: 1}, send_queue=1
            ) as pusher:
                pushing = [asyncio.ensure_future(pusher.push(b"x")) for _ in range(20)]
                for _ in pushing:
                    await puller.receive()
                await asyncio.gather(*pushing)

    again = []
    monkeypatch.setattr(LoopDriver, "_go_on_nested", lambda self: again.append(self))
    loop.run_until_complete(main())
    assert again == []


def block() -> None:
    """Block the loop."""
    time.sleep(0.03)


async def culprit(puller: Puller, started: asyncio.Event) -> None:
    started.set()
    await puller.receive()
    block()


def uvloop() -> Any:
    return pytest.importorskip("uvloop").new_event_loop()


async def run_the_culprit(begin: Callable[..., Any] = lambda: None) -> None:
    async with Puller(bind="inproc://culprit") as puller:
        async with Pusher(connect="inproc://culprit") as pusher:
            started = asyncio.Event()
            task = asyncio.create_task(culprit(puller, started))
            await started.wait()
            begin()
            await pusher.push(b"go")
            await task


@pytest.mark.parametrize("from_the_start", [True, False])
@pytest.mark.parametrize("loop_of", [asyncio.new_event_loop, uvloop])
def test_asyncios_debug_mode_names_the_task_that_blocks_the_loop(
    caplog: pytest.LogCaptureFixture, loop_of: Callable[..., Any], from_the_start: bool
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 0.02
        await run_the_culprit(lambda: loop.set_debug(True))

    with (
        caplog.at_level(logging.WARNING, "asyncio"),
        asyncio.Runner(debug=from_the_start, loop_factory=loop_of) as runner,
    ):
        runner.run(main())
    slow = [line for line in caplog.messages if line.startswith("Executing <Task")]
    assert any("culprit()" in line for line in slow), caplog.messages


def test_so_does_what_measures_callbacks_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    # Such tools replace what runs a callback, in programs that do not run in debug mode.
    def measure(handle: Any) -> None:
        before = len(blocked)
        run(handle)
        if len(blocked) > before:
            slow.append(getattr(handle._callback, "__self__", handle))

    run = asyncio.Handle._run
    slow: list[Any] = []
    blocked: list[bool] = []
    monkeypatch.setitem(globals(), "block", lambda: blocked.append(True))  # a busy machine is slow
    monkeypatch.setattr(asyncio.Handle, "_run", measure)
    asyncio.run(run_the_culprit())
    assert [task.get_coro().__name__ for task in slow if isinstance(task, asyncio.Task)] == [
        "culprit"
    ]
