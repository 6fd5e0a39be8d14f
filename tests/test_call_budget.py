"""How many Python frames of ours a message costs: exact on any machine, and not to grow unnoticed.

The figures are counted, not estimated. Who adds a frame to the hot path meets this file, and
either finds a way without or changes a figure here and says why in the commit.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from twisted.internet.testing import MemoryReactorClock

import zmqbridge
from zmqbridge import twisted_backend, txzmq
from zmqbridge._bridge.calls import COMPILED

if TYPE_CHECKING:
    from tests.conftest import World

PACKAGE = str(Path(zmqbridge.__file__).parent)
COUNT = 2000
# What comes once a burst or once a turn of the loop, of which some hundred messages share one. It
# is more where the machine is busy, but less than a frame for each message.
SHARED = 0.9


class Frames:
    """Counts the calls and resumptions of our own functions within ``with``."""

    def __init__(self) -> None:
        self.by_name: Counter[str] = Counter()

    def __enter__(self) -> Frames:
        sys.setprofile(self.count)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.setprofile(None)

    def count(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            self.by_name[frame.f_code.co_qualname] += 1

    def check(self, budget: int) -> None:
        """Each message costs as many frames as the budget says, and not fewer either."""
        each = self.by_name.total() / COUNT
        assert budget <= each < budget + SHARED, f"{each} frames: {self.by_name.most_common(20)}"


@pytest.fixture(autouse=True)
def no_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine bursts end early, for the sake of others; here that would be noise."""
    monkeypatch.setattr("zmqbridge._bridge.sending.clock_of", lambda socket: lambda: 0.0)


pytestmark = pytest.mark.skipif(not COMPILED, reason="a plain call costs frames of its own")
on_both = pytest.mark.parametrize("w", ["asyncio", "epoll"], indirect=True)
unlimited = {zmq.SNDHWM: 0, zmq.RCVHWM: 0}


def plain(w: World, kind: int, socket: zmq.Socket[bytes], address: str) -> Any:
    """A peer that costs no frames of ours, in the same context."""
    peer = zmq.Socket(socket.socket.context, kind)
    peer.set(zmq.LINGER, 0)
    peer.set(zmq.SNDHWM, 0)
    peer.set(zmq.RCVHWM, 0)
    peer.connect(address)
    return peer


@on_both
async def test_receiving_by_iteration(w: World) -> None:
    async with w.Puller(bind="inproc://budget", options=unlimited) as puller:
        with plain(w, zmq.PUSH, puller, "inproc://budget") as peer:
            for _ in range(COUNT):
                peer.send(b"x")
            left = COUNT
            with Frames() as frames:
                async for _ in puller:
                    left -= 1
                    if not left:
                        break
            frames.check(1)  # __anext__


@on_both
async def test_receiving_call_by_call(w: World) -> None:
    async with w.Puller(bind="inproc://budget", options=unlimited) as puller:
        with plain(w, zmq.PUSH, puller, "inproc://budget") as peer:
            for _ in range(COUNT):
                peer.send(b"x")
            with Frames() as frames:
                for _ in range(COUNT):
                    await puller.receive()
            frames.check(1)  # receive


@on_both
async def test_receiving_publications(w: World) -> None:
    async with w.Subscriber("", bind="inproc://budget", options=unlimited) as subscriber:
        with plain(w, zmq.XPUB, subscriber, "inproc://budget") as peer:
            await w.until(lambda: peer.poll(0))
            peer.recv()
            for _ in range(COUNT):
                peer.send(b"tag\0x")
            left = COUNT
            with Frames() as frames:
                async for _ in subscriber:
                    left -= 1
                    if not left:
                        break
            frames.check(2)  # split_topic, __anext__


@pytest.mark.parametrize("w", ["epoll"], indirect=True)
async def test_receiving_by_handler(w: World) -> None:
    received: list[Any] = []
    async with w.Puller(
        bind="inproc://budget", options=unlimited, handler=received.append
    ) as puller:
        with plain(w, zmq.PUSH, puller, "inproc://budget") as peer:
            for _ in range(COUNT):
                peer.send(b"x")
            with Frames() as frames:
                await w.until(lambda: len(received) == COUNT)
            frames.check(0)


@pytest.mark.parametrize(
    ("w", "budget"), [("asyncio", 2), ("uvloop", 2), ("epoll", 3)], indirect=["w"]
)
async def test_pushing(w: World, budget: int) -> None:
    async with w.Pusher(bind="inproc://budget", options=unlimited) as pusher:
        with plain(w, zmq.PULL, pusher, "inproc://budget"):
            with Frames() as frames:
                for _ in range(COUNT):
                    await pusher.push(b"x")
            # push, Pump.send; on Twisted also Sent.__await__
            frames.check(budget)


@pytest.mark.parametrize(
    ("w", "budget"), [("asyncio", 3), ("uvloop", 3), ("epoll", 4)], indirect=["w"]
)
async def test_publishing(w: World, budget: int) -> None:
    async with w.Publisher(bind="inproc://budget", options=unlimited) as publisher:
        with Frames() as frames:
            for _ in range(COUNT):
                publisher.publish(b"x", b"tag")
        # publish, join_topic, Pump.send; on Twisted also _check_open
        frames.check(budget)


@pytest.mark.parametrize(
    ("w", "budget"), [("asyncio", 24), ("uvloop", 24), ("epoll", 19)], indirect=["w"]
)
async def test_requests_and_replies(w: World, budget: int) -> None:
    async with (
        w.Replier(bind="inproc://budget") as replier,
        w.Requester(timeout=100, connect="inproc://budget") as requester,
    ):

        async def serve() -> None:
            async for request in replier:
                await request.reply(*request.parts)

        async def ask() -> None:
            for _ in range(COUNT // 500):
                await requester.request(b"x")

        serving = w.spawn(serve())
        await requester.request(b"x")
        with Frames() as frames:
            await w.gather(*(ask() for _ in range(500)))
        frames.check(budget)
        replier.close()
        await serving


def native(reactor: Any) -> tuple[twisted_backend.Puller, Callable[[], None]]:
    puller = twisted_backend.Puller(bind="inproc://budget", reactor=reactor)
    return puller, puller.close


def facade(reactor: Any) -> tuple[txzmq.ZmqPullConnection, Callable[[], None]]:
    factory = txzmq.ZmqFactory()
    factory.reactor = reactor
    endpoint = txzmq.ZmqEndpoint("bind", "inproc://budget")
    return txzmq.ZmqPullConnection(factory, endpoint), factory.shutdown


@pytest.mark.parametrize(("make", "budget"), [(native, 5), (facade, 9)])
def test_reading_before_a_turn_that_is_due(make: Callable[..., Any], budget: int) -> None:
    # That turn is cancelled, which is not to cost as much as when somebody else cancels it.
    reactor = MemoryReactorClock()
    made, close = make(reactor)
    [reader] = reactor.getReaders()
    frames = Frames()
    for _ in range(COUNT):
        made.socket.get(zmq.EVENTS)  # so it is due
        reader.logPrefix()  # as a reactor does first
        with frames:
            reader.doRead()
    frames.check(budget)
    close()
