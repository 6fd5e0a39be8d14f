"""What programs and their tests override, patch and replace is used, as it is by txZMQ."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import zmq
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python import log
from twisted.python.failure import Failure
from zmq import constants

from zmqbridge import SocketClosed
from zmqbridge._bridge.watched import WatchedSocket
from zmqbridge.txzmq import (
    ZmqConnection,
    ZmqDealerConnection,
    ZmqEndpoint,
    ZmqFactory,
    ZmqPubConnection,
    ZmqPullConnection,
    ZmqPushConnection,
    ZmqREPConnection,
    ZmqREQConnection,
    ZmqRequestTimeoutError,
    ZmqRouterConnection,
    ZmqSubConnection,
)

if TYPE_CHECKING:
    from tests.conftest import Make, World

PACKAGE = "zmqbridge.txzmq"


@pytest.fixture
def pair(make: Make) -> Callable[..., Any]:
    """What is pulled, and a puller and a pusher that are connected."""

    def pair(
        puller: type[Any] = ZmqPullConnection, pusher: type[Any] = ZmqPushConnection
    ) -> tuple[list[Any], Any, ZmqPushConnection]:
        pulled: list[Any] = []
        receiver = make(puller, "bind inproc://patched", onPull=pulled.append)
        return pulled, receiver, make(pusher, "connect inproc://patched")

    return pair


# Sockets.


@pytest.mark.parametrize(
    "kind", [ZmqRouterConnection, ZmqREQConnection, ZmqSubConnection, ZmqPubConnection]
)
def test_a_mock_in_place_of_the_socket_gets_all_calls(kind: type[Any]) -> None:
    factory = mock.MagicMock()
    factory.connections = set()
    with mock.patch(f"{PACKAGE}.connection.Socket") as socket_class:
        connection = kind(factory, ZmqEndpoint("bind", "fake://x"), b"me")
    socket = socket_class.return_value
    socket_class.assert_called_once_with(factory.context, kind.socketType)
    socket.bind.assert_called_once_with("fake://x")
    assert mock.call(constants.IDENTITY, b"me") in socket.set.call_args_list
    connection.send(["anything", b"b"])
    assert socket.send.call_args_list == [
        mock.call("anything", constants.NOBLOCK | constants.SNDMORE),
        mock.call(b"b", constants.NOBLOCK),
    ]
    connection.doRead()
    assert connection.statistics().sent == 1
    connection.shutdown()
    socket.close.assert_called_once_with()
    with pytest.raises(SocketClosed):
        connection.send(b"x")


def test_a_socket_that_was_replaced_gets_what_is_sent(make: Make) -> None:
    publisher = make(ZmqPubConnection, "bind inproc://replaced")
    own, publisher.socket = publisher.socket, mock.Mock()
    publisher.publish(b"body", b"tag")
    publisher.socket.send.assert_called_once_with(b"tag\0body", constants.NOBLOCK)
    publisher.shutdown()
    assert own.closed
    assert publisher.socket is None


async def test_a_socket_that_was_replaced_is_read(
    w: World, make: Make, factory: ZmqFactory
) -> None:
    pulled: list[list[bytes]] = []
    puller = make(ZmqPullConnection, onPull=pulled.append)
    own, puller.socket = puller.socket, factory.context.socket(zmq.PULL)
    puller.socket.bind("inproc://replacing")
    make(ZmqPushConnection, "connect inproc://replacing").push([b"two", b"parts"])
    puller.doRead()
    assert pulled == [[b"two", b"parts"]]
    puller.shutdown()
    assert own.closed


def trapped(name: str, seen: list[Any]) -> Any:
    real = getattr(zmq.Socket, name)

    def trap(self: WatchedSocket, *args: Any, **kwargs: Any) -> Any:
        seen.append(name)
        return real(self, *args, **kwargs)

    return mock.patch.object(zmq.Socket, name, trap)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_methods_that_were_put_on_pyzmqs_class_are_called(
    w: World, pair: Callable[..., Any], when: str
) -> None:
    seen: list[Any] = []
    traps = [trapped(name, seen) for name in ("set", "bind", "connect", "send", "recv", "get")]

    def put() -> None:
        for trap in traps:
            trap.start()

    try:
        if when == "before":
            put()
        pulled, puller, pusher = pair()
        if when == "after":
            put()
        else:
            assert {"set", "bind", "connect", "get"} <= set(seen)
        seen.clear()
        pusher.push([b"two", b"parts"])
        assert seen.count("send") == 2
        await w.until(lambda: pulled)
        assert "recv" in seen
        seen.clear()
        puller.socket.bind("inproc://more")
        assert seen[0] == "bind"
    finally:
        for trap in traps:
            trap.stop()
    seen.clear()
    pusher.push(b"as before")
    await w.until(lambda: len(pulled) == 2)
    assert seen == []


@pytest.mark.parametrize("name", ["send", "recv", "get"])
async def test_so_is_one_that_alone_is_put_there_while_messages_flow(
    w: World, pair: Callable[..., Any], name: str
) -> None:
    pulled, _, pusher = pair()
    pusher.push(b"before")
    await w.until(lambda: pulled)
    seen: list[str] = []
    with trapped(name, seen):
        pusher.push(b"amid")
        await w.until(lambda: len(pulled) == 2)
    assert seen


async def test_a_mock_on_the_socket_itself_is_called_and_taken_away_again(
    w: World, pair: Callable[..., Any]
) -> None:
    pulled, puller, pusher = pair()
    with mock.patch.object(pusher.socket, "send") as send:
        pusher.push(b"into the mock")
        send.assert_called_once_with(b"into the mock", constants.NOBLOCK)
    with mock.patch.object(zmq.Socket, "send") as send:
        pusher.push(b"into the mock")
        send.assert_called_once_with(b"into the mock", constants.NOBLOCK)
    with mock.patch.object(puller.socket, "recv", return_value=b"made up") as recv:
        with mock.patch.object(puller.socket, "get", side_effect=[zmq.POLLIN, 0, 0]):
            puller.doRead()
        recv.assert_called_once_with(constants.NOBLOCK)
    pusher.push(b"real")
    await w.until(lambda: len(pulled) == 2)
    assert pulled == [[b"made up"], [b"real"]]


async def test_a_refused_send_of_a_patched_socket_waits_as_any_other(
    w: World, make: Make, address: Callable[[ZmqConnection], str]
) -> None:
    seen: list[str] = []
    replier = make(ZmqREPConnection, "bind tcp://127.0.0.1:*")
    replier.gotMessage = replier.reply
    with trapped("send", seen):
        requester = make(ZmqREQConnection)
        with pytest.raises(zmq.Again):
            make(ZmqREQConnection, "bind inproc://nobody").sendMsg(b"x")
        requester.addEndpoints([ZmqEndpoint("connect", address(replier))])
        assert await requester.sendMsg(b"x", timeout=5) == [b"x"]
        with pytest.raises(TypeError):
            requester.sendMsg("text")
    assert seen


async def test_the_next_message_can_be_taken_by_hand(
    w: World, make: Make, pair: Callable[..., Any]
) -> None:
    got: list[Any] = []

    class Peeking(ZmqPullConnection):
        def messageReceived(self, message: list[bytes]) -> None:
            got.append(message[0])
            if message[0] == b"0":
                got.append(self._readMultipart())

    _, puller, pusher = pair(Peeking)
    for number in range(3):
        pusher.push([b"%d" % number, b"part"])
    puller.doRead()
    assert got == [b"0", [b"1", b"part"], b"2"]
    with pytest.raises(zmq.Again):
        puller._readMultipart()
    pusher.push(b"3")
    assert puller._readMultipart() == [b"3"]
    pusher.push(b"4")
    await w.until(lambda: b"4" in got)


async def test_how_a_message_is_read_can_be_overridden(w: World, pair: Callable[..., Any]) -> None:
    class Marking(ZmqPullConnection):
        def _readMultipart(self) -> list[bytes]:
            return [b"seen", *ZmqPullConnection._readMultipart(self)]

    pulled, puller, pusher = pair(Marking)
    for number in range(100):
        pusher.push(b"%d" % number)
    await w.until(lambda: len(pulled) == 100)
    assert pulled == [[b"seen", b"%d" % number] for number in range(100)]
    assert puller.statistics().received == 100


async def test_a_context_that_ends_under_a_patched_socket_ends_the_connection(
    w: World, make: Make, factory: ZmqFactory
) -> None:
    with trapped("recv", []):
        puller = make(ZmqPullConnection, "bind inproc://ends")
        w.reactor.callInThread(factory.context.destroy)
        await w.until(lambda: puller.socket is None)


# Reactors.


def test_a_clock_in_place_of_a_modules_reactor_has_the_timeouts(make: Make) -> None:
    clock, ended = Clock(), []
    with mock.patch(f"{PACKAGE}.req_rep.reactor", clock):
        requester = make(ZmqREQConnection, "connect inproc://clocked")
        requester.sendMsg(b"x", timeout=5).addErrback(lambda failure: ended.append(failure.type))
        answered, cancelled = (requester.sendMsg(b"y", timeout=50) for _ in range(2))
        (late, _), (_, timer), _ = requester._requests.values()
        assert timer.getTime() == 50
        clock.advance(6)
        assert ended == [ZmqRequestTimeoutError]
        assert late.called
        requester.messageReceived([next(iter(requester._requests)), b"", b"reply"])
        answered.addCallback(ended.append)
        cancelled.addErrback(lambda failure: ended.append(failure.type)).cancel()
        assert ended[1:] == [[b"reply"], defer.CancelledError]
        open_still = requester.sendMsg(b"z", timeout=5)
        open_still.addErrback(lambda failure: None)
        with pytest.raises(TypeError):
            requester.sendMsg("text", timeout=5)
        requester.shutdown()
        assert clock.getDelayedCalls() == []


async def test_a_clock_in_place_of_a_modules_reactor_has_the_reads(
    w: World, pair: Callable[..., Any]
) -> None:
    clock = Clock()
    with mock.patch(f"{PACKAGE}.connection.reactor", clock):
        pulled, _, pusher = pair()
        clock.advance(0)
        pusher.push(b"x")
        assert pusher.read_scheduled in clock.getDelayedCalls()
        clock.advance(0)
        await w.until(lambda: pulled)


class Fewest:
    """A reactor of which only the readers are real, as tests of programs write it."""

    def __init__(self) -> None:
        self.readers: list[Any] = []
        self.calls: list[Any] = []

    def addReader(self, reader: ZmqConnection) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: ZmqConnection) -> None:
        self.readers.remove(reader)


class Few(Fewest):
    def callLater(self, delay: int, work: Callable[..., Any], *args: bytes) -> None:
        self.calls.append((delay, work, args))


@pytest.mark.parametrize("kind", [Few, Fewest])
def test_a_reactor_that_has_next_to_nothing_is_enough(w: World, kind: type[Any]) -> None:
    factory = ZmqFactory()
    factory.reactor = kind()
    pulled: list[list[bytes]] = []
    with mock.patch(f"{PACKAGE}._standins.global_reactor", return_value=w.reactor):
        puller: Any = ZmqPullConnection(factory, ZmqEndpoint("bind", "inproc://few"))
        puller.onPull = pulled.append
        pusher = ZmqPushConnection(factory, ZmqEndpoint("connect", "inproc://few"))
        assert factory.reactor.readers == [puller, pusher]
        for number in range(3):
            pusher.push(b"%d" % number)
        puller.doRead()
        assert pulled == [[b"0"], [b"1"], [b"2"]]
        requester = ZmqREQConnection(factory, ZmqEndpoint("connect", "inproc://few nobody"))
        ended = []
        requester.sendMsg(b"x", timeout=3).addErrback(lambda failure: ended.append(failure.type))
        if kind is Few:
            delay, work, args = next(call for call in factory.reactor.calls if call[0])
            assert delay == 3
            work(*args)
            assert ended == [ZmqRequestTimeoutError]
        factory.shutdown()
    assert factory.reactor.readers == []
    assert ended


async def test_a_mock_in_place_of_the_reactor_keeps_no_time(w: World, make: Make) -> None:
    factory = ZmqFactory()
    factory.reactor = mock.MagicMock()
    with mock.patch(f"{PACKAGE}._standins.global_reactor", return_value=w.reactor):
        requester = ZmqREQConnection(factory, ZmqEndpoint("connect", "inproc://mocked"))
        factory.reactor.addReader.assert_called_once_with(requester)
        with pytest.raises(ZmqRequestTimeoutError):
            await requester.sendMsg(b"x", timeout=0.001)
        requester.shutdown()
    factory.reactor.removeReader.assert_called_once_with(requester)
    factory.shutdown()


def test_a_context_class_that_was_patched_is_used() -> None:
    with mock.patch(f"{PACKAGE}.factory.Context") as context_class:
        factory = ZmqFactory()
    context_class.assert_called_once_with(1)
    assert factory.context is context_class.return_value


def test_a_factorys_context_can_be_replaced_for_a_while(factory: ZmqFactory) -> None:
    context = factory.context
    another: Any = "another"
    with mock.patch.object(factory, "context", another):
        assert factory.context == another
    assert factory.context is context


# Requests and replies.


async def test_private_methods_of_requests_are_called_as_in_the_original(
    w: World, make: Make
) -> None:
    calls = []

    class Counting(ZmqREQConnection):
        def _getNextId(self) -> bytes:
            calls.append(("next", len(self._requests)))
            return ZmqREQConnection._getNextId(self)

        def _releaseId(self, msgId: bytes) -> None:
            calls.append(("release", msgId in self._requests))
            ZmqREQConnection._releaseId(self, msgId)

        def _timeoutRequest(self, msgId: bytes) -> None:
            calls.append(("timeout", msgId in self._requests))
            ZmqREQConnection._timeoutRequest(self, msgId)

        def _cancel(self, msgId: bytes) -> None:
            calls.append(("cancel", msgId in self._requests))
            ZmqREQConnection._cancel(self, msgId)

    router = make(
        ZmqRouterConnection, "bind inproc://counting", gotMessage=lambda *parts: asked.append(parts)
    )
    asked: list[tuple[bytes, bytes, bytes, bytes]] = []
    counting = make(Counting, "connect inproc://counting")
    late = counting.sendMsg(b"late", timeout=0.001)
    with pytest.raises(ZmqRequestTimeoutError):
        await late
    cancelled = counting.sendMsg(b"cancelled", timeout=5)
    cancelled.cancel()
    with pytest.raises(defer.CancelledError):
        await cancelled
    answered = counting.sendMsg(b"answered")
    await w.until(lambda: len(asked) == 3)
    for peer, request, *_ in asked:
        router.sendMultipart(peer, [request, b"", b"reply"])
    assert await answered == [b"reply"]
    assert calls == [
        ("next", 0),
        ("timeout", True),
        ("next", 0),
        ("cancel", True),
        ("next", 0),
        ("release", False),
        ("release", False),
        ("release", True),
    ]


async def test_a_timeout_that_is_overridden_may_ask_again_or_raise(
    w: World, make: Make, logged: list[tuple[str | None, BaseException]]
) -> None:
    class Pirate(ZmqREQConnection):
        tries = 0

        def _timeoutRequest(self, msgId: bytes) -> None:
            self.tries += 1
            if self.tries == 1:
                raise SystemExit("in an override")
            waiter: Any
            waiter, _ = self._requests.pop(msgId)
            waiter.callback("gave up")

    pirate = make(Pirate, "connect inproc://pirates")
    first, second = pirate.sendMsg(b"x", timeout=0.001), pirate.sendMsg(b"x", timeout=0.002)
    assert await second == "gave up"
    assert not first.called
    assert [type(error) for _, error in logged] == [SystemExit]
    first.cancel()
    with pytest.raises(defer.CancelledError):
        await first


async def test_what_is_open_is_a_dict_that_may_be_written_into(w: World, make: Make) -> None:
    requester = make(ZmqREQConnection, "connect inproc://written")
    own: defer.Deferred[Any] = defer.Deferred()
    requester._requests[b"own"] = (own, None)
    requester.messageReceived([b"own", b"", b"reply"])
    assert await own == [b"reply"]
    taken = requester.sendMsg(b"x", timeout=0.001)
    (msgId,) = requester._requests
    assert requester._requests.pop(msgId)[0] is taken
    with pytest.raises(ZmqRequestTimeoutError):  # after the time of the one that was taken
        await requester.sendMsg(b"later", timeout=0.002)
    assert not taken.called
    requester._requests = {}
    waiting = requester.sendMsg(b"y")
    assert [waiter for waiter, _ in requester._requests.values()] == [waiting]
    assert requester.statistics().open_requests == 1
    requester.messageReceived([*requester._requests, b"", b"reply"])
    assert await waiting == [b"reply"]


def test_what_is_unanswered_is_a_dict_that_may_be_written_into(make: Make) -> None:
    replier = make(ZmqREPConnection, gotMessage=lambda *parts: None)
    sent: list[list[bytes]] = []
    replier.send = sent.append
    replier.messageReceived([b"proxy", b"peer", b"id", b"", b"x"])
    assert replier._routingInfo == {b"id": [b"proxy", b"peer"]}
    replier._routingInfo.pop(b"id")
    with pytest.raises(KeyError):
        replier.reply(b"id", b"x")
    replier._routingInfo[b"own"] = [b"peer"]
    replier.reply(b"own", b"x")
    replier._routingInfo = {b"other": [b"peer"]}
    replier.reply(b"other", b"y")
    assert sent == [[b"peer", b"own", b"", b"x"], [b"peer", b"other", b"", b"y"]]
    assert replier._routingInfo == {}


@pytest.mark.parametrize("package", ["txzmq", "zmqbridge.txzmq"])
def test_a_failure_is_asked_for_a_timeout_by_name(package: str) -> None:
    failure = Failure(ZmqRequestTimeoutError(b"id"))
    assert failure.check(f"{package}.req_rep.ZmqRequestTimeoutError")
    assert failure.check(ZmqRequestTimeoutError)
    assert not failure.check("txzmq.req_rep.ZmqREQConnection")


# Hooks.


@pytest.mark.parametrize("failing", [False, True])
async def test_a_deferred_that_an_override_returns_is_its_holders(
    w: World,
    pair: Callable[..., Any],
    logged: list[tuple[str | None, BaseException]],
    failing: bool,
) -> None:
    jobs: list[Deferred[Any]] = []

    class Worker(ZmqPullConnection):
        def messageReceived(self, message: list[bytes]) -> Deferred[Any]:
            jobs.append(defer.Deferred())
            return jobs[-1]

    _, _, pusher = pair(Worker)
    pusher.push(b"job")
    await w.until(lambda: jobs)
    if failing:
        jobs[0].errback(ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            await jobs[0]
    else:
        jobs[0].callback("done")
        assert await jobs[0] == "done"
    assert logged == []


async def test_a_coroutine_that_an_override_returns_is_seen_through(
    w: World, pair: Callable[..., Any], logged: list[tuple[str | None, BaseException]]
) -> None:
    class Worker(ZmqPullConnection):
        async def messageReceived(self, message: list[bytes]) -> None:
            await w.sleep(0)
            raise SystemExit("in a coroutine")

    _, _, pusher = pair(Worker)
    pusher.push(b"job")
    await w.until(lambda: logged)
    assert isinstance(logged[0][1], SystemExit)


def passing(hook: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(hook)
    def wrapper(*args: bytes) -> None:
        return hook(*args)

    return wrapper


def test_an_untagged_publication_reaches_every_kind_of_hook(make: Make) -> None:
    subscriber = make(ZmqSubConnection)
    one, two = [], []

    def take_one(message: bytes) -> None:
        one.append(message)

    def take_two(message: bytes, tag: bytes) -> None:
        two.append((message, tag))

    spy = mock.Mock()
    for hook in (one.append, take_one, passing(take_one), take_two, passing(take_two), spy):
        subscriber.gotMessage = hook
        subscriber.messageReceived([b"untagged"])
    assert one == [b"untagged"] * 3
    assert two == [(b"untagged", b"")] * 2
    spy.assert_called_once_with(b"untagged")
    with mock.patch("inspect.signature", side_effect=ValueError("no signature found")):
        for hook in (one.append, two.insert):
            subscriber.gotMessage = hook
            with pytest.raises(TypeError) if hook == two.insert else mock.MagicMock():
                subscriber.messageReceived([b"builtin"])
        subscriber.gotMessage = {}.get
        subscriber.messageReceived([b"builtin"])
        subscriber.gotMessage = lambda message, tag: two.append((message, tag))
        subscriber.messageReceived([b"builtin"])
        with pytest.raises(TypeError, match="of its own"):
            subscriber.gotMessage = mock.Mock(side_effect=TypeError("of its own"))
            subscriber.messageReceived([b"builtin"])
    assert one[3:] == [b"builtin"]
    assert two[2:] == [(b"builtin", b"")]


def test_a_publication_of_many_parts_counts_by_its_first(make: Make) -> None:
    got = []
    subscriber = make(ZmqSubConnection, gotMessage=lambda message, tag: got.append((message, tag)))
    subscriber.messageReceived([b"tag\0body", b"and", b"more"])
    subscriber.messageReceived([b"tag", b"body"])
    assert got == [(b"body", b"tag")] * 2
    assert subscriber.statistics().malformed == 0


# Endpoints.


class Endpoint:
    def __init__(self, type: str, address: str) -> None:
        self.type, self.address = type, address


Named = namedtuple("Named", "type address name")


async def test_endpoints_may_be_of_ones_own_class(w: World, make: Make) -> None:
    pulled: list[list[bytes]] = []
    puller = make(ZmqPullConnection, onPull=pulled.append)
    puller.addEndpoints([Endpoint("bind", "inproc://own class")])
    pusher = make(ZmqPushConnection)
    pusher.addEndpoints([Named("connect", "inproc://own class", "main")])
    pusher.push(b"x")
    await w.until(lambda: pulled)
    requester = make(ZmqREQConnection)
    requester.addEndpoints([Endpoint("bind", "inproc://own nobody")])
    with pytest.raises(zmq.Again):
        requester.sendMsg(b"x")
    endpoint: Any = ZmqEndpoint("bind", "inproc://noted")
    endpoint.note = "programs keep things on it"
    assert endpoint == ("bind", "inproc://noted")


# Reading by hand.


def test_reading_by_hand_takes_all_that_is_there(pair: Callable[..., Any]) -> None:
    pulled, puller, pusher = pair()
    for number in range(3000):
        pusher.push(b"%d" % number)
    puller.doRead()
    assert pulled == [[b"%d" % number] for number in range(3000)]


@pytest.mark.parametrize("whose", ["its own", "another's"])
async def test_reading_in_a_hook_takes_all_that_is_there_inside(
    w: World, make: Make, whose: str
) -> None:
    got: list[Any] = []

    def first(message: list[bytes]) -> None:
        for number in range(1000):
            pusher.push(b"%d" % number)
        got.append("in")
        puller.doRead()
        got.append("out")

    def take(message: list[bytes]) -> None:
        if message == [b"now"]:
            first(message)
        else:
            got.append(message[0])

    puller = make(ZmqPullConnection, "bind inproc://inside", onPull=take)
    pusher = make(ZmqPushConnection, "connect inproc://inside")
    make(ZmqPullConnection, "bind inproc://other", onPull=first)
    trigger = make(ZmqPushConnection, "connect inproc://other")
    await w.until(lambda: not puller.read_scheduled)
    (pusher if whose == "its own" else trigger).push(b"now")
    await w.until(lambda: len(got) == 1002)
    assert got == ["in", *(b"%d" % number for number in range(1000)), "out"]


async def test_hooks_are_called_for_the_system_zmq_whoever_reads(
    w: World, pair: Callable[..., Any]
) -> None:
    _, puller, pusher = pair()
    systems = []

    def observe(event: dict[str, float | str | tuple[str]]) -> None:
        if event["message"] == ("in the hook",):
            systems.append(event["system"])

    puller.onPull = lambda message: log.msg("in the hook")
    log.addObserver(observe)
    try:
        await w.until(lambda: not pusher.read_scheduled)
        pusher.push(b"the reactor reads")
        await w.until(lambda: systems)
        pusher.push(b"by hand")
        puller.doRead()
        await w.until(lambda: len(systems) == 2)
    finally:
        log.removeObserver(observe)
    assert systems == ["ZMQ"] * 2


def test_the_originals_tests_can_be_imported_after_install() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import zmqbridge.txzmq as facade; facade.install()\n"
            "import txzmq.test.test_factory, txzmq.factory\n"
            "from txzmq.test import _wait\n"
            "assert txzmq.factory is facade.factory\n"
            "assert txzmq.test.test_factory.ZmqFactory is facade.ZmqFactory",
        ],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr


def test_errors_of_a_connection_that_was_shut_down_show_no_factory(
    make: Make,
) -> None:
    dealer = make(ZmqDealerConnection, "bind inproc://shown")
    dealer.shutdown()
    with pytest.raises(SocketClosed, match=r"^ZmqDealerConnection\(\[ZmqEndpoint\(type='bind'"):
        dealer.sendMsg(b"x")
