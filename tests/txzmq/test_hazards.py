"""What is dangerous in txZMQ does not happen in the facade."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from twisted.internet.testing import MemoryReactorClock

from zmqbridge import (
    AddressError,
    MalformedMessage,
    ResourcesExhausted,
    SocketClosed,
    ZmqBridgeError,
)
from zmqbridge.core._pacing import BURST
from zmqbridge.core.routes import LIMIT
from zmqbridge.security import PlainClient
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


@pytest.fixture
def asked() -> list[Any]:
    return []


@pytest.fixture
def router(make: Make, asked: list[Any]) -> ZmqRouterConnection:
    """A peer that replies only what it is told to."""
    return make(
        ZmqRouterConnection, "bind inproc://peer", gotMessage=lambda *parts: asked.append(parts)
    )


@pytest.fixture
def requester(router: ZmqRouterConnection, make: Make) -> ZmqREQConnection:
    return make(ZmqREQConnection, "connect inproc://peer")


class Calls:
    """The delayed calls of a reactor that were not there before."""

    def __init__(self, reactor: Any) -> None:
        self.reactor, self.before = reactor, set(reactor.getDelayedCalls())

    def left(self) -> set[Any]:
        return set(self.reactor.getDelayedCalls()) - self.before


async def failure_of(deferred: Any, kind: type[Any]) -> Any:
    with pytest.raises(kind) as caught:
        await deferred
    return caught.value


# Requests and replies.


async def test_a_doubled_reply_reaches_nobody_else(
    w: World,
    router: ZmqRouterConnection,
    asked: list[tuple[bytes, bytes, bytes, bytes]],
    requester: ZmqREQConnection,
) -> None:
    first = requester.sendMsg(b"one")
    await w.until(lambda: len(asked) == 1)
    peer, first_id, _, _ = asked[0]
    for _ in range(2):
        router.sendMultipart(peer, (first_id, b"", b"answer one"))
    assert await first == [b"answer one"]
    later = [requester.sendMsg(b"two"), requester.sendMsg(b"three")]
    await w.until(lambda: len(asked) == 3)
    router.sendMultipart(peer, (first_id, b"", b"answer one, late"))
    for _, request_id, _, body in asked[1:]:
        assert request_id != first_id
        router.sendMultipart(peer, (request_id, b"", b"answer " + body))
    assert [await each for each in later] == [[b"answer two"], [b"answer three"]]


async def test_a_peer_does_not_choose_the_next_request_id(
    w: World,
    router: ZmqRouterConnection,
    asked: list[tuple[bytes, bytes, bytes, bytes]],
    requester: ZmqREQConnection,
) -> None:
    waiting = requester.sendMsg(b"hello")
    await w.until(lambda: asked)
    pool = list(requester._uuids)
    router.sendMultipart(asked[0][0], [b"forged", b"", b"x"])
    await w.until(lambda: requester.statistics().late_replies == 1)
    assert requester._uuids == pool
    assert not waiting.called
    router.sendMultipart(asked[0][0], [asked[0][1], b"", b"true"])
    assert await waiting == [b"true"]


async def test_clients_with_equal_ids_get_their_own_replies(w: World, make: Make) -> None:
    asked = []
    replier: Any = make(
        ZmqREPConnection, "bind inproc://same", gotMessage=lambda *parts: asked.append(parts)
    )

    class Numbering(ZmqREQConnection):
        def _getNextId(self) -> bytes:
            return b"1"

    clients = [make(Numbering, "connect inproc://same") for _ in range(2)]
    waiting = [client.sendMsg(b"client %d" % number) for number, client in enumerate(clients)]
    await w.until(lambda: len(asked) == 2)
    for request_id, body in asked:
        replier.reply(request_id, b"to " + body)
    assert [await each for each in waiting] == [[b"to client 0"], [b"to client 1"]]


async def test_a_refused_request_leaves_nothing_behind(w: World, make: Make) -> None:
    calls = Calls(w.reactor)
    bound = make(ZmqREQConnection, "bind inproc://nobody")
    with pytest.raises(zmq.error.Again):
        bound.sendMsg(b"nobody is there", timeout=100)
    with pytest.raises(TypeError, match=r"\.encode\(\)"):
        bound.sendMsg(b"half", "text", timeout=100)

    class Small(ZmqREQConnection):
        highWaterMark = 1

    full = make(Small, "connect tcp://127.0.0.1:9")
    accepted = full.sendMsg(b"the only one", timeout=100)
    with pytest.raises(zmq.error.Again):
        full.sendMsg(b"one too many", timeout=100)
    assert bound._requests == {}
    assert [waiter for waiter, _ in full._requests.values()] == [accepted]
    accepted.cancel()
    await failure_of(accepted, w.Cancelled)
    bound.shutdown()
    full.shutdown()
    assert calls.left() == set()


async def test_shutdown_fails_what_is_open_and_may_be_repeated(
    w: World, factory: ZmqFactory, requester: ZmqREQConnection
) -> None:
    calls = Calls(w.reactor)
    waiting = [requester.sendMsg(b"x", timeout=timeout) for timeout in (None, 100)]
    requester.shutdown()
    requester.shutdown()
    for each in waiting:
        await failure_of(each, SocketClosed)
    factory.shutdown()
    factory.shutdown()
    assert calls.left() == set()
    assert not [reader for reader in w.reactor.getReaders() if isinstance(reader, ZmqConnection)]


def dead_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"tcp://127.0.0.1:{server.getsockname()[1]}"


async def test_an_endpoint_where_nobody_listens_swallows_no_requests(
    w: World, make: Make, address: Callable[[ZmqConnection], str]
) -> None:
    replier: Any = make(
        ZmqREPConnection,
        "bind tcp://127.0.0.1:*",
        gotMessage=lambda request_id, *parts: replier.reply(request_id, *parts),
    )
    requester = make(ZmqREQConnection, f"connect {dead_address()}", f"connect {address(replier)}")
    waiting = [requester.sendMsg(b"%d" % number) for number in range(10)]
    assert [await each for each in waiting] == [[b"%d" % number] for number in range(10)]


async def test_without_immediate_no_reply_is_lost_when_a_server_hangs_up(
    w: World, make: Make
) -> None:
    requester: Any = make(ZmqREQConnection)
    requester.socket.set(zmq.IMMEDIATE, 0)
    requests: list[Any] = []
    with zmq.Context() as context, context.socket(zmq.ROUTER) as server:
        server.bind("tcp://127.0.0.1:*")
        where = server.get_string(zmq.LAST_ENDPOINT)
        requester.addEndpoints([ZmqEndpoint("connect", where)])
        waiting = [requester.sendMsg(b"%d" % number, timeout=60) for number in range(20)]
        while len(requests) < 20:
            await w.until(lambda: server.poll(0))
            requests.append(server.recv_multipart())
        for request in requests:
            server.send_multipart(request)
        server.close(10_000)
        context.term()  # the reactor reads nothing before libzmq has hung up
    assert [await each for each in waiting] == [[b"%d" % number] for number in range(20)]


async def test_a_request_whose_time_is_over_is_not_sent_later(w: World, make: Make) -> None:
    asked = []
    where = dead_address()
    requester = make(ZmqREQConnection, f"connect {where}")
    late = [requester.sendMsg(b"late", timeout=0.02) for _ in range(5)]
    given_up = requester.sendMsg(b"given up")
    in_time = requester.sendMsg(b"in time", timeout=10)
    given_up.cancel()
    await failure_of(given_up, w.Cancelled)
    for each in late:
        assert (await failure_of(each, ZmqRequestTimeoutError)).stage == "queued"
    assert requester.statistics().queued == 1

    def got(request_id: bytes, body: bytes) -> None:
        asked.append(body)
        server.reply(request_id, b"answer")

    server = make(ZmqREPConnection, f"bind {where}", gotMessage=got)
    assert await in_time == [b"answer"]
    assert await requester.sendMsg(b"next", timeout=10) == [b"answer"]
    assert asked == [b"in time", b"next"]


async def test_unanswered_requests_are_kept_up_to_a_limit(w: World, make: Make) -> None:
    replier = make(ZmqREPConnection, gotMessage=lambda *parts: None)
    for number in range(LIMIT + 1):
        replier.messageReceived([b"peer", b"%d" % number, b"", b"x"])
    assert len(replier._routingInfo) == LIMIT
    with pytest.raises(KeyError, match="newer ones have come since"):
        replier.reply(b"0", b"too late")


async def test_a_reply_that_cannot_be_sent_can_be_sent_again(w: World, make: Make) -> None:
    asked = []
    replier: Any = make(
        ZmqREPConnection, "bind inproc://again", gotMessage=lambda *parts: asked.append(parts)
    )
    waiting = make(ZmqREQConnection, "connect inproc://again").sendMsg(b"?")
    await w.until(lambda: asked)
    with pytest.raises(TypeError, match=r"\.encode\(\)"):
        replier.reply(asked[0][0], "text")
    replier.reply(asked[0][0], b"bytes")
    assert await waiting == [b"bytes"]


async def test_a_part_of_a_wrong_type_leaves_no_half_message(
    w: World,
    router: ZmqRouterConnection,
    asked: list[tuple[bytes, bytes, bytes, bytes]],
    requester: ZmqREQConnection,
) -> None:
    with pytest.raises(TypeError, match=r"\.encode\(\)"):
        requester.sendMsg("text")  # type: ignore[arg-type]
    waiting = requester.sendMsg(b"bytes")
    await w.until(lambda: asked)
    assert len(asked[0]) == 4
    router.sendMultipart(asked[0][0], [asked[0][1], b"", b"answer"])
    assert await waiting == [b"answer"]


async def test_a_request_without_an_empty_part_is_counted_and_ends_nothing(
    w: World, make: Make, logged: list[tuple[str, MalformedMessage]]
) -> None:
    asked = []
    replier: Any = make(
        ZmqREPConnection, "bind inproc://bad", gotMessage=lambda *parts: asked.append(parts)
    )
    dealer = make(ZmqDealerConnection, "connect inproc://bad")
    for _ in range(3):
        dealer.sendMultipart([b"no", b"delimiter"])
    dealer.sendMultipart([b"id", b"", b"good"])
    await w.until(lambda: asked)
    assert asked == [(b"id", b"good")]
    assert replier.statistics().malformed == 3
    assert {type(error) for _, error in logged} == {MalformedMessage}
    assert len(logged) < 3  # once a burst


def test_timeouts_are_on_the_factorys_reactor() -> None:
    factory = ZmqFactory()
    factory.reactor = clock = MemoryReactorClock()
    requester = ZmqREQConnection(factory, ZmqEndpoint("connect", "inproc://clock"))
    quick = requester.sendMsg(b"x", timeout=5)
    requester.defaultRequestTimeout = 50
    slow = requester.sendMsg(b"x")
    ended = []
    quick.addErrback(lambda failure: ended.append(failure.type))
    slow.addErrback(lambda failure: ended.append(failure.type))
    clock.advance(4.9)
    assert ended == []
    clock.advance(0.2)
    assert ended == [ZmqRequestTimeoutError]
    clock.advance(45)
    assert ended == [ZmqRequestTimeoutError] * 2
    factory.shutdown()
    assert clock.getDelayedCalls() == []


# Publications.


async def test_every_publication_has_a_defined_outcome(
    w: World, make: Make, logged: list[tuple[str | None, BaseException]]
) -> None:
    class Taking(ZmqSubConnection):
        def gotMessage(self, message: bytes, tag: bytes) -> None:
            got.append((message, tag))

    got: list[tuple[bytes, bytes]] = []
    subscriber = make(Taking, "bind inproc://pub")
    subscriber.subscribe(b"")
    publisher = make(ZmqPubConnection, "connect inproc://pub")

    def joined() -> list[tuple[bytes, bytes]]:
        publisher.publish(b"first", b"")
        return got

    await w.until(joined)
    publisher.send(b"no separator")
    publisher.send([b"tag", b"two parts"])
    publisher.send([b"tag\0body", b"and", b"more"])
    publisher.send([b"three", b"without", b"separator"])
    publisher.publish(b"with\0nul", b"tag")
    await w.until(lambda: (b"with\0nul", b"tag") in got)
    assert [each for each in got if each[0] != b"first"] == [
        (b"no separator", b""),
        (b"two parts", b"tag"),
        (b"body", b"tag"),
        (b"three", b""),
        (b"with\0nul", b"tag"),
    ]
    assert subscriber.statistics().malformed == 0
    assert logged == []


async def test_tags_messages_and_subscriptions_may_be_str(w: World, make: Make) -> None:
    got = []
    subscriber = make(ZmqSubConnection, "bind inproc://str", gotMessage=lambda *m: got.append(m))
    subscriber.subscribe("tä")
    subscriber.subscribe("gone")
    subscriber.unsubscribe("gone")
    publisher = make(ZmqPubConnection, "connect inproc://str")

    def joined() -> list[tuple[bytes, bytes]]:
        publisher.publish("müll", "gone")
        publisher.publish("mässage", "täg")
        return got

    await w.until(joined)
    assert set(got) == {("mässage".encode(), "täg".encode())}


async def test_a_tag_that_is_subscribed_to_twice_is_told_once(
    w: World, factory: ZmqFactory, make: Make
) -> None:
    context: Any = factory.context
    with zmq.Socket(context, zmq.XPUB) as xpub:
        xpub.set(zmq.LINGER, 0)
        xpub.set(zmq.XPUB_VERBOSER, 1)
        xpub.bind("inproc://twice")
        subscriber = make(ZmqSubConnection, "connect inproc://twice")
        for tag in (b"a", b"a", b"b"):
            subscriber.subscribe(tag)
        for tag in (b"a", b"a", b"b"):
            subscriber.unsubscribe(tag)
        heard: list[bytes] = []

        def all_of_them() -> bool:
            while xpub.poll(0):
                heard.append(xpub.recv())
            return heard[-1:] == [b"\0b"]

        await w.until(all_of_them)
        assert heard == [b"\1a", b"\1b", b"\0a", b"\0b"]


async def test_all_subscriptions_are_heard_at_any_high_water_mark(
    w: World, factory: ZmqFactory, make: Make
) -> None:
    class Narrow(ZmqSubConnection):
        highWaterMark = 10

    context: Any = factory.context
    with zmq.Socket(context, zmq.XPUB) as xpub:
        xpub.set(zmq.LINGER, 0)
        xpub.bind("inproc://narrow")
        subscriber = make(Narrow, "connect inproc://narrow")
        tags = {b"%d." % number for number in range(2000)}
        for tag in tags:
            subscriber.subscribe(tag)
        heard = set()

        def all_of_them() -> bool:
            while xpub.poll(0):
                heard.add(xpub.recv()[1:])
            return heard == tags

        await w.until(all_of_them)
        assert subscriber.socket.get(zmq.RCVHWM) == 10


async def test_what_a_hook_unsubscribes_does_not_come_any_more(
    w: World, factory: ZmqFactory, make: Make
) -> None:
    got = []

    def got_message(message: bytes, tag: bytes) -> None:
        got.append((tag, message))
        if message == b"3":
            # Of these two, one more reaches as far as the other.
            subscriber.socket.setsockopt(zmq.SUBSCRIBE, b"old\0" + b"47")
            subscriber.unsubscribe("old")

    context: Any = factory.context
    with zmq.Socket(context, zmq.PUB) as pub:
        pub.set(zmq.LINGER, 0)
        pub.bind("inproc://unsubscribed")
        subscriber = make(ZmqSubConnection, "connect inproc://unsubscribed", gotMessage=got_message)
        subscriber.subscribe("old")
        subscriber.subscribe("new")
        while not got:
            pub.send(b"new\0" + b"heard")
            await w.sleep(0.002)
        for number in range(50):
            pub.send(b"old\0%d" % number)
        pub.send(b"new\0" + b"end")
        await w.until(lambda: got[-1] == (b"new", b"end"))
        assert [message for tag, message in got if tag == b"old"] == [*b"0 1 2 3 47".split()]
        statistics = subscriber.statistics()
        assert statistics.delivered == len(got)


def test_no_room_for_one_more_socket_is_still_a_zmqerror(factory: ZmqFactory) -> None:
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, 2)
    factory.context.term()
    factory.context = context
    first = ZmqPushConnection(factory)

    class Wary(ZmqPushConnection):
        security = PlainClient("me", "secret")

    for kind in (Wary, ZmqPushConnection):
        for error in (ResourcesExhausted, zmq.error.ZMQError):
            with pytest.raises(error, match=r"zmq\.MAX_SOCKETS=2") as refused:
                for _ in range(2):
                    kind(factory)
            error_of_libzmq: Any = refused.value
            assert error_of_libzmq.errno == errno.EMFILE
    first.shutdown()


# Sending and receiving in general.


async def test_any_buffers_and_iterables_are_messages_and_empty_ones_are_refused(
    w: World, make: Make
) -> None:
    pulled: list[list[bytes]] = []
    make(ZmqPullConnection, "bind inproc://any", onPull=pulled.append)
    pusher = make(ZmqPushConnection, "connect inproc://any")
    pusher.push(bytearray(b"a"))
    pusher.push(memoryview(b"b"))
    pusher.push(part for part in (b"c", b"d"))
    pusher.push((b"e",))
    empty: Iterable[bytes]
    for empty in ([], (), iter(())):
        with pytest.raises(ValueError, match="at least one part"):
            pusher.push(empty)
    await w.until(lambda: len(pulled) == 4)
    assert pulled == [[b"a"], [b"b"], [b"c", b"d"], [b"e"]]


async def test_a_flood_starves_nobody(w: World, make: Make) -> None:
    handled = []

    def slow(message: list[bytes]) -> None:
        handled.append(message)
        time.sleep(0.0001)

    puller = make(ZmqPullConnection, "bind inproc://flood", onPull=slow)
    pusher = make(ZmqPushConnection, "connect inproc://flood")
    for _ in range(5000):
        pusher.push(b"x")
    gaps, unread, last = [], [], time.monotonic()
    while len(handled) < 2000:
        await w.sleep(0)
        gaps.append(time.monotonic() - last)
        last = time.monotonic()
        unread.append(puller.statistics().unread)
    assert len(gaps) > 100
    assert sorted(gaps)[len(gaps) // 2] < 0.05
    assert max(unread) <= BURST  # the rest stays with libzmq, where a high water mark bounds it


def test_shutdown_does_not_block_the_reactor(w: World) -> None:
    took = []
    for _ in range(3):
        factory = ZmqFactory()
        factory.reactor = w.reactor
        factory.lingerPeriod = 1500
        pusher = ZmqPushConnection(factory, ZmqEndpoint("connect", "tcp://127.0.0.1:9"))
        pusher.push(b"nobody will ever take this")
        before = time.monotonic()
        factory.shutdown()
        took.append(time.monotonic() - before)
    assert min(took) < 0.75  # it would be the time that they linger
    # The contexts still linger, in threads of their own.
    assert "zmqbridge-txzmq-context" in [each.name for each in threading.enumerate()]


@pytest.mark.parametrize("end", ["term", "destroy"])
async def test_a_context_that_ends_under_a_connection_fails_what_is_open(
    w: World, end: str, make: Make, factory: ZmqFactory
) -> None:
    lost: list[Any] = []

    class Watching(ZmqREQConnection):
        def connectionLost(self, reason: Any) -> None:
            lost.append(reason.type)
            super().connectionLost(reason)

    await w.sleep(0)  # from here on the test's own timeout is among the calls
    calls = Calls(w.reactor)
    requester = make(Watching, "connect tcp://127.0.0.1:9")
    waiting = requester.sendMsg(b"x", timeout=100)
    ending = threading.Thread(target=getattr(factory.context, end))
    ending.start()
    await w.until(lambda: lost)
    await failure_of(waiting, SocketClosed)
    assert issubclass(lost[0], ZmqBridgeError)
    assert requester.socket is None
    await w.until(lambda: not calls.left() and not ending.is_alive())


# Addresses, and connections that were shut down.


def test_an_unknown_endpoint_type_says_so(make: Make) -> None:
    with pytest.raises(AddressError, match="'bound' of 'inproc://x': use 'bind' or 'connect'"):
        make(ZmqPullConnection, "bound inproc://x")


@pytest.mark.parametrize("bad", ["bind tcp://nowhere", "connect nonsense", "bind tcp://8.8.8.8:1"])
def test_a_refused_address_is_named_and_is_also_what_txzmq_raised(make: Make, bad: str) -> None:
    for kind in (AddressError, zmq.error.ZMQError):
        with pytest.raises(kind, match=bad.split()[1]):
            make(ZmqPullConnection, bad)


def test_a_generator_of_endpoints_is_listed_and_bound(
    make: Make, address: Callable[[ZmqConnection], str]
) -> None:
    puller = make(ZmqPullConnection)
    puller.addEndpoints(ZmqEndpoint("bind", where) for where in ["inproc://generated"])
    assert puller.endpoints == [("bind", "inproc://generated")]
    assert address(puller) == "inproc://generated"


def test_a_constructor_that_fails_leaves_no_socket(factory: ZmqFactory) -> None:
    with pytest.raises(AddressError):
        ZmqPullConnection(factory, ZmqEndpoint("bind", "nonsense"))
    assert factory.connections == set()
    ending = threading.Thread(target=factory.context.term, daemon=True)
    ending.start()
    ending.join(5)
    assert not ending.is_alive()  # an open socket would hold it up


def test_what_could_not_be_made_can_be_shown_and_is_shut_down(factory: Any) -> None:
    connections = []

    class Own(ZmqPullConnection):
        def __init__(self, *given: Any) -> None:
            connections.append(self)
            super().__init__(*given)

    with pytest.raises(AddressError):
        Own(factory, ZmqEndpoint("bind", "nonsense"))
    with pytest.raises(SocketClosed):
        Own(None)
    assert repr(connections[0]) == "Own(None, [ZmqEndpoint(type='bind', address='nonsense')])"
    assert repr(connections[1]) == "Own(None, [])"
    connections[0].shutdown()
    with pytest.raises(SocketClosed):
        connections[0].send(b"")


def test_a_connection_that_was_shut_down_says_so(factory: ZmqFactory, make: Make) -> None:
    publisher, subscriber = make(ZmqPubConnection), make(ZmqSubConnection)
    requester = make(ZmqREQConnection)
    for connection in (publisher, subscriber, requester):
        connection.shutdown()
    for call in (
        lambda: publisher.publish(b"x"),
        lambda: subscriber.subscribe(b""),
        lambda: subscriber.unsubscribe(b""),
        lambda: subscriber.addEndpoints([ZmqEndpoint("bind", "inproc://x")]),
        lambda: requester.sendMsg(b"x"),
    ):
        with pytest.raises(SocketClosed, match="was shut down"):
            call()
    factory.shutdown()
    with pytest.raises(SocketClosed, match=r"ZmqFactory\(\) was shut down"):
        make(ZmqPullConnection)


def test_a_wrong_timeout_or_keyword_says_so(requester: ZmqREQConnection) -> None:
    with pytest.raises(ValueError, match="timeout=-1"):
        requester.sendMsg(b"x", timeout=-1)
    with pytest.raises(TypeError, match=r"no other keyword argument: .'timout': 1"):
        requester.sendMsg(b"x", timout=1)
    assert requester._requests == {}
