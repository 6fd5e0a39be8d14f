"""Clocks: on real reactors a jump of the wall clock moves no deadline and stops nothing of ours."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from zmqbridge import ConnectTimeout, RequestTimeout
from zmqbridge._bridge.authentication import CALLBACK_TIMEOUT
from zmqbridge.security import Null, Policy
from zmqbridge.twisted_backend._clocks import steady

if TYPE_CHECKING:
    from tests.conftest import World

PROGRAM = """
    import os, resource, sys, threading, time
    from twisted.internet import {name}reactor
    {name}reactor.install()
    from twisted.internet import base, defer, reactor, task
    import zmq
    import zmqbridge.txzmq as txzmq
    from zmqbridge import ConnectTimeout, RequestTimeout, SocketClosed
    from zmqbridge.twisted_backend import *

    JUMP = {jump}
    wall = time.time
    ahead = 0.0
    base.ReactorBase.seconds = staticmethod(lambda: wall() + ahead)

    def jump():
        global ahead
        ahead += JUMP

    def soon(delay, *calls):
        # Another thread, for the reactor has no other clock than the one that jumps.
        def make():
            for call in calls:
                time.sleep(delay)
                call()

        threading.Thread(target=make, daemon=True).start()

    def wake():
        # A reactor that was set forward looks at its delayed calls when something wakes it.
        reactor.callFromThread(lambda: None)

    async def lasts(seconds, error, call):
        # Ends by that error, after so long, though the clock jumps meanwhile and something happens.
        soon(seconds / 4, jump, wake)
        begun = time.monotonic()
        try:
            result = await call()
        except error:
            result = error
        taken = time.monotonic() - begun
        assert seconds <= taken < seconds + 2, (error, taken)
        return result

    def facade(kind, how, address, **hooks):
        connection = getattr(txzmq, kind)(factory)
        vars(connection).update(hooks)
        connection.addEndpoints([txzmq.ZmqEndpoint(how, address)])
        return connection

    async def deadlines():
        lonely = facade("ZmqREQConnection", "connect", "inproc://nobody")
        async with (
            Requester(connect="inproc://nobody") as requester,
            Pusher(connect="tcp://127.0.0.1:1", options={{zmq.SNDHWM: 1}}, monitor=True) as pusher,
        ):
            await lasts(0.2, RequestTimeout, lambda: requester.request(b"x", timeout=0.2))
            await lasts(
                0.2, txzmq.ZmqRequestTimeoutError, lambda: lonely.sendMsg(b"x", timeout=0.2)
            )
            await lasts(0.2, ConnectTimeout, lambda: pusher.connected(timeout=0.2))
            for _ in range(3):
                pusher.push_nowait(b"x")
            assert await lasts(0.2, (), lambda: pusher.drain(timeout=0.2)) > 0
            pusher.socket.linger = 0

    async def turns():
        # A turn that is asked for when the clock jumps: the FD is silent, and nothing else comes.
        got = []
        async with (
            Puller(bind="inproc://turns", handler=got.append) as puller,
            Pusher(connect="inproc://turns") as pusher,
        ):
            for number in range(3):
                pusher.push_nowait(b"x")
                await defer.Deferred.fromCoroutine(until(lambda: len(got) == 2 * number + 1))
                pusher.push_nowait(b"x")
                puller.socket.get(zmq.EVENTS)
                jump()
                await until(lambda: len(got) == 2 * number + 2)

    async def until(true, bound=10):
        end = time.monotonic() + bound
        while not true():
            assert time.monotonic() < end, "in vain"
            done = defer.Deferred()
            soon(0.01, lambda: reactor.callFromThread(done.callback, None))
            await done

    async def serving():
        rep = facade("ZmqREPConnection", "bind", "inproc://rep")
        rep.gotMessage = lambda message_id, *parts: rep.reply(message_id, *parts)
        req = facade("ZmqREQConnection", "connect", "inproc://rep")
        async with (
            Replier(bind="inproc://serving") as replier,
            Requester(connect="inproc://serving", timeout=20) as requester,
        ):
            replier.serve(lambda request: request.reply(*request.parts))
            for number in range(10):
                many = [requester.request(b"x") for _ in range(300)]
                many += [req.sendMsg(b"x", timeout=20) for _ in range(300)]
                (jump if number % 3 == 1 else wake)()
                assert await defer.gatherResults(many) == [[b"x"]] * 600

    async def ending():
        # A crowd is told in slices, each asked for by a delayed call.
        requester = Requester(connect="inproc://nobody")
        waiting = [requester.request(b"x") for _ in range(5000)]
        told = []
        for each in waiting:
            each.addErrback(told.append)
        requester.close()
        assert len(told) < 5000
        jump()
        await until(lambda: len(told) == 5000)

    async def main():
        try:
            for part in (deadlines, turns, serving, ending):
                await part()
            factory.shutdown()
            used = time.process_time()
            quiet = Requester(connect="inproc://quiet")
            asking = quiet.request(b"x", timeout=50)
            jump()
            await defer.Deferred.fromCoroutine(lasts(0.4, (), pause))
            used = time.process_time() - used
            assert used < 0.3, used
            asking.addErrback(lambda failure: None)
            quiet.close()
            print("done", flush=True)
        finally:
            reactor.callFromThread(reactor.stop)

    def pause():
        paused = defer.Deferred()
        soon(0.45, lambda: reactor.callFromThread(paused.callback, None))
        return paused

    factory = txzmq.ZmqFactory()
    reactor.callWhenRunning(lambda: defer.ensureDeferred(main()))
    reactor.callLater(1, lambda: None)  # somebody else's, which jumps with the clock
    reactor.run()
