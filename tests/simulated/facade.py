"""The scenarios of programs written for txZMQ, on `zmqbridge.txzmq` unchanged, under faults."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError
from zmq.error import Again

from tests.simulated.stage import ADDRESS, BACK, UNTIL, Scenario, Stage, scenario
from zmqbridge import SocketClosed, ZmqBridgeError
from zmqbridge.txzmq import (
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

BIND, CONNECT = ZmqEndpoint("bind", ADDRESS), ZmqEndpoint("connect", ADDRESS)


def of_facade(function: Scenario) -> Scenario:
    """It runs on Twisted alone."""
    return scenario(function, backends=["twisted"])


class Rep(ZmqREPConnection):
    """Answers each request with its parts, some of them later, some never."""

    stage: Stage
    seen: Counter[bytes]

    def gotMessage(self, messageId: bytes, *messageParts: bytes) -> None:
        self.seen[messageParts[0]] += 1
        chance = self.stage.random.random()
        if messageParts[0] == b"last" or chance < 0.8:
            self.reply(messageId, b"re", *messageParts)
        elif chance < 0.95:
            delay = self.stage.random.random() * 1.5
            self.factory.reactor.callLater(delay, self.reply_late, messageId, messageParts)

    def reply_late(self, messageId: bytes, messageParts: tuple[bytes, ...]) -> None:
        if not self.factory.connections:
            return
        self.reply(messageId, b"re", *messageParts)


@of_facade
async def each_deferred_of_a_request_fires_once(stage: Stage) -> None:
    """By its own reply, by its timeout, as it is cancelled, or at the end of the connection."""
    seen: Counter[bytes] = Counter()
    ended: Counter[bytes] = Counter()
    queued: set[bytes] = set()
    count = 40

    def serve() -> None:
        Rep.stage, Rep.seen = stage, seen
        Rep(ZmqFactory(), BIND)

    stage.network.node("server")
    stage.network.after(stage.random.choice([0, 1]), lambda: stage.spawn("server", serve))
    stage.trouble("server", "client")
    made: list[Any] = []

    def connect() -> None:
        made.append(ZmqREQConnection(ZmqFactory(), CONNECT))

    stage.spawn("client", connect)
    [asking] = made

    def got(result: Any, tag: bytes, until: float) -> None:
        ended[tag] += 1
        assert stage.now() < until
        if isinstance(result, list):
            assert result == [b"re", tag, b""]
            return
        error = result.value
        if isinstance(error, ZmqRequestTimeoutError):
            if error.stage == "queued":
                queued.add(tag)
        else:
            assert isinstance(error, CancelledError | SocketClosed), result

    def failed(failure: Any) -> None:
        stage.network.fail(failure.value)

    for number in range(count):
        tag = b"%d" % number
        timeout = stage.random.choice([0.2, 1, 60])
        asked = asking.sendMsg(tag, b"", timeout=timeout)
        asked.addBoth(got, tag, stage.now() + timeout + 0.01).addErrback(failed)
        if stage.random.random() < 0.1:
            await stage.sleep(stage.random.choice([0, 0.0002, 0.1]))
            asked.cancel()
        await stage.sleep(stage.random.random() * 0.15)
    await stage.sleep(max(0.0, UNTIL - stage.now()) + BACK)
    assert await asking.sendMsg(b"last", timeout=5) == [b"re", b"last"]
    asking.factory.shutdown()
    await stage.sleep(0.1)
    assert ended == Counter({b"%d" % number: 1 for number in range(count)})
    assert all(times == 1 for times in seen.values())
    assert not queued & set(seen), "a request that ended in the queue was sent after all"


class Pull(ZmqPullConnection):
    pulled: list[int]
    stage: Stage

    def onPull(self, message: list[bytes]) -> None:
        self.pulled.append(int(message[0]))
        if self.stage.random.random() < 0.05:
            raise ArithmeticError("on purpose; it is logged")


@of_facade
async def what_a_connection_pushes_arrives_in_order_and_once(stage: Stage) -> None:
    """Nothing is doubled, nothing overtakes; what is missing was under way when a cut came."""
    pulled: list[int] = []
    refused: list[int] = []
    mark = stage.random.choice([0, 10])
    parts = stage.random.choice([1, 2])

    class Push(ZmqPushConnection):
        highWaterMark = mark

    def pull() -> None:
        Pull.pulled, Pull.stage = pulled, stage
        Pull.highWaterMark = mark
        Pull(ZmqFactory(), BIND)

    made: list[Any] = []

    def push() -> None:
        made.append(Push(ZmqFactory(), CONNECT))

    stage.spawn("server", pull)
    stage.spawn("client", push)
    stage.trouble("server", "client")
    [pusher] = made
    for number in range(300):
        try:
            pusher.push([b"%d" % number] * parts)
        except Again:
            assert mark
            refused.append(number)
        if stage.random.random() < 0.3:
            await stage.sleep(stage.random.choice([0, 0.0001, 0.05]))
    await stage.sleep(max(0.0, UNTIL - stage.now()) + BACK)
    assert await pusher.drain(5) == 0
    await stage.sleep(5)
    assert pulled == sorted(set(pulled)), "doubled, or overtaken"
    assert not set(pulled) & set(refused)
    assert len(pulled) + len(refused) + stage.lost() == 300


class Sub(ZmqSubConnection):
    heard: list[tuple[bytes, int]]

    def gotMessage(self, message: bytes, tag: bytes) -> None:
        self.heard.append((tag, int(message)))


@of_facade
async def connections_hear_what_they_subscribe_to(stage: Stage) -> None:
    """Their tags alone, in order, never twice, and again after each fault; nothing unsubscribed."""
    heard: list[tuple[bytes, int]] = []
    made: list[Any] = []

    def subscribe() -> None:
        Sub.heard = heard
        made.append(Sub(ZmqFactory(), CONNECT))
        made[0].subscribe(b"a")
        made[0].subscribe(b"b")

    def publish() -> None:
        made.append(ZmqPubConnection(ZmqFactory(), BIND))

    stage.spawn("client", subscribe)
    stage.spawn("server", publish)
    stage.trouble("server", "client")
    subscriber, publisher = made
    given_up = stage.random.randint(1, 199)
    at_that_time = 0
    for number in range(200):
        publisher.publish(b"%d" % number, stage.random.choice([b"a", b"ab", b"b", b"c"]))
        if number == given_up:
            subscriber.unsubscribe(b"b")
            at_that_time = len(heard)
        await stage.sleep(stage.random.choice([0, 0.05]))
    await stage.sleep(max(0.0, UNTIL - stage.now()) + BACK)
    publisher.publish(b"200", b"a")
    await stage.sleep(1)
    numbers = [number for _, number in heard]
    assert {tag for tag, _ in heard} <= {b"a", b"ab", b"b"}
    assert b"b" not in {tag for tag, _ in heard[at_that_time:]}
    assert numbers == sorted(set(numbers))
    assert heard[-1] == (b"a", 200)


class Router(ZmqRouterConnection):
    def gotMessage(self, sender: bytes, *parts: bytes) -> None:
        self.sendMultipart(sender, parts)


class Dealer(ZmqDealerConnection):
    answers: list[int]

    def gotMessage(self, *parts: bytes) -> None:
        self.answers.append(int(parts[0]))


@of_facade
async def dealers_get_back_what_they_send(stage: Stage) -> None:
    """Each what is its own, in its order, whoever is cut off or killed."""
    names = ["one", "two", "three"]
    answers: dict[str, list[int]] = {}
    sent: dict[str, int] = {}
    made: dict[str, Any] = {}

    def route() -> None:
        Router(ZmqFactory(), BIND)

    def deal(name: str) -> None:
        made[name] = Dealer(ZmqFactory(), CONNECT)
        made[name].answers = answers[name] = []
        sent.setdefault(name, 0)

    stage.spawn("server", route)
    for name in names:
        stage.spawn(name, partial(deal, name))
    stage.trouble("server", *names)
    stage.trouble(*names, kinds=("restart",))
    while stage.now() < UNTIL + BACK:
        for name in names:
            if stage.network.node(name).alive and made[name].factory.connections:
                sent[name] += 1
                try:
                    made[name].sendMultipart([b"%d" % sent[name]] * stage.random.choice([1, 2]))
                except ZmqBridgeError:
                    assert not stage.network.node(name).alive  # it was killed in this moment
        await stage.sleep(0.05)
    await stage.sleep(2)
    for name in names:
        sent[name] += 1
        made[name].sendMsg(b"%d" % sent[name])
    await stage.sleep(1)
    for name, numbers in answers.items():
        assert numbers == sorted(set(numbers))
        assert numbers[-1] == sent[name]


@of_facade
async def a_factory_ends_whatever_is_under_way(stage: Stage) -> None:
    """After `shutdown` each Deferred has fired, no timer is left, and what was sent arrives."""
    pulled: list[int] = []
    outcomes: list[Any] = []
    made: list[Any] = []

    def pull() -> None:
        Pull.pulled, Pull.stage, Pull.highWaterMark = pulled, stage, 0
        Pull(ZmqFactory(), BIND)

    def client() -> None:
        factory = ZmqFactory()
        factory.lingerPeriod = 5000
        made.append(ZmqPushConnection(factory, CONNECT))
        made.append(ZmqREQConnection(factory, ZmqEndpoint("connect", "tcp://nobody:1")))

    stage.spawn("server", pull)
    stage.network.node("nobody")
    stage.spawn("client", client)
    pusher, asking = made
    await stage.sleep(1)
    count = stage.random.choice([1, 40, 900])
    for number in range(count):
        pusher.push(b"%d" % number)
        asking.sendMsg(b"x", timeout=3600).addBoth(outcomes.append)
    await stage.sleep(stage.random.choice([0, 0.0001, 0.1]))
    factory = pusher.factory
    factory.shutdown()
    factory.shutdown()  # twice is fine
    await stage.sleep(1)
    assert pulled == list(range(count))
    assert len(outcomes) == count
    assert all(each.check(SocketClosed) for each in outcomes)
