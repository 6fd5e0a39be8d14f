"""The thread that waits for FDs where asyncio's loop cannot: it ends with the last, not before."""

from __future__ import annotations

import asyncio
import errno
import os
import selectors
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from zmqbridge import ResourcesExhausted, SocketClosed, ZmqBridgeError
from zmqbridge.asyncio_backend import Puller, Pusher, Replier, Requester
from zmqbridge.asyncio_backend import _selector_thread as selector_thread


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def until_it_has_ended() -> None:
    end = time.monotonic() + 10
    while "zmqbridge-selector" in names():
        assert time.monotonic() < end
        time.sleep(0.01)
    assert selector_thread._thread is None


@pytest.fixture(params=["DefaultSelector", "SelectSelector", "PollSelector"])
def run(
    request: pytest.FixtureRequest,
    deaf_loop: type[asyncio.AbstractEventLoop],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Any]]:
    """Run a coroutine function on a loop that cannot watch, by each kind of waiting."""
    until_it_has_ended()
    monkeypatch.setattr(selectors, "DefaultSelector", getattr(selectors, request.param))

    def run(main: Callable[..., Any]) -> float | None:
        with asyncio.Runner(loop_factory=deaf_loop) as runner:
            return runner.run(asyncio.wait_for(main(), 30))

    yield run
    until_it_has_ended()
    assert "AnyIO socket selector" not in names()


async def asks_and_is_answered(times: int = 3) -> None:
    async with (
        Replier(bind="tcp://127.0.0.1:*") as replier,
        Requester(timeout=20, connect=replier.addresses) as requester,
    ):
        serving = asyncio.ensure_future(replier.serve(lambda request: request.reply(b"yes")))
        for _ in range(times):
            assert await requester.request(b"?") == [b"yes"]
        replier.close()
        await serving


def test_it_lives_as_long_as_a_socket(run: Callable[..., Any]) -> None:
    async def main() -> None:
        async with Puller():
            assert names().count("zmqbridge-selector") == 1
            async with Puller():
                assert names().count("zmqbridge-selector") == 1
            assert names().count("zmqbridge-selector") == 1
        until_it_has_ended()

    run(main)


