"""Twisted's producers: paused while the peer pushes back, and a receiver as a producer itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from twisted.internet.interfaces import IPushProducer
from zope.interface.verify import verifyObject

from zmqbridge import SocketClosed
from zmqbridge.core.inbox import HIGH

if TYPE_CHECKING:
    from tests.conftest import World

on_twisted = pytest.mark.parametrize("w", ["epoll", "select", "asyncioreactor"], indirect=True)
small = {zmq.SNDHWM: 1, zmq.RCVHWM: 1}


class Source:
    """A push producer that sends all the time, whenever it is not paused."""

    def __init__(self, send: Callable[..., Any], count: int) -> None:
        self.send, self.count = send, count
        self.sent = 0
        self.history: list[str] = []
        self.running = False

    def resumeProducing(self) -> None:
        self.history.append("resume")
        self.running = True
        while self.running and self.sent < self.count:
            self.send(b"%d" % self.sent)
            self.sent += 1

    def pauseProducing(self) -> None:
        self.history.append("pause")
        self.running = False

    def stopProducing(self) -> None:
        self.history.append("stop")
        self.running = False


@on_twisted
@pytest.mark.parametrize("kind", ["Pusher", "Dealer"])
async def test_a_producer_is_paused_while_the_peer_pushes_back(w: World, kind: str) -> None:
    async with getattr(w, kind)(bind="inproc://paced", options=small) as sender:
        send = getattr(sender, "push_nowait" if kind == "Pusher" else "send_nowait")
        source = Source(send, 2000)
        sender.registerProducer(source, True)
        with pytest.raises(RuntimeError, match="already"):
            sender.registerProducer(source, True)
        source.resumeProducing()
        assert source.history == ["resume", "pause"]  # nobody is there
        assert sender.statistics().queued == 1
        far = w.Puller if kind == "Pusher" else w.Dealer
        async with far(connect="inproc://paced", options=small) as receiver:
            for number in range(2000):
                assert await receiver.receive() == [b"%d" % number]
                assert sender.statistics().queued <= 1
        assert source.history[-1] == "resume"
        assert source.history.count("pause") > 1


@on_twisted
async def test_a_producer_is_paused_when_it_comes_late_and_stopped_at_the_end(w: World) -> None:
    pusher = w.Pusher(bind="inproc://late-producer")
    pusher.push_nowait(b"nobody is there")
    first, second = Source(pusher.push_nowait, 9), Source(pusher.push_nowait, 9)
    pusher.registerProducer(first)
    assert first.history == ["pause"]
    pusher.unregisterProducer()
    pusher.registerProducer(second)
    async with w.Puller(connect="inproc://late-producer") as puller:
        await puller.receive()
        await w.until(lambda: second.history[-1] == "resume")
        pusher.close()
        assert second.history == ["pause", "resume", "stop"]
    assert first.history == ["pause"]  # it was forgotten
    with pytest.raises(SocketClosed):
        pusher.registerProducer(first)
    async with w.Pusher(bind="inproc://pull-producer") as pusher:
        with pytest.raises(ValueError, match="pull producer"):
            pusher.registerProducer(first, False)


@on_twisted
async def test_a_producer_that_waits_when_its_socket_is_closed_is_stopped_once(w: World) -> None:
    pusher = w.Pusher(bind="inproc://stopped")
    source = Source(pusher.push_nowait, 9)
    pusher.registerProducer(source)
    source.resumeProducing()
    pusher.close()
    pusher.close()
    assert source.history == ["resume", "pause", "stop"]
    assert w.reports == []


@on_twisted
async def test_a_receiver_is_a_producer_that_holds_little_while_it_is_paused(w: World) -> None:
    handled = []

    def handler(message: list[bytes]) -> None:
        handled.append(message[0])
        if len(handled) in (10, 20):
            puller.pauseProducing()

    puller = w.Puller(bind="ipc://*", handler=handler, options={zmq.RCVHWM: 10}, prefetch=HIGH)
    assert verifyObject(IPushProducer, puller)
    async with w.Pusher(connect=puller.addresses, options={zmq.SNDHWM: 10}) as pusher:

        async def flood() -> None:
            for number in range(5000):
                await pusher.push(b"%d" % number + b" " * 10_000)

        flooding = w.spawn(flood())
        for paused_at in (10, 20):
            await w.until(lambda at=paused_at: len(handled) == at)
            await w.until(lambda: puller.statistics().unread >= HIGH - 10)
            assert puller.statistics().unread <= HIGH
            assert pusher.statistics().sent < 3000  # the rest is with the peer, and waits
            assert len(handled) == paused_at
            puller.resumeProducing()
        await flooding
        await w.until(lambda: len(handled) == 5000)
        assert [int(body) for body in handled] == list(range(5000))
        puller.stopProducing()
        assert puller.closed


@on_twisted
async def test_a_handler_that_fell_behind_catches_up(w: World) -> None:
    # The inbox was full, and nobody but the handler takes anything out of it.
    handled: list[list[bytes]] = []
    async with w.Puller(bind="inproc://behind", handler=handled.append) as puller:
        puller.pauseProducing()
        async with w.Pusher(connect="inproc://behind") as pusher:
            for number in range(2 * HIGH):
                pusher.push_nowait(b"%d" % number)
            await w.until(lambda: puller.statistics().unread == HIGH)
            puller.resumeProducing()
            await w.until(lambda: len(handled) == 2 * HIGH)
