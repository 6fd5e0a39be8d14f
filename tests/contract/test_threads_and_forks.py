"""A socket stays with its thread and its process; whoever comes from elsewhere is told how."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from twisted.internet import defer, selectreactor, task
from twisted.internet.threads import blockingCallFromThread

from zmqbridge import LoopError, WrongThread, asyncio_backend, twisted_backend

if TYPE_CHECKING:
    from tests.conftest import Puller, Pusher, World

pytestmark = pytest.mark.real("threads and processes")

RUNNING = ["asyncio", "uvloop", "trio", "epoll", "select", "asyncioreactor"]
some_worlds = pytest.mark.parametrize("w", RUNNING, indirect=True)
unlimited = {zmq.SNDHWM: 0, zmq.RCVHWM: 0}
BOUND = 50  # seconds


def begin(call: Callable[..., Any]) -> None:
    """Make a call, and begin with what it returns if that has to be awaited."""
    result = call()
    if inspect.iscoroutine(result):
        try:
            result.send(None)
        finally:
            result.close()


def uvloop_or_skip() -> Any:
    return pytest.importorskip("uvloop").new_event_loop()


async def test_another_thread_is_refused_before_libzmq_is_touched(w: World) -> None:
    async with (
        w.Pusher(bind="inproc://t-push") as pusher,
        w.Puller(connect="inproc://t-push") as puller,
        w.Publisher(bind="inproc://t-pub") as publisher,
        w.Subscriber(connect="inproc://t-pub") as subscriber,
        w.Replier(bind="inproc://t-rep") as replier,
        w.Requester(connect="inproc://t-rep", timeout=5) as requester,
        w.Router(bind="inproc://t-router") as router,
        w.Dealer(connect="inproc://t-router", options={zmq.IDENTITY: b"me"}) as dealer,
    ):
        await pusher.push(b"mine")
        await dealer.send(b"hello")
        publisher.publish(b"")
        asking = w.spawn(requester.request(b"mine"))
        request = await replier.receive()
        assert await puller.receive() == [b"mine"]
        assert await router.receive() == (b"me", [b"hello"])
        calls = {
            "push": lambda: pusher.push(b"x"),
            "push_nowait": lambda: pusher.push_nowait(b"x"),
            "publish": lambda: publisher.publish(b"x"),
            "subscribe": lambda: subscriber.subscribe(b"x"),
            "unsubscribe": lambda: subscriber.unsubscribe(b"x"),
            "request": lambda: requester.request(b"x"),
            "reply": lambda: request.reply(b"x"),
            "send": lambda: dealer.send(b"x"),
            "send_nowait": lambda: dealer.send_nowait(b"x"),
            "send to a peer": lambda: router.send(b"me", b"x"),
            "receive": puller.receive,
            "bind": lambda: pusher.bind("inproc://t-another"),
            "connect": lambda: pusher.connect("inproc://t-another"),
            "unbind": lambda: pusher.unbind("inproc://t-push"),
            "disconnect": lambda: puller.disconnect("inproc://t-push"),
            "drain": pusher.drain,
            "close": pusher.close,
            "aclose": puller.aclose,
        }
        for name, call in calls.items():
            error = await w.in_a_thread(lambda call=call: begin(call))
            assert isinstance(error, WrongThread), (name, error)
            assert "callFromThread" in str(error) or "call_soon_threadsafe" in str(error)
        # Nothing of all that was done.
        assert [each.statistics().sent for each in (pusher, dealer, router)] == [1, 1, 0]
        assert requester.statistics().open_requests == 1
        assert pusher.addresses == puller.addresses == ("inproc://t-push",)
        await pusher.push(b"still mine")
        assert await puller.receive() == [b"still mine"]
        asking.cancel()
        with pytest.raises(w.Cancelled):
            await asking
        # What does not touch libzmq may be asked for from anywhere.
        assert await w.in_a_thread(lambda: (pusher.statistics(), repr(pusher))) is None


@some_worlds
@pytest.mark.parametrize("way", ["each", "by a queue"])
async def test_messages_are_handed_in_by_the_loops_own_call(
    w: World, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, each = 8, 400
    tell = way_in(w)
    if "AsyncioSelectorReactor" in repr(tell):
        if way == "each" and sys.implementation.name == "pypy":
            pytest.skip("its callLater(0) keeps no order where the clock is coarse")
        if way == "by a queue":
            tick = 0.0156  # as on Windows
            monkeypatch.setattr(w.reactor, "seconds", lambda: time.time() // tick * tick)
    handed_in: SimpleQueue[tuple[bytes, ...]] = SimpleQueue()

    def empty() -> None:
        while not handed_in.empty():
            pusher.push_nowait(*handed_in.get())

    def hand_in(*parts: bytes) -> None:
        if way == "each":
            tell(pusher.push_nowait, *parts)
        else:
            handed_in.put(parts)
            tell(empty)

    async with (
        w.Puller(bind="inproc://handed-in", options=unlimited) as puller,
        w.Pusher(connect="inproc://handed-in", options=unlimited) as pusher,
    ):

        def work(thread: int) -> None:
            for number in range(each):
                hand_in(b"%d" % thread, b"%d" % number)

        workers = [threading.Thread(target=work, args=[number]) for number in range(threads)]
        for worker in workers:
            worker.start()
        received: dict[bytes, list[int]] = {b"%d" % number: [] for number in range(threads)}
        for _ in range(threads * each):
            thread, number = await puller.receive()
            received[thread].append(int(number))
        for worker in workers:
            worker.join(BOUND)
        assert all(numbers == list(range(each)) for numbers in received.values())


def way_in(w: World) -> Callable[..., Any]:
    if w.backend is twisted_backend:
        return w.reactor.callFromThread
    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        import trio

        token = trio.lowlevel.current_trio_token()
        return lambda call, *arguments: token.run_sync_soon(call, *arguments)


@some_worlds
async def test_one_can_wait_in_a_thread_for_what_the_loop_does(w: World) -> None:
    if w.backend is twisted_backend:

        def ask() -> list[bytes]:
            return blockingCallFromThread(w.reactor, requester.request, b"thread")
    else:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            import trio

            token = trio.lowlevel.current_trio_token()

            def ask() -> list[bytes]:
                request: Any = requester.request
                return trio.from_thread.run(request, b"thread", trio_token=token)
        else:

            def ask() -> list[bytes]:
                asking = asyncio.run_coroutine_threadsafe(requester.request(b"thread"), loop)
                return asking.result(BOUND)

    async with (
        w.Replier(bind="inproc://blocking") as replier,
        w.Requester(connect="inproc://blocking") as requester,
    ):
        serving = w.spawn(replier.serve(lambda request: request.reply(b"to", *request.parts)))
        replies = []
        assert await w.in_a_thread(lambda: replies.append(ask())) is None
        assert replies == [[b"to", b"thread"]]
        replier.close()
        await serving


def test_when_its_loop_has_ended_any_thread_may_close_a_socket() -> None:
    # As programs do that run their loop in a thread and clean up in the main one.
    sockets: list[Any] = []

    async def on_asyncio() -> None:
        sockets.append(asyncio_backend.Puller(bind="inproc://outlived"))
        receiving = asyncio.create_task(sockets[0].receive())
        await asyncio.sleep(0)
        receiving.cancel()

    async def on_twisted(reactor: Any) -> None:
        sockets.append(twisted_backend.Puller(bind="inproc://outlived2", reactor=reactor))
        await task.deferLater(reactor, 0)
        reactor.stop()

    def run_both() -> None:
        asyncio.run(on_asyncio())
        reactor = selectreactor.SelectReactor()
        reactor.callWhenRunning(lambda: defer.Deferred.fromCoroutine(on_twisted(reactor)))
        reactor.run(installSignalHandlers=False)

    thread = threading.Thread(target=run_both)
    thread.start()
    thread.join(BOUND)
    for socket in sockets:
        socket.close()
        assert socket.closed
    assert len(sockets) == 2


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop_or_skip])
def test_a_loop_may_run_elsewhere_later_and_a_socket_goes_with_it_alone(
    new_loop: Callable[..., Any],
) -> None:
    loop, other = new_loop(), new_loop()

    async def opened() -> tuple[Pusher, Puller]:
        pusher = asyncio_backend.Pusher(bind="inproc://moved")
        await pusher.push(b"here")
        return pusher, asyncio_backend.Puller(connect="inproc://moved")

    async def used(number: int) -> list[bytes]:
        await pusher.push(b"%d" % number)
        return await puller.receive()

    async def closed() -> None:
        pusher.bind("inproc://moved too")
        await pusher.aclose()
        await puller.aclose()

    def elsewhere(work: Coroutine[Any, Any, Any]) -> list[bytes] | None:
        done = []
        thread = threading.Thread(target=lambda: done.append(loop.run_until_complete(work)))
        thread.start()
        thread.join(BOUND)
        return done[0]

    async def called_from_the_thread_that_it_has_left(
        thread_may_call: threading.Event, called: threading.Event
    ) -> None:
        thread_may_call.set()
        while not called.is_set():
            await asyncio.sleep(0.001)

    pusher, puller = loop.run_until_complete(opened())
    assert loop.run_until_complete(used(1)) == [b"here"]
    assert elsewhere(used(2)) == [b"1"]
    now, done = threading.Event(), threading.Event()
    assert loop.run_until_complete(used(3)) == [b"2"]
    moving = threading.Thread(
        target=elsewhere, args=[called_from_the_thread_that_it_has_left(now, done)]
    )
    moving.start()
    assert now.wait(BOUND)
    try:
        with pytest.raises(LoopError):
            pusher.push_nowait(b"from here")
    finally:
        done.set()
    moving.join(BOUND)
    with pytest.raises(LoopError, match="belongs to another loop"):
        other.run_until_complete(used(4))
    with pytest.raises(LoopError, match="needs a running event loop"):
        pusher.push_nowait(b"4")
    assert loop.run_until_complete(used(4)) == [b"3"]
    assert pusher.statistics().sent == 5
    elsewhere(closed())
    for each in (loop, other):
        each.close()


def run(
    program: str, *options: Any, timeout: int = BOUND, arguments: list[str] | tuple[Any, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own."""
    return subprocess.run(
        [
            sys.executable,
            "-Wdefault",
            "-Wignore:This process:DeprecationWarning",
            *options,
            "-c",
            textwrap.dedent(program),
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


# Run before and after a fork, each once, with sockets in every state.
FORKING = """
import inspect, os, sys, zmq
from zmqbridge import UsedAfterFork

def refused(call):
    try:
        result = call()
        if inspect.iscoroutine(result):
            result.send(None)
        raise SystemExit(f"not refused: line {call.__code__.co_firstlineno}")
    except UsedAfterFork as error:
        assert "belongs to the parent process" in str(error)

def in_child(pusher, puller, requester, router, publisher, subscriber):
    refused(lambda: pusher.push(b"x"))
    refused(lambda: pusher.push_nowait(b"x"))
    refused(lambda: publisher.publish(b"x"))
    refused(lambda: requester.request(b"x"))
    refused(lambda: router.send(b"x", b"x"))
    refused(lambda: router.send_nowait(b"x", b"x"))
    refused(lambda: puller.receive())  # a message is there, and it is the parent's
    refused(lambda: subscriber.subscribe(b"x"))
    refused(lambda: pusher.bind("inproc://x"))
    refused(lambda: pusher.connect("inproc://x"))
    refused(lambda: pusher.drain())
    refused(lambda: pusher.socket)
    pusher.statistics()
    for each in (pusher, puller, requester):
        each.close()  # this is all that is allowed, because it is done in passing

def make(b, **extra):
    pusher = b.Pusher(bind="ipc://*", **extra)
    pushed = pusher.addresses
    return (
        pusher,
        b.Puller(connect=pushed, **extra),
        b.Requester(connect="inproc://nobody", **extra),
        b.Router(bind="inproc://router", **extra),
        b.Publisher(bind="inproc://publisher", **extra),
        b.Subscriber(connect="inproc://publisher", **extra),
    )

def ends(child):
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, status
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_in_a_forked_child_asyncio_sockets_are_refused_and_the_parents_work_on(loop: str) -> None:
    # The selector's FD, as epoll's would be, must not be the child's and the parent's at once.
    factory = {
        "asyncio": "lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())",
        "uvloop": "uvloop.new_event_loop",
    }[loop]
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    done = run(
        FORKING
        + f"""
import asyncio, selectors
import zmqbridge.asyncio_backend as b
{"import uvloop" if loop == "uvloop" else ""}
with asyncio.Runner(loop_factory={factory}) as runner:
    async def before():
        sockets = pusher, puller, *_ = make(b)
        await pusher.push(b"first")
        assert await puller.receive() == [b"first"]
        await pusher.push(b"second")
        while not puller.statistics().unread:
            await asyncio.sleep(0.001)
        return sockets

    async def after():
        child = os.fork()  # now within a coroutine, where the loop goes on to say that it runs
        if not child:
            status = 1
            try:
                in_child(*sockets)
                status = 0
            finally:
                os._exit(status)
        ends(child)
        await sockets[0].push(b"third")
        assert await sockets[1].receive() == [b"second"]
        assert await sockets[1].receive() == [b"third"]
        for each in sockets:
            each.close()

    sockets = runner.run(before())
    child = os.fork()
    if child:
        ends(child)
        runner.run(after())
    else:
        in_child(*sockets)
        async def again():
            in_child(*sockets)
            async with b.Puller(bind="inproc://own") as puller:
                async with b.Pusher(connect="inproc://own") as pusher:
                    await pusher.push(b"in the child")
                    assert await puller.receive() == [b"in the child"]
        asyncio.run(again())
        {"os._exit(0)" if loop == "uvloop" else "pass"}
print("parent" if child else "child")
"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "parent" in done.stdout


def test_in_a_forked_child_twisted_sockets_are_refused_and_the_parents_work_on() -> None:
    done = run(
        FORKING
        + """
from twisted.internet import selectreactor, defer, task
import zmqbridge.twisted_backend as b
reactor = selectreactor.SelectReactor()
sockets = pusher, puller, *_ = make(b, reactor=reactor)
pusher.push_nowait(b"queued")

async def after():
    await pusher.push(b"again")
    assert await puller.receive() == [b"queued"]
    assert await puller.receive() == [b"again"]
    for each in sockets:
        each.close()

async def in_the_child():
    in_child(*sockets)
    async with b.Puller(bind="inproc://own", reactor=reactor) as puller:
        async with b.Pusher(connect="inproc://own", reactor=reactor) as pusher:
            await pusher.push(b"in the child")
            assert await puller.receive() == [b"in the child"]

def go(scene):
    problems = []
    def start():
        done = defer.Deferred.fromCoroutine(scene())
        done.addErrback(problems.append)
        done.addBoth(lambda _: reactor.stop())
    reactor.callWhenRunning(start)
    reactor.run(installSignalHandlers=False)
    for problem in problems:
        problem.raiseException()

child = os.fork()
if child:
    ends(child)
    go(after)
else:
    in_child(*sockets)
    go(in_the_child)
print("parent" if child else "child")
"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert sorted(done.stdout.split()) == ["child", "parent"]


TAC = """
import os, zmq
from twisted.application.service import Application, Service
from zmqbridge.txzmq import *

factory = ZmqFactory()
# So that libzmq's threads run when this process is forked.
factory.context.socket(zmq.PULL).close()
before = ZmqPushConnection(factory, ZmqEndpoint("bind", "inproc://before"))

class Server(ZmqREPConnection):
    def gotMessage(self, request, *parts):
        try:
            before.push(b"x")
        except Exception as error:
            self.reply(request, type(error).__name__.encode(), b"%d" % os.getpid())

class Serving(Service):
    def startService(self):
        factory.registerForShutdown()
        self.server = Server(factory, ZmqEndpoint("bind", {address!r}))

application = Application("facade")
Serving().setServiceParent(application)
"""


def wait_for(condition: Callable[..., Any], what: str) -> None:
    end = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_factory_may_be_made_before_twistd_daemonises(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/s"
    (tmp_path / "facade.tac").write_text(TAC.format(address=address))
    pid, log = tmp_path / "pid", tmp_path / "log"
    twistd = "from twisted.scripts.twistd import run; run()"
    options = [f"--pidfile={pid}", f"--logfile={log}", f"--rundir={tmp_path}", "-y", "facade.tac"]
    started = subprocess.run(
        [sys.executable, "-c", twistd, *options],
        capture_output=True,
        text=True,
        timeout=BOUND,
        cwd=tmp_path,
        check=False,
    )
    assert started.returncode == 0, started.stderr
    wait_for(lambda: pid.exists() and pid.read_text(), "the daemon has not started")
    daemon = int(pid.read_text())
    try:
        with zmq.Context() as context, context.socket(zmq.REQ) as asking:
            asking.set(zmq.LINGER, 0)
            asking.connect(address)
            asking.send(b"who are you?")
            assert asking.poll(BOUND * 1000), log.read_text()
            assert asking.recv_multipart() == [b"UsedAfterFork", b"%d" % daemon]
    finally:
        os.kill(daemon, signal.SIGTERM)
    wait_for(lambda: not pid.exists(), log.read_text())
    # Nobody has called it, so it said so itself when the daemon's reactor ran, and only then.
    assert log.read_text().count("Traceback") == 1, log.read_text()
    assert log.read_text().count("belongs to the parent process") == 1


# The parent does not run its loop while the child does, so all that comes then rings in the child.
RUN_BY_THE_CHILD = """
import os, sys, tempfile, threading, zmq
how, child_runs = sys.argv[1], sys.argv[2] == "runs"
address = f"ipc://{tempfile.mkdtemp()}/s"
got, said = [], []
peers = zmq.Context()

def push():
    sender = peers.socket(zmq.PUSH)
    sender.connect(address)
    sender.send(b"x")
    return sender

def in_child():
    if child_runs:
        go(0.3)
    os.write(told[1], repr(sorted(said)).encode())
    os._exit(0)

parent = os.getpid()
told = os.pipe()

if how in ("asyncio", "uvloop"):
    import asyncio
    import zmqbridge.asyncio_backend as b
    if how == "uvloop":
        import uvloop
    loop = uvloop.new_event_loop() if how == "uvloop" else asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: said.append(str(context["exception"])))

    async def make():
        global sockets
        sockets = [
            b.Puller(bind=address),
            b.Pusher(bind="inproc://idle"),
            b.Pusher(bind="inproc://told"),
        ]
        for each in sockets[1:]:
            await each.drain()
        waiting = asyncio.ensure_future(sockets[0].receive())
        await asyncio.sleep(0)
        waiting.cancel()
        closed = b.Pusher(bind="inproc://closed")
        await closed.drain()
        closed.close()

    async def receive():
        while len(got) < 2:
            got.append(await sockets[0].receive())
        # What the child does to its copy of the loop does not make this deaf, either.
        called = asyncio.Event()
        threading.Thread(target=loop.call_soon_threadsafe, args=[called.set]).start()
        await called.wait()

    def go(seconds):
        if os.getpid() == parent:
            loop.run_until_complete(asyncio.wait_for(receive(), seconds))
        else:
            loop.run_until_complete(asyncio.sleep(seconds))
            if how == "asyncio":
                loop.close()

    loop.run_until_complete(make())
    tell = lambda: sockets[2].push_nowait(b"x")
else:
    from twisted.internet import asyncioreactor, epollreactor, pollreactor, selectreactor
    reactor = {
        "epoll": lambda: epollreactor.EPollReactor(),
        "poll": lambda: pollreactor.PollReactor(),
        "select": lambda: selectreactor.SelectReactor(),
        "asyncioreactor": lambda: asyncioreactor.AsyncioSelectorReactor(
            __import__("asyncio").new_event_loop()
        ),
    }[how.removeprefix("facade-")]()
    from twisted.logger import globalLogBeginner
    def observe(event):
        if failure := event.get("log_failure") or event.get("failure"):
            said.append(str(failure.value))
    globalLogBeginner.beginLoggingTo([observe], redirectStandardIO=False, discardBuffer=True)
    def receive(message):
        got.append(message)
        if len(got) == 2:
            reactor.crash()
    if how.startswith("facade-"):
        from zmqbridge.txzmq import *
        factory = ZmqFactory()
        factory.reactor = reactor
        sockets = [
            ZmqPullConnection(factory, ZmqEndpoint("bind", address)),
            ZmqPushConnection(factory, ZmqEndpoint("bind", "inproc://idle")),
            ZmqPushConnection(factory, ZmqEndpoint("bind", "inproc://told")),
        ]
        sockets[0].onPull = receive
        ZmqPushConnection(factory, ZmqEndpoint("bind", "inproc://closed")).shutdown()
        tell = lambda: sockets[2].push(b"x")
    else:
        from zmqbridge.twisted_backend import Puller, Pusher
        sockets = [
            Puller(bind=address, reactor=reactor, handler=receive),
            Pusher(bind="inproc://idle", reactor=reactor),
            Pusher(bind="inproc://told", reactor=reactor),
        ]
        Pusher(bind="inproc://closed", reactor=reactor).close()
        tell = lambda: sockets[2].push_nowait(b"x")

    def go(seconds):
        if os.getpid() != parent:
            own_got = []
            if how.startswith("facade-"):
                mine = ZmqFactory()
                mine.reactor = reactor
                own = ZmqPullConnection(mine, ZmqEndpoint("bind", "inproc://own"))
                own.onPull = own_got.append
                ZmqPushConnection(mine, ZmqEndpoint("connect", "inproc://own")).push(b"x")
            else:
                Puller(bind="inproc://own", reactor=reactor, handler=own_got.append)
                Pusher(connect="inproc://own", reactor=reactor).push_nowait(b"x")
        reactor.callLater(seconds, reactor.stop)
        reactor.run(installSignalHandlers=False)
        if os.getpid() != parent and own_got != [[b"x"]]:
            said.append(f"the child's own socket got {own_got}")

child = os.fork()
if not child:
    from zmqbridge import UsedAfterFork
    try:
        tell()
    except UsedAfterFork:
        pass
    in_child()
first = push()
print(os.read(told[0], 10_000).decode())
os.waitpid(child, 0)
second = push()
go(10)
print(len(got))
first.close(0)
second.close(0)
peers.term()
os._exit(0)
"""
INHERITED = [
    "asyncio",
    "uvloop",
    "epoll",
    "poll",
    "select",
    "asyncioreactor",
    "facade-epoll",
    "facade-select",
]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("child", ["runs", "does not"])
@pytest.mark.parametrize("loop", INHERITED)
def test_a_child_that_runs_the_inherited_loop_is_told_and_the_parent_hears_on(
    loop: str, child: str
) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    done = run(RUN_BY_THE_CHILD, arguments=[loop, child])
    assert done.returncode == 0, done.stderr
    said, got = done.stdout.splitlines()
    # Each once: not the one that was called and has said so then, nor the one that was closed.
    told = ast.literal_eval(said)
    if child == "runs":
        assert len(told) == 2, told
        assert all("belongs to the parent process" in text for text in told)
        assert any("inproc://idle" in text for text in told)
    else:
        assert told == []
    assert got == "2"
