"""Ours and Node's zeromq, sockets and commands: another language, and another author."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from zmqbridge import Subscribed, Unsubscribed

if TYPE_CHECKING:
    from tests.conftest import World

PEER = Path(__file__).with_name("peer.js")
ANY = "tcp://127.0.0.1:*"
BOUND = 50  # seconds
native = pytest.mark.parametrize("w", ["asyncio", "epoll"], indirect=True)

# As (body, tag) to publish, as frames, and as it is received.
SAID: dict[str, list[tuple[Any, Any, list[bytes], Any]]] = {
    "joined": [
        (b"20", "temp/Ø", ["temp/Ø".encode() + b"\x0020"], ("temp/Ø".encode(), b"20")),
        (b"\0\xff", b"temp", [b"temp\0\0\xff"], (b"temp", b"\0\xff")),
        (bytes(100_000), b"temp", [b"temp\0" + bytes(100_000)], (b"temp", bytes(100_000))),
    ],
    "two-part": [
        (b"20", "temp/Ø", ["temp/Ø".encode(), b"20"], ("temp/Ø".encode(), b"20")),
        (b"\0\xff", b"temp\0", [b"temp\0", b"\0\xff"], (b"temp\0", b"\0\xff")),
        (b"", b"temp", [b"temp", b""], (b"temp", b"")),
    ],
    "parts": [
        ([b"\0\1", b""], b"temp", [b"temp", b"\0\1", b""], (b"temp", [b"\0\1", b""])),
        ([], b"temp", [b"temp"], (b"temp", [])),
    ],
    "raw": [
        ([b"temp\0\xff"], b"", [b"temp\0\xff"], [b"temp\0\xff"]),
        ([b"temp", b"", b"\0"], b"", [b"temp", b"", b"\0"], [b"temp", b"", b"\0"]),
    ],
}


class Node:
    """A program of Node's, what it prints, and its input."""

    def __init__(self, kind: str, prefix: bytes = b"", connect: str = "") -> None:
        place = ["connect", connect] if connect else ["bind", ANY]
        command = ["node", str(PEER), kind, *place, base64.b64encode(prefix).decode()]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.lines: SimpleQueue[str] = SimpleQueue()
        self.reading = Thread(target=self._read)
        self.reading.start()
        self.address: str = json.loads(self.lines.get(timeout=30))

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.put(line)

    def heard(self) -> list[list[bytes]]:
        heard = []
        while not self.lines.empty():
            heard.append([base64.b64decode(part) for part in json.loads(self.lines.get())])
        return heard

    def say(self, parts: list[bytes]) -> None:
        line = json.dumps([base64.b64encode(part).decode() for part in parts])
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.reading.join()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def has_zeromq() -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    looking = ["node", "-e", "require('zeromq')"]
    if subprocess.run(looking, cwd=PEER.parent, capture_output=True, timeout=30).returncode:
        pytest.skip("Node has no zeromq: npm install it, and say where by NODE_PATH (nox -s peers)")


@pytest.fixture
def node(has_zeromq: None) -> Iterator[Callable[..., Node]]:
    started: list[Node] = []

    def start(*args: Any) -> Node:
        started.append(Node(*args))
        return started[-1]

    yield start
    for each in started:
        each.close()


@native
@pytest.mark.parametrize("format", SAID)
@pytest.mark.parametrize("kind", ["Publisher", "XPublisher"])
async def test_node_hears_ours(w: World, node: Callable[..., Node], format: str, kind: str) -> None:
    peer = node("sub", b"temp")
    heard: list[list[bytes]] = []
    async with getattr(w, kind)(connect=peer.address, format=format) as publisher:
        body, tag, frames, _ = SAID[format][0]

        def hears() -> bool:
            publisher.publish(body, tag)
            heard.extend(peer.heard())
            return bool(heard)

        await w.until(hears)
        assert heard[0] == frames
        for body, tag, _, _ in SAID[format][1:]:
            publisher.publish(body, tag)
        expected = [frames for _, _, frames, _ in SAID[format][1:]]
        await w.until(lambda: heard.extend(peer.heard()) or heard[-len(expected) :] == expected)


@native
@pytest.mark.parametrize("format", SAID)
@pytest.mark.parametrize("kind", ["Subscriber", "XSubscriber"])
async def test_ours_hears_node(w: World, node: Callable[..., Node], format: str, kind: str) -> None:
    peer = node("xpub")
    async with getattr(w, kind)("temp", connect=peer.address, format=format) as subscriber:
        told: list[list[bytes]] = []
        await w.until(lambda: told.extend(peer.heard()) or told)
        assert told == [[b"\1temp"]]
        peer.say([b"other", b"x"])
        for _, _, frames, _ in SAID[format]:
            peer.say(frames)
        for _, _, _, expected in SAID[format]:
            assert await subscriber.receive() == expected
        subscriber.unsubscribe("temp")
        await w.until(lambda: told.extend(peer.heard()) or len(told) == 2)
        assert told[-1] == [b"\0temp"]


