"""Reactors: each one that watches FDs, as the global one of a process; and clocks of tests."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock

from zmqbridge import LoopError, RequestTimeout
from zmqbridge.twisted_backend import (
    Dealer,
    Publisher,
    Puller,
    Pusher,
    Replier,
    Requester,
    Router,
    Subscriber,
)
from zmqbridge.txzmq import (
    ZmqDealerConnection,
    ZmqEndpoint,
    ZmqFactory,
    ZmqPubConnection,
    ZmqREPConnection,
    ZmqREQConnection,
    ZmqRequestTimeoutError,
)

# Asyncio's debug mode says so when a callback was slow, as all are on a busy machine.
SLOW = re.compile(r"^Executing <.* took [0-9.]+ seconds\n", re.MULTILINE)
INSTALL = {
    "select": "from twisted.internet import selectreactor as r; r.install()",
    "poll": "from twisted.internet import pollreactor as r; r.install()",
    "epoll": "from twisted.internet import epollreactor as r; r.install()",
    "asyncio": "from twisted.internet import asyncioreactor as r; r.install()",
    "asyncio on uvloop": """
        import uvloop
        from twisted.internet import asyncioreactor as r
        r.install(uvloop.new_event_loop())
    """,
}

# Imported before the reactor is installed, as nothing of ours may install another one.
IMPORTS = """
    import asyncio
    import zmqbridge.txzmq as txzmq
    from zmqbridge.twisted_backend import *
"""

PROGRAM = """
    from twisted.internet import defer, reactor, task

    def facade(kind, how, address, **hooks):
        connection = getattr(txzmq, kind)(factory)
        vars(connection).update(hooks)
        connection.addEndpoints([txzmq.ZmqEndpoint(how, address)])
        return connection

    async def patterns():
        async with (
            Replier(bind="tcp://127.0.0.1:*") as replier,
            Requester(connect=replier.addresses, timeout=10) as requester,
            Puller(bind="ipc://*") as puller,
            Pusher(connect=puller.addresses) as pusher,
            Subscriber("a", bind="inproc://topic") as subscriber,
            Publisher(connect="inproc://topic") as publisher,
            Router(bind="inproc://router") as router,
            Dealer(connect="inproc://router") as dealer,
        ):
            serving = replier.serve(lambda request: request.reply(b"re", *request.parts))
            asking = [requester.request(b"%d" % n) for n in range(200)]
            assert await defer.gatherResults(asking) == [[b"re", b"%d" % n] for n in range(200)]
            for n in range(200):
                await pusher.push(b"%d" % n)
            assert [await puller.receive() for _ in range(200)] == [[b"%d" % n] for n in range(200)]
            publication = subscriber.receive()
            while not publication.called:
                publisher.publish(b"body", "abc")
                await task.deferLater(reactor, 0.002)
            assert await publication == (b"abc", b"body")
            await dealer.send(b"hello")
            peer, parts = await router.receive()
            await router.send(peer, *parts, b"back")
            assert await dealer.receive() == [b"hello", b"back"]
            replier.close()
            await serving

    async def facade_patterns():
        pulled, published, routed = [], defer.Deferred(), defer.Deferred()
        full = defer.Deferred()

        def take(message):
            pulled.append(message)
            if len(pulled) == 200:
                full.callback(None)

        facade("ZmqPullConnection", "bind", "inproc://pull", onPull=take)
        push = facade("ZmqPushConnection", "connect", "inproc://pull")
        for n in range(200):
            push.push(b"%d" % n)
        await full
        assert pulled == [[b"%d" % n] for n in range(200)]

        def heard(message, tag):
            if not published.called:
                published.callback((message, tag))

        sub = facade("ZmqSubConnection", "bind", "inproc://sub", gotMessage=heard)
        sub.subscribe(b"a")
        pub = facade("ZmqPubConnection", "connect", "inproc://sub")
        while not published.called:
            pub.publish(b"body", b"abc")
            await task.deferLater(reactor, 0.002)
        assert await published == (b"body", b"abc")

        rep = facade("ZmqREPConnection", "bind", "inproc://rep")
        rep.gotMessage = lambda message_id, *parts: rep.reply(message_id, b"re", *parts)
        req = facade("ZmqREQConnection", "connect", "inproc://rep")
        assert await req.sendMsg(b"x", timeout=10) == [b"re", b"x"]
        try:
            lonely = facade("ZmqREQConnection", "connect", "inproc://nobody")
            await lonely.sendMsg(b"", timeout=0.01)
        except txzmq.ZmqRequestTimeoutError:
            print("timed out")

        router = facade("ZmqRouterConnection", "bind", "inproc://routes")
        router.gotMessage = lambda peer, *parts: router.sendMsg(peer, *parts)
        dealer = facade("ZmqDealerConnection", "connect", "inproc://routes")
        dealer.gotMessage = lambda *parts: routed.callback(parts)
        dealer.sendMsg(b"there and back")
        assert await routed == (b"there and back",)

    async def main(reactor):
        await patterns()
        await facade_patterns()
        factory.shutdown()
        left = [type(reader).__module__ for reader in reactor.getReaders()]
        assert not any("zmq" in module for module in left), left
        print(type(reactor).__name__, "done")

    factory = txzmq.ZmqFactory()
    task.react(lambda reactor: defer.ensureDeferred(main(reactor)))
