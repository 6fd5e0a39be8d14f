"""What the unit tests of programs do with connections and factories, as they do with txZMQ's."""

from __future__ import annotations

import dataclasses
import gc
import time
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import zmq
from twisted.internet import defer
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from zmqbridge import SocketClosed
from zmqbridge.txzmq import (
    ZmqEndpoint,
    ZmqFactory,
    ZmqPubConnection,
    ZmqPullConnection,
    ZmqPushConnection,
    ZmqREPConnection,
    ZmqREQConnection,
    ZmqRouterConnection,
    ZmqSubConnection,
)
from zmqbridge.txzmq import connection as connection_module
from zmqbridge.txzmq import req_rep as req_rep_module

if TYPE_CHECKING:
    from tests.conftest import Make, World

# A connection whose constructor was patched away.


def unmade(kind: type[Any], **state: Any) -> Any:
    with mock.patch.object(kind, "__init__", return_value=None):
        connection = kind()
    vars(connection).update(state)
    return connection


def test_subscriptions_without_a_constructor() -> None:
    subscriber = unmade(ZmqSubConnection, socket=mock.Mock(), gotMessage=mock.Mock())
    subscriber.subscribe(b"a")
    subscriber.unsubscribe(b"b")
    assert subscriber.socket.set.call_args_list == [
        mock.call(zmq.SUBSCRIBE, b"a"),
        mock.call(zmq.UNSUBSCRIBE, b"b"),
    ]
    subscriber.messageReceived([b"tag\0body"])
    subscriber.gotMessage.assert_called_once_with(b"body", b"tag")


def test_requests_without_a_constructor() -> None:
    requester = unmade(ZmqREQConnection, _requests={}, _uuids=[], send=mock.Mock())
    replies: list[list[bytes]] = []
    requester.sendMsg(b"a", b"b").addCallback(replies.append)
    [[msgId, *parts]] = requester.send.call_args.args
    assert parts == [b"", b"a", b"b"]
    requester.messageReceived([msgId, b"", b"reply"])
    assert replies == [[b"reply"]]
    assert requester._requests == {}


def test_replies_without_a_constructor() -> None:
    replier = unmade(ZmqREPConnection, _routingInfo={}, send=mock.Mock(), gotMessage=mock.Mock())
    replier.messageReceived([b"peer", b"id", b"", b"x"])
    replier.gotMessage.assert_called_once_with(b"id", b"x")
    replier.reply(b"id", b"y")
    replier.send.assert_called_once_with([b"peer", b"id", b"", b"y"])


def test_sending_and_the_end_without_a_constructor() -> None:
    pusher = unmade(ZmqPushConnection, socket=mock.Mock(), read_scheduled="is scheduled")
    pusher.push(b"x")
    pusher.socket.send.assert_called_once_with(b"x", zmq.NOBLOCK)
    pusher.endpoints = []
    pusher.addEndpoints([ZmqEndpoint("connect", "fake://x")])
    pusher.socket.connect.assert_called_once_with("fake://x")
    factory, socket, pusher.read_scheduled = mock.Mock(), pusher.socket, None
    pusher.factory = factory
    pusher.shutdown()
    factory.reactor.removeReader.assert_called_once_with(pusher)
    factory.connections.discard.assert_called_once_with(pusher)
    socket.close.assert_called_once_with()
    assert (pusher.factory, pusher.socket) == (None, None)


def test_reading_without_a_constructor() -> None:
    socket = mock.Mock(**{"get.side_effect": [zmq.POLLIN, 0, 0], "recv.return_value": b"x"})
    puller = unmade(ZmqPullConnection, socket=socket, onPull=mock.Mock(), fd=3)
    puller.factory, puller.read_scheduled = mock.Mock(), None
    puller.doRead()
    puller.onPull.assert_called_once_with([b"x"])
    assert (puller.logPrefix(), puller.fileno()) == ("ZMQ", 3)
    puller.connectionLost(Failure(ZeroDivisionError()))


# Stand-ins.


@dataclasses.dataclass  # which has no hash
class Stub:
    context: zmq.Context[Any]
    reactor: MemoryReactorClock
    connections: set[Any]
    lingerPeriod: int = 0


def test_a_stand_in_for_a_factory_needs_no_hash() -> None:
    with zmq.Context() as context:
        stub: Any = Stub(context, MemoryReactorClock(), set())
        connection = ZmqPushConnection(stub, ZmqEndpoint("bind", "inproc://stub"))
        assert stub.connections == {connection}
        connection.shutdown()
        assert stub.connections == set()


@pytest.mark.parametrize("w", ["epoll"], indirect=True)
def test_a_factory_needs_no_hash(w: World) -> None:
    class Equal(ZmqFactory):
        reactor = w.reactor

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Equal)

    factory = Equal()
    connection = ZmqPushConnection(factory)
    factory.shutdown()
    assert connection.socket is None


