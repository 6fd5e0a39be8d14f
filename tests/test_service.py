"""Sockets as an IService: opened when it starts, and left in peace when it stops."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from twisted.application.service import IService, MultiService
from twisted.internet import defer
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs, formatEvent
from zope.interface.verify import verifyObject

from zmqbridge.twisted_backend import SocketService

if TYPE_CHECKING:
    from tests.conftest import Puller, Pusher, Replier, Request, World

with_signals = pytest.mark.skipif(os.name != "posix", reason="signals are another matter there")
on_twisted = pytest.mark.parametrize("w", ["epoll", "select", "asyncioreactor"], indirect=True)


@on_twisted
async def test_it_answers_what_it_holds_and_sends_what_is_queued_before_it_has_stopped(
    w: World,
) -> None:
    begun = []

    async def handle(request: Request) -> None:
        begun.append(request)
        await deferLater(w.reactor, 0.02)
        await request.reply(*request.parts)

    def opened(reactor: Any) -> tuple[Replier, Pusher]:
        replier = w.Replier(bind="inproc://service")
        replier.serve(handle, limit=2)
        pusher = w.Pusher(connect="inproc://later")
        return replier, pusher

    service: Any = SocketService(opened, reactor=w.reactor)
    verifyObject(IService, service)
    whole = MultiService()
    service.setServiceParent(whole)
    assert service.sockets == ()
    whole.startService()
    assert service.running
    replier, pusher = service.sockets
    async with w.Requester(connect="inproc://service", timeout=20) as requester:
        asking = [requester.request(b"%d" % number) for number in range(6)]
        pusher.push_nowait(b"queued")
        await w.until(lambda: replier.statistics().received == 6)
        stopping = whole.stopService()
        async with w.Puller(bind="inproc://later") as puller:
            assert await puller.receive() == [b"queued"]
            await stopping
            assert await w.gather(*asking) == [[b"%d" % number] for number in range(6)]
    assert len(begun) == 6
    assert replier.closed
    assert pusher.closed
    assert (service.sockets, service.left, service.running) == ((), [], 0)
    whole.startService()  # once more, with sockets of its own
    assert not any(each.closed for each in service.sockets)
    await whole.stopService()


@on_twisted
async def test_what_was_not_answered_in_time_is_named_and_said(w: World) -> None:
    def opened(reactor: Any) -> Replier:
        replier = w.Replier(bind="inproc://hangs")
        replier.serve(lambda request: deferLater(reactor, 100))
        return replier

    service: Any = SocketService(opened, timeout=0.05, reactor=w.reactor)
    service.startService()
    async with w.Requester(connect="inproc://hangs") as requester:
        asking: Any = w.spawn(requester.request(b"?", timeout=0.5))
        await w.until(lambda: service.sockets[0].statistics().received)
        await service.stopService()
        assert [request.parts for request in service.left] == [[b"?"]]
        asking.addErrback(lambda failure: None)


@on_twisted
async def test_sockets_whose_peers_are_away_wait_for_them_at_the_same_time(w: World) -> None:
    def opened(reactor: Any) -> list[Pusher]:
        pushers = [w.Pusher(bind=f"inproc://away-{name}") for name in "ab"]
        for pusher in pushers:
            pusher.push_nowait(b"queued")
        return pushers

    service: Any = SocketService(opened, timeout=None, reactor=w.reactor)
    service.startService()
    first, second = service.sockets
    stopping = service.stopService()
    async with w.Puller(connect="inproc://away-b") as puller:
        assert await puller.receive() == [b"queued"]
        await w.until(lambda: second.closed)
        assert not first.closed
    async with w.Puller(connect="inproc://away-a") as puller:
        assert await puller.receive() == [b"queued"]
        await stopping
    assert first.closed


@on_twisted
async def test_what_was_not_sent_in_time_is_said(w: World) -> None:
    def opened(reactor: Any) -> Pusher:
        pusher = w.Pusher(bind="inproc://nobody")
        for _ in range(3):
            pusher.push_nowait(b"queued")
        return pusher

    service: Any = SocketService(opened, timeout=0.05, reactor=w.reactor)
    service.startService()
    with capturedLogs() as logs:
        await service.stopService()
    said = [formatEvent(each) for each in logs if "count" in each]
    assert len(said) == 1
    assert said[0].startswith("3 messages of <Pusher")
    assert said[0].endswith("are still queued")


@on_twisted
async def test_it_says_what_it_cannot_open(w: World) -> None:
    with pytest.raises(TypeError, match="call"):
        SocketService(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timeout"):
        SocketService(lambda reactor: (), timeout=-1)
    made = []

    def opened(reactor: Any) -> list[Puller | str]:
        made.append(w.Puller())
        return [made[0], "a socket"]

    service: Any = SocketService(opened, reactor=w.reactor)
    with pytest.raises(TypeError, match=r"open returned 'a socket': return sockets"):
        service.startService()
    assert made[0].closed
    assert not service.running
    await service.stopService()


def handled_later(w: World, seconds: float, replies: bool = True) -> Any:
    """A handler whose Deferreds fire after some time."""

    def handle(request: Request) -> Any:
        later: Any = deferLater(w.reactor, seconds)
        return later.addCallback(lambda _: request.reply(*request.parts) if replies else None)

    return handle


@on_twisted
async def test_a_handler_of_the_constructor_comes_to_its_end_as_one_of_serve(w: World) -> None:
    async with w.Requester(bind="inproc://handled", timeout=20) as requester:
        replier = w.Replier(connect="inproc://handled", handler=handled_later(w, 0.05), prefetch=9)
        asking = [requester.request(b"%d" % number) for number in range(20)]
        await w.until(lambda: replier.statistics().received >= 5)
        assert await replier.stop_serving() == []
        received = replier.statistics().received
        answered = [each.result for each in asking if each.called]
        await w.until(lambda: sum(each.called for each in asking) == received)
        await replier.aclose()
        assert len(answered) <= received
        for each in asking:
            each.addErrback(lambda failure: None)
    assert w.reports == []


@on_twisted
async def test_what_it_has_not_answered_in_time_is_named_and_can_be_answered(w: World) -> None:
    def opened(reactor: Any) -> Replier:
        return w.Replier(bind="inproc://held", handler=handled_later(w, 1000))

    service: Any = SocketService(opened, timeout=0.05, reactor=w.reactor)
    service.startService()
    async with w.Requester(connect="inproc://held", timeout=20) as requester:
        asking: Any = [w.spawn(requester.request(b"%d" % number)) for number in range(3)]
        await w.until(lambda: service.sockets[0].statistics().received == 3)
        await service.stopService()
        assert [request.parts for request in service.left] == [[b"0"], [b"1"], [b"2"]]
        for each in asking:
            each.addErrback(lambda failure: None)
    assert w.reports == []


@on_twisted
async def test_a_paused_handler_holds_up_no_end(w: World) -> None:
    async with (
        w.Replier(bind="inproc://paused", handler=handled_later(w, 0)) as replier,
        w.Requester(connect="inproc://paused", timeout=20) as requester,
    ):
        replier.pauseProducing()
        asking = requester.request(b"?")
        await w.until(lambda: replier.statistics().unread == 1)
        [request] = await replier.stop_serving()
        await request.reply(b"now")
        assert await asking == [b"now"]


@on_twisted
async def test_a_handler_that_returns_its_answer_is_told_and_one_is_enough(w: World) -> None:
    async def answer(request: Request) -> bytes:
        return b"an answer"

    handlers: list[Any] = [answer, lambda request: b"an answer"]
    for handler in handlers:
        async with (
            w.Replier(bind="inproc://returns", handler=handler) as replier,
            w.Requester(connect="inproc://returns") as requester,
        ):
            asking = requester.request(b"?", timeout=0.2)
            asking.addErrback(lambda failure: None)
            await w.until(lambda: w.reports)
            assert "returned bytes, which is sent nowhere" in str(w.reports.pop())
            with pytest.raises(ValueError, match="has a handler="):
                replier.serve(handler)
            await asking

    def replies_later(request: Request) -> Any:
        return w.reactor.callLater(0, request.reply, b"later")

    async with (
        w.Replier(bind="inproc://later", handler=replies_later),
        w.Requester(connect="inproc://later", timeout=20) as requester,
    ):
        assert await requester.request(b"?") == [b"later"]
    assert w.reports == []


@on_twisted
async def test_what_cannot_be_opened_says_what_to_return(w: World) -> None:
    for wrong in None, 5:

        def opened(reactor: Any, wrong: Any = wrong) -> Any:
            return wrong

        service: Any = SocketService(opened, reactor=w.reactor)
        with pytest.raises(TypeError, match=f"open returned {wrong}: return sockets"):
            service.startService()
    with pytest.raises(TypeError, match=r"open=.*cannot be called"):
        SocketService(5)  # type: ignore[arg-type]


TAC = """
import os
from twisted.application.service import Application
from zmqbridge.twisted_backend import Pusher, SocketService

