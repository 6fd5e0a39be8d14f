"""Right and wrong uses, for type checkers: nothing here runs.

Each wrong line bears the error that a checker must find there. Where one does not, it complains
of the comment that is not needed, so this cannot pass by chance.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true, reportUnusedCoroutine=false

from __future__ import annotations

from collections.abc import Awaitable
from typing import Unpack, assert_type

import zmq
from twisted.internet.defer import Deferred

from zmqbridge import BytesLike, Gap, Restarted, arguments, asyncio_backend, twisted_backend
from zmqbridge.arguments import (
    ExchangeArguments,
    ReactorReceiverArguments,
    SubscriberArguments,
)
from zmqbridge.security import CurveServer, Policy
from zmqbridge.txzmq import ZmqPushConnection, ZmqREQConnection

BUFFERS: list[BytesLike] = [b"bytes", bytearray(b"bytearray"), memoryview(b"memoryview")]


def constructors(context: zmq.Context[zmq.Socket[bytes]]) -> None:
    asyncio_backend.Puller(bind="tcp://127.0.0.1:*", connect=["inproc://a", b"inproc://b"])
    asyncio_backend.Pusher(context=context, options={zmq.SNDHWM: 1}, send_queue=10, monitor=True)
    asyncio_backend.Requester(3.0, security=CurveServer("key"), send_queue=float("inf"))
    asyncio_backend.Subscriber(["a", b"b"], prefetch=0, prefetch_bytes=1)
    asyncio_backend.Authenticator({"*": Policy()}, context=context)
    twisted_backend.Router(prefetch=None, send_queue=None, reactor=object())
    twisted_backend.Authenticator({"*": Policy()}, reactor=object())


def misspelt() -> None:
    asyncio_backend.Puller(conect="inproc://a")  # type: ignore[call-arg]
    asyncio_backend.Requester(tiemout=3.0)  # type: ignore[call-arg]
    asyncio_backend.Authenticator({}, contxt=None)  # type: ignore[call-arg]
    twisted_backend.Puller(hander=print)  # type: ignore[call-arg]


def of_others() -> None:
    asyncio_backend.Puller(send_queue=1)  # type: ignore[call-arg]
    asyncio_backend.Pusher(prefetch=1)  # type: ignore[call-arg]
    asyncio_backend.Dealer(reactor=None)  # type: ignore[call-arg]
    asyncio_backend.Authenticator({}, bind="inproc://a")  # type: ignore[call-arg]
    twisted_backend.Pusher(handler=print)  # type: ignore[call-arg]


def of_other_types() -> None:
    asyncio_backend.Puller(bind=5)  # type: ignore[arg-type]
    asyncio_backend.Puller(prefetch="1")  # type: ignore[arg-type]
    asyncio_backend.Pusher(security="key")  # type: ignore[arg-type]
    twisted_backend.Requester(options=[1])  # type: ignore[arg-type]


def on_parts(parts: list[bytes]) -> None: ...
def on_publication(publication: tuple[bytes, bytes]) -> None: ...


def handlers() -> None:
    twisted_backend.Puller(handler=on_parts)
    twisted_backend.Dealer(handler=on_parts, send_queue=1)
    twisted_backend.Subscriber(handler=on_publication)
    twisted_backend.Puller(handler=on_publication)  # type: ignore[arg-type]
    twisted_backend.Subscriber(handler=on_parts)  # type: ignore[arg-type]
    twisted_backend.Dealer(handler=on_publication)  # type: ignore[arg-type]


def passed_on(**arguments: Unpack[ExchangeArguments]) -> asyncio_backend.Dealer:
    return asyncio_backend.Dealer(**arguments)


def passed_on_twisted(
    **arguments: Unpack[ReactorReceiverArguments[list[bytes]]],
) -> twisted_backend.Puller:
    return twisted_backend.Puller(**arguments)


def on_tagged(publication: tuple[bytes, list[bytes]]) -> None: ...


def formats(name: arguments.Format) -> None:
    asyncio_backend.Publisher(format="two-part").publish(b"body", "tag")
    asyncio_backend.Publisher(format="parts").publish([b"1", bytearray(b"2")], "tag")
    twisted_backend.Publisher(format="raw").publish((b"1", b"2"))
    asyncio_backend.Publisher(format="raw").publish(b"1")  # type: ignore[arg-type]
    twisted_backend.Publisher().publish([b"1"])  # type: ignore[arg-type]
    asyncio_backend.Publisher(format="two_part")  # type: ignore[call-overload]
    asyncio_backend.Subscriber("", format=b"raw")  # type: ignore[call-overload]
    asyncio_backend.Subscriber("", format=name, connect="inproc://a")
    twisted_backend.Subscriber(handler=on_tagged, format="parts")
    twisted_backend.Subscriber(handler=on_parts, format="raw")
    twisted_backend.Subscriber(handler=on_tagged, format="raw")  # type: ignore[call-overload]


async def what_comes_in_each_format() -> None:
    joined = asyncio_backend.Subscriber("")
    assert_type(await joined.receive(), tuple[bytes, bytes])
    two = twisted_backend.Subscriber("", format="two-part")
    assert_type(two.receive(), Deferred[tuple[bytes, bytes]])
    parts = asyncio_backend.Subscriber("", format="parts")
    assert_type(await parts.receive(), tuple[bytes, list[bytes]])
    raw = asyncio_backend.Subscriber("", format="raw")
    async for publication in raw:
        assert_type(publication, list[bytes])


Told = tuple[bytes, bytes] | Gap | Restarted


def on_told(told: Told) -> None: ...


def on_numbered(told: tuple[bytes, bytes, int] | Gap | Restarted) -> None: ...


async def numbered() -> None:
    raised = asyncio_backend.Subscriber("", replay="inproc://a", numbered_by="tag")
    assert_type(await raised.receive(), tuple[bytes, bytes])
    assert_type(raised.receive_nowait(), tuple[bytes, bytes])
    raised = asyncio_backend.Subscriber("", numbered_by="publisher", on_gap="raise")
    reported = asyncio_backend.Subscriber("", replay="inproc://a", on_gap="report")
    assert_type(await reported.receive(), Told)
    assert_type(reported.receive_nowait(), Told)
    async for told in reported:
        assert_type(told, Told)
    with_numbers = asyncio_backend.Subscriber("", replay="inproc://a", numbers=True, since=7)
    assert_type(await with_numbers.receive(), tuple[bytes, bytes, int])
    by_tag = asyncio_backend.Subscriber(
        "", numbered_by="tag", numbers=True, since={"a": 1, b"b": 2}, on_gap="report"
    )
    assert_type(await by_tag.receive(), tuple[bytes, bytes, int] | Gap | Restarted)
    asyncio_backend.Subscriber("", numbered_by="tag", since={"a": "1"})  # type: ignore[call-overload]
    asyncio_backend.Subscriber("", on_gap="tell")  # type: ignore[call-overload]
    asyncio_backend.Subscriber("", format="raw", on_gap="report")  # type: ignore[call-overload]
    twisted_raised = twisted_backend.Subscriber("", numbered_by="tag", replay="inproc://a")
    assert_type(twisted_raised.receive(), Deferred[tuple[bytes, bytes]])
    twisted_reported = twisted_backend.Subscriber("", numbered_by="tag", on_gap="report")
    assert_type(twisted_reported.receive(), Deferred[Told])
    twisted_numbers = twisted_backend.Subscriber("", numbered_by="publisher", numbers=True)
    assert_type(twisted_numbers.receive(), Deferred[tuple[bytes, bytes, int]])
    twisted_backend.Subscriber("", numbered_by="tag", handler=on_told)
    twisted_backend.Subscriber("", numbered_by="tag", numbers=True, handler=on_numbered)
    twisted_backend.Subscriber(handler=on_publication, conflate=True)
    twisted_backend.Subscriber(handler=on_publication, replay="inproc://a")  # type: ignore[arg-type]


def passed_on_by_all(**arguments: Unpack[SubscriberArguments]) -> None:
    assert_type(asyncio_backend.Subscriber("", **arguments), asyncio_backend.Subscriber[Told])


async def bytes_like_on_asyncio(
    pusher: asyncio_backend.Pusher,
    dealer: asyncio_backend.Dealer,
    requester: asyncio_backend.Requester,
    router: asyncio_backend.Router,
    publisher: asyncio_backend.Publisher,
    request: asyncio_backend.Request,
) -> None:
    for buffer in BUFFERS:
        assert_type(await pusher.push(buffer, b"more"), None)
        assert_type(await requester.request(buffer, timeout=1), list[bytes])
        pusher.push_nowait(buffer)
        await dealer.send(buffer)
        dealer.send_nowait(buffer)
        await router.send(buffer, buffer)
        publisher.publish(buffer, tag="tag")
        publisher.publish(buffer, tag=buffer)
        await request.reply(buffer)
    await pusher.push("text")  # type: ignore[arg-type]
    pusher.push_nowait("text")  # type: ignore[arg-type]
    await dealer.send("text")  # type: ignore[arg-type]
    dealer.send_nowait("text")  # type: ignore[arg-type]
    await requester.request("text")  # type: ignore[arg-type]
    await router.send("peer", b"")  # type: ignore[arg-type]
    publisher.publish("text")  # type: ignore[arg-type]
    await request.reply("text")  # type: ignore[arg-type]


def bytes_like_on_twisted(
    pusher: twisted_backend.Pusher,
    dealer: twisted_backend.Dealer,
    requester: twisted_backend.Requester,
    router: twisted_backend.Router,
    publisher: twisted_backend.Publisher,
    request: twisted_backend.Request,
) -> None:
    for buffer in BUFFERS:
        assert_type(pusher.push(buffer, b"more"), Deferred[None])
        assert_type(dealer.send(buffer), Deferred[None])
        assert_type(requester.request(buffer, timeout=1), Deferred[list[bytes]])
        router.send(buffer, buffer)
        router.send_nowait(buffer, buffer)
        publisher.publish(buffer, tag=buffer)
        request.reply(buffer)
    pusher.push("text")  # type: ignore[arg-type]
    dealer.send_nowait("text")  # type: ignore[arg-type]
    requester.request("text")  # type: ignore[arg-type]
    request.reply("text")  # type: ignore[arg-type]


def bytes_like_in_the_facade(push: ZmqPushConnection, request: ZmqREQConnection) -> None:
    for buffer in BUFFERS:
        push.push(buffer)
        push.push([buffer, b"more"])
        request.sendMsg(buffer)
    push.push(5)  # type: ignore[arg-type]
    request.sendMsg("text")  # type: ignore[arg-type]


async def what_is_received(
    subscriber: asyncio_backend.Subscriber, replier: twisted_backend.Replier
) -> None:
    assert_type(await subscriber.receive(), tuple[bytes, bytes])
    async for tag, body in subscriber:
        assert_type(tag + body, bytes)
    assert_type(replier.receive(), Deferred[twisted_backend.Request])
    waiting: Awaitable[int] = replier.drain(1.0)
    assert_type(await waiting, int)
