"""A `Proxy` in a simulated program: it passes messages, ends, fails and is killed as a real one."""

from __future__ import annotations

from typing import Any

import pytest

from zmqbridge import AddressError, ProxyFailed, RequestTimeout, SocketClosed
from zmqbridge.testing import Network

HERE = "tcp://127.0.0.1:*"


def test_a_broker_that_is_killed_and_started_again_serves_on(loop: Any) -> None:
    network = Network(1)
    broker = network.node("broker")

    async def passes_on() -> None:
        async with loop.Proxy("requests", "tcp://*:5001", "tcp://*:5002"):
            await loop.sleep(1000)

    async def serve() -> None:
        async with loop.Replier(connect="tcp://broker:5002") as replier:
            await replier.serve(lambda request: request.reply(*request.parts))

    async def main() -> None:
        broker.start(passes_on)
        network.node("server").start(serve)
        async with loop.Requester(connect="tcp://broker:5001") as requester:
            assert await requester.request(b"1", timeout=5) == [b"1"]
            broker.kill()
            with pytest.raises(RequestTimeout):
                await requester.request(b"2", timeout=5)
            broker.restart()
            assert await requester.request(b"3", timeout=5) == [b"3"]

    loop.run(main, network)


def test_it_takes_no_more_than_its_peers_do(loop: Any) -> None:
    async def main() -> None:
        proxy = loop.Proxy("pipeline", HERE, HERE)
        async with loop.Pusher(connect=proxy.front_addresses) as pusher:
            for number in range(20):
                await pusher.push(b"%d" % number)
            await loop.sleep(1)
            assert (await proxy.statistics()).front_received == 0  # nobody is there yet
            async with loop.Puller(connect=proxy.back_addresses) as puller:
                for number in range(20):
                    assert await puller.receive() == [b"%d" % number]
            counts = await proxy.statistics()
            assert counts.front_received == counts.back_sent == 20
        await proxy.aclose()
        await proxy.aclose()
        with pytest.raises(SocketClosed):
            await proxy.statistics()

    loop.run(main, Network())


def test_when_its_context_ends_it_has_failed(loop: Any) -> None:
    async def main() -> None:
        proxy = loop.Proxy("pubsub", HERE, HERE)
        proxy.context.term()
        with pytest.raises(ProxyFailed):
            await proxy.ended()
        assert proxy.closed
        await proxy.aclose()

    loop.run(main, Network())


def test_parts_of_two_messages_are_never_mixed(loop: Any) -> None:
    """However the time passes while it sends, which the seed decides."""

    async def main() -> None:
        async with (
            loop.Proxy("pipeline", HERE, HERE) as proxy,
            loop.Puller(connect=proxy.back_addresses) as puller,
            loop.Pusher(connect=proxy.front_addresses) as one,
            loop.Pusher(connect=proxy.front_addresses) as other,
        ):
            for number in range(100):
                await one.push(b"one", b"%d" % number, b"one")
                await other.push(b"other", b"%d" % number, b"other")
            came = [await puller.receive() for _ in range(200)]
            assert all(first == last for first, _, last in came)
            for name in b"one", b"other":
                assert [int(n) for first, n, _ in came if first == name] == list(range(100))

    for seed in range(5):
        loop.run(main, Network(seed))


def test_what_is_wrong_with_it_is_told_as_ever(loop: Any) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="kind='x'"):
            loop.Proxy("x", HERE, HERE)
        async with loop.Proxy("pipeline", HERE, HERE) as proxy:
            with pytest.raises(AddressError, match="another socket has it"):
                loop.Proxy("pipeline", proxy.front_addresses[0], HERE)

    loop.run(main, Network())