"""


@pytest.mark.parametrize("name", INSTALL)
def test_every_reactor_with_fds_runs_every_pattern_of_both_apis(name: str) -> None:
    if "uvloop" in name:
        pytest.importorskip("uvloop")
    program = "".join(map(textwrap.dedent, (IMPORTS, INSTALL[name], PROGRAM)))
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    assert SLOW.sub("", done.stderr) == ""
    first, second = done.stdout.splitlines()
    assert first == "timed out"
    assert second.endswith("Reactor done")
    assert name.partition(" ")[0] in second.lower()


class Completions:
    """As Twisted's IOCP reactor: it has time and completion ports, and watches no FDs."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.callLater, self.seconds = self.clock.callLater, self.clock.seconds

    def __repr__(self) -> str:
        return "<the IOCP reactor>"


SOCKETS = [Publisher, Subscriber, Pusher, Puller, Requester, Replier, Dealer, Router]
WORKING = r"<the IOCP reactor>.*epoll, poll, select or asyncio reactor"


@pytest.mark.parametrize("kind", SOCKETS)
def test_a_reactor_without_fds_is_refused_with_the_names_of_others(kind: type[Any]) -> None:
    with pytest.raises(LoopError, match=WORKING):
        kind(reactor=Completions())


@pytest.mark.parametrize("kind", [ZmqPubConnection, ZmqREQConnection, ZmqDealerConnection])
def test_the_facade_refuses_it_too_and_leaves_nothing_open(kind: type[Any]) -> None:
    factory = ZmqFactory()
    factory.reactor = Completions()
    with pytest.raises(LoopError, match=WORKING):
        kind(factory, ZmqEndpoint("bind", "inproc://refused"))
    assert not factory.connections
    factory.shutdown()


def mixed() -> Clock:
    """A Clock beside a reactor of which only the FDs are wanted, as tests make them."""
    clock = Clock()
    memory = MemoryReactorClock()
    for name in ("addReader", "removeReader", "getReaders"):
        setattr(clock, name, getattr(memory, name))
    return clock


CLOCKS = pytest.mark.parametrize("clock", [MemoryReactorClock, mixed])


def turn(reactor: Clock | MemoryReactorClock) -> None:
    """Have what is due called, and whatever may be read be read."""
    for _ in range(20):
        reactor.advance(0)
        for reader in reactor.getReaders():
            reader.doRead()


def outcome(deferred: Any) -> list[Any]:
    results: list[Any] = []
    deferred.addBoth(results.append)
    return results


@CLOCKS
def test_a_clock_drives_the_timeouts_of_a_requester(clock: Callable[..., Any] | type[Any]) -> None:
    reactor = clock()
    with_replier = Requester(bind="inproc://clocked", reactor=reactor)
    alone = Requester(timeout=30, reactor=reactor)
    replier = Replier(connect="inproc://clocked", reactor=reactor)
    try:
        turn(reactor)
        queued, sent = outcome(alone.request(b"")), outcome(with_replier.request(b"", timeout=60))
        turn(reactor)
        reactor.advance(29.9)
        assert (queued, sent) == ([], [])
        reactor.advance(0.2)
        assert queued[0].check(RequestTimeout)
        assert queued[0].value.stage == "queued"
        reactor.advance(29.8)
        assert sent == []
        reactor.advance(0.2)
        assert sent[0].value.stage == "sent"
        turn(reactor)
        assert replier.statistics().received == 1
    finally:
        for socket in (with_replier, alone, replier):
            socket.close()
    assert not reactor.getDelayedCalls()
    assert not reactor.getReaders()


@CLOCKS
def test_a_clock_drives_the_timeouts_of_the_facade(clock: Callable[..., Any] | type[Any]) -> None:
    factory = ZmqFactory()
    factory.reactor = reactor = clock()
    rep = ZmqREPConnection(factory, ZmqEndpoint("bind", "inproc://clocked facade"))
    req = ZmqREQConnection(factory, ZmqEndpoint("connect", "inproc://clocked facade"))
    asked = []
    rep.gotMessage = lambda message_id, *parts: asked.append((message_id, *parts))
    try:
        first = outcome(req.sendMsg(b"first", timeout=3600))
        second = outcome(req.sendMsg(b"second", timeout=7200))
        turn(reactor)
        assert [parts for _, *parts in asked] == [[b"first"], [b"second"]]
        reactor.advance(3601)
        assert first[0].check(ZmqRequestTimeoutError)
        rep.reply(asked[1][0], b"in time")
        turn(reactor)
        assert second == [[b"in time"]]
        reactor.advance(7200)
        assert len(second) == 1
    finally:
        factory.shutdown()
    assert not reactor.getDelayedCalls()
    assert not reactor.getReaders()
