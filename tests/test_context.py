"""The shared context: one for all sockets of a process, and it ends without holding anybody up."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zmqbridge import ContextInUse
from zmqbridge._bridge.context import EXIT_TIMEOUT, SharedContext, end
from zmqbridge._bridge.endings import endings
from zmqbridge.twisted_backend import Puller, Pusher

if TYPE_CHECKING:
    from tests.conftest import World

BOUND = 10  # seconds
# Others, and Python without its GIL, leave to the system what is there when they exit.
COLLECTS_AT_EXIT = sys.implementation.name == "cpython" and not sysconfig.get_config_var(
    "Py_GIL_DISABLED"
)


def run(program: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own."""
    return subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_all_sockets_share_one_context_which_is_the_librarys_own() -> None:
    first, second = Pusher(), Puller()
    try:
        assert first.socket.context is second.socket.context
        assert first.socket.context is not zmq.Context.instance()
    finally:
        first.close()
        second.close()
        zmq.Context.instance().term()


def test_a_context_that_was_given_is_used_and_left_alone() -> None:
    with zmq.Context() as context:
        pusher = Pusher(context=context)
        assert pusher.socket.context is context
        pusher.close()
        assert not context.closed


@pytest.fixture
def mine() -> Iterator[SharedContext]:
    """A shared context of the test's own, so that nobody else's sockets count.

    Nor do the threads in which others end: one of them waits, after a linger without end, until
    the last socket of everybody's context has closed, which another test may have forgotten.
    """
    others = dict(endings)
    endings.clear()
    made = SharedContext()
    yield made
    made.at_exit()
    endings.update((thread, each) for thread, each in others.items() if thread.is_alive())


def test_it_ends_elsewhere_after_its_last_socket_though_a_message_lingers(
    mine: SharedContext,
) -> None:
    context = mine.acquire()
    pusher = zmq.Socket(context, zmq.PUSH)
    pusher.set(zmq.LINGER, 600)
    pusher.connect("tcp://127.0.0.1:1")  # nobody is there
    pusher.send(b"unsent", zmq.DONTWAIT)
    pusher.close()
    start = time.monotonic()
    mine.release(context)
    assert not context.closed  # it has not been waited for
    end = time.monotonic() + BOUND
    while not context.closed:
        assert time.monotonic() < end
        time.sleep(0.005)
    assert time.monotonic() - start > 0.5  # it was given its time
    assert mine.acquire() is not context


def test_it_is_kept_for_a_socket_that_comes_soon(mine: SharedContext) -> None:
    others = set(threading.enumerate())  # one of which may wait for ever
    context = mine.acquire()
    mine.release(context)
    began = set(threading.enumerate()) - others
    assert mine.acquire() is context
    for thread in began:
        thread.join(BOUND)
    assert not context.closed
    mine.release(context)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_gets_a_fresh_one() -> None:
    done = run("""
        import os
        from zmqbridge._bridge.context import shared
        from zmqbridge.twisted_backend import Puller

        parents = Puller()
        context = parents.socket.context
        child = os.fork()
        if not child:
            mine = shared.acquire()
            fresh = mine is not context
            shared.release(context)  # a parent's; it counts for nothing here
            fresh = fresh and shared.acquire() is mine
            os._exit(0 if fresh else 1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        parents.close()
        raise SystemExit(status)
    """)
    assert done.returncode == 0, done.stderr


def test_a_process_with_a_forgotten_socket_ends_in_time_and_says_so() -> None:
    done = run(
        """
        import time
        from zmqbridge.twisted_backend import Pusher
        Pusher(connect="tcp://127.0.0.1:1").socket.send(b"unsent")
        kept = Pusher(connect="tcp://127.0.0.1:1")
        kept.socket.send(b"unsent")
        print(time.monotonic())
        """,
        "-Wdefault",
    )
    assert done.returncode == 0, done.stderr
    if COLLECTS_AT_EXIT:
        assert "ResourceWarning: unclosed <Pusher tcp://127.0.0.1:1>" in done.stderr
    assert time.monotonic() - float(done.stdout) < EXIT_TIMEOUT  # it did not have to be cut off


