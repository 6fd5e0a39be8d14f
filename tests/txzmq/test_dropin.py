"""What programs written for txZMQ do with it works on the facade."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import zmq
from twisted.internet.defer import Deferred
from zmq import constants

from zmqbridge.txzmq import (
    ZmqConnection,
    ZmqEndpoint,
    ZmqEndpointType,
    ZmqFactory,
    ZmqPubConnection,
    ZmqPullConnection,
    ZmqPushConnection,
    ZmqREPConnection,
    ZmqREQConnection,
    ZmqRouterConnection,
    ZmqSubConnection,
)
from zmqbridge.txzmq.compat import is_nonstr_iter
from zmqbridge.txzmq.req_rep import ZmqXREPConnection, ZmqXREQConnection

if TYPE_CHECKING:
    from tests.conftest import Make, World


class Pair(ZmqConnection):
    """All that a subclass needs."""

    socketType = constants.PAIR


async def received_by(
    w: World, publisher: ZmqPubConnection, got: list[Any], *messages: Any
) -> None:
    """Publish until the subscription has arrived, then these messages."""

    def joined() -> list[Any]:
        publisher.publish(b"", b"joined?")
        return got

    await w.until(joined)
    for message in messages:
        publisher.send(message)


# Hooks and subclasses.


async def test_callbacks_are_assigned_to_instances(w: World, make: Make) -> None:
    got = []
    puller = make(ZmqPullConnection, "bind inproc://hooks")
    puller.onPull = lambda message: got.append(("onPull", message))
    pusher = make(ZmqPushConnection, "connect inproc://hooks")
    pusher.push(b"1")
    await w.until(lambda: len(got) == 1)
    puller.messageReceived = lambda message: got.append(("messageReceived", message))
    pusher.push(b"2")
    await w.until(lambda: len(got) == 2)
    assert got == [("onPull", [b"1"]), ("messageReceived", [b"2"])]


async def test_a_reply_fires_by_the_deferreds_own_callback(w: World, make: Make) -> None:
    replier: Any = make(
        ZmqREPConnection,
        "bind inproc://own",
        gotMessage=lambda request_id, *parts: replier.reply(request_id, *parts),
    )
    got: list[list[bytes]] = []
    waiting = make(ZmqREQConnection, "connect inproc://own").sendMsg(b"a", b"b")
    waiting.callback = got.append
    await w.until(lambda: got)
    assert got == [[b"a", b"b"]]


async def test_a_subclass_needs_a_socket_type_only(w: World, make: Make) -> None:
    got: list[list[bytes]] = []
    make(Pair, "bind inproc://pair", messageReceived=got.append)
    make(Pair, "connect inproc://pair").send([b"two", b"parts"])
    await w.until(lambda: got)
    assert got == [[b"two", b"parts"]]


async def test_a_subclass_is_a_plain_req_or_rep(w: World, make: Make) -> None:
    class Rep(ZmqConnection):
        socketType = constants.REP

    class Req(ZmqConnection):
        socketType = constants.REQ

    asked: list[Any] = []
    got: list[list[bytes]] = []
    rep = make(Rep, "bind inproc://rep", messageReceived=asked.append)
    for number in range(3):
        make(Req, "connect inproc://rep", messageReceived=got.append).send(b"%d" % number)
    for number in range(3):
        await w.until(lambda: len(asked) == 1)
        rep.doRead()  # the next request waits for this reply
        rep.send(asked.pop())
        await w.until(lambda: len(got) == number + 1)  # noqa: B023
    assert sorted(got) == [[b"0"], [b"1"], [b"2"]]


async def test_send_is_overridden_with_what_the_original_offers(w: World, make: Make) -> None:
    class Sending(Pair):
        def send(self, message: Any) -> None:
            if not is_nonstr_iter(message):
                self.socket.send(message, constants.NOBLOCK)
            else:
                self.socket.send_multipart(message, flags=constants.NOBLOCK)
            if self.read_scheduled is None:
                self.read_scheduled = w.reactor.callLater(0, self.doRead)

    got: list[list[bytes]] = []
    one = make(Sending, "bind inproc://send", messageReceived=got.append)
    other: Any = make(Sending, "connect inproc://send", messageReceived=lambda m: other.send(m))
    for number in range(10):
        one.send(b"%d" % number if number % 2 else [b"%d" % number, b""])
    await w.until(lambda: len(got) == 10)


PRIVATE = """
    _close _closed _handle _handler _handlers _report _deliver _lost _ids _table _routes _unhandled
    _malformed _socket _context _factory _queue _send _connection _connections _deferred _task
