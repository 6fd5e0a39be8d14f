"""Publications in each format, with plain peers at the other end and in the middle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import zmq
from talk import take

from zmqbridge import Subscribed

if TYPE_CHECKING:
    from tests.conftest import World
    from tests.interop.conftest import Plain

native = pytest.mark.parametrize("w", ["asyncio", "uvloop", "epoll"], indirect=True)
TCP = "tcp://127.0.0.1:*"
BINARY = bytes(range(256))

# As (body, tag) to publish, as frames, and as it is received.
SAID: dict[str, list[tuple[Any, Any, list[bytes], Any]]] = {
    "joined": [
        (b"t", b"t", [b"t\0t"], (b"t", b"t")),
        (BINARY, "tØ", ["tØ".encode() + b"\0" + BINARY], ("tØ".encode(), BINARY)),
    ],
    "two-part": [
        (b"t", b"t", [b"t", b"t"], (b"t", b"t")),
        (BINARY, b"t" + BINARY, [b"t" + BINARY, BINARY], (b"t" + BINARY, BINARY)),
    ],
    "parts": [
        ([], b"t", [b"t"], (b"t", [])),
        # bitcoind: topic, body, number of 4 bytes
        ([BINARY, b"\1\0\0\0"], "t", [b"t", BINARY, b"\1\0\0\0"], (b"t", [BINARY, b"\1\0\0\0"])),
        ([b""] * 9, b"t\0", [b"t\0", *[b""] * 9], (b"t\0", [b""] * 9)),
    ],
    "raw": [
        ([b"t"], b"", [b"t"], [b"t"]),
        ([b"t" + BINARY], b"", [b"t" + BINARY], [b"t" + BINARY]),
        ([b"t", b"", BINARY], b"", [b"t", b"", BINARY], [b"t", b"", BINARY]),
    ],
}
each_format = pytest.mark.parametrize("format", SAID)


async def joined(w: World, publish: Any, sub: zmq.Socket[bytes]) -> None:
    """Publish until it is heard, and then take what was published for that."""

    def heard() -> bool:
        publish()
        return bool(sub.poll(1))

    await w.until(heard)
    while sub.poll(50):
        sub.recv_multipart()


@native
@each_format
@pytest.mark.parametrize("kind", ["Publisher", "XPublisher"])
async def test_a_plain_sub_hears_ours(w: World, plain: Plain, format: str, kind: str) -> None:
    async with getattr(w, kind)(bind=TCP, format=format) as publisher:
        sub = plain(zmq.SUB, connect=publisher.addresses[0])
        sub.subscribe(b"t")
        await joined(w, lambda: publisher.publish(*SAID[format][0][:2]), sub)
        for body, tag, _, _ in SAID[format]:
            publisher.publish(body, tag)
        for _, _, frames, _ in SAID[format]:
            assert await take(w, sub) == frames


@native
@each_format
@pytest.mark.parametrize("kind", ["Subscriber", "XSubscriber"])
async def test_ours_hears_a_plain_pub(w: World, plain: Plain, format: str, kind: str) -> None:
    xpub = plain(zmq.XPUB, bind=TCP)
    address = xpub.last_endpoint.decode()
    async with getattr(w, kind)("t", connect=address, format=format) as subscriber:
        assert await take(w, xpub) == [b"\1t"]
        xpub.send_multipart([b"other", b"x"])
        for _, _, frames, _ in SAID[format]:
            xpub.send_multipart(frames)
        for _, _, _, expected in SAID[format]:
            assert await subscriber.receive() == expected
        assert subscriber.statistics().received == len(SAID[format])


@native
@each_format
async def test_a_proxy_of_libzmq_passes_each_format_on(w: World, plain: Plain, format: str) -> None:
    front, back = plain(zmq.XSUB, bind=TCP), plain(zmq.XPUB, bind=TCP)
    addresses = [each.last_endpoint.decode() for each in (front, back)]
    plain.background(zmq.proxy, front, back)
    async with (
        w.XPublisher(connect=addresses[0], format=format) as publisher,
        w.Subscriber("t", connect=addresses[1], format=format) as subscriber,
    ):
        assert await publisher.receive() == Subscribed(b"t")
        for body, tag, _, _ in SAID[format]:
            publisher.publish(body, tag)
        for _, _, _, expected in SAID[format]:
            assert await subscriber.receive() == expected


@native
@each_format
async def test_a_broker_of_ours_stands_between_plain_peers(
    w: World, plain: Plain, format: str
) -> None:
    async with (
        w.XSubscriber(bind=TCP, format="raw") as front,
        w.XPublisher(bind=TCP, format="raw") as back,
    ):

        async def publications() -> None:
            async for parts in front:
                back.publish(parts)

        async def subscriptions() -> None:
            async for change in back:
                onward = front.subscribe if isinstance(change, Subscribed) else front.unsubscribe
                onward(change.tag)

        passing = [w.spawn(publications()), w.spawn(subscriptions())]
        xpub = plain(zmq.XPUB, connect=front.addresses[0])
        sub = plain(zmq.SUB, connect=back.addresses[0])
        sub.subscribe(b"t")
        assert await take(w, xpub) == [b"\1t"]  # it came through
        for _, _, frames, _ in SAID[format]:
            xpub.send_multipart(frames)
        for _, _, frames, _ in SAID[format]:
            assert await take(w, sub) == frames
        sub.unsubscribe(b"t")
        assert await take(w, xpub) == [b"\0t"]
        front.close()
        back.close()
        await w.gather(*passing)


@native
async def test_pairs_talk_to_plain_ones(w: World, plain: Plain) -> None:
    async with w.Pair(bind=TCP) as pair:
        other = plain(zmq.PAIR, connect=pair.addresses[0])
        for number in range(50):
            other.send_multipart([b"%d" % number, b""])
            assert await pair.receive() == [b"%d" % number, b""]
            await pair.send(b"", b"%d" % number)
            assert await take(w, other) == [b"", b"%d" % number]
