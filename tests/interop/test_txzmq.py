"""Ours and a program written for txZMQ, on the original or on the facade, in another process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from talk import MESSAGES, PUBLICATIONS, TAG, WANTED

from zmqbridge import Subscribed

if TYPE_CHECKING:
    from tests.conftest import Make, World

ANY = "tcp://127.0.0.1:*"


@pytest.fixture(scope="module", params=["original", "facade"])
def process(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """A process with this txZMQ."""
    command = [sys.executable, Path(__file__).with_name("txzmq_peer.py"), request.param]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as started:
        yield started
    assert started.returncode == 0


@pytest.fixture
def peer(process: subprocess.Popen[bytes]) -> Callable[..., Any]:
    """Starts a program in it; gives its addresses once it is ready, and ends it."""

    def ask(*what: str) -> list[str]:
        process.stdin.write(json.dumps(what).encode() + b"\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    @contextlib.contextmanager
    def start(relay: str, method: str, *addresses: str) -> Iterator[list[str]]:
        try:
            yield ask(relay, method, *addresses)
        finally:
            assert ask() == []

    return start


def marked(messages: list[list[bytes]]) -> list[list[bytes]]:
    return [[b"re", *message] for message in messages]


async def test_publications_there_and_back(w: World, peer: Callable[..., Any]) -> None:
    with peer("publications", "bind", ANY, ANY) as (there, back):
        async with w.Publisher(connect=there) as publisher:
            async with w.Subscriber(TAG, connect=back) as subscriber:
                await w.connected(publisher, subscriber, TAG)
                for tag, body in PUBLICATIONS:
                    publisher.publish(body, tag)
                expected = [(tag + b"re", body) for tag, body in WANTED]
                assert [await subscriber.receive() for _ in WANTED] == expected


@pytest.mark.parametrize("w", ["asyncio", "epoll"], indirect=True)
async def test_publications_of_the_extended_sockets_there_and_back(
    w: World, peer: Callable[..., Any]
) -> None:
    with peer("publications", "bind", ANY, ANY) as (there, back):
        async with w.XPublisher(connect=there) as publisher:
            async with w.XSubscriber(TAG, connect=back) as subscriber:
                assert await publisher.receive() == Subscribed(b"")
                await w.connected(publisher, subscriber, TAG)
                for tag, body in PUBLICATIONS:
                    publisher.publish(body, tag)
                expected = [(tag + b"re", body) for tag, body in WANTED]
                assert [await subscriber.receive() for _ in WANTED] == expected


async def test_work_there_and_back(w: World, peer: Callable[..., Any]) -> None:
    async with w.Pusher(bind="tcp://127.0.0.1:*") as pusher, w.Puller(bind="ipc://*") as puller:
        with peer("work", "connect", *pusher.addresses, *puller.addresses):
            for message in MESSAGES:
                await pusher.push(*message)
            assert [await puller.receive() for _ in MESSAGES] == marked(MESSAGES)


async def test_our_requests_are_answered(w: World, peer: Callable[..., Any]) -> None:
    with peer("replies", "bind", ANY) as addresses:
        async with w.Requester(connect=addresses) as requester:
            replies = await w.gather(*[w.spawn(requester.request(*each)) for each in MESSAGES])
            assert replies == marked(MESSAGES)


async def test_its_requests_are_answered(w: World, peer: Callable[..., Any]) -> None:
    async with w.Pusher(bind="ipc://*") as pusher, w.Puller(bind="ipc://*") as puller:
        async with w.Replier(bind="tcp://127.0.0.1:*") as replier:
            addresses = pusher.addresses[0], replier.addresses[0], puller.addresses[0]
            with peer("requests", "connect", *addresses):
                for message in MESSAGES:
                    await pusher.push(*message)
                requests = [await replier.receive() for _ in MESSAGES]
                assert [request.parts for request in requests] == MESSAGES
                for request in reversed(requests):
                    await request.reply(b"re", *request.parts)
                replies = [await puller.receive() for _ in MESSAGES]
                assert replies == marked(MESSAGES)[::-1]


async def test_our_dealer_and_its_router(w: World, peer: Callable[..., Any]) -> None:
    with peer("router", "bind", ANY) as addresses:
        async with w.Dealer(connect=addresses) as dealer:
            for message in MESSAGES:
                await dealer.send(*message)
            assert [await dealer.receive() for _ in MESSAGES] == marked(MESSAGES)


async def test_our_router_and_its_dealer(w: World, peer: Callable[..., Any]) -> None:
    async with w.Router(bind="ipc://*") as router:
        with peer("dealer", "connect", *router.addresses):
            who, hello = await router.receive()
            assert hello == [b"hello"]
            for message in MESSAGES:
                await router.send(who, *message)
            back = [await router.receive() for _ in MESSAGES]
            assert back == [(who, message) for message in marked(MESSAGES)]


def test_the_command_line_hears_its_publications(peer: Callable[..., Any], plain: Make) -> None:
    with peer("publications", "bind", ANY, ANY) as (there, back):
        publisher = plain(zmq.PUB, connect=there)
        words = ["sub", "-c", back, "clock", "--count", "3", "--json"]
        line = [sys.executable, "-m", "zmqbridge", *words]
        with subprocess.Popen(line, stdout=subprocess.PIPE) as command:
            end = time.monotonic() + 50
            try:
                while command.poll() is None and time.monotonic() < end:
                    publisher.send(b"other\0tick")
                    publisher.send(b"clock\0tick")
                    time.sleep(0.01)  # until all have connected
            finally:
                command.kill()
            assert command.stdout.read() == b'{"tag": "clockre", "parts": ["tick"]}\n' * 3