"""


@pytest.mark.parametrize("jump", [3600, -3600])
@pytest.mark.parametrize("name", ["epoll", "poll", "select", "asyncio"])
def test_a_jump_of_the_wall_clock_moves_nothing_of_ours(name: str, jump: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM).format(name=name, jump=jump)],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stdout + done.stderr


MEANWHILE = """
    import time
    from twisted.internet import {name}reactor
    {name}reactor.install()
    from twisted.internet import base, reactor
    from zmqbridge.twisted_backend import Requester
    from zmqbridge.twisted_backend._clocks import steady

    wall, ahead = time.time, 0
    base.ReactorBase.seconds = staticmethod(lambda: wall() + ahead)

    def act():
        global ahead
        ahead -= 3600
        used = time.process_time()

        def ended(what):
            said.append(what)
            if len(said) == 2:
                assert time.process_time() - used < 0.2
                print(*sorted(said), flush=True)
                reactor.callFromThread(reactor.stop)

        steady(reactor).callLater(3, ended, "delayed")
        asking = Requester(connect="inproc://nobody").request(b"x", timeout=3)
        asking.addErrback(lambda failure: ended(failure.type.__name__))

    said = []
    reactor.callLater(0, act)
    reactor.run()
"""


@pytest.mark.parametrize("name", ["epoll", "asyncio"])
def test_a_clock_that_is_set_back_among_the_delayed_calls_keeps_nobody_busy(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(MEANWHILE).format(name=name)],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.stdout == "RequestTimeout delayed\n", done.stderr


FORK = """
    import os, time
    from twisted.internet import {name}reactor
    {name}reactor.install()
    from twisted.internet import base, reactor
    from zmqbridge.twisted_backend import Requester

    wall, ahead = time.time, 0
    base.ReactorBase.seconds = staticmethod(lambda: wall() + ahead)

    def ask():
        global ahead
        asking = Requester(connect="inproc://nobody").request(b"x", timeout=0.4)
        ahead -= 3600
        asking.addErrback(lambda failure: print(failure.type.__name__, flush=True))
        asking.addBoth(lambda _: os._exit(0))

    before = Requester(connect="inproc://nobody")
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        before.close()
    else:
        reactor.callWhenRunning(ask)
        reactor.run()