"""


async def test_subclasses_have_private_names_of_their_own(w: World, make: Make) -> None:
    class Private(ZmqREQConnection):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self._reactor = w.reactor
            for name in PRIVATE.split():
                setattr(self, name, None)

    replier: Any = make(
        ZmqREPConnection,
        "bind inproc://private",
        gotMessage=lambda request_id, *parts: replier.reply(request_id, *parts),
    )
    requester = make(Private, "connect inproc://private")
    assert await requester.sendMsg(b"x") == [b"x"]
    requester.shutdown()


def test_constructors_do_not_call_the_next_one_in_the_order_of_resolution(
    factory: ZmqFactory,
) -> None:
    class Mixin:
        def __init__(self, needed: Any) -> None:
            raise AssertionError

    class Mixed(ZmqSubConnection, Mixin):
        pass

    class MixedRequester(ZmqREQConnection, Mixin):
        pass

    assert Mixed(factory).factory is MixedRequester(factory).factory is factory


async def test_hooks_may_fire_before_a_subclasss_constructor_ended(w: World, make: Make) -> None:
    pusher = make(ZmqPushConnection, "bind inproc://early")
    got: list[Any] = []

    class Early(ZmqPullConnection):
        def __init__(self, factory: ZmqFactory) -> None:
            super().__init__(factory, ZmqEndpoint("connect", "inproc://early"))
            got.append("constructor ended")

        def onPull(self, message: list[bytes]) -> None:
            got.append(message)

    early = make(Early)
    pusher.push(b"x")
    await w.until(lambda: len(got) == 2)
    before = got[:]
    del got[:]
    early.shutdown()
    # A message that is there when the constructor reads.
    waiting = zmq.Socket(pusher.factory.context, zmq.PUSH)
    waiting.connect("inproc://there")
    waiting.send(b"y")

    class There(Early):
        def __init__(self, factory: ZmqFactory) -> None:
            ZmqPullConnection.__init__(self, factory, ZmqEndpoint("bind", "inproc://there"))
            got.append("constructor ended")

    make(There)
    assert before == ["constructor ended", [b"x"]]
    assert got == [[b"y"], "constructor ended"]
    waiting.close()


async def test_doread_may_be_called_by_hand_and_nested(w: World, make: Make) -> None:
    got, depths = [], []

    class Nested(ZmqPullConnection):
        depth = 0

        def onPull(self, message: list[bytes]) -> None:
            got.append(message[0])
            self.depth += 1
            depths.append(self.depth)
            if self.depth < 20:
                self.doRead()
            self.depth -= 1

    puller = make(Nested, "bind inproc://nested")
    pusher = make(ZmqPushConnection, "connect inproc://nested")
    numbers = [b"%d" % number for number in range(300)]
    for number in numbers:
        pusher.push(number)
    puller.doRead()
    assert got
    await w.until(lambda: len(got) == 300)
    assert got == numbers
    assert max(depths) == 20


async def test_a_hook_that_raises_is_logged_once_and_the_connection_lives_on(
    w: World, make: Make, logged: list[tuple[str | None, BaseException]]
) -> None:
    got = []

    def raising(message: list[bytes]) -> None:
        got.append(message)
        raise ZeroDivisionError(message)

    make(ZmqPullConnection, "bind inproc://raising", onPull=raising)
    pusher = make(ZmqPushConnection, "connect inproc://raising")
    pusher.push(b"1")
    await w.until(lambda: got)
    pusher.push(b"2")
    await w.until(lambda: len(got) == 2)
    await w.until(lambda: len(logged) >= 2)
    assert [(system, type(error)) for system, error in logged] == [("ZMQ", ZeroDivisionError)] * 2


# Options and the socket.


def test_class_attributes_are_assigned_on_the_librarys_classes(make: Make) -> None:
    with mock.patch.object(ZmqConnection, "highWaterMark", 7):
        puller = make(ZmqPullConnection)
    with mock.patch.object(ZmqPullConnection, "tcpKeepalive", 1):
        keeping = make(ZmqPullConnection)
    assert puller.socket.get(zmq.RCVHWM) == 7
    assert keeping.socket.get(zmq.TCP_KEEPALIVE) == 1
    assert make(ZmqPullConnection).socket.get(zmq.RCVHWM) == 0


def test_every_option_reaches_the_socket(factory: ZmqFactory) -> None:
    class Optioned(Pair):
        multicastRate = 200
        highWaterMark = 5
        tcpKeepalive = 1
        tcpKeepaliveCount = 2
        tcpKeepaliveIdle = 3
        tcpKeepaliveInterval = 4
        reconnectInterval = 50
        reconnectIntervalMax = 500

    factory.lingerPeriod = 60
    get = Optioned(factory, identity=b"me").socket.get
    names = """
        LINGER RATE SNDHWM RCVHWM TCP_KEEPALIVE TCP_KEEPALIVE_CNT TCP_KEEPALIVE_IDLE
        TCP_KEEPALIVE_INTVL RECONNECT_IVL RECONNECT_IVL_MAX IDENTITY
    """
    assert [get(getattr(zmq, name)) for name in names.split()] == [
        60, 200, 5, 5, 1, 2, 3, 4, 50, 500, b"me"
    ]  # fmt: skip


async def test_curve_keys_and_a_random_port_on_the_socket_before_any_endpoint(
    w: World, make: Make, address: Callable[[ZmqConnection], str]
) -> None:
    public, secret = zmq.curve_keypair()
    got: list[list[bytes]] = []
    puller = make(ZmqPullConnection, onPull=got.append)
    puller.socket.curve_secretkey = secret
    puller.socket.curve_publickey = public
    puller.socket.curve_server = True
    port = puller.socket.bind_to_random_port("tcp://127.0.0.1")
    assert address(puller) == f"tcp://127.0.0.1:{port}"
    pusher = make(ZmqPushConnection)
    pusher.socket.curve_serverkey = public
    pusher.socket.curve_publickey, pusher.socket.curve_secretkey = zmq.curve_keypair()
    pusher.addEndpoints([ZmqEndpoint(ZmqEndpointType.connect, f"tcp://127.0.0.1:{port}")])
    pusher.push(b"secret")
    await w.until(lambda: got)


async def test_a_pair_is_bound_where_authentication_is_asked_for(w: World, make: Make) -> None:
    got: list[list[bytes]] = []
    make(Pair, "bind inproc://zeromq.zap.01", messageReceived=got.append)
    make(Pair, "connect inproc://zeromq.zap.01").send([b"1.0", b"request"])
    await w.until(lambda: got)


async def test_a_connection_authenticates_by_plain_names_and_passwords(
    w: World, make: Make, address: Callable[[ZmqConnection], str]
) -> None:
    # As a REP: libzmq 4.3.5 aborts the process when it finds a PAIR there and has to ask it.
    asked = []
    got: list[list[bytes]] = []

    def allow(request: list[bytes]) -> None:
        version, request_id, *_, name, password = request
        asked.append((name, password))
        zap.send([version, request_id, b"200", b"OK", b"", b""])

    class Zap(ZmqConnection):
        socketType = constants.REP

    zap = make(Zap, "bind inproc://zeromq.zap.01", messageReceived=allow)
    puller = make(ZmqPullConnection, onPull=got.append)
    puller.socket.plain_server = True
    puller.socket.zap_domain = b"global"
    puller.addEndpoints([ZmqEndpoint("bind", "tcp://127.0.0.1:*")])
    pusher = make(ZmqPushConnection)
    pusher.socket.plain_username, pusher.socket.plain_password = b"name", b"password"
    pusher.addEndpoints([ZmqEndpoint("connect", address(puller))])
    pusher.push(b"allowed")
    await w.until(lambda: got)
    assert asked == [(b"name", b"password")]


def test_a_router_is_made_mandatory(make: Make) -> None:
    router = make(ZmqRouterConnection)
    router.socket.set(zmq.ROUTER_MANDATORY, 1)
    router.addEndpoints([ZmqEndpoint("bind", "inproc://mandatory")])
    with pytest.raises(zmq.error.ZMQError, match="no peer b'nobody' is connected") as caught:
        router.sendMsg(b"nobody", b"x")
    assert caught.value.errno == zmq.EHOSTUNREACH
    assert router.statistics().unroutable == 1


async def test_plain_sockets_of_the_context_share_its_inproc(
    w: World, factory: ZmqFactory, make: Make
) -> None:
    got: list[list[bytes]] = []
    make(ZmqPullConnection, "bind inproc://shared", onPull=got.append)
    plain = factory.context.socket(zmq.PUSH)
    plain.connect("inproc://shared")
    plain.send(b"x")
    await w.until(lambda: got)
    plain.close()


def test_endpoints_are_keys_and_their_types_plain_strings(make: Make) -> None:
    endpoint = ZmqEndpoint("bind", "inproc://key")
    assert {endpoint: 1}[ZmqEndpoint(ZmqEndpointType.bind, "inproc://key")] == 1
    puller = make(ZmqPullConnection)
    puller.addEndpoints([endpoint])
    assert puller.endpoints == [endpoint]


def test_connecting_and_str_and_calllater_are_patched(w: World, make: Make) -> None:
    with mock.patch.object(ZmqConnection, "_connectOrBind") as patched:
        puller = make(ZmqPullConnection, "bind nonsense")
    patched.assert_called_once_with([("bind", "nonsense")])
    with mock.patch.object(ZmqConnection, "__str__", return_value="patched"):
        assert str(puller) == "patched"
    make(ZmqPullConnection, "bind inproc://later")
    with mock.patch.object(w.reactor, "callLater") as later:
        make(ZmqPushConnection, "connect inproc://later").push(b"x")
    assert later.called


# Factories.


def test_factories_are_made_at_import_time_and_get_their_reactor_later(w: World) -> None:
    class Service:
        factory = ZmqFactory()

    Service.factory.reactor = w.reactor
    puller = ZmqPullConnection(Service.factory, ZmqEndpoint("bind", "inproc://service"))
    assert puller in w.reactor.getReaders()
    assert Service.factory.connections == {puller}
    Service.factory.shutdown()
    assert puller not in w.reactor.getReaders()


async def test_a_factory_replaces_the_constructor(w: World) -> None:
    class Replacing(ZmqFactory):
        reactor = w.reactor

        def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
            self.connections = set()
            self.context = context

    factory = Replacing(zmq.Context())
    got: list[list[bytes]] = []
    puller: Any = ZmqPullConnection(factory, ZmqEndpoint("bind", "inproc://x"))
    puller.onPull = got.append
    ZmqPushConnection(factory, ZmqEndpoint("connect", "inproc://x")).push(b"x")
    await w.until(lambda: got)
    factory.shutdown()
    assert (factory.connections, factory.context) == (None, None)


def test_a_factory_is_registered_before_its_constructor_ran(w: World) -> None:
    class Registering(ZmqFactory):
        reactor = w.reactor

        def __init__(self) -> None:
            self.registerForShutdown()
            super().__init__()

    factory = Registering()
    puller = ZmqPullConnection(factory)
    assert factory.trigger
    w.reactor.callWhenRunning(w.reactor.stop)
    w.reactor.run(installSignalHandlers=False)
    assert puller.factory is factory.context is factory.trigger is None


async def test_connectionlost_only_stops_reading(w: World, make: Make) -> None:
    got: list[list[bytes]] = []
    puller = make(ZmqPullConnection, "bind inproc://lost", onPull=got.append)
    puller.connectionLost(None)
    assert puller not in w.reactor.getReaders()
    make(ZmqPushConnection, "connect inproc://lost").push(b"x")
    puller.doRead()
    assert got == [[b"x"]]


# Messages.


async def test_a_publication_without_nul_calls_with_one_argument(w: World, make: Make) -> None:
    got = []

    def took(*arguments: bytes) -> None:
        got.append(arguments)

    subscriber = make(ZmqSubConnection, "bind inproc://one", gotMessage=took)
    subscriber.subscribe(b"")
    publisher = make(ZmqPubConnection, "connect inproc://one")
    await received_by(w, publisher, got, b"no nul", [b"tag", b"two parts"])
    await w.until(lambda: (b"two parts", b"tag") in got)
    assert (b"no nul",) in got


async def test_a_tag_with_a_nul_is_sent_as_it_is_and_ends_there(w: World, make: Make) -> None:
    got = []
    subscriber = make(ZmqSubConnection, "bind inproc://nul", gotMessage=lambda *m: got.append(m))
    subscriber.subscribe(b"")
    publisher = make(ZmqPubConnection, "connect inproc://nul")

    def heard() -> bool:
        publisher.publish(b"body", b"a\0b")
        return (b"b\0body", b"a") in got

    await w.until(heard)


async def test_tags_are_parted_by_another_separator(w: World, make: Make) -> None:
    got = []
    with mock.patch.object(ZmqConnection, "topicSep", b"|"):
        subscriber = make(
            ZmqSubConnection, "bind inproc://sep", gotMessage=lambda *m: got.append(m)
        )
        subscriber.subscribe(b"")
        publisher = make(ZmqPubConnection, "connect inproc://sep")
        await received_by(w, publisher, got, b"tag|body|rest")
        await w.until(lambda: (b"body|rest", b"tag") in got)


def test_what_was_never_subscribed_is_unsubscribed(make: Make) -> None:
    make(ZmqSubConnection).unsubscribe(b"never")


async def test_a_plain_req_talks_to_a_replier(
    w: World, make: Make, address: Callable[[ZmqConnection], str]
) -> None:
    replier: Any = make(
        ZmqREPConnection,
        "bind tcp://127.0.0.1:*",
        gotMessage=lambda request_id, *parts: replier.reply(request_id, *parts),
    )
    plain = zmq.Socket(replier.factory.context, zmq.REQ)
    plain.connect(address(replier))
    for _ in range(3):
        plain.send_multipart([b"ping", b"pong"])
        await w.until(lambda: plain.poll(0))
        assert plain.recv_multipart() == [b"ping", b"pong"]
    plain.close()


@pytest.mark.parametrize("reply", [[], [b""]])
async def test_a_reply_cut_short_reaches_the_caller_as_no_parts(
    w: World, make: Make, reply: list[bytes]
) -> None:
    router: Any = make(
        ZmqRouterConnection,
        "bind inproc://cut",
        gotMessage=lambda peer, request_id, *rest: router.sendMultipart(peer, [request_id, *reply]),
    )
    assert await make(ZmqREQConnection, "connect inproc://cut").sendMsg(b"x") == []


async def test_requests_wait_for_a_peer_that_comes_later(
    w: World, make: Make, address: Callable[[ZmqConnection], str]
) -> None:
    requester = make(ZmqREQConnection)
    first = make(ZmqREPConnection, "bind tcp://127.0.0.1:*")
    where = address(first)
    first.gotMessage = lambda request_id, *parts: first.reply(request_id, *parts)
    requester.addEndpoints([ZmqEndpoint("connect", where)])
    waiting = [requester.sendMsg(b"%d" % number) for number in range(100)]
    assert all(isinstance(each, Deferred) for each in waiting)
    for number, each in enumerate(waiting):
        assert await each == [b"%d" % number]


def test_again_is_caught_from_sendmsg_and_push(make: Make) -> None:
    for kind in (ZmqREQConnection, ZmqPushConnection):
        connection = make(kind, f"bind inproc://{kind.__name__}")
        with pytest.raises(zmq.error.Again):
            connection.sendMsg(b"x") if kind is ZmqREQConnection else connection.push(b"x")


def test_the_old_names_warn_and_take_several_endpoints(factory: ZmqFactory) -> None:
    endpoints = [ZmqEndpoint("bind", f"inproc://old{number}") for number in range(2)]
    pairs: Any = (("connect", where) for _, where in endpoints)
    with pytest.warns(DeprecationWarning, match="use ZmqREPConnection or ZmqRouterConnection"):
        replier = ZmqXREPConnection(factory, *endpoints)
    with pytest.warns(DeprecationWarning, match="use ZmqREQConnection or ZmqDealerConnection"):
        requester = ZmqXREQConnection(factory, *pairs)
    assert replier.endpoints == endpoints
    assert len(requester.endpoints) == 2


# install()


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=50
    )


def test_install_makes_txzmq_and_its_submodules_mean_the_facade() -> None:
    done = run(
        "import zmqbridge.txzmq as facade\n"
        "facade.install(); facade.install()\n"
        "import txzmq, txzmq.req_rep, txzmq.compat\n"
        "from txzmq.connection import ZmqConnection, ZmqEndpoint, ZmqEndpointType\n"
        "from txzmq.factory import ZmqFactory\n"
        "from txzmq.pubsub import ZmqSubConnection\n"
        "from txzmq.pushpull import ZmqPullConnection\n"
        "from txzmq.router_dealer import ZmqRouterConnection\n"
        "assert txzmq is facade and txzmq.req_rep.ZmqXREPConnection\n"
        "assert issubclass(ZmqSubConnection, facade.ZmqConnection)\n"
        "import sys; assert 'twisted.internet.reactor' not in sys.modules\n"
        "from txzmq.connection import reactor; assert reactor is ZmqFactory.reactor"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("first", ["txzmq", "txzmq.compat", "txzmq.connection"])
def test_install_refuses_when_the_original_is_there(first: str) -> None:
    done = run(f"import {first}, zmqbridge.txzmq; zmqbridge.txzmq.install()")
    assert "ImportError: the original txzmq is imported already" in done.stderr