@native
@pytest.mark.parametrize("format", SAID)
async def test_node_hears_all_of_ours_without_a_prefix_and_nothing_besides(
    w: World, node: Callable[..., Node], format: str
) -> None:
    async with w.Publisher(bind=ANY, format=format) as publisher:
        peer = node("sub", b"", publisher.addresses[0])
        await publisher.wait_for(timeout=BOUND)
        heard: list[list[bytes]] = []
        expected = [frames for _, _, frames, _ in SAID[format]]
        for body, tag, _, _ in SAID[format]:
            publisher.publish(body, tag)
        await w.until(lambda: heard.extend(peer.heard()) or len(heard) >= len(expected))
        assert heard == expected


@native
async def test_an_xpublisher_knows_what_node_wants(w: World, node: Callable[..., Node]) -> None:
    async with w.XPublisher(bind=ANY) as publisher:
        peer = node("sub", b"temp/", publisher.addresses[0])
        assert await publisher.receive() == Subscribed(b"temp/")
        peer.close()
        assert await publisher.receive() == Unsubscribed(b"temp/")


# The command line.


def command(*words: str) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    line = [sys.executable, "-m", "zmqbridge", *words]
    return subprocess.Popen(line, stdin=pipe, stdout=pipe, stderr=pipe)


def said_by(process: subprocess.Popen[bytes], given: bytes = b"") -> bytes:
    try:
        out, err = process.communicate(given, timeout=BOUND)
    finally:
        process.kill()
    assert (process.returncode, err) == (0, b"")
    return out


def heard_in_time(peer: Node, count: int) -> list[list[bytes]]:
    lines = [json.loads(peer.lines.get(timeout=BOUND)) for _ in range(count)]
    return [[base64.b64decode(part) for part in line] for line in lines]


@pytest.mark.parametrize(("ours", "kind"), [("push", "pull"), ("pub", "sub"), ("dealer", "router")])
def test_node_reads_what_a_command_sends(node: Callable[..., Node], ours: str, kind: str) -> None:
    peer = node(kind)
    ends = ["--timeout", "1"] if ours == "dealer" else []
    process = command(ours, "-c", peer.address, *ends)
    try:
        out, _ = process.communicate(b"one\ntwo\n", timeout=BOUND)
    finally:
        process.kill()
    assert out == b""
    tag = b"\0" if ours == "pub" else b""
    assert [parts[-1] for parts in heard_in_time(peer, 2)] == [tag + b"one", tag + b"two"]


def test_a_command_reads_what_node_sends(node: Callable[..., Node]) -> None:
    peer = node("push")
    process = command("pull", "-c", peer.address, "--count", "2", "--json")
    peer.say([b"one", b"\xff"])
    peer.say([b"two"])
    assert said_by(process) == b'{"parts": ["one", {"base64": "/w=="}]}\n{"parts": ["two"]}\n'
    peer = node("xpub")
    process = command("sub", "-c", peer.address, "clock", "--count", "2")
    assert heard_in_time(peer, 1) == [[b"\1clock"]]
    peer.say([b"clock\0tick"])
    peer.say([b"other\0tick"])
    peer.say([b"clock", b"tock"])  # in two parts
    assert said_by(process) == b"clock\ttick\nclock\ttock\n"


def test_a_command_and_node_ask_each_other(node: Callable[..., Node]) -> None:
    peer = node("rep")
    assert said_by(command("req", "-c", peer.address), b"a\nb\n") == b"a\nb\n"
    assert heard_in_time(peer, 2) == [[b"a"], [b"b"]]
    with socket.create_server(("127.0.0.1", 0)) as free:
        there = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    process = command("rep", "-b", there, "pong", "--count", "1")
    peer = node("req", b"", there)
    peer.say([b"ping"])
    assert heard_in_time(peer, 1) == [[b"pong"]]
    assert said_by(process) == b"ping\n"
    process = command("router", "-b", there, "--json")
    peer = node("dealer", b"", there)
    peer.say([b"hello"])
    line = process.stdout.readline()
    process.stdin.write(line)  # back to its peer
    process.stdin.flush()
    assert heard_in_time(peer, 1) == [[b"hello"]]
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    ("kind", "type_"),
    [
        ("pub", "PUB"), ("sub", "SUB"), ("xpub", "XPUB"), ("push", "PUSH"), ("pull", "PULL"),
        ("req", "REQ"), ("rep", "REP"), ("dealer", "DEALER"), ("router", "ROUTER"),
    ],
)  # fmt: skip
def test_ping_knows_node(node: Callable[..., Node], kind: str, type_: str) -> None:
    address = node(kind).address
    said = said_by(command("ping", address, "--timeout", "20"))
    assert said.startswith(f"{address}: ZMTP 3.".encode())
    assert f"NULL, {type_}; a".encode() in said
