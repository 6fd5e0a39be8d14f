"""Sockets that are made in another thread while the reactor runs belong to the reactor's thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq
from twisted.internet import asyncioreactor
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.threads import blockingCallFromThread

from zmqbridge import WrongThread
from zmqbridge.twisted_backend import (
    Publisher,
    Puller,
    Pusher,
    Replier,
    Request,
    Requester,
    Subscriber,
)
from zmqbridge.txzmq import (
    ZmqEndpoint,
    ZmqFactory,
    ZmqPubConnection,
    ZmqREPConnection,
    ZmqREQConnection,
    ZmqSubConnection,
)


@pytest.fixture(params=["epoll", "poll", "select", "asyncio"])
def reactor(request: pytest.FixtureRequest, make_reactor: Callable[[str], Any]) -> Iterator[Any]:
    """A reactor that runs in a thread of its own."""
    if request.param == "asyncio":
        reactor = asyncioreactor.AsyncioSelectorReactor(asyncio.new_event_loop())
    else:
        reactor = make_reactor(request.param)
    begun = threading.Event()
    reactor.callWhenRunning(begun.set)
    # Nothing else keeps it awake: what is made elsewhere has to wake it.
    thread = threading.Thread(target=reactor.run, kwargs={"installSignalHandlers": False})
    thread.start()
    assert begun.wait(10)
    yield reactor
    reactor.callFromThread(reactor.stop)
    thread.join(10)
    assert not thread.is_alive()
    for waker in list(reactor._internalReaders):
        waker.connectionLost(None)
    for kept, close in (("_poller", "close"), ("_asyncioEventloop", "close")):
        getattr(getattr(reactor, kept, None), close, int)()


def in_the_reactor(reactor: Any, call: Callable[..., Any], *args: object, **kwargs: object) -> Any:
    return blockingCallFromThread(reactor, call, *args, **kwargs)


def test_connections_of_the_facade(reactor: Any) -> None:
    factory = ZmqFactory()
    factory.reactor = reactor
    heard = threading.Event()
    subscriber = ZmqSubConnection(factory, ZmqEndpoint("bind", "inproc://elsewhere"))
    subscriber.gotMessage = lambda message, tag: heard.set()
    subscriber.subscribe(b"")
    publisher = ZmqPubConnection(factory, ZmqEndpoint("connect", "inproc://elsewhere"))
    replier = ZmqREPConnection(factory)
    replier.addEndpoints([ZmqEndpoint("bind", "inproc://elsewhere2")])
    replier.gotMessage = replier.reply
    requester = ZmqREQConnection(factory, ZmqEndpoint("connect", "inproc://elsewhere2"))
    for number in range(3):
        sent = [b"%d" % number]
        assert in_the_reactor(reactor, requester.sendMsg, *sent, timeout=5) == sent
    for _ in range(1000):
        in_the_reactor(reactor, publisher.publish, b"x")
        if heard.wait(0.01):
            break
    assert heard.is_set()
    # From the first call that came from the reactor's thread on, it is theirs alone.
    for call in (lambda: requester.sendMsg(b"x"), lambda: publisher.publish(b"x")):
        with pytest.raises(WrongThread):
            call()
    in_the_reactor(reactor, factory.shutdown)
    assert factory.connections is None


def test_native_sockets(reactor: Any) -> None:
    puller = Puller(bind="inproc://elsewhere3", reactor=reactor)
    pusher = Pusher(connect="inproc://elsewhere3", reactor=reactor)
    replier = Replier(bind="inproc://elsewhere4", reactor=reactor)
    requester = Requester(connect="inproc://elsewhere4", reactor=reactor)
    subscriber = Subscriber(["a", "b"], bind="inproc://elsewhere5", reactor=reactor)
    publisher = Publisher(connect="inproc://elsewhere5", reactor=reactor)
    sockets = (puller, pusher, replier, requester, subscriber, publisher)
    serving = []

    def serve() -> None:
        serving.append(replier.serve(lambda request: request.reply(*request.parts)))

    reactor.callFromThread(serve)
    for number in range(3):
        in_the_reactor(reactor, pusher.push, b"%d" % number)
        assert in_the_reactor(reactor, puller.receive) == [b"%d" % number]
        assert in_the_reactor(reactor, requester.request, b"x", timeout=5) == [b"x"]
    for socket in sockets[:4]:
        with pytest.raises(WrongThread):
            socket.close()
    everybody: list[Any] = [*sockets]
    for each in everybody:
        in_the_reactor(reactor, each.close)
    assert serving[0].called


def test_what_was_made_in_the_reactors_thread_is_refused_elsewhere_at_once(reactor: Any) -> None:
    factory = ZmqFactory()
    factory.reactor = reactor

    def make() -> tuple[ZmqPubConnection, Publisher]:
        return (
            ZmqPubConnection(factory, ZmqEndpoint("bind", "inproc://home")),
            Publisher(bind="inproc://home2", reactor=reactor),
        )

    made = in_the_reactor(reactor, make)
    for publisher in made:
        with pytest.raises(WrongThread):
            publisher.publish(b"x")
    in_the_reactor(reactor, factory.shutdown)
    in_the_reactor(reactor, made[1].close)


class Eager(MemoryReactorClock):
    """A reactor that reads before `addReader` returns, as one in another thread may."""

    def __init__(self, send: Callable[..., Any], done: Callable[..., Any]) -> None:
        super().__init__()
        self.send, self.done = send, done

    def addReader(self, reader: Any) -> None:
        super().addReader(reader)
        self.send()
        deadline = time.monotonic() + 5
        while not self.done() and time.monotonic() < deadline:
            reader.doRead()


@pytest.mark.parametrize("prefetch", [None, 0])
def test_a_reactor_that_reads_at_once_finds_the_handler(prefetch: int | None) -> None:
    with zmq.Context() as context, context.socket(zmq.PUSH) as peer:
        peer.bind("inproc://eager")
        got: list[list[bytes]] = []
        puller = Puller(
            connect="inproc://eager",
            context=context,
            handler=got.append,
            prefetch=prefetch,
            reactor=Eager(lambda: peer.send(b"x"), lambda: got),
        )
        assert got == [[b"x"]]
        puller.close()


def test_a_reactor_that_reads_at_once_looks_after_peers_that_do_not_read() -> None:
    few: Any = {zmq.SNDHWM: 1, zmq.RCVHWM: 100}
    with zmq.Context() as context, context.socket(zmq.DEALER) as peer:
        peer.rcvhwm = 1
        peer.bind("inproc://eager")
        answered = []

        def ask() -> None:
            for number in range(5):
                peer.send_multipart([b"", b"%d" % number])

        def answer(request: Request) -> None:
            request.reply(b"x")
            answered.append(request)

        reactor = Eager(ask, lambda: len(answered) == 5)
        replier = Replier(
            connect="inproc://eager", context=context, handler=answer, options=few, reactor=reactor
        )
        assert replier.statistics().queued > 0
        peer.rcvtimeo = 0
        for _ in range(5):
            for _ in range(100):
                reactor.advance(1)
                if peer.poll(10):
                    break
            peer.recv()
        replier.close()


def test_what_was_made_before_the_reactor_ran_is_refused_elsewhere_at_once(
    make_reactor: Callable[[str], Any],
) -> None:
    reactor: Any = make_reactor("epoll")
    factory = ZmqFactory()
    factory.reactor = reactor
    made: list[Any] = [
        ZmqPubConnection(factory, ZmqEndpoint("bind", "inproc://before")),
        Publisher(bind="inproc://before2", reactor=reactor),
    ]
    refused: list[Any] = []

    def elsewhere() -> None:
        for call in (made[0].publish, made[1].publish):
            with pytest.raises(WrongThread):
                call(b"x")
            refused.append(call)
        for end in (made[0].shutdown, made[1].close, factory.shutdown):
            with pytest.raises(WrongThread):
                end()
            refused.append(end)

    def end() -> None:
        factory.shutdown()
        made[1].close()
        reactor.stop()

    def begin() -> None:
        # Nothing has happened at these sockets yet, as no peer is there.
        reactor.callInThread(lambda: (elsewhere(), reactor.callFromThread(end)))

    made[0].publish(b"before the reactor runs, any thread may")
    reactor.callWhenRunning(begin)
    reactor.callLater(20, reactor.stop)
    reactor.run(installSignalHandlers=False)
    assert len(refused) == 5
    for waker in list(reactor._internalReaders):
        waker.connectionLost(None)
    reactor._poller.close()
