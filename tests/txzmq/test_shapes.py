"""Connections may publish and receive in other formats than txZMQ's: attributes say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zmqbridge import MalformedMessage
from zmqbridge.txzmq import ZmqPubConnection, ZmqSubConnection

if TYPE_CHECKING:
    from tests.conftest import Make, World

# (message, tag) as published, the parts on the wire, and (message, tag) as it is got.
SAID: dict[str, list[tuple[Any, Any, list[bytes], tuple[Any, bytes]]]] = {
    "joined": [(b"b\0", b"t", [b"t\0b\0"], (b"b\0", b"t"))],
    "two-part": [
        (b"\0b", "t", [b"t", b"\0b"], (b"\0b", b"t")),
        ("é", b"t\0u", [b"t\0u", "é".encode()], ("é".encode(), b"t\0u")),
    ],
    "parts": [
        ([], b"t", [b"t"], ([], b"t")),
        (["1", bytearray(b"2")], b"t", [b"t", b"1", b"2"], ([b"1", b"2"], b"t")),
    ],
    "raw": [([b"t", "x"], b"", [b"t", b"x"], ([b"t", b"x"], b""))],
}


@pytest.mark.parametrize("format", SAID)
async def test_what_is_published_in_a_format_is_got(
    w: World, make: Make, address: Any, format: str
) -> None:
    got: list[Any] = []
    pub = make(ZmqPubConnection, "bind tcp://127.0.0.1:*", publicationFormat=format)
    sub = make(
        ZmqSubConnection,
        f"connect {address(pub)}",
        publicationFormat=format,
        gotMessage=lambda message, tag: got.append((message, tag)),
    )
    sub.subscribe(b"t")
    with zmq.Context() as context, context.socket(zmq.SUB) as plain:
        plain.subscribe(b"t")
        plain.connect(address(pub))

        def heard() -> bool:
            pub.publish(*SAID[format][0][:2])
            return bool(plain.poll(1) and got)

        await w.until(heard)
        for message, tag, _, _ in SAID[format]:
            pub.publish(message, tag)
        expected, frames = [each[2] for each in SAID[format]], list[list[bytes]]()

        def came() -> bool:
            while plain.poll(0):
                frames.append(plain.recv_multipart())
            return frames[-len(expected) :] == expected

        await w.until(came)
    wanted = [each[3] for each in SAID[format]]
    await w.until(lambda: got[-len(wanted) :] == wanted)


async def test_what_does_not_fit_is_counted_and_reported(
    w: World, make: Make, address: Any, logged: list[Any]
) -> None:
    got: list[Any] = []
    pub = make(ZmqPubConnection, "bind tcp://127.0.0.1:*")
    sub = make(
        ZmqSubConnection,
        f"connect {address(pub)}",
        publicationFormat="two-part",
        gotMessage=lambda message, tag: got.append((message, tag)),
    )
    sub.subscribe(b"")

    def heard() -> bool:
        pub.send([b"one part"])
        pub.send([b"t", b"x"])
        return bool(got)

    await w.until(heard)
    assert got[0] == (b"x", b"t")
    assert sub.statistics().malformed
    assert {type(each) for _, each in logged} == {MalformedMessage}


@pytest.mark.parametrize("format", ["joined", "two-part", "raw"])
async def test_exact_tags_leave_out_longer_ones(
    w: World, make: Make, address: Any, format: str
) -> None:
    got: list[Any] = []
    pub = make(ZmqPubConnection, "bind tcp://127.0.0.1:*", publicationFormat=format)
    sub = make(
        ZmqSubConnection,
        f"connect {address(pub)}",
        publicationFormat=format,
        exactTags=True,
        gotMessage=lambda message, tag: got.append((message, tag)),
    )
    sub.subscribe(b"t")

    def heard() -> bool:
        for tag in (b"tt", b"t"):
            pub.publish(*(([tag, b"x"],) if format == "raw" else (b"x", tag)))
        return bool(got)

    await w.until(heard)
    assert set(map(str, got)) == {str(([b"t", b"x"], b"") if format == "raw" else (b"x", b"t"))}
    assert sub.statistics().unwanted


def test_a_name_of_a_programs_own_changes_nothing_but_is_told(make: Make) -> None:
    pub = make(ZmqPubConnection, publicationFormat="%d items")
    with pytest.warns(UserWarning, match="publicationFormat"):
        pub.publish(b"x", b"t")
    got: list[Any] = []
    sub = make(
        ZmqSubConnection,
        publicationFormat=7,
        exactTags="all",
        gotMessage=lambda message, tag: got.append((message, tag)),
    )
    with pytest.warns(UserWarning, match="publicationFormat"):
        sub.messageReceived([b"t\0x"])
    assert got == [(b"x", b"t")]


def test_a_message_of_another_format_is_refused(make: Make) -> None:
    wrong: list[tuple[str, Any, Any, type[Exception]]] = [
        ("two-part", [b"x"], b"t", TypeError),
        ("parts", b"x", b"t", TypeError),
        ("parts", 5, b"t", TypeError),
        ("raw", [b"x"], b"t", ValueError),
        ("raw", [], b"", ValueError),
    ]
    for format, message, tag, error in wrong:
        pub = make(ZmqPubConnection, publicationFormat=format)
        with pytest.raises(error):
            pub.publish(message, tag)
