"""SimReactor: what is Twisted's alone in the simulated network."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from twisted.internet import defer, error, task
from twisted.logger import ILogObserver, globalLogPublisher
from zope.interface import implementer

from zmqbridge import twisted_backend
from zmqbridge.testing import Network, NotSimulated, SimReactor, Stalled
from zmqbridge.twisted_backend import Puller, Pusher, Replier, Requester

ADDRESS = "tcp://server:5555"


@pytest.fixture
def reactor() -> Any:
    with SimReactor() as reactor:
        yield reactor


@pytest.fixture
def logged() -> Any:
    """The failures that were logged."""
    failures: list[Any] = []

    @implementer(ILogObserver)
    def observe(event: Any) -> None:
        failure = event.get("log_failure") or event.get("failure")
        if failure is not None:
            failures.append(failure.value)

    globalLogPublisher.addObserver(observe)
    yield failures
    globalLogPublisher.removeObserver(observe)


def sockets(reactor: Any, *kinds: Any) -> Any:
    """Sockets that a test makes by itself, each on a node of its own."""
    made: list[Any] = []
    for kind, name in kinds:
        node = reactor.network.node(name)
        made.append(getattr(twisted_backend, kind)(reactor=reactor, context=node.context))
    return made


def test_a_test_may_drive_sockets_without_programs(reactor: Any) -> None:
    replier, requester = sockets(reactor, ("Replier", "server"), ("Requester", "client"))
    replier.bind(ADDRESS)
    replier.serve(lambda request: request.reply(b"re", *request.parts))
    requester.connect(ADDRESS)
    assert reactor.run_until(requester.request(b"x")) == [b"re", b"x"]
    replier.close()
    requester.close()


def test_calls_are_made_at_their_times(reactor: Any) -> None:
    made: list[Any] = []
    reactor.callLater(2, made.append, "two")
    reactor.callLater(1, made.append, "one")
    first, second = (reactor.callLater(3, made.append, name) for name in ("a", "b"))
    later = reactor.callLater(1, made.append, "later")
    sooner = reactor.callLater(9, made.append, "sooner")
    cancelled = reactor.callLater(1, made.append, "cancelled")
    cancelled.cancel()
    later.delay(4)
    sooner.reset(0.5)
    assert len(reactor.getDelayedCalls()) == 6
    reactor.advance(2)
    assert made == ["sooner", "one", "two"]
    assert reactor.seconds() == 2
    reactor.advance(10)
    assert made[3:] == ["a", "b", "later"]
    assert reactor.seconds() == 12
    assert not reactor.getDelayedCalls()
    assert not first.active()
    with pytest.raises(error.AlreadyCalled):
        second.cancel()


def test_a_call_that_another_of_the_same_moment_cancels_or_moves(reactor: Any) -> None:
    made: list[Any] = []

    def first() -> None:
        second.cancel()
        third.delay(5)

    reactor.callLater(1, first)
    second = reactor.callLater(1, made.append, "cancelled")
    third = reactor.callLater(1, lambda: made.append(reactor.seconds()))
    reactor.advance(10)
    assert made == [6]


def test_what_is_asked_for_at_once_is_made_with_the_next_turn(reactor: Any) -> None:
    made: list[Any] = []

    def again() -> None:
        made.append(reactor.seconds())
        if len(made) < 9:
            reactor.callLater(0, again)
            reactor.callFromThread(made.append, None)

    reactor.callLater(0, again)
    reactor.run_until(lambda: len(made) >= 9)
    assert made[0] < made[2] < made[4]


def test_calls_that_follow_each_other_for_ever_do_not_keep_time_from_passing(reactor: Any) -> None:
    looping = task.LoopingCall(lambda: None)
    looping.clock = reactor
    looping.start(0)
    reactor.advance(0.01)
    assert 0.01 <= reactor.seconds() < 0.011
    looping.stop()


@pytest.mark.parametrize("delay", [-1, float("inf"), float("nan")])
def test_a_delay_is_a_number_of_seconds(reactor: Any, delay: Any) -> None:
    with pytest.raises(ValueError, match="seconds"):
        reactor.callLater(delay, print)
    with pytest.raises(ValueError, match="seconds"):
        reactor.advance(delay)


def test_a_clock_for_looping_calls(reactor: Any) -> None:
    made: list[Any] = []
    looping = task.LoopingCall(lambda: made.append(reactor.seconds()))
    looping.clock = reactor
    done = looping.start(10, now=False)
    reactor.pump([10, 10, 10])
    assert made == [10, 20, 30]
    looping.stop()
    assert reactor.run_until(done) is looping


def test_what_a_call_lets_out_is_logged(reactor: Any, logged: Any) -> None:
    def fail() -> None:
        raise LookupError("this one")

    reactor.callLater(1, fail)
    reactor.callFromThread(fail)
    reactor.advance(2)
    assert [str(each) for each in logged] == ["this one"] * 2


def test_the_error_of_a_deferred_comes_out(reactor: Any) -> None:
    failing: defer.Deferred[None] = defer.Deferred()
    reactor.callLater(1, failing.errback, LookupError("this one"))
    with pytest.raises(LookupError, match="this one"):
        reactor.run_until(failing)


def test_a_result_is_left_for_others(reactor: Any) -> None:
    deferred = task.deferLater(reactor, 1, lambda: 5)
    assert reactor.run_until(deferred) == 5
    seen: list[Any] = []
    deferred.addCallback(lambda result: seen.append(result))
    assert seen == [5]


def test_a_deferred_that_nobody_fires_is_a_stall(reactor: Any) -> None:
    with pytest.raises(Stalled, match="run_until: <Deferred"):
        reactor.run_until(defer.Deferred())
    with pytest.raises(Stalled, match="run_until: <function"):
        reactor.run_until(lambda: False)


def test_in_vain_with_a_server_that_is_not_there(reactor: Any) -> None:
    (requester,) = sockets(reactor, ("Requester", "client"))
    requester.connect(ADDRESS)
    asked = requester.request(b"x", timeout=None)
    with pytest.raises(Stalled, match="simulated DEALER of client"):
        reactor.run_until(asked)
    asked.addErrback(lambda failure: None)
    requester.close()


def test_one_who_is_called_cannot_wait_for_the_reactor(reactor: Any, logged: Any) -> None:
    reactor.callLater(1, reactor.advance, 1)
    reactor.callLater(1, reactor.run_until, defer.Deferred())
    reactor.advance(2)
    assert [type(each) for each in logged] == [error.ReactorAlreadyRunning] * 2


def test_a_network_has_one_reactor(reactor: Any) -> None:
    with pytest.raises(ValueError, match="has a loop already"):
        SimReactor(reactor.network)


def test_what_is_real_is_refused(reactor: Any) -> None:
    class Reader:
        def fileno(self) -> Any:
            return 0

    with pytest.raises(NotSimulated, match="descriptor 0 is real"):
        reactor.addReader(Reader())
    with pytest.raises(NotSimulated, match="real descriptor"):
        reactor.addWriter(Reader())
    for threaded in (reactor.callInThread, reactor.getThreadPool):
        with pytest.raises(NotSimulated, match="threads"):
            threaded(print)


def test_a_stop_calls_what_waits_for_it(reactor: Any) -> None:
    called: list[Any] = []
    last: defer.Deferred[None] = defer.Deferred()
    reactor.addSystemEventTrigger("after", "shutdown", called.append, "after")
    reactor.addSystemEventTrigger("during", "shutdown", called.append, "during")
    reactor.addSystemEventTrigger("before", "shutdown", lambda: last)
    revoked = reactor.addSystemEventTrigger("during", "shutdown", called.append, "revoked")
    reactor.removeSystemEventTrigger(revoked)
    reactor.callLater(5, reactor.stop)
    reactor.callLater(7, last.callback, None)
    reactor.callWhenRunning(called.append, "running")
    reactor.run()
    assert called == ["running", "during", "after"]
    assert 7 <= reactor.seconds() < 7.1
    with pytest.raises(Stalled, match="stopped"):
        reactor.run_until(defer.Deferred())
    with pytest.raises(KeyError):
        reactor.addSystemEventTrigger("sometime", "shutdown", print)


def test_it_runs_until_nothing_can_go_on(reactor: Any) -> None:
    with pytest.raises(Stalled):
        reactor.run()


def test_a_function_may_set_up_a_node(reactor: Any) -> None:
    got: list[Any] = []

    def pull() -> None:
        puller = Puller(bind=ADDRESS, handler=lambda parts: got.append(parts))
        kept.append(puller)

    async def push() -> None:
        async with Pusher(connect=ADDRESS) as pusher:
            await pusher.push(b"x")

    kept: list[Any] = []
    reactor.network.node("server").start(pull)
    reactor.network.node("client").start(push)
    reactor.run_until(lambda: got)
    assert got == [[b"x"]]
    assert kept[0].socket.context is reactor.network.node("server").context


def test_a_killed_node_is_never_called_again(reactor: Any, logged: Any) -> None:
    ticks: list[Any] = []
    got: list[Any] = []
    server = reactor.network.node("server")

    def program() -> None:
        looping = task.LoopingCall(lambda: ticks.append(reactor.seconds()))
        looping.clock = reactor
        looping.start(1)
        Puller(bind=ADDRESS, handler=got.append)
        reactor.callFromThread(got.append, "soon")
        reactor.addSystemEventTrigger("during", "shutdown", got.append, "shutdown")

    server.start(program)
    server.kill()
    assert reactor.getDelayedCalls() == reactor.getReaders() == []
    reactor.advance(5)
    reactor.fireSystemEvent("shutdown")
    assert ticks == [0]
    assert got == []
    server.restart()
    reactor.advance(2.5)
    assert ticks == [0, 5, 6, 7]
    assert "soon" in got
    del program
    gc.collect()
    assert logged == []


def test_what_a_process_has_asked_for_is_not_done_by_the_next(reactor: Any) -> None:
    made: list[Any] = []
    server = reactor.network.node("server")
    server.start(lambda: (reactor.callLater(5, made.append, "old"), None)[1])
    server.restart(lambda: (reactor.callLater(5, made.append, "new"), None)[1])
    assert len(reactor.getDelayedCalls()) == 1
    reactor.advance(10)
    assert made == ["new"]


def test_what_has_come_before_a_pause_is_read_after_it(reactor: Any) -> None:
    got: list[Any] = []
    puller, pusher = sockets(reactor, ("Puller", "server"), ("Pusher", "client"))
    puller.bind(ADDRESS)
    pusher.connect(ADDRESS)
    reactor.run_until(pusher.push(b"1"))
    assert reactor.run_until(puller.receive()) == [b"1"]
    reactor.advance(1)
    puller.receive().addCallback(got.append)
    pusher.push(b"2")
    reactor.network.deliver_until(reactor.seconds() + 1)
    reactor.network.node("server").pause()
    reactor.advance(5)
    assert got == []
    reactor.network.node("server").resume()
    reactor.advance(1)
    assert got == [[b"2"]]
    puller.close()
    pusher.close()


def test_calls_of_a_paused_node_wait(reactor: Any) -> None:
    made: list[Any] = []
    server = reactor.network.node("server")

    def program() -> None:
        reactor.callLater(1, made.append, "one")
        calls.append(reactor.callLater(2, made.append, "cancelled"))
        reactor.callLater(10, made.append, "ten")

    calls: list[Any] = []
    server.start(program)
    server.pause()
    reactor.advance(5)
    assert made == []
    calls[0].cancel()
    server.resume()
    reactor.advance(0)
    assert made == ["one"]
    reactor.advance(5)
    assert made == ["one", "ten"]


def test_a_socket_of_a_paused_node_is_not_read(reactor: Any) -> None:
    got: list[Any] = []
    puller, pusher = sockets(reactor, ("Puller", "server"), ("Pusher", "client"))
    puller.bind(ADDRESS)
    pusher.connect(ADDRESS)
    reactor.run_until(pusher.push(b"1"))
    assert reactor.run_until(puller.receive()) == [b"1"]
    reactor.network.node("server").pause()
    puller.receive().addCallback(got.append)
    reactor.run_until(pusher.push(b"2"))
    reactor.advance(5)
    assert got == []
    reactor.network.node("server").resume()
    reactor.advance(1)
    assert got == [[b"2"]]
    puller.close()
    pusher.close()


def test_after_its_end_a_reactor_leaves_no_socket_open(logged: Any) -> None:
    network = Network()
    kept: list[Any] = []
    with SimReactor(network) as reactor:
        network.node("server").start(lambda: kept.append(Puller(bind=ADDRESS)))

        async def ask() -> None:
            async with Requester(connect=ADDRESS) as requester:
                kept.append(requester)
                await requester.request(b"x", timeout=None)

        network.node("client").start(ask)
        reactor.advance(1)
    assert all(each.closed for each in kept)
    del kept[:]
    gc.collect()
    assert logged == []
    with SimReactor(network):
        assert network.node("server").alive


def test_a_server_that_serves_by_a_deferred(reactor: Any) -> None:
    @defer.inlineCallbacks
    def program() -> Any:
        replier = Replier(bind=ADDRESS)
        yield replier.serve(lambda request: request.reply(*request.parts))

    reactor.network.node("server").start(program)
    (requester,) = sockets(reactor, ("Requester", "client"))
    requester.connect(ADDRESS)
    assert reactor.run_until(requester.request(b"x")) == [b"x"]
    requester.close()


TRIAL = """
    from twisted.internet import defer
    from twisted.trial import unittest
    from zmqbridge.testing import Network, SimReactor, Stalled
    from zmqbridge.twisted_backend import Replier, Requester

    class Tests(unittest.TestCase):
        def setUp(self):
            self.network = Network(7)
            self.reactor = SimReactor(self.network)
            self.addCleanup(self.reactor.close)

        def test_asks(self):
            def serve():
                Replier(bind="tcp://server:1").serve(lambda request: request.reply(b"yes"))

            async def ask():
                async with Requester(connect="tcp://server:1") as requester:
                    got.append(await requester.request(b"x"))

            got: list[Any] = []
            self.network.node("server").start(serve)
            self.network.node("client").start(ask)
            self.reactor.run_until(lambda: got)
            self.assertEqual(got, [[b"yes"]])
            self.reactor.advance(3600)

        def test_waits_for_ever(self):
            with self.assertRaises(Stalled):
                self.reactor.run_until(defer.Deferred())

        def test_fails(self):
            def fail():
                raise LookupError
            self.reactor.callLater(1, fail)
            self.reactor.advance(1)
            self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)
"""


def test_with_trial(tmp_path: Any) -> None:
    (tmp_path / "test_mine.py").write_text(textwrap.dedent(TRIAL))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "twisted.trial", "test_mine"],
        cwd=tmp_path, capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "successes=3" in done.stdout
