"""A server leaves: it takes nothing new, handles what it holds, and gives back what is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zmqbridge import SocketClosed

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


async def test_its_last_replies_can_be_read_before_it_hangs_up(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zmqbridge._bridge.lingers.PARTING", 1000)
    for address, count in ("tcp://127.0.0.1:*", 0), ("inproc://parts", 1), ("tcp://127.0.0.1:*", 1):
        async with (
            w.Replier(bind=address) as replier,
            w.Requester(connect=replier.addresses, timeout=20) as requester,
        ):
            serving = w.spawn(replier.serve(lambda request: request.reply(b"last")))
            for _ in range(count):
                assert await requester.request(b"?") == [b"last"]
            await replier.stop_serving()
            await serving
            leaving = w.spawn(replier.aclose())
            if count and address.startswith("tcp"):
                await w.settled()
                assert not replier.closed
                leaving.cancel()  # which closes at once
                with pytest.raises(w.Cancelled):
                    await leaving
            else:
                await leaving
            assert replier.closed


async def test_who_would_serve_after_that_is_done_at_once(w: World) -> None:
    # As when the end comes before a task has begun.
    async with w.Replier(bind="inproc://over") as replier:
        await replier.stop_serving()
        assert await replier.serve(lambda request: request.reply(b"")) is None
