"""Peers that send anything: it is counted and reported, and the next good message is served."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peers import plain

from zmqbridge import MalformedMessage, RequestTimeout

if TYPE_CHECKING:
    from tests.conftest import World

SIMULATED = ["sim-asyncio", "sim-trio", "sim-twisted"]
some_worlds = pytest.mark.parametrize(
    "w",
    ["asyncio", "uvloop", "trio", "epoll", "asyncioreactor", *SIMULATED],
    indirect=True,
)
TRIES = 150

# Parts that mean something in some pattern come often, and now and then a large one.
PARTS = st.one_of(
    st.sampled_from([b"", b"\0", b"\0\0", b"\x01", b"tag\0body", b"\xff" * 16]),
    st.binary(max_size=40),
    st.integers(1, 300_000).map(bytes),
)
ANYTHING = st.lists(PARTS, min_size=1, max_size=7)


def messages() -> list[list[bytes]]:
    """The same hundreds of messages each time, found by Hypothesis."""
    found = []

    @settings(
        max_examples=TRIES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(ANYTHING)
    def collect(message: list[bytes]) -> None:
        found.append(message)

    collect()
    return found


@pytest.fixture(scope="module")
def hostile() -> list[list[bytes]]:
    return messages()


# Class and kind of the plain peer; the good message as the peer sends it and as it is delivered;
# what of a message is malformed for the class.
GOOD: dict[str, tuple[int, list[bytes], Callable[[Any], bool]]] = {
    "Puller": (zmq.PUSH, [b"good"], lambda item: item == [b"good"]),
    "Dealer": (zmq.DEALER, [b"good"], lambda item: item == [b"good"]),
    "Router": (zmq.DEALER, [b"good"], lambda item: item == (b"peer", [b"good"])),
    "Replier": (zmq.DEALER, [b"good", b"", b"x"], lambda item: item.id == b"good"),
    "Subscriber": (zmq.PUB, [b"good", b"x"], lambda item: item == (b"good", b"x")),
    "XSubscriber": (zmq.PUB, [b"good", b"x"], lambda item: item == (b"good", b"x")),
    "Pair": (zmq.PAIR, [b"good"], lambda item: item == [b"good"]),
}
MALFORMED: dict[str, Callable[[list[bytes]], bool]] = {
    "Replier": lambda message: b"" not in message[:-1],
    "Subscriber": lambda message: len(message) > 2,
    "XSubscriber": lambda message: len(message) > 2,
}


@some_worlds
@pytest.mark.parametrize("kind", GOOD)
async def test_anything_may_be_sent_to_a_receiver(
    w: World, kind: str, hostile: list[list[bytes]]
) -> None:
    plain_kind, good, is_good = GOOD[kind]
    malformed = MALFORMED.get(kind, lambda message: False)
    options = {zmq.RCVHWM: 0}
    arguments = {"tags": ""} if plain_kind == zmq.PUB else {}
    async with getattr(w, kind)(bind="inproc://hostile", options=options, **arguments) as receiver:
        identity = {} if plain_kind in (zmq.PUB, zmq.PUSH) else {"IDENTITY": b"peer"}
        with plain(receiver, plain_kind, "inproc://hostile", **identity) as peer:
            if plain_kind == zmq.PUB:  # who joins late misses what comes first
                joining = w.spawn(receiver.receive())
                while not w.done(joining):
                    peer.send_multipart([b"join"])
                    await w.sleep(0.002)
                await joining
                peer.send_multipart([b"joined", b""])
                while (await receiver.receive()) != (b"joined", b""):
                    pass
            before = receiver.statistics()
            for message in hostile:
                peer.send_multipart(message)
                peer.send_multipart(good)
            good_ones = others = 0
            while good_ones < len(hostile):
                item = await receiver.receive()
                good_ones += is_good(item)
                others += not is_good(item)
            after = receiver.statistics()
            expected = sum(map(malformed, hostile))
            assert after.malformed - before.malformed == expected
            assert good_ones + others == 2 * len(hostile) - expected
            assert bool(w.reports) == bool(expected)
            assert {type(report) for report in w.reports} <= {MalformedMessage}


@some_worlds
async def test_anything_may_come_back_to_a_requester(w: World, hostile: list[list[bytes]]) -> None:
    async with w.Router(bind="inproc://lies", options={zmq.SNDHWM: 0}) as liar:
        async with w.Requester(connect="inproc://lies", options={zmq.RCVHWM: 0}) as requester:
            for message in hostile:
                asking = w.spawn(requester.request(b"?"))
                peer, (request_id, *_) = await liar.receive()
                await liar.send(peer, *message)
                await liar.send(
                    peer, request_id, *message
                )  # malformed but where it starts with b""
                if message[0]:
                    assert not w.done(asking)
                    await liar.send(peer, request_id, b"", b"the truth")
                    assert await asking == [b"the truth"]
                else:
                    assert await asking == message[1:]
            await w.until(lambda: requester.statistics().received == liar.statistics().sent)
            statistics = requester.statistics()
            assert statistics.delivered == len(hostile)
            assert statistics.malformed > 0
            assert statistics.late_replies > 0
            assert statistics.open_requests == 0


async def test_two_clients_with_equal_ids_get_their_own_replies(w: World) -> None:
    async with w.Replier(bind="inproc://equal") as replier:
        with contextlib.ExitStack() as stack:
            clients = [
                stack.enter_context(
                    plain(replier, zmq.DEALER, "inproc://equal", IDENTITY=b"client %d" % number)
                )
                for number in range(3)
            ]
            for number, client in enumerate(clients):
                client.send_multipart([b"1", b"", b"for %d" % number])
            requests = [await replier.receive() for _ in clients]
            for request in reversed(requests):
                assert request.id == b"1"
                await request.reply(b"re", *request.parts)
            for number, client in enumerate(clients):
                await w.until(lambda client=client: client.poll(0))
                assert client.recv_multipart() == [b"1", b"", b"re", b"for %d" % number]
                assert not client.poll(0)


async def test_replies_in_any_order_twice_and_truncated_reach_their_own_callers_only(
    w: World,
) -> None:
    async with w.Router(bind="inproc://shuffled") as liar:
        async with w.Requester(connect="inproc://shuffled", timeout=10) as requester:
            asking = [w.spawn(requester.request(b"%d" % number)) for number in range(50)]
            asked = []
            for _ in asking:
                peer, (request_id, _, body) = await liar.receive()
                asked.append((request_id, body))
            for request_id, body in reversed(asked):
                await liar.send(peer, request_id[:-1], b"", b"another's")
                await liar.send(peer, request_id)
                await liar.send(peer, request_id, b"", b"re", body)
                await liar.send(peer, request_id, b"", b"again", body)
            replies = [await each for each in asking]
            assert replies == [[b"re", b"%d" % number] for number in range(50)]
            await w.until(lambda: requester.statistics().received == 200)
            assert requester.statistics().malformed == 50
            assert requester.statistics().late_replies == 100


async def test_a_dead_endpoint_swallows_no_request(w: World) -> None:
    async with (
        w.Replier(bind="ipc://*") as replier,
        w.Requester(connect=["tcp://127.0.0.1:9", *replier.addresses], timeout=10) as requester,
    ):
        serving = w.spawn(replier.serve(lambda request: request.reply(*request.parts)))
        replies = await w.gather(*(requester.request(b"%d" % n) for n in range(100)))
        assert replies == [[b"%d" % n] for n in range(100)]
        replier.close()
        await serving


async def test_one_deadline_covers_every_stage_and_the_error_names_it(w: World) -> None:
    async with w.Requester(timeout=0.05, options={zmq.SNDHWM: 1}) as requester:
        queued = [w.spawn(requester.request(b"queued")) for _ in range(3)]
        in_time = w.spawn(requester.request(b"in time", timeout=10))
        for each in queued:
            with pytest.raises(RequestTimeout) as timeout:
                await each
            assert timeout.value.stage == "queued"
        async with w.Replier(bind="inproc://stages") as replier:
            requester.connect("inproc://stages")
            request = await replier.receive()
            assert request.parts == [b"in time"]  # those whose time was over are not sent later
            sent = w.spawn(requester.request(b"sent"))
            assert (await replier.receive()).parts == [b"sent"]
            with pytest.raises(RequestTimeout) as timeout:
                await sent
            assert timeout.value.stage == "sent"
            await request.reply(b"ok")
            assert await in_time == [b"ok"]
            assert requester.statistics().withdrawn == 3
            assert requester.statistics().accepted == 5