def opened(reactor):
    pusher = Pusher(connect=os.environ["THERE"], options={39: 1}, send_queue=2000)  # IMMEDIATE
    for number in range(1000):
        pusher.push_nowait(b"%d" % number)
    # Before it runs, the reactor has no handler of signals.
    reactor.callWhenRunning(print, "queued", pusher.statistics().queued, flush=True)
    return pusher

application = Application("queued")
SocketService(opened, timeout=30).setServiceParent(application)
"""


@contextlib.contextmanager
def twistd(tac: str, there: str, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run a .tac that connects to an address; gives the process and its log, by which it prints."""
    (folder / "it.tac").write_text(tac)
    code = "import sys; from twisted.scripts.twistd import run; sys.exit(run())"
    line = [sys.executable, "-c", code, "-n", "--pidfile=", "--logfile=log", "-y", "it.tac"]
    process = subprocess.Popen(
        line, cwd=folder, env={**os.environ, "THERE": there}, stdout=subprocess.PIPE
    )
    try:
        yield process, folder / "log"
    finally:
        process.kill()
        process.communicate()


def logged(text: str, log: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a text is in the log."""
    end = time.monotonic() + 50
    while not log.exists() or text not in log.read_text():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)


@with_signals
def test_a_tac_under_twistd_stops_as_soon_as_what_is_queued_has_gone(tmp_path: Path) -> None:
    there = f"ipc://{tmp_path}/it"
    with twistd(TAC, there, tmp_path) as (process, log):
        logged("queued 1000", log, process)
        process.send_signal(signal.SIGTERM)
        with zmq.Context() as context, context.socket(zmq.PULL) as puller:
            puller.bind(there)
            for number in range(1000):
                assert puller.poll(50_000)
                assert puller.recv() == b"%d" % number
            began = time.monotonic()
            assert process.wait(50) in (0, -signal.SIGTERM)  # newer twistds end by the signal
            assert time.monotonic() - began < 15  # mostly 0.2; its time would be 30
        assert "Server Shut Down." in log.read_text()


LINGERS = {
    "native": """
import os
from twisted.application.service import Application
from zmqbridge.twisted_backend import Pusher, SocketService

def opened(reactor):
    reactor.addSystemEventTrigger("during", "shutdown", print, "stopping")
    pusher = Pusher(connect=os.environ["THERE"], options={17: 30_000})  # LINGER
    for number in range(300):
        pusher.push_nowait(b"%100000d" % number)
    reactor.callWhenRunning(print, "sent")  # the reactor handles signals from then on
    return pusher

application = Application("lingers")
SocketService(opened).setServiceParent(application)
""",
    "facade": """
import os
from twisted.application.service import Application, Service
from zmqbridge.txzmq import ZmqEndpoint, ZmqFactory, ZmqPushConnection

class Pushing(Service):
    def startService(self):
        factory = ZmqFactory()
        factory.lingerPeriod = 30_000
        factory.registerForShutdown()
        factory.reactor.addSystemEventTrigger("during", "shutdown", print, "stopping")
        pusher = ZmqPushConnection(factory, ZmqEndpoint("connect", os.environ["THERE"]))
        for number in range(300):
            pusher.push(b"%100000d" % number)
        factory.reactor.callWhenRunning(print, "sent")

application = Application("lingers")
Pushing().setServiceParent(application)
""",
}


@with_signals
@pytest.mark.parametrize("tac", LINGERS)
def test_twistd_that_ends_by_a_signal_waits_for_what_lingers(tac: str, tmp_path: Path) -> None:
    with zmq.Context() as context, context.socket(zmq.PULL) as puller:
        puller.set(zmq.RCVHWM, 1)
        port = puller.bind_to_random_port("tcp://127.0.0.1")
        with twistd(LINGERS[tac], f"tcp://127.0.0.1:{port}", tmp_path) as (process, log):
            logged("sent", log, process)
            process.send_signal(signal.SIGTERM)
            logged("stopping", log, process)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)  # then a process that does not wait has ended
            for number in range(300):  # most of this is not in the kernel's buffers yet
                assert puller.poll(50_000), number
                assert int(puller.recv()) == number
            assert process.wait(50) in (0, -signal.SIGTERM)


def test_twist_lists_the_plugin() -> None:
    line = [sys.executable, "-m", "twisted", "--help"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=50)
    assert "zmq-proxy" in done.stdout


@on_twisted
async def test_what_is_opened_later_is_refused_and_is_not_left_to_itself(w: World) -> None:
    async def later(reactor: Any) -> None:
        raise AssertionError("nobody runs it")

    for open_ in (lambda reactor: defer.succeed(None), later):
        service: Any = SocketService(open_, reactor=w.reactor)
        with pytest.raises(TypeError, match=r"open returned <.*: return sockets"):
            service.startService()
        assert not service.running


@on_twisted
async def test_starting_it_twice_is_starting_it_once(w: World) -> None:
    opened: list[Any] = []

    def open_(reactor: Any) -> Any:
        opened.append(w.Pusher())
        return opened[-1]

    service: Any = SocketService(open_, reactor=w.reactor)
    service.startService()
    service.startService()
    await service.stopService()
    assert [each.closed for each in opened] == [True]


@on_twisted
async def test_who_stops_it_again_waits_for_the_same(w: World) -> None:
    answering: defer.Deferred[None] = defer.Deferred()

    def handle(request: Request) -> object:
        return answering.addCallback(lambda _: request.reply(b"x"))

    service: Any = SocketService(
        lambda reactor: w.Replier(bind="inproc://twice", handler=handle), reactor=w.reactor
    )
    service.startService()
    (replier,) = service.sockets
    async with w.Requester(connect="inproc://twice", timeout=20) as requester:
        asking = requester.request(b"?")
        await w.until(lambda: replier.statistics().delivered)
        stops = [service.stopService() for _ in range(2)]
        await w.settled()
        assert [each.called for each in stops] == [False, False]
        answering.callback(None)
        assert await asking == [b"x"]
        for each in stops:
            await each
    assert replier.closed
    await service.stopService()  # it has stopped
