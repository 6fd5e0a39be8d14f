"""Sockets as an IService: opened when it starts, and left in peace when it stops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from twisted.application.service import IService, MultiService
from twisted.internet.task import deferLater
from zope.interface.verify import verifyObject

from zmqbridge.twisted_backend import SocketService

if TYPE_CHECKING:
    from tests.conftest import Puller, Pusher, Replier, Request, World

on_twisted = pytest.mark.parametrize("w", ["epoll", "select", "asyncioreactor"], indirect=True)


@on_twisted
async def test_it_answers_what_it_holds_and_sends_what_is_queued_before_it_has_stopped(
    w: World,
) -> None:
    begun = []

    async def handle(request: Request) -> None:
        begun.append(request)
        await deferLater(w.reactor, 0.02)
        await request.reply(*request.parts)

    def opened(reactor: Any) -> tuple[Replier, Pusher]:
        replier = w.Replier(bind="inproc://service")
        replier.serve(handle, limit=2)
        pusher = w.Pusher(connect="inproc://later")
        return replier, pusher

    service: Any = SocketService(opened, reactor=w.reactor)
    verifyObject(IService, service)
    whole = MultiService()
    service.setServiceParent(whole)
    assert service.sockets == ()
    whole.startService()
    assert service.running
    replier, pusher = service.sockets
    async with w.Requester(connect="inproc://service", timeout=20) as requester:
        asking = [requester.request(b"%d" % number) for number in range(6)]
        pusher.push_nowait(b"queued")
        await w.until(lambda: replier.statistics().received == 6)
        stopping = whole.stopService()
        async with w.Puller(bind="inproc://later") as puller:
            assert await puller.receive() == [b"queued"]
            await stopping
            assert await w.gather(*asking) == [[b"%d" % number] for number in range(6)]
    assert len(begun) == 6
    assert replier.closed
    assert pusher.closed
    assert (service.sockets, service.left, service.running) == ((), [], 0)
    whole.startService()  # once more, with sockets of its own
    assert not any(each.closed for each in service.sockets)
    await whole.stopService()


@on_twisted
async def test_what_was_not_answered_in_time_is_named_and_said(w: World) -> None:
    def opened(reactor: Any) -> Replier:
        replier = w.Replier(bind="inproc://hangs")
        replier.serve(lambda request: deferLater(reactor, 100))
        return replier

    service: Any = SocketService(opened, timeout=0.05, reactor=w.reactor)
    service.startService()
    async with w.Requester(connect="inproc://hangs") as requester:
        asking: Any = w.spawn(requester.request(b"?", timeout=0.5))
        await w.until(lambda: service.sockets[0].statistics().received)
        await service.stopService()
        assert [request.parts for request in service.left] == [[b"?"]]
        asking.addErrback(lambda failure: None)


@on_twisted
async def test_it_says_what_it_cannot_open(w: World) -> None:
    with pytest.raises(TypeError, match="call"):
        SocketService(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timeout"):
        SocketService(lambda reactor: (), timeout=-1)
    made = []

    def opened(reactor: Any) -> list[Puller | str]:
        made.append(w.Puller())
        return [made[0], "a socket"]

    service: Any = SocketService(opened, reactor=w.reactor)
    with pytest.raises(TypeError, match=r"open returned 'a socket': return sockets"):
        service.startService()
    assert made[0].closed
    assert not service.running
    await service.stopService()