def test_sockets_of_many_loops_come_and_go(run: Callable[..., Any]) -> None:
    def comes_and_goes() -> None:
        for _ in range(15):
            run(asks_and_is_answered)
            done.append(1)

    done: list[int] = []
    threads = [threading.Thread(target=comes_and_goes) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    finally:
        sys.setswitchinterval(interval)
    assert len(done) == 60


@pytest.mark.parametrize("where", ["add", "remove", "_tell"])
def test_whoever_has_the_lock_may_close_another_socket(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    # As a signal handler does, or the collector, which ends a forgotten socket in any thread.
    def interrupted(thread: Any, *args: Any) -> None:
        if readers:
            reader, fd = readers.pop()
            reader.remove_reader(fd)
            went.append(fd in thread._watches)
        usual(thread, *args)

    async def main() -> None:
        with socket.socket() as other:
            reader = selector_thread.ThreadReader(asyncio.get_running_loop())
            reader.add_reader(other.fileno(), list)
            readers.append((reader, other.fileno()))
            monkeypatch.setattr(selector_thread.SelectorThread, where, interrupted)
            await asks_and_is_answered()
            done.append(True)

    usual = getattr(selector_thread.SelectorThread, where)
    readers: list[Any] = []
    went: list[bool] = []
    done: list[bool] = []
    thread = threading.Thread(target=run, args=[main], daemon=True)
    thread.start()
    thread.join(20)
    if thread.is_alive():
        selector_thread._in_child()  # for the tests after this one
    assert (went, done) == ([False], [True])


def test_news_come_at_once_and_not_by_looking(run: Callable[..., Any]) -> None:
    async def main() -> None:
        started = time.monotonic()
        await asks_and_is_answered(50)
        assert time.monotonic() - started < 5  # a look every quarter of a second would take 12

    run(main)


def test_one_that_is_closed_behind_our_back_harms_nobody(run: Callable[..., Any]) -> None:
    async def main() -> None:
        errors = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        async with Puller(bind="inproc://behind") as puller:
            receiving = asyncio.ensure_future(puller.receive())
            await asyncio.sleep(0.01)
            number = puller.socket.fileno()
            puller.socket.close()
            with pytest.raises(OSError, match="Bad file"):  # libzmq closes in another thread
                while True:
                    os.fstat(number)
                    await asyncio.sleep(0.001)
            await asks_and_is_answered()
            puller.close()
            with pytest.raises(SocketClosed):
                await receiving
            await asks_and_is_answered()
        assert errors == []

    run(main)


def test_a_descriptor_that_was_closed_elsewhere_makes_no_other_deaf(
    run: Callable[..., Any],
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        (dead, other), (living, peer) = socket.socketpair(), socket.socketpair()
        readers = [selector_thread.ThreadReader(loop) for _ in range(2)]
        readers[0].add_reader(dead.fileno(), lambda: None)
        rung = asyncio.Event()
        readers[1].add_reader(living.fileno(), rung.set)
        dead.close()
        for _ in range(3):  # after the first, `select` is called with what was closed
            peer.send(b"x")
            await asyncio.wait_for(rung.wait(), 10)
            living.recv(1)
            rung.clear()
        for reader in readers:
            reader.remove_reader(0)
        for each in (other, living, peer):
            each.close()

    run(main)


def test_nor_while_nothing_else_is_opened(run: Callable[..., Any]) -> None:
    # What is opened may get the number of what was closed, and so be its end.
    async def main() -> None:
        async with (
            Puller(bind="inproc://behind") as puller,
            Replier(bind="tcp://127.0.0.1:*") as replier,
            Requester(timeout=5, connect=replier.addresses) as requester,
        ):
            serving = asyncio.ensure_future(replier.serve(lambda request: request.reply(b"yes")))
            assert await requester.request(b"?") == [b"yes"]
            number = puller.socket.fileno()
            puller.socket.close()
            with pytest.raises(OSError, match="Bad file"):
                while True:
                    os.fstat(number)
                    await asyncio.sleep(0.001)
            for _ in range(10):
                assert await requester.request(b"?") == [b"yes"]
            replier.close()
            await serving

    run(main)


def test_nor_one_that_is_closed_without_a_ring(run: Callable[..., Any]) -> None:
    # libzmq rings when it closes one; what closes all descriptors of a process does not.
    async def main() -> None:
        reader = selector_thread.ThreadReader(asyncio.get_running_loop())
        ours, far = socket.socketpair()
        number = ours.fileno()
        async with (
            Replier(bind="tcp://127.0.0.1:*") as replier,
            Requester(timeout=5, connect=replier.addresses) as requester,
        ):
            serving = asyncio.ensure_future(replier.serve(lambda request: request.reply(b"yes")))
            assert await requester.request(b"?") == [b"yes"]
            rang = asyncio.Event()
            reader.add_reader(number, lambda: (reader.remove_reader(number), rang.set()))
            ours.close()
            for _ in range(10):
                assert await requester.request(b"?") == [b"yes"]
            if selectors.DefaultSelector not in selector_thread.AT_ONCE:
                await asyncio.wait_for(rang.wait(), 10)  # others forget it
            reader.remove_reader(number)
            replier.close()
            await serving
        far.close()

    run(main)


def test_a_number_that_belongs_to_another_now_is_left_to_him(run: Callable[..., Any]) -> None:
    def pair(kind: int) -> Any:
        made = context.socket(kind)
        made.linger = 0
        return made

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pair(zmq.PULL) as puller, pair(zmq.PUSH) as pusher:
            puller.bind("inproc://number")
            pusher.connect("inproc://number")
            rang = asyncio.Event()
            gone, comes = (selector_thread.ThreadReader(loop) for _ in range(2))
            gone.add_reader(puller.fd, lambda: pytest.fail("it is another's"))
            comes.add_reader(puller.fd, rang.set)
            gone.remove_reader(puller.fd)
            gone.remove_reader(puller.fd)
            pusher.send(b"x")
            await asyncio.wait_for(rang.wait(), 10)
            comes.remove_reader(puller.fd)

    with zmq.Context() as context:
        run(main)


def test_a_loop_that_was_closed_with_its_sockets_open_stops_nobody(
    run: Callable[..., Any], deaf_loop: type[asyncio.AbstractEventLoop]
) -> None:
    puller = Puller(bind="tcp://127.0.0.1:*")
    loop = deaf_loop()
    loop.run_until_complete(puller.__aenter__())
    loop.close()
    with zmq.Context() as context, context.socket(zmq.PUSH) as pusher:
        pusher.connect(puller.addresses[0])
        pusher.send(b"for nobody")
        assert puller.socket.poll(5000)  # past us: the FD rings
        pusher.send(b"for nobody, too")
        run(asks_and_is_answered)
    puller.close()


@pytest.mark.parametrize("first", ["it rings", "it is closed"])
def test_a_socket_whose_loop_was_closed_is_watched_no_more_when(
    run: Callable[..., Any], deaf_loop: type[asyncio.AbstractEventLoop], first: str
) -> None:
    puller = Puller(bind="inproc://closed loop")
    loop = deaf_loop()
    loop.run_until_complete(puller.__aenter__())
    loop.close()
    assert "zmqbridge-selector" in names()
    if first == "it is closed":
        puller.close()
    else:
        with zmq.Socket(puller.socket.context, zmq.PUSH) as pusher:
            pusher.connect("inproc://closed loop")
            pusher.send(b"for nobody")
    until_it_has_ended()
    puller.close()


def test_news_that_come_while_it_is_closed_ring_nobody(run: Callable[..., Any]) -> None:
    async def main() -> None:
        async with (
            Puller(bind="inproc://late") as puller,
            Pusher(connect="inproc://late") as pusher,
        ):
            await pusher.push(b"x")
            while not puller.statistics().received:
                await asyncio.sleep(0)
            rings = []
            watch = puller._driver._reader._watch
            watch.ring = lambda: rings.append(1)
            puller.close()
            watch.rang()
            assert puller._driver._fd not in selector_thread._thread._watches

    run(main)


def test_nothing_is_done_while_another_thread_has_the_lock() -> None:
    class Loop:
        def call_soon_threadsafe(self, call: Callable[..., Any]) -> None:
            told.append(call)

    def waits(call: Callable[..., Any], *args: Any) -> None:
        thread = threading.Thread(target=call, args=args)
        with selector_thread._lock:
            thread.start()
            thread.join(0.05)
            assert thread.is_alive()
        thread.join(10)
        assert not thread.is_alive()

    until_it_has_ended()
    told: list[Callable[..., Any]] = []
    loop: Any = Loop()
    reader = selector_thread.ThreadReader(loop)
    ours, far = socket.socketpair()
    with ours, far:
        waits(reader.add_reader, ours.fileno(), lambda: None)
        with selector_thread._lock:
            far.send(b"x")
            time.sleep(0.05)
            assert told == []
        end = time.monotonic() + 10
        while not told:
            assert time.monotonic() < end
            time.sleep(0.001)
        waits(told.pop())
        waits(reader.remove_reader, ours.fileno())
    until_it_has_ended()


def test_it_may_be_woken_any_number_of_times_before_it_gets_its_turn(
    run: Callable[..., Any],
) -> None:
    async def main() -> None:
        async with Puller():
            with selector_thread._lock:
                for _ in range(5000):
                    selector_thread._thread._wake()
            await asks_and_is_answered()

    run(main)


def test_it_may_be_woken_for_nothing(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mistaken(selectors.DefaultSelector):
        mistaken = False

        def select(self, timeout: float | None = None) -> list[tuple[Any, int]]:
            if self.mistaken:
                return super().select(timeout)
            self.mistaken = True  # once, as select(2) may be by its BUGS
            return [(key, selectors.EVENT_READ) for key in self.get_map().values()]

    monkeypatch.setattr(selectors, "DefaultSelector", Mistaken)
    run(asks_and_is_answered)


def test_sockets_that_come_while_it_lists_the_others_do_not_end_it(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Overtaken(selectors.DefaultSelector):
        overtaken = 0

        def select(self, timeout: float | None = None) -> list[tuple[Any, int]]:
            self.overtaken += threading.current_thread().name == "zmqbridge-selector"
            if self.overtaken % 2:  # as `select` does where Python has no GIL
                raise RuntimeError("Set changed size during iteration")
            return super().select(timeout)

    monkeypatch.setattr(selectors, "DefaultSelector", Overtaken)
    run(asks_and_is_answered)


def test_it_waits_a_while_for_another_socket(run: Callable[..., Any]) -> None:
    async def open_and_close() -> float:
        async with Puller():
            return time.monotonic()

    closed_at = run(open_and_close)
    until_it_has_ended()
    assert time.monotonic() - closed_at >= selector_thread.GRACE


def test_in_a_forked_child_nobody_holds_its_lock(run: Callable[..., Any]) -> None:
    with selector_thread._lock:
        selector_thread._in_child()
        run(asks_and_is_answered)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_a_thread_of_its_own() -> None:
    program = """
        import asyncio, os, stat, sys, threading
        from zmqbridge.asyncio_backend import Replier, Requester
        from zmqbridge.asyncio_backend import _selector_thread as selector_thread

        class Deaf(asyncio.SelectorEventLoop):
            def refuse(self, *args):
                raise NotImplementedError
            add_reader = remove_reader = add_writer = remove_writer = refuse

        async def ask(forks):
            async with (
                Replier(bind="tcp://127.0.0.1:*") as replier,
                Requester(timeout=10, connect=replier.addresses) as requester,
            ):
                serving = asyncio.ensure_future(replier.serve(lambda r: r.reply(b"yes")))
                await requester.request(b"?")
                before = sockets()
                if forks and not os.fork():
                    child(before)
                if forks:
                    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
                await requester.request(b"?")
                replier.close()
                await serving

        def sockets():
            return sum(map(is_a_socket, range(200)))

        def is_a_socket(fd):
            try:
                return stat.S_ISSOCK(os.fstat(fd).st_mode)
            except OSError:
                return False

        def child(before):
            asyncio._set_running_loop(None)
            assert selector_thread._thread is None
            assert sockets() == before - 2  # its copies of what wakes the parent's thread
            run(False)
            os._exit(0)

        def run(forks):
            with asyncio.Runner(loop_factory=Deaf) as runner:
                runner.run(ask(forks))

        run(True)
        print("in peace")
    """
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "dev",
            "-W",
            "ignore::DeprecationWarning",
            "-c",
            textwrap.dedent(program),
        ],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.stdout, done.returncode) == ("in peace\n", 0), done.stderr
    assert "ResourceWarning" not in done.stderr


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("not that it was closed")])
def test_it_outlives_what_a_loop_raises(run: Callable[..., Any], error: Exception) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        tell, raised = loop.call_soon_threadsafe, list[Exception]()

        def raises_once(*args: Any, **kwargs: Any) -> Any:
            if threading.current_thread().name == "zmqbridge-selector" and not raised:
                raised.append(error)
                raise error
            return tell(*args, **kwargs)

        loop.call_soon_threadsafe = raises_once  # type: ignore[assignment]
        await asks_and_is_answered()
        assert raised == [error]

    run(main)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_one_that_has_died_is_started_anew_for_all(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with Puller(bind="tcp://127.0.0.1:*") as puller:
            with monkeypatch.context() as patch:
                patch.setattr(selector_thread.SelectorThread, "_tell", kill)
                async with Pusher(connect=puller.addresses) as pusher:
                    await pusher.push(b"1")
                    until_it_has_died()
            async with Pusher(connect=puller.addresses) as pusher:
                await pusher.push(b"2")
                assert sorted([await puller.receive(), await puller.receive()]) == [[b"1"], [b"2"]]
                assert names().count("zmqbridge-selector") == 1

    def kill(thread: selector_thread.SelectorThread, fd: int) -> None:
        raise SystemExit

    def until_it_has_died() -> None:
        end = time.monotonic() + 10
        while "zmqbridge-selector" in names():
            assert time.monotonic() < end
            time.sleep(0.01)

    run(main)


def test_where_no_thread_can_be_started_the_error_says_so(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            puller = Puller()
            with pytest.raises(ResourcesExhausted, match=r"^\[Errno \d+\] no thread") as error:
                await puller.__aenter__()
            assert error.value.errno == errno.EAGAIN
        assert selector_thread._thread is None
        puller.close()
        await asks_and_is_answered()

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    run(main)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_that_runs_the_loop_is_told(run: Callable[..., Any]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with Puller(bind="tcp://127.0.0.1:*") as puller:
            async with Pusher(connect=puller.addresses) as pusher:
                await pusher.push(b"x")
            rung = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
            end = time.monotonic() + 10
            while not any("Watch.rang" in repr(each) for each in rung):
                assert time.monotonic() < end
                time.sleep(0.001)
            reader, writer = os.pipe()
            if not (child := os.fork()):
                shown: list[str] = []

                def show(_: Any, context: dict[str, Any]) -> None:
                    # Python 3.15 has an error of its own: its child knows of no current task.
                    if isinstance(context["exception"], ZmqBridgeError):
                        shown.append(type(context["exception"]).__name__)

                loop.set_exception_handler(show)
                asyncio.events._set_running_loop(loop)
                for _ in range(5):
                    await asyncio.sleep(0)
                os.write(writer, " ".join(shown).encode() or b"nothing")
                os._exit(0)
            os.waitpid(child, 0)
            assert os.read(reader, 1000) == b"UsedAfterFork"
            os.close(reader)
            os.close(writer)
            assert await puller.receive() == [b"x"]

    run(main)