@pytest.mark.parametrize(
    ("module", "name"),
    [(connection_module, "log"), (connection_module, "is_nonstr_iter"), (req_rep_module, "defer")],
)
async def test_names_that_are_only_imported_may_be_patched_without_effect(
    w: World, make: Make, module: ModuleType, name: str
) -> None:
    class Replier(ZmqREPConnection):
        def gotMessage(self, messageId: bytes, *parts: bytes) -> None:
            self.reply(messageId, *parts)

    make(Replier, "bind inproc://patched")
    requester = make(ZmqREQConnection, "connect inproc://patched")
    with mock.patch.object(module, name):
        assert await requester.sendMsg(b"x", timeout=10) == [b"x"]


# What is logged, which makes a test of trial's fail.


async def test_requests_that_nobody_listens_to_end_without_a_word(
    w: World,
    make: Make,
    factory: ZmqFactory,
    logged: list[tuple[str | None, BaseException]],
) -> None:
    make(ZmqRouterConnection, "bind inproc://unheard", gotMessage=lambda *parts: None)
    requester = make(ZmqREQConnection, "connect inproc://unheard")
    requester.sendMsg(b"nobody keeps this")
    late = requester.sendMsg(b"kept, and listened to later")
    requester.sendMsg(b"listened to, but not for errors").addCallback(len)
    factory.shutdown()
    with pytest.raises(SocketClosed):
        await late
    gc.collect()
    assert logged == []


async def test_an_errback_that_fails_at_the_end_is_logged(
    w: World,
    make: Make,
    factory: ZmqFactory,
    logged: list[tuple[str | None, BaseException]],
) -> None:
    requester = make(ZmqREQConnection, "connect inproc://unheard")
    requester.sendMsg(b"x").addErrback(lambda failure: 1 / 0)
    factory.shutdown()
    gc.collect()
    assert [type(error) for system, error in logged] == [ZeroDivisionError]


@pytest.mark.parametrize("how", ["late", "raises"])
async def test_a_log_prefix_of_ones_own_may_come_late_or_raise(
    w: World, factory: ZmqFactory, how: str
) -> None:
    class Puller(ZmqPullConnection):
        def __init__(self, *args: Any) -> None:
            ZmqPullConnection.__init__(self, *args)
            if how == "late":
                self.name = "mine"

        def logPrefix(self) -> str:
            return self.name

        def onPull(self, message: list[bytes]) -> None:
            got.append(message)

    got: list[list[bytes]] = []
    with mock.patch("twisted.python.log.err") as reported:
        Puller(factory, ZmqEndpoint("bind", "inproc://prefix"))
        assert reported.call_count == 0
        pusher = ZmqPushConnection(factory, ZmqEndpoint("connect", "inproc://prefix"))
        for number in range(3):
            pusher.push(b"%d" % number)
            await w.until(lambda: len(got) > number)  # noqa: B023
    assert bool(reported.call_count) == (how == "raises")  # by the reactor


async def test_a_request_with_no_part_is_one_here_as_in_the_original(w: World, make: Make) -> None:
    got = []
    replier = make(
        ZmqREPConnection, "bind inproc://no-part", gotMessage=lambda *message: got.append(message)
    )
    replier.messageReceived([b"peer", b"id", b""])
    assert got == [(b"id",)]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, ValueError])
async def test_a_log_prefix_may_raise_anything(
    w: World, make: Make, error: type[BaseException]
) -> None:
    def prefix() -> None:
        raise error

    puller = make(ZmqPullConnection, "bind inproc://prefix", logPrefix=prefix)
    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            puller._zmqbridge__driver._prefix()
    else:
        assert puller._zmqbridge__driver._prefix() == "(buggy logPrefix method)"


# Time.


async def test_a_reply_that_came_while_the_reactor_was_held_up_is_in_time(
    w: World, make: Make, factory: ZmqFactory
) -> None:
    with factory.context.socket(zmq.ROUTER) as router:
        router.bind("inproc://held")
        requester = make(ZmqREQConnection, "connect inproc://held")
        waiting = requester.sendMsg(b"x", timeout=0.2)
        router.send_multipart(router.recv_multipart())
        time.sleep(0.4)  # all of it in one turn of the reactor
        assert await waiting == [b"x"]


def test_the_id_of_an_open_request_is_refused(make: Make) -> None:
    requester = make(ZmqREQConnection, "connect inproc://ids", _getNextId=lambda: b"always this")
    first = requester.sendMsg(b"x")
    with pytest.raises(ValueError, match="always this"):
        requester.sendMsg(b"y")
    assert requester._requests[b"always this"][0] is first
    assert not first.called
    first.addErrback(lambda failure: failure.trap(defer.CancelledError))
    first.cancel()


def test_a_publisher_without_a_constructor() -> None:
    publisher = unmade(ZmqPubConnection, send=mock.Mock())
    publisher.publish(b"m", b"t")
    publisher.send.assert_called_once_with(b"t\0m")
