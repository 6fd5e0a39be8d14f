"""Plain pyzmq sockets and ours understand each other, in both directions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from talk import MESSAGES, PUBLICATIONS, TAG, WANTED, PlainPublisher, PlainSubscriber, take

if TYPE_CHECKING:
    from tests.conftest import World
    from tests.interop.conftest import Plain


@pytest.mark.parametrize("parts", [1, 2])
async def test_pub_is_heard(w: World, plain: Plain, tmp_path: Path, parts: int) -> None:
    address = f"ipc://{tmp_path}/pub"
    publisher = PlainPublisher(plain(zmq.PUB, bind=address), parts)
    async with w.Subscriber(TAG, connect=address) as subscriber:
        await w.connected(publisher, subscriber, TAG)
        for tag, body in PUBLICATIONS:
            publisher.publish(body, tag)
        assert [await subscriber.receive() for _ in WANTED] == WANTED


async def test_pub_without_tags_is_heard(w: World, plain: Plain) -> None:
    pub = plain(zmq.PUB, bind="inproc://untagged")
    async with w.Subscriber("", connect="inproc://untagged", context=plain.context) as subscriber:
        await w.connected(PlainPublisher(pub), subscriber)
        for number in range(300):
            pub.send(b"%d" % number)
        pub.send(b"")
        assert [await subscriber.receive() for _ in range(301)] == [
            *[(b"", b"%d" % number) for number in range(300)],
            (b"", b""),
        ]


async def test_sub_hears_ours(w: World, plain: Plain) -> None:
    async with w.Publisher(bind="tcp://127.0.0.1:*") as publisher:
        sub = plain(zmq.SUB, connect=publisher.addresses[0])
        subscriber = PlainSubscriber(w, sub, TAG)
        await w.connected(publisher, subscriber, TAG)
        for tag, body in PUBLICATIONS:
            publisher.publish(body, tag)
        assert [await subscriber.receive() for _ in WANTED] == WANTED


@pytest.mark.parametrize(
    "options", [{}, {"req_relaxed": 1, "req_correlate": 1}], ids=["no id", "id"]
)
async def test_req_gets_our_replies(w: World, plain: Plain, options: dict[Any, Any]) -> None:
    async with w.Replier(bind="tcp://127.0.0.1:*") as replier:
        req = plain(zmq.REQ, connect=replier.addresses[0], **options)
        for message in MESSAGES:
            req.send_multipart(message)
            request = await replier.receive()
            assert request.parts == message
            await request.reply(*message, b"answered")
            assert await take(w, req) == [*message, b"answered"]


async def test_each_of_many_req_gets_the_answer_to_its_own_question(w: World, plain: Plain) -> None:
    async with w.Replier(bind="inproc://many", context=plain.context) as replier:
        reqs = [plain(zmq.REQ, connect="inproc://many") for _ in range(20)]
        for turn in range(10):
            for number, req in enumerate(reqs):
                req.send_multipart([b"%d" % number, b"%d" % turn])
            requests = [await replier.receive() for _ in reqs]
            for request in reversed(requests):
                await request.reply(*request.parts)
            for number, req in enumerate(reqs):
                assert await take(w, req) == [b"%d" % number, b"%d" % turn]


async def test_rep_answers_our_requests(w: World, plain: Plain, tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/rep"
    rep = plain(zmq.REP, bind=address)
    async with w.Requester(connect=address) as requester:
        asking = [w.spawn(requester.request(*message)) for message in MESSAGES]
        for message in MESSAGES:
            assert await take(w, rep) == message
            rep.send_multipart([b"re", *message])
        assert await w.gather(*asking) == [[b"re", *message] for message in MESSAGES]


async def test_dealer_talks_to_our_router(w: World, plain: Plain, tmp_path: Path) -> None:
    async with w.Router(bind=f"ipc://{tmp_path}/router") as router:
        dealer = plain(zmq.DEALER, connect=router.addresses[0], routing_id=b"\xffdealer")
        for message in MESSAGES:
            dealer.send_multipart(message)
        for message in MESSAGES:
            assert await router.receive() == (b"\xffdealer", message)
            await router.send(b"\xffdealer", b"re", *message)
        assert [await take(w, dealer) for _ in MESSAGES] == [[b"re", *each] for each in MESSAGES]


async def test_router_talks_to_our_dealer(w: World, plain: Plain) -> None:
    router = plain(zmq.ROUTER, bind="inproc://router")
    async with w.Dealer(connect="inproc://router", context=plain.context) as dealer:
        for message in MESSAGES:
            await dealer.send(*message)
        for message in MESSAGES:
            peer, *parts = await take(w, router)
            assert parts == message
            router.send_multipart([peer, b"re", *message])
        assert [await dealer.receive() for _ in MESSAGES] == [[b"re", *each] for each in MESSAGES]


async def test_dealer_gets_our_replies_by_its_ids(w: World, plain: Plain) -> None:
    async with w.Replier(bind="tcp://127.0.0.1:*") as replier:
        dealer = plain(zmq.DEALER, connect=replier.addresses[0])
        for number, message in enumerate(MESSAGES):
            dealer.send_multipart([b"%d" % number, b"", *message])
        requests = [await replier.receive() for _ in MESSAGES]
        assert [request.parts for request in requests] == MESSAGES
        for request in reversed(requests):
            await request.reply(*request.parts)
        replies = [await take(w, dealer) for _ in MESSAGES]
        assert (
            replies
            == [[b"%d" % number, b"", *message] for number, message in enumerate(MESSAGES)][::-1]
        )


async def test_router_answers_our_requests_in_any_order(w: World, plain: Plain) -> None:
    router = plain(zmq.ROUTER, bind="inproc://any")
    async with w.Requester(connect="inproc://any", context=plain.context) as requester:
        asking = [w.spawn(requester.request(*message)) for message in MESSAGES]
        requests = [await take(w, router) for _ in MESSAGES]
        assert [parts for _, _, empty, *parts in requests if empty == b""] == MESSAGES
        assert len({request_id for _, request_id, *_ in requests}) == len(MESSAGES)
        for request in reversed(requests):
            router.send_multipart([*request, b"answered"])
        assert await w.gather(*asking) == [[*message, b"answered"] for message in MESSAGES]
