"""Through libzmq's own proxy, plain sockets and ours on either side of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import zmq
from talk import MEBIBYTE, PlainPublisher, PlainSubscriber, take

from zmqbridge import SocketClosed

if TYPE_CHECKING:
    from tests.conftest import World
    from tests.interop.conftest import Plain


def proxy(plain: Plain, front: int, back: int) -> list[str]:
    """Start a proxy; its two addresses."""
    sockets = [plain(kind, bind="tcp://127.0.0.1:*") for kind in (front, back)]
    addresses = [socket.last_endpoint.decode() for socket in sockets]
    plain.background(zmq.proxy, *sockets)
    return addresses


def echo(rep: zmq.Socket[bytes]) -> None:
    while True:
        rep.send_multipart([b"plain", *rep.recv_multipart()])


async def answer(replier: Any) -> None:
    with contextlib.suppress(SocketClosed):
        while True:
            request = await replier.receive()
            await request.reply(b"ours", *request.parts)


async def ask(w: World, req: zmq.Socket[bytes], *parts: bytes) -> list[bytes]:
    req.send_multipart(parts)
    return await take(w, req)


async def test_requests_of_all_kinds_are_answered_by_all_kinds(w: World, plain: Plain) -> None:
    front, back = proxy(plain, zmq.ROUTER, zmq.DEALER)
    plain.background(echo, plain(zmq.REP, connect=back))
    req = plain(zmq.REQ, connect=front)
    async with w.Replier(connect=back) as replier:
        serving = w.spawn(answer(replier))
        async with w.Requester(connect=front) as one, w.Requester(connect=front) as two:
            met: set[bytes] = set()
            while len(met) < 2:  # until both answer, in turn
                met.add((await one.request(b"who is there?"))[0])
            many = [[b"%d" % number, b"", MEBIBYTE[: number * 100]] for number in range(200)]
            asking = [w.spawn(each.request(*parts)) for parts in many for each in (one, two)]
            answers = [await ask(w, req, b"plain question", *parts) for parts in many[:50]]
            assert [parts for _, *parts in answers] == [
                [b"plain question", *parts] for parts in many[:50]
            ]
            replies = await w.gather(*asking)
            assert [parts for _, *parts in replies] == [parts for parts in many for _ in "12"]
            assert {who for who, *_ in answers + replies} == {b"ours", b"plain"}
        replier.close()
        await serving


async def test_publications_of_all_kinds_reach_all_kinds(w: World, plain: Plain) -> None:
    front, back = proxy(plain, zmq.XSUB, zmq.XPUB)
    async with w.Publisher(connect=front) as publisher:
        async with w.Subscriber(["news", "to us"], connect=back) as subscriber:
            publishers = {b"news/ours": publisher}
            publishers[b"news/plain"] = PlainPublisher(plain(zmq.PUB, connect=front))
            listener = PlainSubscriber(w, plain(zmq.SUB, connect=back), b"news", b"to plain")
            for each in publishers.values():
                await w.connected(each, subscriber, b"to us")
                await w.connected(each, listener, b"to plain")
            bodies = [*[b"%d" % number for number in range(200)], b"", MEBIBYTE]
            for body in bodies:
                for tag, each in publishers.items():
                    each.publish(body, tag)
                    each.publish(body, b"unwanted")
            for receiver in (subscriber, listener):
                heard: dict[bytes, list[bytes]] = {tag: [] for tag in publishers}
                for _ in range(2 * len(bodies)):
                    tag, body = await receiver.receive()
                    heard[tag].append(body)
                assert heard == dict.fromkeys(publishers, bodies)
