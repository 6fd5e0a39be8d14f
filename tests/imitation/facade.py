"""What the facade must be able to do on Windows."""

from collections.abc import Callable
from typing import Any

import pytest
import zmq
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred

from zmqbridge.txzmq import (
    ZmqDealerConnection,
    ZmqEndpoint,
    ZmqFactory,
    ZmqREPConnection,
    ZmqREQConnection,
    ZmqRouterConnection,
)

TCP = ZmqEndpoint("bind", "tcp://127.0.0.1:*")


def address_of(connection: Any) -> str:
    return connection.socket.get(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()


async def patiently(send: Callable[..., Any], *message: Any, **options: Any) -> Any:
    while True:
        try:
            return send(*message, **options)
        except zmq.Again:  # the peer is not there yet
            await task.deferLater(reactor, 0.01)


async def all_of_it() -> None:
    factory = ZmqFactory()
    replier = ZmqREPConnection(factory, TCP)
    replier.gotMessage = replier.reply
    address = address_of(replier)
    with pytest.raises(zmq.ZMQError, match="in use") as refused:
        ZmqREPConnection(factory, ZmqEndpoint("bind", address))
    assert refused.value.errno == zmq.EADDRINUSE
    requester = ZmqREQConnection(factory, ZmqEndpoint("connect", address))
    answer = await patiently(requester.sendMsg, b"?", timeout=20)
    assert await answer == [b"?"]

    router = ZmqRouterConnection(factory)
    router.socket.set(zmq.ROUTER_MANDATORY, 1)
    router.addEndpoints([TCP])
    router.gotMessage = lambda peer, *parts: router.sendMultipart(peer, parts)
    dealer = ZmqDealerConnection(factory, ZmqEndpoint("connect", address_of(router)))
    back: Deferred[bytes] = Deferred()
    dealer.gotMessage = back.callback
    with pytest.raises(zmq.ZMQError) as refused:
        router.sendMultipart(b"nobody", [b"lost"])
    assert refused.value.errno == zmq.EHOSTUNREACH
    await patiently(dealer.sendMsg, b"to and fro")
    assert await back == b"to and fro"
    factory.shutdown()
    print("done")


task.react(lambda reactor: Deferred.fromCoroutine(all_of_it()).addTimeout(40, reactor))
