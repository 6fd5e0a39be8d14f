"""The library's promises, kept by the facade too: threads, bad input, every message counted."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zmqbridge import MalformedMessage, SocketClosed, WrongThread
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

if TYPE_CHECKING:
    from tests.conftest import Make, World


async def test_another_thread_is_refused_and_nothing_was_done(
    w: World, make: Make, factory: ZmqFactory
) -> None:
    pulled: list[list[bytes]] = []
    puller = make(ZmqPullConnection, "bind inproc://thread", onPull=pulled.append)
    pusher = make(ZmqPushConnection, "connect inproc://thread")
    publisher = make(ZmqPubConnection, "bind inproc://thread-pub")
    subscriber = make(ZmqSubConnection, "connect inproc://thread-pub")
    requester = make(ZmqREQConnection, "connect inproc://thread-nobody")
    pusher.push(b"mine")
    await w.until(lambda: pulled)
    for call in (
        lambda: pusher.push(b"x"),
        lambda: publisher.publish(b"x"),
        lambda: subscriber.subscribe(b"x"),
        lambda: requester.sendMsg(b"x"),
        lambda: pusher.addEndpoints([ZmqEndpoint("connect", "inproc://x")]),
        pusher.shutdown,
        factory.shutdown,
    ):
        error = await w.in_a_thread(call)
        assert isinstance(error, WrongThread), call.__code__.co_firstlineno
        assert "reactor.callFromThread" in str(error)
    assert len(factory.connections or ()) == 5
    assert requester._requests == {}
    assert pusher.endpoints == [("connect", "inproc://thread")]

    def hand_in() -> None:
        for number in range(1000):
            w.reactor.callFromThread(pusher.push, b"%d" % number)

    assert await w.in_a_thread(hand_in) is None
    await w.until(lambda: len(pulled) == 1001)
    assert pulled[1:] == [[b"%d" % number] for number in range(1000)]
    assert puller.statistics().delivered == pusher.statistics().accepted == 1001


@pytest.mark.parametrize(
    ("kind", "far", "hook"),
    [
        (ZmqPullConnection, ZmqPushConnection, "onPull"),
        (ZmqSubConnection, ZmqPubConnection, "gotMessage"),
        (ZmqREPConnection, ZmqDealerConnection, "gotMessage"),
        (ZmqRouterConnection, ZmqDealerConnection, "gotMessage"),
        (ZmqREQConnection, ZmqRouterConnection, "nothing"),
    ],
)
async def test_anything_may_be_sent_to_every_class(
    w: World,
    make: Make,
    logged: list[tuple[str, MalformedMessage]],
    kind: type[Any],
    far: type[Any],
    hook: str,
) -> None:
    chance = random.Random(kind.__name__)
    some = [b"", b"\0", b"tag\0body", b"x" * 100_000]
    got = []
    receiver = make(kind, "bind inproc://hostile", **{hook: lambda *parts: got.append(parts)})
    peer = make(far, "connect inproc://hostile")
    if kind is ZmqSubConnection:
        receiver.subscribe(b"")

        def joined() -> list[tuple[bytes, bytes]]:
            peer.publish(b"join")
            return got

        await w.until(joined)
        peer.publish(b"joined")
        await w.until(lambda: got[-1][0] == b"joined")
    if kind is ZmqREQConnection:
        asked = []
        vars(peer)["gotMessage"] = lambda *parts: asked.append(parts)
        waiting = receiver.sendMsg(b"?")
        await w.until(lambda: asked)
    before = receiver.statistics()
    for _ in range(300):
        parts = [
            chance.choice([chance.choice(some), chance.randbytes(chance.randrange(30))])
            for _ in range(chance.randrange(1, 7))
        ]
        peer.send([asked[0][0], *parts] if kind is ZmqREQConnection else parts)
    await w.until(lambda: receiver.statistics().received == before.received + 300)
    await w.until(lambda: not receiver.statistics().unread)
    if kind is ZmqREQConnection:
        assert receiver.statistics().delivered == 0
        peer.sendMultipart(asked[0][0], (asked[0][1], b"", b"the truth"))
        assert await waiting == [b"the truth"]
    else:
        assert receiver.statistics().delivered == len(got)
    reported = {type(error).__name__ for _, error in logged}
    assert reported <= {"MalformedMessage"}
    assert bool(reported) == bool(receiver.statistics().malformed)


async def test_every_request_is_in_one_count(w: World, make: Make, tmp_path: Path) -> None:
    requester = make(ZmqREQConnection, f"connect ipc://{tmp_path}/late")
    late = [requester.sendMsg(b"x", timeout=0.02) for _ in range(3)]
    cancelled = requester.sendMsg(b"x")
    in_time = requester.sendMsg(b"in time")
    cancelled.cancel()
    for each in [cancelled, *late]:
        with pytest.raises((ZmqRequestTimeoutError, w.Cancelled)):
            await each
    statistics = requester.statistics()
    assert (statistics.sent, statistics.queued, statistics.withdrawn) == (0, 1, 4)
    replier: Any = make(
        ZmqREPConnection,
        f"bind ipc://{tmp_path}/late",
        gotMessage=lambda request, *parts: replier.reply(request, *parts),
    )
    assert await in_time == [b"in time"]
    requester.sendMsg(b"open").addErrback(lambda failure: None)
    await w.until(lambda: requester.statistics().delivered == 2)
    replier.shutdown()
    socket: Any = requester.socket
    await w.until(lambda: not socket.get(zmq.EVENTS) & zmq.POLLOUT)  # its peer has gone
    for _ in range(2):
        requester.sendMsg(b"queued").addErrback(lambda failure: None)
    requester.shutdown()
    statistics = requester.statistics()
    assert statistics.accepted == 8
    assert statistics.sent + statistics.withdrawn + statistics.dropped == 8


async def test_drain_says_how_many_requests_were_not_sent(
    w: World, make: Make, tmp_path: Path
) -> None:
    address = f"ipc://{tmp_path}/drain"
    requester = make(ZmqREQConnection, f"connect {address}")
    asking = [requester.sendMsg(b"%d" % number) for number in range(5)]
    assert await requester.drain(0.01) == 5
    asked = []
    make(ZmqREPConnection, f"bind {address}", gotMessage=lambda *parts: asked.append(parts))
    assert await requester.drain(10) == 0
    await w.until(lambda: len(asked) == 5)
    stuck = make(ZmqREQConnection, f"connect ipc://{tmp_path}/nobody")
    asking.append(stuck.sendMsg(b"x"))
    draining = stuck.drain()
    stuck.shutdown()
    with pytest.raises(SocketClosed):
        await draining
    with pytest.raises(SocketClosed):
        stuck.drain()
    requester.shutdown()
    for each in asking:
        with pytest.raises(SocketClosed):
            await each
