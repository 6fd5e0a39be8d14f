"""Formats of publications: what is published is received, and what does not fit is told."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from peers import subscribed

from zmqbridge import MalformedMessage, OptionError

if TYPE_CHECKING:
    from tests.conftest import World

FORMATS = ["joined", "two-part", "parts", "raw"]
every_world = pytest.mark.every_world
each_format = pytest.mark.parametrize("format", FORMATS)
_numbers = itertools.count()


@pytest.fixture
def address() -> str:
    """An address that nobody had before: a plain socket gives its own back only some time later."""
    return f"inproc://formats-{next(_numbers)}"


# What is published as (body, tag), what goes over the wire, and what is received.
PUBLISHED: dict[str, list[Any]] = {
    "joined": [
        (b"body", b"tag", [b"tag\0body"], (b"tag", b"body")),
        (b"\0body", "t", [b"t\0\0body"], (b"t", b"\0body")),
        (bytearray(b"\0"), memoryview(b"t"), [b"t\0\0"], (b"t", b"\0")),
    ],
    "two-part": [
        (b"body", b"tag", [b"tag", b"body"], (b"tag", b"body")),
        (b"\0body", "t\0", [b"t\0", b"\0body"], (b"t\0", b"\0body")),
        (bytearray(b"\0"), memoryview(b"t"), [b"t", b"\0"], (b"t", b"\0")),
    ],
    "parts": [
        ([b"1", b"", b"\0"], b"tag", [b"tag", b"1", b"", b"\0"], (b"tag", [b"1", b"", b"\0"])),
        ([], "t", [b"t"], (b"t", [])),
        ((bytearray(b"1"), memoryview(b"2")), b"t\0", [b"t\0", b"1", b"2"], (b"t\0", [b"1", b"2"])),
    ],
    "raw": [
        ([b"tag", b"", b"\0"], b"", [b"tag", b"", b"\0"], [b"tag", b"", b"\0"]),
        ([b"t\0binary"], b"", [b"t\0binary"], [b"t\0binary"]),
        ((bytearray(b"t"), memoryview(b"2")), b"", [b"t", b"2"], [b"t", b"2"]),
    ],
}
MISFITS = {
    "joined": [[b"t", b"2", b"3"]],
    "two-part": [[b"t\0body"], [b"t"], [b"t", b"2", b"3"]],
    "parts": [],
    "raw": [],
}


def plain(kind: int, address: str, context: zmq.Context[Any]) -> zmq.Socket[bytes]:
    socket = context.socket(kind)
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.SNDHWM, 0)
    socket.bind(address)
    return socket


@every_world
@each_format
async def test_what_is_published_is_received(w: World, format: str, address: str) -> None:
    async with (
        w.Publisher(bind=address, format=format) as publisher,
        w.Subscriber("t", connect=address, format=format) as subscriber,
    ):
        receiving = w.spawn(subscriber.receive())
        while not w.done(receiving):
            body, tag, _, hello = PUBLISHED[format][0]
            publisher.publish(body, tag)
            await w.sleep(0.002)
        for body, tag, _, _ in PUBLISHED[format]:
            publisher.publish(body, tag)
        for _, _, _, expected in PUBLISHED[format]:
            while (got := await subscriber.receive()) != expected:
                assert got == hello
        assert subscriber.statistics().malformed == 0


@every_world
@each_format
async def test_what_does_not_fit_is_malformed_and_the_next_one_is_delivered(
    w: World, format: str, address: str
) -> None:
    async with w.Subscriber("", connect=address, format=format) as subscriber:
        with plain(zmq.XPUB, address, subscriber.socket.context) as xpub:
            await subscribed(w, xpub, b"")
            for count, misfit in enumerate(MISFITS[format], 1):
                xpub.send_multipart(misfit)
                for _, _, frames, expected in PUBLISHED[format]:
                    xpub.send_multipart(frames)
                    assert await subscriber.receive() == expected
                assert subscriber.statistics().malformed == count
                await w.until(lambda count=count: len(w.reports) == count)
                assert type(w.reports[-1]) is MalformedMessage
                assert w.reports[-1].message == misfit
            for _, _, frames, expected in PUBLISHED[format]:
                xpub.send_multipart(frames)
                assert await subscriber.receive() == expected


@pytest.mark.parametrize("format", ["two-part", "parts", "raw"])
async def test_what_was_unsubscribed_is_not_delivered(w: World, format: str, address: str) -> None:
    frames = [[b"old", b"1"], [b"older", b"2"], [b"new", b"3"], [b"o\0", b"ld"]]
    expected = {"parts": (b"new", [b"3"]), "raw": [b"new", b"3"]}.get(format, (b"new", b"3"))
    async with w.Subscriber(["old", "new"], connect=address, format=format) as subscriber:
        with plain(zmq.XPUB, address, subscriber.socket.context) as xpub:
            await subscribed(w, xpub, b"old", b"new")
            for parts in frames:
                xpub.send_multipart(parts)
            await w.until(lambda: subscriber.statistics().unread == 3)
            subscriber.unsubscribe("old")
            assert await subscriber.receive() == expected
            statistics = subscriber.statistics()
            assert (statistics.unread, statistics.unwanted) == (0, 2)


@each_format
async def test_the_bytes_of_every_format_are_counted(w: World, format: str, address: str) -> None:
    frames = [b"t" * 400 + b"\0" + b"b" * 600] if format == "joined" else [b"t" * 400, b"b" * 600]
    bounds = {"prefetch_bytes": 10_000, "options": {zmq.RCVHWM: 0}}
    async with w.Subscriber("", connect=address, format=format, **bounds) as subscriber:
        with plain(zmq.XPUB, address, subscriber.socket.context) as xpub:
            await subscribed(w, xpub, b"")
            for _ in range(10):
                xpub.send_multipart(frames)
            await w.until(lambda: subscriber.statistics().unread == 10)
            for _ in range(1000):
                xpub.send_multipart(frames)
            await w.settled()
            assert subscriber.statistics().unread == 10  # no more is read, before some is taken
            for _ in range(1010):
                await subscriber.receive()


@pytest.mark.parametrize("format", ["two-part", "parts", "raw"])
async def test_the_newest_alone_may_have_several_parts(w: World, format: str, address: str) -> None:
    options = {zmq.CONFLATE: 1}
    async with w.Subscriber("", connect=address, format=format, options=options) as subscriber:
        with plain(zmq.XPUB, address, subscriber.socket.context) as xpub:
            await subscribed(w, xpub, b"")
            for number in range(100):
                xpub.send_multipart([b"t", b"%d" % number])
            await w.until(lambda: subscriber.statistics().unread == 1)
            got = None
            while got not in ((b"t", b"99"), (b"t", [b"99"]), [b"t", b"99"]):
                got = await subscriber.receive()


@pytest.mark.parametrize("format", ["two-part", "parts"])
async def test_a_publisher_whose_parts_libzmq_would_take_apart_is_refused(
    w: World, format: str
) -> None:
    with pytest.raises(OptionError, match=f"CONFLATE.*{format}"):
        w.Publisher(format=format, options={zmq.CONFLATE: 1})
    async with w.Publisher(format=format, options={zmq.CONFLATE: 0}):
        pass


@pytest.mark.parametrize("name", ["Publisher", "Subscriber"])
@pytest.mark.parametrize("wrong", ["two_part", "", None, ["joined"]])
async def test_a_misspelt_format_is_refused_with_the_names(w: World, name: str, wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"'joined', 'two-part', 'parts', 'raw'"):
        getattr(w, name)(format=wrong)


@each_format
async def test_a_body_of_another_format_is_refused_and_nothing_is_sent(
    w: World, format: str, address: str
) -> None:
    async with w.Publisher(bind=address, format=format) as publisher:
        wrong = b"one" if format in ("parts", "raw") else [b"several", b"parts"]
        with pytest.raises(TypeError, match=r"list of parts|take several"):
            publisher.publish(wrong)
        with pytest.raises(TypeError, match=r"\.encode\(\)"):
            publisher.publish(["text"] if format in ("parts", "raw") else "text")
        with pytest.raises(TypeError, match=r"type (int|NoneType)"):
            publisher.publish(None)
        assert publisher.statistics().sent == 0
        if format == "raw":
            with pytest.raises(ValueError, match="first part"):
                publisher.publish([b"x"], tag="t")
            with pytest.raises(ValueError, match="at least one part"):
                publisher.publish([])
        elif format == "joined":
            with pytest.raises(ValueError, match="NUL"):
                publisher.publish(b"x", tag=b"\0")
        assert publisher.statistics().sent == 0


@each_format
@pytest.mark.parametrize("w", ["epoll", "asyncioreactor"], indirect=True)
async def test_a_handler_gets_what_the_format_says(w: World, format: str, address: str) -> None:
    handled: list[Any] = []
    subscriber = w.Subscriber("", connect=address, format=format, handler=handled.append)
    async with subscriber:
        with plain(zmq.XPUB, address, subscriber.socket.context) as xpub:
            await subscribed(w, xpub, b"")
            for _, _, frames, _ in PUBLISHED[format]:
                xpub.send_multipart(frames)
            await w.until(lambda: len(handled) == len(PUBLISHED[format]))
            assert handled == [expected for *_, expected in PUBLISHED[format]]
