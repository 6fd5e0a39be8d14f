"""The Twisted process of the demo: it binds, and uses all patterns with the asyncio process.

It is written like a program for txZMQ, with ``from zmqbridge import txzmq`` as its import.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import zmq
from twisted.internet.defer import Deferred, DeferredQueue, gatherResults
from twisted.internet.task import LoopingCall, deferLater, react

from zmqbridge import txzmq
from zmqbridge._cli.demo_plan import (
    HELLO,
    OUTSTANDING,
    REPLY_TIMEOUT,
    SILENCE,
    TIMEOUT,
    WANTED,
    Incoming,
    bodies,
    body,
    listen,
    outgoing,
    tag,
    tell,
    wanted,
)


class Subscriber(txzmq.ZmqSubConnection):
    """Receives the publications."""

    incoming: Incoming
    greeted: Callable[[], None]
    heard: bool = False

    def gotMessage(self, message: bytes, tag: bytes) -> None:
        if tag != HELLO:
            self.incoming.take(message)
        elif not self.heard:
            self.heard = True
            self.greeted()


class Puller(txzmq.ZmqPullConnection):
    """Receives the pushed messages."""

    incoming: Incoming

    def onPull(self, message: list[bytes]) -> None:
        self.incoming.take(message[0])


class Replier(txzmq.ZmqREPConnection):
    """Replies with the same parts, except to the request that asks for silence."""

    def gotMessage(self, messageId: bytes, *messageParts: bytes) -> None:
        if messageParts != (SILENCE,):
            self.reply(messageId, *messageParts)


class Dealer(txzmq.ZmqDealerConnection):
    """Receives the messages that the router sends back."""

    incoming: Incoming

    def gotMessage(self, message: bytes) -> None:
        self.incoming.take(message)


class Router(txzmq.ZmqRouterConnection):
    """Sends each message back to its sender."""

    def gotMessage(self, sender: bytes, *parts: bytes) -> None:
        self.sendMultipart(sender, parts)


async def paced(reactor: Any, numbers: Any) -> AsyncIterator[int]:
    """Yield the same numbers, and let the reactor run after every hundred."""
    for number in numbers:
        if number % 100 == 0:
            await deferLater(reactor, 0)
        yield number


async def patiently(reactor: Any, send: Callable[..., Any], *message: Any, **options: Any) -> Any:
    """Send as soon as the peer is there; until then txZMQ's API raises `Again`, and we retry."""
    while True:
        try:
            return send(*message, **options)
        except zmq.Again:
            await deferLater(reactor, 0.005)


async def publish(reactor: Any, publisher: txzmq.ZmqPubConnection, count: int) -> None:
    """Publish under all tags in turn."""
    async for number in paced(reactor, outgoing(tell, "publish-Twisted", count)):
        publisher.publish(body(number), tag(number))


async def push(reactor: Any, pusher: txzmq.ZmqPushConnection, count: int) -> None:
    """Push as fast as possible; the facade's queue has no limit, like txZMQ's."""
    async for number in paced(reactor, outgoing(tell, "push-Twisted", count)):
        await patiently(reactor, pusher.push, body(number))


async def request(reactor: Any, requester: txzmq.ZmqREQConnection, count: int) -> None:
    """Send requests, many at a time, and in the end one that gets no reply."""
    numbers = outgoing(tell, "request-Twisted", count + 1)
    incoming = Incoming(tell, "request-Twisted", bodies(count))

    async def work() -> None:
        for number in numbers:
            if number == count:
                await request_in_vain(reactor, requester)
            else:
                reply = await patiently(reactor, requester.sendMsg, body(number))
                incoming.take((await reply)[0], number)

    await gatherResults([Deferred.fromCoroutine(work()) for _ in range(OUTSTANDING)])


async def request_in_vain(reactor: Any, requester: txzmq.ZmqREQConnection) -> None:
    """Send the request that gets no reply."""
    try:
        await (await patiently(reactor, requester.sendMsg, SILENCE, timeout=TIMEOUT))
    except txzmq.ZmqRequestTimeoutError:
        tell({"flow": "request-Twisted", "timed out": 1})


async def deal(reactor: Any, dealer: Dealer, count: int) -> None:
    """Send messages to the router, which sends them back."""
    async for number in paced(reactor, outgoing(tell, "route-Twisted", count)):
        await patiently(reactor, dealer.sendMsg, body(number))


def connections(count: int) -> dict[str, Any]:
    """A connection for this end of each flow, by the name of the flow."""
    factory = txzmq.ZmqFactory()
    factory.registerForShutdown()
    subscriber = Subscriber(factory)
    subscriber.incoming = Incoming(tell, "publish-asyncio", wanted(count))
    subscriber.greeted = lambda: tell({"heard": "publish-asyncio"})
    for name in (HELLO, *WANTED):
        subscriber.subscribe(name)
    puller = Puller(factory)
    puller.incoming = Incoming(tell, "push-asyncio", bodies(count))
    requester = txzmq.ZmqREQConnection(factory)
    requester.defaultRequestTimeout = REPLY_TIMEOUT
    dealer = Dealer(factory)
    dealer.incoming = Incoming(tell, "route-Twisted", bodies(count))
    return {
        "publish-Twisted": txzmq.ZmqPubConnection(factory),
        "publish-asyncio": subscriber,
        "push-Twisted": txzmq.ZmqPushConnection(factory),
        "push-asyncio": puller,
        "request-Twisted": requester,
        "request-asyncio": Replier(factory),
        "route-Twisted": dealer,
        "route-asyncio": Router(factory),
    }


SENDERS: dict[str, Callable[[Any, Any, int], Awaitable[None]]] = {
    "publish-Twisted": publish,
    "push-Twisted": push,
    "request-Twisted": request,
    "route-Twisted": deal,
}


async def main(reactor: Any, count: int, template: str) -> None:
    """Do what the parent orders, until there are no more orders."""
    orders: DeferredQueue[bytes] = DeferredQueue()
    # This process ends when the lines end, or when the parent ends.
    listen(reactor.callFromThread, orders.put, reactor.stop)
    made = connections(count)
    tell({"bound": bind(template, made)})
    greeting = LoopingCall(made["publish-Twisted"].publish, b"", HELLO)
    greeting.clock = reactor
    greeting.start(0.01)
    while True:
        flow = (await orders.get()).decode().strip()
        if greeting.running:
            greeting.stop()  # the parent starts when both subscribers have heard a publisher
        await SENDERS[flow](reactor, made[flow], count)


def bind(template: str, connections: dict[str, txzmq.ZmqConnection]) -> dict[str, str]:
    """Bind each connection to an address of its own; returns the real addresses."""
    for flow, connection in connections.items():
        address = template.format(flow)
        connection.addEndpoints([txzmq.ZmqEndpoint(txzmq.ZmqEndpointType.bind, address)])
    return {
        flow: connection.socket.get(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
        for flow, connection in connections.items()
    }


if __name__ == "__main__":
    react(
        lambda reactor: Deferred.fromCoroutine(main(reactor, int(sys.argv[1]), sys.argv[2])),
    )