"""


@pytest.mark.parametrize("name", ["epoll", "select"])
def test_a_forked_child_compares_the_clocks_anew(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORK).format(name=name)],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.stdout == "RequestTimeout\n", done.stderr


@pytest.mark.parametrize("clock", [MemoryReactorClock, Clock])
def test_who_brings_his_own_clock_makes_the_delayed_calls(clock: type[Any]) -> None:
    reactor = clock()
    assert steady(reactor) is reactor


@pytest.mark.parametrize("w", ["epoll", "asyncioreactor"], indirect=True)
@pytest.mark.parametrize("when", ["before it is made", "after"])
async def test_a_clock_in_the_place_of_a_reactors_call_later_is_followed(
    w: World, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    clock = Clock()
    if when == "after":
        requester = w.Requester(connect="inproc://nobody")
    with monkeypatch.context() as patched:
        patched.setattr(w.reactor, "callLater", clock.callLater)
        if when != "after":
            requester = w.Requester(connect="inproc://nobody")
        pusher = w.Pusher(connect="tcp://127.0.0.1:1", monitor=True)
        failed: list[Failure] = []
        for waiting in (requester.request(b"x", timeout=30), pusher.connected(timeout=30)):
            waiting.addErrback(failed.append)
        clock.advance(29)
        assert failed == []
        clock.advance(2)
        assert [each.type for each in failed] == [RequestTimeout, ConnectTimeout]
        pusher.close()
        requester.close()


@pytest.mark.parametrize("w", ["epoll"], indirect=True)
async def test_no_thread_is_left_when_nothing_is_open(w: World) -> None:
    def comparing() -> list[threading.Thread]:
        return [each for each in threading.enumerate() if each.name == "zmqbridge-clocks"]

    async with w.Pusher(bind="inproc://compared"):
        assert comparing()
    await w.until(lambda: gc.collect() != -1 and not comparing())


@pytest.mark.parametrize("w", ["epoll"], indirect=True)
async def test_a_wall_clock_that_falls_behind_slowly_is_noticed_in_the_end(w: World) -> None:
    def seconds() -> float:
        # It falls by less than what counts as a jump, between any two looks of the thread.
        if threading.current_thread().name != "zmqbridge-clocks":
            return keeps_time()
        looks.append(True)
        return keeps_time() - 0.006 * len(looks)

    looks: list[bool] = []
    noticed = []
    hand_in = w.reactor.callFromThread
    keeps_time, w.reactor.seconds = w.reactor.seconds, seconds
    w.reactor.callFromThread = lambda *call: noticed.append(call) or hand_in(*call)
    async with w.Puller():
        await w.until(lambda: noticed or len(looks) > 10)
    del w.reactor.seconds, w.reactor.callFromThread
    assert noticed


@pytest.mark.parametrize("w", ["epoll", "asyncioreactor"], indirect=True)
async def test_a_timeout_that_is_not_up_is_waited_for(w: World) -> None:
    async with w.Requester(connect="inproc://nobody") as requester:
        for timeout in (0.0005, 0.003, 0.02):
            begun = monotonic()
            with pytest.raises(RequestTimeout):
                await requester.request(b"x", timeout=timeout)
            assert monotonic() - begun >= timeout


# As freezegun does it: wherever a module has the clock, it gets another, of another epoch.
FROZEN = """
    import sys, threading, time
    from twisted.internet import base, defer, reactor, task
    import zmqbridge.asyncio_backend, zmqbridge.txzmq as txzmq
    from zmqbridge.twisted_backend import *
    import zmq

    CLOCKS = {time.time, time.monotonic}

    def frozen():
        return 1.7e9

    def freeze():
        return [
            (module, name, value, setattr(module, name, frozen))
            for module in list(sys.modules.values())
            for name, value in list(vars(module).items())
            if type(value) is type(len) and value in CLOCKS
        ]

    def thaw(those):
        for module, name, value, _ in those:
            setattr(module, name, value)

    async def main():
        those = freeze()
        lonely = Dealer(connect=f"ipc://{sys.argv[1]}/nobody")
        lonely.socket.setsockopt(zmq.IMMEDIATE, 0)
        lonely.socket.send(b"x")
        lonely.close()
        requester = Requester(connect="inproc://nobody")
        factory = txzmq.ZmqFactory()
        endpoint = txzmq.ZmqEndpoint("connect", "inproc://nobody")
        connection = txzmq.ZmqREQConnection(factory, endpoint)
        asking = [requester.request(b"x", timeout=0.3), connection.sendMsg(b"x", timeout=0.3)]
        for each in asking:
            each.addErrback(lambda failure: print(failure.type.__name__))
        thaw(those)
        await defer.gatherResults(asking)
        requester.close()
        factory.shutdown()

    task.react(lambda reactor: defer.ensureDeferred(main()))
"""


def test_a_test_that_freezes_the_time_is_held_up_by_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FROZEN), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=50,
    )
    told = ["RequestTimeout", "ZmqRequestTimeoutError"]
    assert sorted(done.stdout.split()) == told, done.stderr


@pytest.mark.parametrize("w", ["epoll"], indirect=True)
async def test_a_jump_of_the_wall_clock_cuts_no_check_short(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Deferred[bool]] = []

    def check(peer: object) -> Deferred[bool]:
        asked.append(Deferred())
        return asked[-1]

    reactor = w.reactor
    async with w.Authenticator({"global": Policy(check=check)}):
        async with w.Puller(bind="tcp://127.0.0.1:*", security=Null()) as puller:
            async with w.Pusher(connect=puller.addresses) as pusher:
                await w.until(lambda: asked)
                now = type(reactor).seconds
                monkeypatch.setattr(reactor, "seconds", lambda: now() + CALLBACK_TIMEOUT + 1)
                await w.settled()
                asked[0].callback(True)
                await pusher.push(b"in")
                assert await puller.receive() == [b"in"]
                monkeypatch.undo()
    assert w.reports == []
