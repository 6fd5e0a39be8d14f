"""The facade with the calls of the contract, so that the same tests run on it."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge import SocketClosed, txzmq
from zmqbridge.core._checks import as_list

if TYPE_CHECKING:
    from tests.conftest import World


class Face:
    """A connection of the facade; the classes below add what they are for."""

    kind: Any

    def __init__(
        self,
        w: World,
        *,
        bind: str | tuple[Any, ...] = (),
        connect: list[str] | str | tuple[Any, ...] = (),
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        self.w = w
        self.received: list[Any] = []
        self.addresses: list[str] = []
        self.factory = txzmq.ZmqFactory()
        self.factory.reactor = w.reactor
        if context is not None:
            self.factory.context.term()
            self.factory.context = context
        self.lent = context is not None
        self.connection = self.kind(self.factory)
        self.listen()
        for method, addresses in (("bind", bind), ("connect", connect)):
            address: Any
            for address in as_list(addresses):
                self.connection.addEndpoints([txzmq.ZmqEndpoint(method, address)])
                self.addresses.append(self.connection.socket.get(zmq.LAST_ENDPOINT).decode())

    def listen(self) -> None:
        """Have what arrives put into `received` as the contract's `receive` would give it."""

    async def receive(self) -> Any:
        while not self.received:
            if self.connection.factory is None:
                raise SocketClosed("closed")
            await self.w.sleep(0.001)
        return self.received.pop(0)

    def close(self) -> None:
        if self.lent:
            self.factory.context = None
        self.factory.shutdown()

    async def __aenter__(self) -> Face:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()


class Publisher(Face):
    kind = txzmq.ZmqPubConnection

    def publish(self, body: bytes, tag: bytes | str = b"") -> None:
        self.connection.publish(body, tag)


class Subscriber(Face):
    kind = txzmq.ZmqSubConnection

    def __init__(self, w: World, tags: list[str] | str, **arguments: Any) -> None:
        super().__init__(w, **arguments)
        for tag in as_list(tags):
            self.connection.subscribe(tag)

    def listen(self) -> None:
        self.connection.gotMessage = lambda body, tag: self.received.append((tag, body))


class Pusher(Face):
    kind = txzmq.ZmqPushConnection

    async def push(self, *parts: bytes) -> None:
        while True:
            try:
                return self.connection.push(parts)
            except zmq.Again:  # nobody is there yet, and the facade does not queue
                await self.w.sleep(0.001)


class Puller(Face):
    kind = txzmq.ZmqPullConnection

    def listen(self) -> None:
        self.connection.onPull = self.received.append


class Requester(Face):
    kind = txzmq.ZmqREQConnection

    async def request(self, *parts: bytes) -> list[bytes]:
        return await self.connection.sendMsg(*parts)


class Replier(Face):
    kind = txzmq.ZmqREPConnection

    def listen(self) -> None:
        self.connection.gotMessage = self.got

    def got(self, message_id: bytes, *parts: bytes) -> None:
        async def reply(*answer: bytes) -> None:
            self.connection.reply(message_id, *answer)

        self.received.append(SimpleNamespace(parts=list(parts), reply=reply))


class Dealer(Face):
    kind = txzmq.ZmqDealerConnection

    def listen(self) -> None:
        self.connection.gotMessage = lambda *parts: self.received.append(list(parts))

    async def send(self, *parts: bytes) -> None:
        self.connection.sendMultipart(parts)


class Router(Face):
    kind = txzmq.ZmqRouterConnection

    def listen(self) -> None:
        self.connection.gotMessage = lambda peer, *parts: self.received.append((peer, list(parts)))

    async def send(self, peer: bytes, *parts: bytes) -> None:
        self.connection.sendMultipart(peer, parts)


FACES = {
    each.__name__: each
    for each in (Publisher, Subscriber, Pusher, Puller, Requester, Replier, Dealer, Router)
}


class FacadeWorld:
    """A Twisted world whose sockets are the facade's."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __getattr__(self, name: str) -> Any:
        if name in FACES:
            return functools.partial(FACES[name], self.world)
        return getattr(self.world, name)
