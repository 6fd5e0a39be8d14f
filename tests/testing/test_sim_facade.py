"""The txZMQ-compatible classes in the simulated network, unchanged."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from twisted.internet.task import deferLater

from zmqbridge.testing import Network, NotSimulated, SimReactor, Stalled, Twice, check_determinism
from zmqbridge.testing._twisted_run import run_on_twisted
from zmqbridge.twisted_backend._reactors import global_reactor
from zmqbridge.txzmq import (
    ZmqEndpoint,
    ZmqFactory,
    ZmqPubConnection,
    ZmqPullConnection,
    ZmqPushConnection,
    ZmqREPConnection,
    ZmqREQConnection,
    ZmqRequestTimeoutError,
    ZmqSubConnection,
)

ADDRESS = "tcp://server:5555"
BIND, CONNECT = ZmqEndpoint("bind", ADDRESS), ZmqEndpoint("connect", ADDRESS)


class Rep(ZmqREPConnection):
    seen: list[tuple[bytes, ...]] | None = None

    def gotMessage(self, messageId: Any, *parts: Any) -> None:
        if self.seen is not None:
            self.seen.append(parts)
        self.reply(messageId, *parts)


class Pull(ZmqPullConnection):
    def __init__(self, *args: Any) -> None:
        self.pulled: list[Any] = []
        super().__init__(*args)

    def onPull(self, message: Any) -> None:
        self.pulled += message


class Sub(ZmqSubConnection):
    def __init__(self, *args: Any) -> None:
        self.got: list[Any] = []
        super().__init__(*args)

    def gotMessage(self, message: Any, tag: Any) -> None:
        self.got.append((tag, message))


@pytest.fixture
def reactor() -> Any:
    with SimReactor() as reactor:
        yield reactor


def echo(network: Any, seen: Any = None) -> None:
    def serve() -> None:
        Rep(ZmqFactory(), BIND).seen = seen

    network.node("server").start(serve)


def requester() -> Any:
    return ZmqREQConnection(ZmqFactory(), CONNECT)


def factory_on(reactor: Any, name: Any) -> Any:
    """A factory as a test makes it that has no programs."""
    factory = ZmqFactory()
    factory.context.term()
    factory.context, factory.reactor = reactor.network.node(name).context, reactor
    return factory


def test_a_factory_may_be_given_a_context_and_a_reactor(reactor: Any) -> None:
    server, client = factory_on(reactor, "server"), factory_on(reactor, "client")
    Rep(server, BIND)
    asking = ZmqREQConnection(client, CONNECT)
    assert reactor.run_until(asking.sendMsg(b"x", b"y")) == [b"x", b"y"]
    client.shutdown()
    server.shutdown()
    assert reactor.network.node("client").context.socket(3) is not None


def test_requests_have_their_time_and_it_costs_nothing() -> None:
    network = Network()

    async def main() -> None:
        asking = requester()
        with pytest.raises(ZmqRequestTimeoutError):
            await asking.sendMsg(b"x", timeout=3600)
        echo(network)
        assert await asking.sendMsg(b"y", timeout=5) == [b"y"]
        asking.factory.shutdown()

    run_on_twisted(main, network)
    assert 3600 <= network.now < 3602


def test_a_server_is_killed_and_restarted() -> None:
    network = Network()
    seen: list[Any] = []

    async def main() -> None:
        echo(network, seen)
        asking = requester()
        await asking.sendMsg(b"1")
        network.node("server").kill()
        with pytest.raises(ZmqRequestTimeoutError):
            await asking.sendMsg(b"2", timeout=5)
        network.node("server").restart()
        await asking.sendMsg(b"3", timeout=5)

    run_on_twisted(main, network)
    assert seen == [(b"1",), (b"3",)]


def test_a_server_stands_still_and_goes_on() -> None:
    network = Network()
    seen: list[Any] = []

    async def main() -> None:
        echo(network, seen)
        asking = requester()
        await asking.sendMsg(b"1")
        network.node("server").pause()
        with pytest.raises(ZmqRequestTimeoutError):
            await asking.sendMsg(b"2", timeout=5)
        assert len(seen) == 1
        network.node("server").resume()
        await asking.sendMsg(b"3", timeout=5)

    run_on_twisted(main, network)
    assert seen == [(b"1",), (b"2",), (b"3",)]


def test_after_a_cut_and_a_silence() -> None:
    network = Network()

    async def main() -> Any:
        echo(network)
        asking = requester()
        await asking.sendMsg(b"1")
        network.cut("main", "server")
        await deferLater(global_reactor(), 1)
        await asking.sendMsg(b"2")
        network.silence("main", "server")
        network.after(50, lambda: network.heal("main", "server"))
        begun = network.now
        await asking.sendMsg(b"3")
        return network.now - begun

    assert 50 <= run_on_twisted(main, network) < 51


def test_what_comes_twice_is_answered_twice_and_heard_once() -> None:
    network = Network()
    seen: list[Any] = []

    async def main() -> Any:
        echo(network, seen)
        network.rule(lambda each: Twice() if each.target.name == "server" else None)
        asking = requester()
        assert await asking.sendMsg(b"1") == [b"1"]
        assert await asking.sendMsg(b"2") == [b"2"]
        return asking.statistics().late_replies

    assert run_on_twisted(main, network) >= 1
    assert seen.count((b"1",)) == 2


def test_messages_are_pushed_and_published(reactor: Any) -> None:
    network = reactor.network
    made: list[Any] = []

    def server() -> None:
        factory = ZmqFactory()
        made.append(Pull(factory, BIND))
        subscriber = Sub(factory, ZmqEndpoint("bind", "tcp://server:5556"))
        subscriber.subscribe(b"a")
        made.append(subscriber)

    def client() -> None:
        factory = ZmqFactory()
        push = ZmqPushConnection(factory, CONNECT)
        publisher = ZmqPubConnection(factory, ZmqEndpoint("connect", "tcp://server:5556"))
        for number in range(10):
            reactor.callLater(1 + number, push.push, b"%d" % number)
            reactor.callLater(
                1 + number, publisher.publish, b"%d" % number, b"ab"[number % 2 :][:1]
            )

    network.node("server").start(server)
    network.node("client").start(client)
    reactor.advance(3600)
    pull, subscriber = made
    assert pull.pulled == [b"%d" % number for number in range(10)]
    assert subscriber.got == [(b"a", b"%d" % number) for number in range(0, 10, 2)]


def test_a_request_that_nobody_answers_is_named() -> None:
    async def main() -> None:
        await requester().sendMsg(b"x")

    with pytest.raises(Stalled, match=rf"main: {__file__}:\d+ in .*main"):
        run_on_twisted(main, Network())


def test_a_connection_in_a_real_context_is_refused(reactor: Any) -> None:
    factory = ZmqFactory()
    factory.reactor = reactor
    with pytest.raises(NotSimulated, match="real"):
        Rep(factory, ZmqEndpoint("bind", "ipc://@real"))
    factory.shutdown()


def test_a_mock_in_the_place_of_sockets_is_refused(reactor: Any) -> None:
    def program() -> None:
        with mock.patch("zmqbridge.txzmq.connection.Socket"):
            ZmqPushConnection(ZmqFactory(), CONNECT)

    with pytest.raises(NotSimulated, match="Mock"):
        reactor.network.node("client").start(program)


def test_one_seed_is_one_course_of_events() -> None:
    async def main(network: Any) -> None:
        echo(network)
        asking = requester()
        network.slow("main", "server", (0.1, 0.6))
        for number in range(20):
            try:
                await asking.sendMsg(b"%d" % number, timeout=0.5)
            except ZmqRequestTimeoutError:
                pass

    first = check_determinism(main, 5, "twisted")
    second = check_determinism(main, 6, "twisted")
    assert first.trace_hash() != second.trace_hash()
