"""Cancelled by the clock while a peer sends by its own: nothing is lost, nothing doubled."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import zmq

from zmqbridge import RequestTimeout, twisted_backend

if TYPE_CHECKING:
    from tests.conftest import World

pytestmark = pytest.mark.every_world

MESSAGES = 200
PACE = 0.0007  # seconds between messages and until a call is given up, more or less
BOUND = 15


@contextlib.contextmanager
def peer(kind: int, work: Callable[..., Any], **options: int) -> Iterator[str]:
    """A plain socket in a thread with a context of its own; gives the address of it."""
    socket = zmq.Context().socket(kind)
    socket.set(zmq.LINGER, 1000)
    socket.set(zmq.RCVTIMEO, BOUND * 1000)
    socket.set(zmq.SNDTIMEO, BOUND * 1000)
    for name, value in options.items():
        socket.set(getattr(zmq, name), value)
    socket.bind("ipc://*")
    address = socket.get(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
    thread = threading.Thread(target=work, args=[socket])
    thread.start()
    try:
        yield address
    finally:
        thread.join(BOUND)
        socket.context.destroy()


# Ways to give up a call after some seconds; each gives (what it gave,) or () when given up.


async def asyncio_timeout(
    w: World, call: Callable[..., Any], seconds: float
) -> tuple[list[bytes] | None, ...]:
    try:
        async with asyncio.timeout(seconds):
            return (await call(),)
    except TimeoutError:
        return ()


async def asyncio_wait_for(
    w: World, call: Callable[..., Any], seconds: float
) -> tuple[list[bytes] | None, ...]:
    # On 3.11 it may itself drop a result that comes with the timeout: python/cpython#86296. So it
    # is given a call that keeps it.
    kept = []

    async def keep() -> None:
        kept.append(await call())

    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(keep(), seconds)
    return tuple(kept)


async def task_cancel(
    w: World, call: Callable[..., Any], seconds: float
) -> tuple[list[bytes], ...]:
    task = asyncio.ensure_future(call())
    asyncio.get_running_loop().call_later(seconds, task.cancel)
    try:
        return (await task,)
    except asyncio.CancelledError:
        return ()


async def anyio_move_on(
    w: World, call: Callable[..., Any], seconds: float
) -> tuple[list[bytes] | None, ...]:
    with anyio.move_on_after(seconds):
        return (await call(),)
    return ()


async def deferred_cancel(
    w: World, call: Callable[..., Any], seconds: float
) -> tuple[list[bytes], ...]:
    waiting = call()
    cancelling = w.reactor.callLater(seconds, waiting.cancel)
    try:
        return (await waiting,)
    except w.Cancelled:
        return ()
    finally:
        if cancelling.active():
            cancelling.cancel()


async def deferred_timeout(
    w: World, call: Callable[..., Any], seconds: float
) -> tuple[list[bytes] | None, ...]:
    from twisted.internet.defer import TimeoutError

    try:
        return (await call().addTimeout(seconds, w.reactor),)
    except TimeoutError:
        return ()


ASYNCIO = [asyncio_timeout, asyncio_wait_for, task_cancel, anyio_move_on]
TWISTED = [deferred_cancel, deferred_timeout]
WAYS: dict[str, list[Callable[..., Any]]] = {
    "asyncio": ASYNCIO,
    "uvloop": ASYNCIO,
    "debug": [task_cancel],
    "trio": [anyio_move_on],
    "epoll": TWISTED,
    "select": [deferred_cancel],
    "asyncioreactor": TWISTED,
}
in_every_way = pytest.mark.parametrize(
    ("w", "given_up"), [(w, way) for w, ways in WAYS.items() for way in ways], indirect=["w"]
)


@in_every_way
async def test_a_receive_given_up_when_a_message_comes_loses_none(
    w: World, given_up: Callable[..., Any]
) -> None:
    chance = random.Random(1)
    # A message is sent when the one before was received, or a busy machine, on which some wait
    # already, would give up no receive.
    wanted = threading.Semaphore()

    def work(socket: zmq.Socket[bytes]) -> None:
        pace = random.Random(2)
        for number in range(MESSAGES):
            wanted.acquire(timeout=BOUND)
            time.sleep(pace.uniform(0, 2 * PACE))
            socket.send_multipart([b"%d" % number, b"rest"])

    received: list[list[bytes]] = []
    given = 0
    with peer(zmq.PUSH, work) as address:
        async with w.Puller(connect=address) as puller:
            while len(received) < MESSAGES:
                got = await given_up(w, puller.receive, chance.uniform(0, 2 * PACE))
                given += not got
                received += got
                if got:
                    wanted.release()
            assert puller.statistics().unread == 0
    assert received == [[b"%d" % number, b"rest"] for number in range(MESSAGES)]
    assert given > MESSAGES // 10


@in_every_way
async def test_a_push_given_up_in_the_wait_was_sent_whole_or_not_at_all(
    w: World, given_up: Callable[..., Any]
) -> None:
    received = []

    def work(socket: zmq.Socket[bytes]) -> None:
        pace = random.Random(3)
        while (message := socket.recv_multipart()) != [b"end"]:
            received.append(message)
            time.sleep(pace.uniform(0, 4 * PACE))  # so slow that most have to wait

    chance = random.Random(4)
    sent, given = [], 0
    with peer(zmq.PULL, work, RCVHWM=1) as address:
        async with w.Pusher(connect=address, options={zmq.SNDHWM: 1}) as pusher:
            for number in range(MESSAGES):
                message = [b"%d" % number, b"x" * 50_000, b"%d" % number]
                got = await given_up(w, lambda m=message: pusher.push(*m), chance.uniform(0, PACE))
                given += not got
                if got:
                    sent.append(message)
            await pusher.push(b"end")
            await pusher.drain()
            statistics = pusher.statistics()
            assert statistics.sent == statistics.accepted == len(sent) + 1
            await w.until(lambda: len(received) == len(sent))
    assert received == sent
    assert given > MESSAGES // 20


@in_every_way
async def test_a_request_given_up_when_its_reply_comes_ends_in_one_way_only(
    w: World, given_up: Callable[..., Any]
) -> None:
    def work(socket: zmq.Socket[bytes]) -> None:
        pace = random.Random(5)
        while (message := socket.recv_multipart())[-1] != b"end":
            # About as long as the limits below, a loop's timers being late by up to a millisecond;
            # but whoever was given up must not make the others late, too.
            if not socket.poll(0):
                time.sleep(pace.uniform(0, 4 * PACE))
            socket.send_multipart(message)
        socket.send_multipart(message)

    chance = random.Random(6)
    ends = {"replied": 0, "given up": 0, "timed out": 0}
    patience = PACE  # more on a busy machine, where a reply takes longer: both ends must occur
    with peer(zmq.ROUTER, work) as address:
        async with w.Requester(connect=address) as requester:
            for number in range(MESSAGES):
                body = b"%d" % number
                limits = [chance.uniform(0, 4 * patience) for _ in range(2)]
                got = ()
                try:
                    got = await given_up(
                        w, lambda b=body, t=limits[0]: requester.request(b, timeout=t), limits[1]
                    )
                except RequestTimeout:
                    ends["timed out"] += 1
                else:
                    assert got in ((), ([body],))
                    ends["replied" if got else "given up"] += 1
                patience = max(PACE, patience * (0.9 if got else 1.1))
            assert await requester.request(b"end") == [b"end"]
            statistics = requester.statistics()
            assert statistics.open_requests == 0
            assert statistics.accepted <= MESSAGES + 1  # some were given up before they began
            # Each that was sent was answered, in time or too late.
            assert statistics.received == statistics.sent
            if w.backend is twisted_backend:
                assert statistics.delivered == ends["replied"] + 1
    assert min(ends["replied"], ends["given up"] + ends["timed out"]) > MESSAGES // 50, ends
