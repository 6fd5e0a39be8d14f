"""A subscription has a bound: libzmq keeps a hundred bytes for each byte of one.

And a SUB or XSUB that drops one of a million bytes ends its process, as it does so recursively. So
a peer could crash a proxy, whose XSUB subscribes to what its subscribers want.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zmqbridge import asyncio_backend, twisted_backend
from zmqbridge.core.topics import LONGEST
from zmqbridge.txzmq import ZmqEndpoint, ZmqFactory, ZmqPubConnection, ZmqSubConnection

if TYPE_CHECKING:
    from tests.conftest import World

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\0" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x05READY\x0bSocket-Type\0\0\0\x03SUB"
TCP = "tcp://127.0.0.1:*"

PROXY = """
import asyncio
from zmqbridge.asyncio_backend import Proxy

async def main():
    async with Proxy("pubsub", front="tcp://127.0.0.1:*", back="tcp://127.0.0.1:*") as proxy:
        print(proxy.back_addresses[0], flush=True)
        await asyncio.sleep(1000)

asyncio.run(main())
"""


def turns_away(address: str, length: int) -> bool:
    """Whether a publisher hangs up when a peer subscribes to so many bytes."""
    host, _, port = address.removeprefix("tcp://").partition(":")
    subscription = b"\1" + bytes(length)
    with socket.create_connection((host, int(port)), timeout=5) as peer:
        try:
            peer.sendall(GREETING + bytes([4, len(READY)]) + READY)
            peer.sendall(b"\2" + len(subscription).to_bytes(8, "big") + subscription)
            while peer.recv(1000):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True


@pytest.mark.parametrize("w", ["asyncio", "trio", "epoll"], indirect=True)
@pytest.mark.parametrize("kind", ["Publisher", "XPublisher"])
async def test_a_publisher_turns_away_who_subscribes_without_end(w: World, kind: str) -> None:
    async with getattr(w, kind)(bind=TCP) as publisher:
        assert turns_away(publisher.addresses[0], 1_000_000)
        async with w.Subscriber(["t", bytes(LONGEST)], connect=publisher.addresses) as subscriber:
            if kind == "XPublisher":
                changes = [await publisher.receive() for _ in range(2)]
                assert sorted(len(change.tag) for change in changes) == [1, LONGEST]
            receiving = w.spawn(subscriber.receive())
            while not w.done(receiving):
                publisher.publish(b"x", "t")
                await w.sleep(0.002)
            assert await receiving == (b"t", b"x")


def test_so_does_the_facades() -> None:
    factory = ZmqFactory()
    connection = ZmqPubConnection(factory, ZmqEndpoint("bind", TCP))
    assert turns_away(connection.socket.get(zmq.LAST_ENDPOINT).decode(), 1_000_000)
    factory.shutdown()


def test_a_proxy_outlives_it() -> None:
    command = [sys.executable, "-c", PROXY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        try:
            address = proxy.stdout.readline().strip()
            assert turns_away(address, 1_000_000)
            assert turns_away(address, 1_000_000)  # it is there still
            assert proxy.poll() is None
        finally:
            proxy.kill()


@pytest.mark.parametrize("backend", [asyncio_backend, twisted_backend])
@pytest.mark.parametrize("kind", ["Subscriber", "XSubscriber"])
def test_a_tag_without_end_is_refused(backend: Any, kind: str) -> None:
    made = getattr(backend, kind)(bytes(LONGEST))
    try:
        with pytest.raises(ValueError, match="4097 bytes"):
            made.subscribe(bytes(LONGEST + 1))
        with pytest.raises(ValueError, match="4097 bytes"):
            getattr(backend, kind)(["a", bytes(LONGEST + 1)])
        made.unsubscribe(bytes(LONGEST + 1))
    finally:
        made.close()


def test_so_it_is_by_the_facade() -> None:
    factory = ZmqFactory()
    connection = ZmqSubConnection(factory)
    connection.subscribe(bytes(LONGEST))
    with pytest.raises(ValueError, match="4097 bytes"):
        connection.subscribe(bytes(LONGEST + 1))
    factory.shutdown()
