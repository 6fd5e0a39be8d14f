"""What is said to other implementations: awkward messages first, then many that show the order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zmq

if TYPE_CHECKING:
    from tests.conftest import World

MEBIBYTE = bytes(range(256)) * 4096

MESSAGES = [
    [b""],
    [b"", b"", b""],
    [bytes(range(256))],
    [b"\0", b"", "Ø".encode(), b"\xff\0"],
    [b"%d" % number for number in range(100)],
    [MEBIBYTE, b"", MEBIBYTE],
    *[[b"%d" % number] for number in range(400)],
]

TAG = "Ø"  # what subscribers want

WANTED = [
    ("Ø".encode(), b""),
    ("ØMQ, naïve".encode(), b"\0binary\0\xff"),
    ("Ø".encode(), MEBIBYTE),
    *[("Ø/n".encode(), b"%d" % number) for number in range(400)],
]

PUBLICATIONS = [(b"unwanted", b"x"), *WANTED[:9], (b"", "Ø".encode()), *WANTED[9:]]


async def take(w: World, socket: zmq.Socket[bytes]) -> list[bytes]:
    """The next message of a plain socket, while the loop goes on."""
    await w.until(
        lambda: socket.poll(1)
    )  # a wait of 1 ms is often enough, and saves a longer sleep
    return socket.recv_multipart()


class PlainPublisher:
    """A plain PUB, so that `w.connected` can use it; tag and body in one part or in two."""

    def __init__(self, socket: zmq.Socket[bytes], parts: int = 1) -> None:
        self.socket = socket
        self.parts = parts

    def publish(self, body: bytes, tag: bytes | str = b"") -> None:
        tag = tag.encode() if isinstance(tag, str) else tag
        self.socket.send_multipart([tag, body] if self.parts == 2 else [tag + b"\0" + body])


class PlainSubscriber:
    """A plain SUB, so that `w.connected` can use it."""

    def __init__(self, w: World, socket: zmq.Socket[bytes], *tags: Any) -> None:
        self.w = w
        self.socket = socket
        for tag in tags:
            socket.subscribe(tag)

    async def receive(self) -> tuple[bytes, bytes]:
        (part,) = await take(self.w, self.socket)
        tag, separator, body = part.partition(b"\0")
        assert separator
        return tag, body
