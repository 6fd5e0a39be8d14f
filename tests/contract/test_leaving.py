"""A server leaves: it takes nothing new, handles what it holds, and gives back what is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zmqbridge import SocketClosed
from zmqbridge._bridge import resting

if TYPE_CHECKING:
    from tests.conftest import Request, Requester, World


async def asked(w: World, requester: Requester, count: int) -> list[Any]:
    """Requests that are under way, each a call that is awaited later."""
    return [w.spawn(requester.request(b"%d" % number, timeout=20)) for number in range(count)]


def slow(w: World, seconds: float, begun: list[Any]) -> Callable[..., Any]:
    async def handle(request: Request) -> None:
        begun.append(request)
        await w.sleep(seconds)
        await request.reply(*request.parts)

    return handle


@pytest.mark.waits
async def test_it_answers_what_it_holds_and_takes_nothing_new(w: World) -> None:
    begun: list[Request] = []
    async with (
        w.Replier(bind="inproc://leaves") as replier,
        w.Requester(connect="inproc://leaves") as requester,
    ):
        serving = w.spawn(replier.serve(slow(w, 0.02, begun), limit=4))
        asking = await asked(w, requester, 20)
        await w.until(lambda: replier.statistics().received == 20)
        assert len(begun) < 20
        stopping = w.spawn(replier.stop_serving())
        await w.settled()
        late = w.spawn(requester.request(b"late"))
        await w.until(lambda: requester.statistics().sent == 21)
        assert await stopping == []
        await serving
        assert await w.gather(*asking) == [[b"%d" % number] for number in range(20)]
        await w.settled()
        assert not w.done(late)
        assert replier.statistics().received == 20
        with pytest.raises(SocketClosed, match="told to stop"):
            await replier.receive()
        requester.close()
        with pytest.raises(SocketClosed):
            await late
    assert w.reports == []


@pytest.mark.waits
@pytest.mark.parametrize("limit", [3, 100])
async def test_what_is_left_when_time_is_over_is_given_back_by_name(w: World, limit: int) -> None:
    begun: list[Request] = []
    under_way = min(limit, 10)
    async with (
        w.Replier(bind="inproc://left") as replier,
        w.Requester(connect="inproc://left") as requester,
    ):
        serving = w.spawn(replier.serve(slow(w, 100, begun), limit=limit))
        asking = await asked(w, requester, 10)
        await w.until(lambda: len(begun) == under_way and replier.statistics().received == 10)
        left = await replier.stop_serving(timeout=0.05)
        await serving
        assert sorted(left[:under_way], key=id) == sorted(begun, key=id)
        assert len({*map(id, left)}) == 10
        assert len(begun) == under_way
        for request in left:
            await request.reply(b"ask another")
        assert await w.gather(*asking) == [[b"ask another"]] * 10
    assert w.reports == []


async def test_a_handler_that_has_replied_and_is_cut_off_leaves_nothing(w: World) -> None:
    async def handle(request: Request) -> None:
        await request.reply(b"done")
        await w.sleep(100)

    async with (
        w.Replier(bind="inproc://replied") as replier,
        w.Requester(connect="inproc://replied") as requester,
    ):
        serving = w.spawn(replier.serve(handle))
        assert await requester.request(b"?") == [b"done"]
        assert await replier.stop_serving(timeout=0) == []
        await serving


async def test_where_nothing_serves_the_inbox_is_given_back(w: World) -> None:
    async with (
        w.Replier(bind="inproc://unserved") as replier,
        w.Requester(connect="inproc://unserved") as requester,
    ):
        waits = w.spawn(replier.receive())
        await w.settled()
        asking = await asked(w, requester, 3)
        first = await waits
        waits = w.spawn(replier.receive())
        second = await waits
        await w.until(lambda: replier.statistics().unread == 1)
        [third] = await replier.stop_serving(timeout=5)
        assert await replier.stop_serving() == []  # twice is fine
        for request in first, second, third:
            await request.reply(*request.parts)
        assert await w.gather(*asking) == [[b"0"], [b"1"], [b"2"]]
    with pytest.raises(SocketClosed):
        await replier.stop_serving()
    for bad, error in ((-1, ValueError), ("1", TypeError)):
        with pytest.raises(error, match="timeout"):
            await replier.stop_serving(timeout=bad)


async def test_who_waits_for_a_request_is_told_that_there_will_be_none(w: World) -> None:
    async with w.Replier(bind="inproc://none") as replier:
        waits = w.spawn(replier.receive())
        await w.settled()
        assert await replier.stop_serving() == []
        with pytest.raises(SocketClosed, match="told to stop"):
            await waits
        async for _ in replier:
            pytest.fail("there is none")


async def test_what_libzmq_holds_stays_with_it(w: World) -> None:
    # With a prefetch of none and an RCVHWM of 1 that is as little as can be.
    begun: list[Request] = []
    few = {zmq.RCVHWM: 1}
    async with (
        w.Replier(bind="inproc://few", prefetch=0, options=few) as replier,
        w.Requester(connect="inproc://few", options={zmq.SNDHWM: 1}) as requester,
    ):
        serving = w.spawn(replier.serve(slow(w, 0.02, begun), limit=1))
        asking = await asked(w, requester, 10)
        await w.until(lambda: begun)
        assert await replier.stop_serving() == []
        await serving
        answered = len(begun)
        assert answered == replier.statistics().received < 10
        await w.until(lambda: requester.statistics().received == answered)
        await w.settled()
        done = [w.done(each) for each in asking]  # not the first ones, on trio
        assert done.count(True) == answered
        requester.close()
        for number, each in enumerate(asking):
            if done[number]:
                assert await each == [b"%d" % number]
            else:
                with pytest.raises(SocketClosed):
                    await each


@pytest.mark.parametrize("w", ["epoll", "asyncioreactor"], indirect=True)
@pytest.mark.parametrize("timeout", [None, 0.05])
async def test_the_handler_of_a_socket_is_waited_for_too(w: World, timeout: float | None) -> None:
    begun: list[Request] = []

    async def handle(request: Request) -> None:
        begun.append(request)
        if len(begun) > 1:
            await w.sleep(0.1 if timeout is None else 100)
        await request.reply(*request.parts)

    async with (
        w.Replier(bind="inproc://handles", handler=handle) as replier,
        w.Requester(connect="inproc://handles") as requester,
    ):
        with pytest.raises(ValueError, match="has a handler="):
            replier.serve(handle)
        asking = await asked(w, requester, 3)
        await w.until(lambda: len(begun) == 3)
        left = await replier.stop_serving(timeout)
        if timeout is None:
            assert left == []
        else:
            assert [each.parts for each in left] == [[b"1"], [b"2"]]
            for each in left:
                await each.reply(*each.parts)
        assert await w.gather(*asking) == [[b"0"], [b"1"], [b"2"]]
    assert w.reports == []


@pytest.mark.parametrize("w", ["epoll"], indirect=True)
async def test_requests_that_a_halted_handler_did_not_get_are_given_back(w: World) -> None:
    begun: list[Request] = []
    async with (
        w.Replier(bind="inproc://halts", handler=begun.append) as replier,
        w.Requester(connect="inproc://halts") as requester,
    ):
        replier.pauseProducing()
        asking = await asked(w, requester, 3)
        await w.until(lambda: replier.statistics().received == 3)
        left = await replier.stop_serving()
        assert [each.parts for each in left] == [[b"0"], [b"1"], [b"2"]]
        assert begun == []
        for each in left:
            await each.reply(*each.parts)
        await w.gather(*asking)


# A client with IMMEDIATE loses what it has received, and not read, when its server hangs up.


def client(context: zmq.Context[zmq.Socket[bytes]], address: str) -> zmq.Socket[bytes]:
    dealer = context.socket(zmq.DEALER)
    dealer.set(zmq.IMMEDIATE, 1)
    dealer.set(zmq.LINGER, 0)
    dealer.connect(address)
    dealer.send_multipart([b"", b"question"])
    return dealer


@pytest.mark.real("a peer that blocks")
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:*", "ipc://{path}"])
async def test_a_server_stays_until_its_clients_have_had_time_to_read(
    w: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    monkeypatch.setattr(resting, "REST", 60.0)
    options = {zmq.LINGER: 60_000}
    with w.context() as context:
        async with w.Replier(bind=address.format(path=tmp_path / "it"), options=options) as replier:
            dealer = client(context, replier.addresses[0])
            request = await replier.receive()
            await request.reply(b"answer")
            closing = w.spawn(replier.aclose())
            await w.settled()
            await w.until(lambda: dealer.poll(0))
            assert not w.done(closing)
            assert dealer.recv_multipart() == [b"", b"answer"]
            dealer.close()
            await closing  # does not take a minute


@pytest.mark.real("a peer that blocks")
async def test_a_server_does_not_stay_for_nothing(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resting, "REST", 0.02)
    with w.context() as context, context.socket(zmq.ROUTER) as broker:
        broker.bind("tcp://127.0.0.1:*")
        at = broker.get_string(zmq.LAST_ENDPOINT)
        async with (
            w.Replier(bind="tcp://127.0.0.1:*") as silent,
            w.Replier(bind="tcp://127.0.0.1:*", options={zmq.LINGER: 0}) as hasty,
            w.Replier(bind="inproc://near", context=context) as near,
            w.Router(connect=at) as worker,
            w.Replier(bind="tcp://127.0.0.1:*") as stays,
        ):
            dealers = [client(context, each.addresses[0]) for each in (hasty, near, stays)]
            for each in (hasty, near, stays):
                request = await each.receive()
                await request.reply(b"answer")
            worker.socket.set(zmq.ROUTER_MANDATORY, 0)
            await worker.send(b"broker", b"ready")
            for server in (silent, hasty, near, worker):
                assert list(resting.pauses(server._link)) == []
            assert set(resting.pauses(stays._link)) == {resting.STEP}  # for so long, and no longer
            monkeypatch.setattr(resting, "REST", 60.0)
            for dealer in dealers:
                dealer.close()
            await w.until(lambda: not list(resting.pauses(stays._link)))


async def test_who_would_serve_after_that_is_done_at_once(w: World) -> None:
    # As when the end comes before a task has begun.
    async with w.Replier(bind="inproc://over") as replier:
        await replier.stop_serving()
        assert await replier.serve(lambda request: request.reply(b"")) is None


@pytest.mark.parametrize("w", ["asyncio", "uvloop", "trio"], indirect=True)
async def test_a_handler_that_would_wait_for_itself_is_told_so(w: World) -> None:
    left: list[Any] = []

    async def handle(request: Request) -> None:
        if request.parts == [b"wait"]:
            await replier.stop_serving()
        w.spawn(leave())
        await request.reply(b"bye")

    async def leave() -> None:
        left.append(await replier.stop_serving(20))

    async with (
        w.Replier(bind="inproc://itself") as replier,
        w.Requester(connect="inproc://itself", timeout=20) as requester,
    ):
        serving = w.spawn(replier.serve(handle))
        asking = w.spawn(requester.request(b"wait"))
        await w.until(lambda: w.reports)
        assert "stop_serving() waits for the handlers, and was called in one" in str(w.reports[0])
        assert await requester.request(b"in a task of its own") == [b"bye"]  # it serves as before
        await serving
        await w.until(lambda: left)
        asking.cancel()
        with pytest.raises(w.Cancelled):
            await asking
    assert left == [[]]
    assert len(w.reports) == 1
