"""What both backends must be able to do on Windows; run with the name of one."""

import asyncio
import errno
import functools
import sys
from contextlib import AsyncExitStack
from typing import Any

import pytest
import zmq

from zmqbridge import AddressError, AuthenticationMissing, PeerUnreachable
from zmqbridge.security import CurveClient, CurveServer, PlainClient, PlainServer, Policy

backend: Any
spawn: Any
done: Any
sleep: Any

TCP = "tcp://127.0.0.1:*"
SERVER, CLIENT = zmq.curve_keypair(), zmq.curve_keypair()
POLICIES = {"plain": Policy(passwords={"alice": "secret"}), "*": Policy(keys=[CLIENT[0]])}
KINDS: list[tuple[Any, Any]] = [
    (CurveServer(SERVER[1]), CurveClient(SERVER[0], *CLIENT)),
    (PlainServer("plain"), PlainClient("alice", "secret")),
]


async def errors_of_addresses() -> None:
    async with backend.Puller(bind=TCP) as taken, backend.Puller() as puller:
        for address, number, hint in [
            (taken.addresses[0], zmq.EADDRINUSE, "another socket has it"),
            ("tcp://192.0.2.1:*", zmq.EADDRNOTAVAIL, "no interface of this host has it"),
            ("tcp://nonesuch0:*", errno.ENODEV, "no interface of this host has it"),
            ("rfc1149://here", zmq.EPROTONOSUPPORT, "libzmq knows tcp, ipc"),
            ("here", zmq.EINVAL, "write it as transport://address"),
            ("ipc:///no/such/folder/socket", errno.ENOENT, "its folder does not exist"),
            ("ipc:///" + 200 * "x", errno.ENAMETOOLONG, "is limited to about 100 characters"),
        ]:
            with pytest.raises(AddressError, match=hint) as refused:
                puller.bind(address)
            assert number == refused.value.errno, address
        with pytest.raises(AddressError, match="this socket is not bound or connected to it"):
            puller.disconnect("tcp://127.0.0.1:5555")


async def patterns() -> None:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        publisher = await enter(backend.Publisher(bind=TCP))
        subscriber = await enter(backend.Subscriber(connect=publisher.addresses, tags=[b"", b"x"]))
        puller = await enter(backend.Puller(bind=TCP, monitor=True))
        pusher = await enter(backend.Pusher(connect=puller.addresses, monitor=True))
        router = await enter(backend.Router(bind=TCP))
        dealer = await enter(backend.Dealer(connect=router.addresses))
        with pytest.raises(PeerUnreachable):
            await router.send(b"nobody", b"lost")
        await dealer.send(b"to")
        peer, parts = await router.receive()
        await router.send(peer, *parts, b"and fro")
        assert await dealer.receive() == [b"to", b"and fro"]
        await pusher.connected(20)
        await pusher.push(b"pushed")
        assert await puller.receive() == [b"pushed"]
        receiving = spawn(subscriber.receive())
        while not done(receiving):
            publisher.publish(b"published", b"tag")
            await sleep(0.01)
        assert await receiving == (b"tag", b"published")


async def security() -> None:
    for server, _ in KINDS:
        with pytest.raises(AuthenticationMissing):
            backend.Replier(bind=TCP, security=server)
    async with backend.Authenticator(POLICIES):
        with pytest.raises(AddressError, match="has an authenticator already"):
            backend.Authenticator(POLICIES)
        for server, client in KINDS:
            async with (
                backend.Replier(bind=TCP, security=server) as replier,
                backend.Requester(20, connect=replier.addresses, security=client) as requester,
            ):
                asking = spawn(requester.request(b"?"))
                await (await replier.receive()).reply(b"!")
                assert await asking == [b"!"]


async def all_of_it() -> None:
    await errors_of_addresses()
    await patterns()
    await security()
    print("done")


if sys.argv[1] == "asyncio":
    from zmqbridge import asyncio_backend as backend

    spawn, done, sleep = asyncio.ensure_future, asyncio.Future.done, asyncio.sleep
    asyncio.run(asyncio.wait_for(all_of_it(), 40))
else:
    from twisted.internet import reactor, task
    from twisted.internet.defer import Deferred
    from twisted.internet.selectreactor import SelectReactor

    from zmqbridge import twisted_backend as backend

    spawn, done = lambda each: each, lambda each: each.called
    sleep = functools.partial(task.deferLater, reactor)
    assert isinstance(reactor, SelectReactor)
    task.react(lambda reactor: Deferred.fromCoroutine(all_of_it()).addTimeout(40, reactor))
