"""Golden captures: what plain peers see of each pattern, byte for byte, and what ours make of them.

They were taken before there was a choice of formats. Where no new argument is given, the wire stays
as it is here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from talk import MESSAGES, take

if TYPE_CHECKING:
    from tests.conftest import World
    from tests.interop.conftest import Plain

PUBLISHED = [  # body, tag, and the frames
    (b"", b"", [b"\0"]),
    (b"20 degrees", "oslo", [b"oslo\x0020 degrees"]),
    (b"\0body", b"", [b"\0\0body"]),
    (b"body", b"", [b"\0body"]),
    (b"\0", b"\xff\x01", [b"\xff\x01\0\0"]),
    (bytes(range(256)), "Ø", [b"\xc3\x98\0" + bytes(range(256))]),
]

HEARD = [  # the frames, and the (tag, body)
    ([b"oslo\x0020 degrees"], (b"oslo", b"20 degrees")),
    ([b"oslo", b"20 degrees"], (b"oslo", b"20 degrees")),
    ([b"a\0b", b"c\0"], (b"a\0b", b"c\0")),
    ([b"no tag"], (b"", b"no tag")),
    ([b"\0body"], (b"", b"body")),
    ([b"body"], (b"", b"body")),
    ([b""], (b"", b"")),
    ([b"", b""], (b"", b"")),
    ([b"a\0b\0c"], (b"a", b"b\0c")),
]

SENT = [
    [b""],
    [b"", b""],
    [b"one"],
    [b"one", b"", b"\0three\xff"],
    [b"%d" % number for number in range(20)],
]
few_and_many = pytest.mark.parametrize("messages", [SENT, MESSAGES], ids=["few", "many"])


async def subscribed(w: World, xpub: zmq.Socket[bytes], *expected: list[bytes]) -> None:
    """Wait for these messages of subscribers, whatever their order."""
    came = [await take(w, xpub) for _ in expected]
    assert sorted(came) == sorted(expected)


async def test_what_a_publisher_sends(w: World, plain: Plain) -> None:
    async with w.Publisher(bind="tcp://127.0.0.1:*") as publisher:
        sub = plain(zmq.SUB, connect=publisher.addresses[0])
        sub.subscribe(b"")

        def heard() -> Any:
            publisher.publish(b"", b"are you there?")
            return sub.poll(1)

        await w.until(heard)
        for body, tag, _ in PUBLISHED:
            publisher.publish(body, tag)
        publisher.publish(b"end")
        frames = []
        while (message := await take(w, sub)) != [b"\0end"]:
            if message != [b"are you there?\0"]:
                frames.append(message)
        assert frames == [frames for _, _, frames in PUBLISHED]


async def test_what_a_publisher_sends_by_default(w: World, plain: Plain) -> None:
    async with w.Publisher(bind="inproc://golden", context=plain.context) as publisher:
        sub = plain(zmq.SUB, connect="inproc://golden")
        sub.subscribe(b"")

        def heard() -> Any:
            publisher.publish(b"a body alone")
            return sub.poll(1)

        await w.until(heard)
        assert await take(w, sub) == [b"\0a body alone"]


async def test_what_a_subscriber_asks_for_and_makes_of_what_comes(
    w: World, plain: Plain, tmp_path: Path
) -> None:
    address = f"ipc://{tmp_path}/golden"
    xpub = plain(zmq.XPUB, bind=address, xpub_verboser=1)
    async with w.Subscriber(["Ø", b"a\0", ""], connect=address) as subscriber:
        await subscribed(w, xpub, [b"\x01\xc3\x98"], [b"\x01a\0"], [b"\x01"])
        for frames, _ in HEARD:
            xpub.send_multipart(frames)
        assert [await subscriber.receive() for _ in HEARD] == [heard for _, heard in HEARD]
        connection = getattr(subscriber, "connection", subscriber)
        connection.unsubscribe("Ø")
        assert await take(w, xpub) == [b"\x00\xc3\x98"]
        connection.subscribe(b"\xff")
        assert await take(w, xpub) == [b"\x01\xff"]


@few_and_many
async def test_what_a_pusher_sends(
    w: World, plain: Plain, tmp_path: Path, messages: list[list[bytes]]
) -> None:
    address = f"ipc://{tmp_path}/golden"
    pull = plain(zmq.PULL, bind=address)
    async with w.Pusher(connect=address) as pusher:
        for parts in messages:
            await pusher.push(*parts)
        assert [await take(w, pull) for _ in messages] == messages


@few_and_many
async def test_what_a_puller_gets(w: World, plain: Plain, messages: list[list[bytes]]) -> None:
    async with w.Puller(bind="tcp://127.0.0.1:*") as puller:
        push = plain(zmq.PUSH, connect=puller.addresses[0])
        for parts in messages:
            push.send_multipart(parts)
        assert [await puller.receive() for _ in messages] == messages


async def test_what_a_requester_sends(w: World, plain: Plain, tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/golden"
    router = plain(zmq.ROUTER, bind=address)
    async with w.Requester(connect=address) as requester:
        ids = []
        for parts in SENT:
            asking = w.spawn(requester.request(*parts))
            peer, request_id, *rest = await take(w, router)
            assert rest == [b"", *parts]
            ids.append(request_id)
            router.send_multipart([peer, request_id, b"", b"re", *parts])
            assert await asking == [b"re", *parts]
        assert len(set(ids)) == len(SENT)
        assert {len(each) for each in ids} == {16}
        assert len({each[:8] for each in ids}) == 1


REQUESTS = [  # what a DEALER sends, and what of it comes back in front of the reply
    ([b"id", b"", b"question"], [b"id", b""]),
    ([b"", b"question"], [b""]),
    ([b"hop", b"id", b"", b"question", b""], [b"hop", b"id", b""]),
    ([b"other id", b"", b""], [b"other id", b""]),
]


@pytest.mark.parametrize("answer", [[b""], [b"answer"], [b"answer", b"", b"\0\xff"]])
async def test_what_a_replier_sends(w: World, plain: Plain, answer: Any) -> None:
    async with w.Replier(bind="tcp://127.0.0.1:*") as replier:
        dealer = plain(zmq.DEALER, connect=replier.addresses[0])
        for request, front in REQUESTS:
            dealer.send_multipart(request)
            got = await replier.receive()
            assert got.parts == request[len(front) :]
            await got.reply(*answer)
            assert await take(w, dealer) == [*front, *answer]


async def test_what_a_dealer_sends_and_gets(w: World, plain: Plain, tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/golden"
    router = plain(zmq.ROUTER, bind=address)
    async with w.Dealer(connect=address) as dealer:
        for parts in SENT:
            await dealer.send(*parts)
            peer, *rest = await take(w, router)
            assert rest == parts
            router.send_multipart([peer, *parts])
            assert await dealer.receive() == parts


async def test_what_a_router_sends_and_gets(w: World, plain: Plain) -> None:
    async with w.Router(bind="tcp://127.0.0.1:*") as router:
        dealer = plain(zmq.DEALER, connect=router.addresses[0], routing_id=b"\xffme")
        for parts in SENT:
            dealer.send_multipart(parts)
            assert await router.receive() == (b"\xffme", parts)
            await router.send(b"\xffme", *parts)
            assert await take(w, dealer) == parts