def test_closing_while_a_large_message_is_half_on_the_wire_aborts_nothing() -> None:
    done = run("""
        import zmq
        from zmqbridge.twisted_backend import Pusher

        plain = zmq.Context()
        for _ in range(20):
            puller = plain.socket(zmq.PULL)
            port = puller.bind_to_random_port("tcp://127.0.0.1")
            pusher = Pusher(connect=f"tcp://127.0.0.1:{port}")
            while not pusher.socket.poll(10, zmq.POLLOUT):
                pass
            pusher.push_nowait(*[bytes(500_000)] * 20)
            pusher.close()
            puller.close(0)
        plain.term()
        print("whole")
    """)
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert done.stdout == "whole\n"


@pytest.fixture
def pull() -> Iterator[Callable[..., Any]]:
    """Make a plain PULL at an address."""
    made = []

    def pull(address: str) -> zmq.Socket[bytes]:
        made.append(context.socket(zmq.PULL))
        made[-1].bind(address)
        return made[-1]

    with zmq.Context() as context:
        yield pull
        for socket in made:
            socket.close(0)


def start(program: str, *arguments: Any) -> subprocess.Popen[str]:
    """Start a program in a process of its own; several run at once, as each mostly waits."""
    return subprocess.Popen(
        [sys.executable, "-Wdefault", "-c", textwrap.dedent(program), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> str:
    """Its standard output, when it has ended in peace."""
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    return out


LAST_WORDS = """
    import sys, time, zmq, zmqbridge._bridge.context
    address, linger, after, how = sys.argv[1:]
    zmqbridge._bridge.context.EXIT_TIMEOUT = 0.2
    if how == "facade":
        from twisted.internet import reactor
        from zmqbridge.txzmq import ZmqEndpoint, ZmqFactory, ZmqPushConnection
        factory = ZmqFactory()
        pusher = ZmqPushConnection(factory, ZmqEndpoint("connect", address))
        pusher.push(b"last words")
        close = factory.shutdown
    else:
        from zmqbridge.twisted_backend import Pusher
        pusher = Pusher(connect=address)
        pusher.push_nowait(b"last words")
        close = pusher.close
    pusher.socket.set(zmq.LINGER, int(linger))
    if how != "forgotten":
        close()
        del pusher
    else:
        import warnings; warnings.simplefilter("ignore")
    print("closed", flush=True)
    time.sleep(float(after))  # other things to do
"""


def test_what_was_sent_has_its_linger_time_whatever_the_program_does_afterwards(
    tmp_path: Path, pull: Callable[..., Any]
) -> None:
    cases = [
        (how, linger, after)
        for how in ("closed", "facade", "forgotten")
        for linger, after in [(30_000, 0), (30_000, 0.05), (30_000, 0.3), (-1, 0), (-1, 0.3)]
        if how != "forgotten" or not after
    ]
    programs = []
    for number, (how, linger, after) in enumerate(cases):
        address = f"ipc://{tmp_path}/{number}"
        programs.append(start(LAST_WORDS, address, linger, after, how))
    for program in programs:
        assert program.stdout.readline() == "closed\n"
    time.sleep(0.8)  # whoever does not wait has ended by then
    pullers = [pull(f"ipc://{tmp_path}/{number}") for number in range(len(cases))]
    lost = [case for case, puller in zip(cases, pullers, strict=True) if not puller.poll(5000)]
    assert lost == []
    for program in programs:
        ended(program)


def test_a_linger_without_end_holds_up_the_exit_for_a_bounded_time_only() -> None:
    begun = time.monotonic()
    programs = [
        start(
            "import zmqbridge._bridge.context; zmqbridge._bridge.context.ENDLESS = 0.3\n"
            + textwrap.dedent(LAST_WORDS),
            "tcp://127.0.0.1:1",
            -1,
            after,
            how,
        )
        for how in ("closed", "facade", "forgotten")
        for after in (0, 0.3)
    ]
    for program in programs:
        ended(program)
    assert time.monotonic() - begun < 50  # without a bound it would be for ever


IN_A_DAEMON_THREAD = """
    import atexit, sys, threading, zmq

    touched = []
    atexit.register(lambda: print("touched", touched, flush=True))  # called last
    import zmqbridge._bridge.context
    atexit.register(print, "exiting", flush=True)  # called first
    zmqbridge._bridge.context.PAUSE = 2.0  # for a machine that is busy

    def watched(kind, name):
        original = getattr(kind, name)
        def call(self, *args, **kwargs):
            if threading.current_thread() is not daemon:
                touched.append(name)
            return original(self, *args, **kwargs)
        setattr(kind, name, call)

    for name in ("term", "destroy"):
        watched(zmq.Context, name)
    watched(zmq.Socket, "close")
    how, address = sys.argv[1:]
    going = threading.Event()
    mine, theirs = address + "/mine", address + "/theirs"
    if how in ("epoll", "facade"):
        from twisted.internet import defer, reactor
    if how == "facade":
        from zmqbridge.txzmq import *

        class Echo(ZmqREPConnection):
            def gotMessage(self, request, *parts):
                self.reply(request, *parts)

        def main():
            factory = ZmqFactory()
            echo = Echo(factory, ZmqEndpoint("bind", mine))
            asking = ZmqREQConnection(factory, ZmqEndpoint("connect", mine))
            push = ZmqPushConnection(factory, ZmqEndpoint("connect", theirs))
            def ask(reply=None):
                if reply == [b"100"]:
                    push.push(b"last words")
                    going.set()
                asking.sendMsg(b"%d" % (int((reply or [b"0"])[0]) + 1)).addCallback(ask)
            ask()
    else:
        if how == "epoll":
            from zmqbridge.twisted_backend import Pusher, Replier, Requester
        else:
            from zmqbridge.asyncio_backend import Pusher, Replier, Requester

        async def main():
            async with (
                Replier(bind=mine) as replier, Requester(connect=mine) as requester,
                Pusher(connect=theirs) as pusher,
            ):
                async def serve():
                    async for request in replier:
                        await request.reply(*request.parts)
                await beside(serve, requester, pusher)

        async def ask(requester, pusher):
            number = 0
            while True:
                await requester.request(b"x")
                number += 1
                if number == 100:
                    await pusher.push(b"last words")
                    going.set()

    if how in ("epoll", "facade"):
        async def beside(serve, *sockets):
            await defer.gatherResults([defer.ensureDeferred(serve()),
                                       defer.ensureDeferred(ask(*sockets))])
        def run():
            begin = main if how == "facade" else lambda: defer.ensureDeferred(main())
            reactor.callWhenRunning(begin)
            reactor.run(installSignalHandlers=False)
    else:
        import anyio, asyncio
        if how == "moved":
            # The loop has run in the main thread first, where its sockets were used.
            loop = asyncio.new_event_loop()
            async def first():
                global sockets
                sockets = Replier(bind=mine), Requester(connect=mine), Pusher(connect=theirs)
                for each in sockets:
                    await each.drain()
            loop.run_until_complete(first())
            async def main():
                replier, requester, pusher = sockets
                async def serve():
                    async for request in replier:
                        await request.reply(*request.parts)
                await beside(serve, requester, pusher)
        async def beside(serve, *sockets):
            async with anyio.create_task_group() as group:
                group.start_soon(serve)
                group.start_soon(ask, *sockets)
        def run():
            if how == "moved":
                loop.run_until_complete(main())
            elif how == "uvloop":
                anyio.run(main, backend="asyncio", backend_options={"use_uvloop": True})
            else:
                anyio.run(main, backend=how)

    daemon = threading.Thread(target=run, daemon=True)
    daemon.start()
    assert going.wait(20)
"""


def test_a_loop_that_runs_in_a_daemon_thread_at_exit_is_left_alone(
    tmp_path: Path, pull: Callable[..., Any]
) -> None:
    # Closing its sockets from another thread crashes one exit in a hundred, which is no test; so
    # this asks whether anything of libzmq's was closed. tests/soak/exits.py does it by hundreds.
    loops = ["asyncio", "moved", "uvloop", "trio", "epoll", "facade"]
    for how in ("uvloop", "trio"):
        pytest.importorskip(how)

    def end(how: str) -> tuple[str, bool]:
        (tmp_path / how).mkdir()
        program = start(IN_A_DAEMON_THREAD, how, f"ipc://{tmp_path}/{how}")
        assert program.stdout.readline() == "exiting\n"
        puller = pull(f"ipc://{tmp_path}/{how}/theirs")
        return ended(program), bool(puller.poll(1000))

    with ThreadPoolExecutor() as pool:
        ends = dict(zip(loops, pool.map(end, loops), strict=True))
    # What was sent just before the end has had time, and nothing else has happened.
    assert ends == dict.fromkeys(loops, ("touched []\n", True))


def test_sockets_of_a_thread_that_has_ended_are_given_their_time(
    tmp_path: Path, pull: Callable[..., Any]
) -> None:
    address = f"ipc://{tmp_path}/s"
    program = start(
        """
        import asyncio, sys, threading, warnings, zmq
        from zmqbridge.asyncio_backend import Pusher

        async def main():
            await Pusher(connect=sys.argv[1], options={zmq.LINGER: 5000}).push(b"last words")

        warnings.simplefilter("ignore")
        thread = threading.Thread(target=lambda: asyncio.run(main()))
        thread.start()
        thread.join()
        other = threading.Thread(target=threading.Event().wait, daemon=True)
        other.start()
        print("closed", flush=True)
        """,
        address,
    )
    assert program.stdout.readline() == "closed\n"
    time.sleep(0.5)
    puller = pull(address)
    assert puller.poll(5000)
    ended(program)


CHILDREN = """
import asyncio, multiprocessing, sys, threading, time, zmq

N, SIZE = 60, 100_000
LINGER = {zmq.LINGER: 5000}

def closed(address):
    from zmqbridge.asyncio_backend import Pusher

    async def main():
        async with Pusher(connect=address, options=LINGER) as pusher:
            for _ in range(N):
                await pusher.push(bytes(SIZE))

    asyncio.run(main())

def in_a_thread(address):
    def late():
        time.sleep(0.3)
        closed(address)
    threading.Thread(target=late).start()

def facade(address, shutdown=True):
    from zmqbridge.txzmq import ZmqEndpoint, ZmqFactory, ZmqPushConnection

    class Factory(ZmqFactory):
        lingerPeriod = 5000

    global factory
    factory = Factory()
    push = ZmqPushConnection(factory, ZmqEndpoint("connect", address))
    for _ in range(N):
        push.push(bytes(SIZE))
    if shutdown:
        factory.shutdown()

def forgotten(address):
    facade(address, shutdown=False)

def left_open(address):
    from zmqbridge.twisted_backend import Pusher

    global pusher
    pusher = Pusher(connect=address, options=LINGER)
    for _ in range(N):
        pusher.push_nowait(bytes(SIZE))

CASES = closed, in_a_thread, facade, forgotten, left_open

if __name__ == "__main__":
    lost = []
    for method in sys.argv[2:]:
        for number, child in enumerate(CASES):
            address = f"ipc://{sys.argv[1]}/{method}{number}"
            context = zmq.Context()
            pull = context.socket(zmq.PULL)
            pull.set(zmq.RCVHWM, 1)
            process = multiprocessing.get_context(method).Process(target=child, args=[address])
            process.start()
            time.sleep(0.6)  # nobody is there yet
            pull.bind(address)
            got = 0
            while got < N and pull.poll(20_000):  # a child may take long to start
                pull.recv()
                got += 1
            process.join(10)
            context.destroy(0)
            if got < N or process.exitcode:
                lost.append((method, child.__name__, got, process.exitcode))
    print(lost)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_children_of_multiprocessing_send_what_they_have_pushed(tmp_path: Path) -> None:
    (tmp_path / "children.py").write_text(CHILDREN)
    programs = [
        subprocess.Popen(
            [sys.executable, tmp_path / "children.py", tmp_path, method],
            stdout=subprocess.PIPE,
            text=True,
        )
        for method in ("fork", "forkserver", "spawn")
    ]
    assert [program.communicate(timeout=50)[0] for program in programs] == ["[]\n"] * 3


def test_importing_the_library_does_not_load_multiprocessing() -> None:
    done = run("""
        import sys
        import zmqbridge.asyncio_backend, zmqbridge.twisted_backend, zmqbridge.txzmq
        zmqbridge.twisted_backend.Puller().close()
        assert "multiprocessing.util" not in sys.modules
    """)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def fresh(mine: SharedContext, monkeypatch: pytest.MonkeyPatch) -> SharedContext:
    """The same in place of everybody's."""
    monkeypatch.setattr("zmqbridge._bridge.context.shared", mine)
    monkeypatch.setattr("zmqbridge._bridge.link.shared", mine)
    return mine


async def test_whoever_ends_the_context_waits_for_what_lingers_and_no_longer(
    w: World, fresh: SharedContext
) -> None:
    assert await w.end_context() is True  # there is none
    async with w.Pusher(connect="tcp://127.0.0.1:1", options={zmq.LINGER: 600}) as pusher:
        context = pusher.socket.context
        with pytest.raises(ContextInUse, match=r"<Pusher tcp:.*:1>, made in .*test_context"):
            await w.end_context()
        await pusher.push(b"x")
        start = time.monotonic()
    assert await w.end_context(0) is False
    assert await w.end_context(0.1) is False
    assert not context.closed
    # The next socket does not wait for that.
    async with w.Puller(bind="inproc://next") as puller:
        assert puller.socket.context is not context
    assert await w.end_context() is True
    assert context.closed
    assert 0.5 < time.monotonic() - start < BOUND
    for timeout, error in [(-1, ValueError), ("1", TypeError)]:
        with pytest.raises(error):
            await w.end_context(timeout)


async def test_who_waits_for_what_lingers_for_ever_can_give_up(
    w: World, fresh: SharedContext, tmp_path: Path, pull: Callable[..., Any]
) -> None:
    address = f"ipc://{tmp_path}/s"
    async with w.Pusher(connect=address) as pusher:
        await pusher.push(b"x")
        pusher.socket.set(zmq.LINGER, -1)
        context = pusher.socket.context
    ending = w.spawn(w.end_context())
    await w.settled()
    ending.cancel()
    with pytest.raises(w.Cancelled):
        await ending
    assert not context.closed
    puller = pull(address)
    assert await w.end_context() is True
    assert context.closed
    assert puller.poll(BOUND * 1000)


def test_a_context_is_ended_by_one_call_alone() -> None:
    # libzmq does not survive it when two threads end one context.
    context = zmq.Context()
    first = end(context)
    assert end(context) is None
    first.join(BOUND)
    assert context.closed


def test_at_exit_a_monitor_is_off_before_anything_is_closed() -> None:
    # Else libzmq may wait for ever for the reading end that is closed.
    program = """
        import atexit, zmq
        log, monitor, close = [], zmq.Socket.monitor, zmq.Socket.close
        atexit.register(lambda: print(log))  # after that of the library

        def noting(name, call):
            def noted(socket, *args, **options):
                log.append(name if args != (None, 0) else "off")
                return call(socket, *args, **options)
            return noted

        from zmqbridge.twisted_backend import Puller
        puller = Puller(bind="tcp://127.0.0.1:*", monitor=True)
        zmq.Socket.monitor, zmq.Socket.close = noting("on", monitor), noting("close", close)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=BOUND,
    )  # fmt: skip
    assert done.stdout.startswith("['off', "), (done.stdout, done.stderr)
    assert "close" in done.stdout
