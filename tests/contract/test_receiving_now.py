"""receive_nowait: what is here is given, what is promised to others is not, and nothing waits."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import zmq

from zmqbridge import (
    LoopError,
    MalformedMessage,
    QueueEmpty,
    SocketClosed,
    Subscribed,
    asyncio_backend,
)
from zmqbridge.core.inbox import Inbox

if TYPE_CHECKING:
    from tests.conftest import World

every_world = pytest.mark.every_world
_numbers = itertools.count()

# Who sends to each class that receives; what, how often the same; what is received.
RECEIVERS = {
    "Puller": (zmq.PUSH, [b"x"], lambda item: item == [b"x"]),
    "Subscriber": (zmq.XPUB, [b"t\0x"], lambda item: item == (b"t", b"x")),
    "XSubscriber": (zmq.XPUB, [b"t\0x"], lambda item: item == (b"t", b"x")),
    "XPublisher": (zmq.XSUB, [b"\1t"], lambda item: item == Subscribed(b"t")),
    "Dealer": (zmq.DEALER, [b"x"], lambda item: item == [b"x"]),
    "Router": (zmq.DEALER, [b"x"], lambda item: item[1] == [b"x"]),
    "Replier": (zmq.DEALER, [b"id", b"", b"x"], lambda item: item.parts == [b"x"]),
    "Pair": (zmq.PAIR, [b"x"], lambda item: item == [b"x"]),
}
each_receiver = pytest.mark.parametrize("kind", RECEIVERS)


@pytest.fixture
def address() -> str:
    """An address that nobody had before: a plain socket gives its own back only some time later."""
    return f"inproc://now-{next(_numbers)}"


def made(w: World, kind: str, address: str, **arguments: Any) -> Any:
    if kind in ("Subscriber", "XSubscriber"):
        arguments["tags"] = ""
    if kind == "XPublisher":
        arguments["options"] = {zmq.XPUB_VERBOSE: 1}
    return getattr(w, kind)(bind=address, **arguments)


async def peer_of(w: World, kind: str, receiver: Any, address: str) -> zmq.Socket[bytes]:
    """A plain peer that is heard from its first message on."""
    peer = receiver.socket.context.socket(RECEIVERS[kind][0])
    peer.set(zmq.LINGER, 0)
    peer.set_hwm(0)
    peer.connect(address)
    if RECEIVERS[kind][0] == zmq.XPUB:
        await w.until(lambda: peer.poll(0))
        peer.recv()
    return peer


def there(receiver: Any) -> list[Any]:
    """What is there at once."""
    items = []
    while True:
        try:
            items.append(receiver.receive_nowait())
        except QueueEmpty:
            return items


@every_world
@each_receiver
async def test_what_is_here_is_given_and_then_there_is_none(
    w: World, kind: str, address: str
) -> None:
    _, message, fits = RECEIVERS[kind]
    async with made(w, kind, address) as receiver:
        with pytest.raises(QueueEmpty, match="no message now") as raised:
            receiver.receive_nowait()
        if w.backend is asyncio_backend:
            assert isinstance(raised.value, anyio.WouldBlock)
        with await peer_of(w, kind, receiver, address) as peer:
            for _ in range(3):
                peer.send_multipart(message)
            items = []
            await w.until(lambda: items.extend(there(receiver)) or len(items) == 3)
            assert all(map(fits, items))
            statistics = receiver.statistics()
            assert (statistics.received, statistics.delivered, statistics.unread) == (3, 3, 0)
            # Nobody is deaf after that.
            receiving = w.spawn(receiver.receive())
            await w.settled()
            peer.send_multipart(message)
            assert fits(await receiving)
    with pytest.raises(SocketClosed):
        receiver.receive_nowait()


@each_receiver
async def test_what_libzmq_has_already_is_here_too(w: World, kind: str, address: str) -> None:
    _, message, fits = RECEIVERS[kind]
    async with made(w, kind, address) as receiver:
        there(receiver)
        with await peer_of(w, kind, receiver, address) as peer:
            if kind == "XPublisher":  # over inproc it comes with the loop's next turn
                peer.send_multipart(message)
                await w.until(lambda: receiver.statistics().received)
            else:
                for _ in range(100):
                    peer.send_multipart(message)
            items = there(receiver)  # without a turn of the loop
            assert items
            assert all(map(fits, items))
            assert kind == "XPublisher" or len(items) == 100


@every_world
@pytest.mark.parametrize("prefetch", [None, 0, 1])
async def test_who_waits_already_comes_first(w: World, prefetch: int, address: str) -> None:
    async with w.Puller(bind=address, prefetch=prefetch) as puller:
        with await peer_of(w, "Puller", puller, address) as peer:
            waiting = []
            for _ in range(2):
                waiting.append(w.spawn(puller.receive()))
                await w.settled()
            for number in range(5):
                peer.send(b"%d" % number)
            taken: list[Any] = []
            # With a prefetch of 1 there may be room for the messages of the others only.
            while not (taken := taken + there(puller)) and prefetch == 1:
                await w.settled()
            waited = await w.gather(*waiting)
            await w.until(lambda: taken.extend(there(puller)) or len(taken) == 3)
            assert sorted(taken + waited) == [[b"%d" % number] for number in range(5)]
            # Those that waited may have changed places: one was told by the call, one by the loop.
            assert taken == sorted(taken)


@every_world
async def test_a_message_promised_to_a_waiter_is_not_taken(
    w: World, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with w.Puller(bind=address) as puller:
        with await peer_of(w, "Puller", puller, address) as peer:
            receiving = w.spawn(puller.receive())
            await w.settled()
            told = []
            inbox, notify = puller._inbox, Inbox.notify

            def promising(self: Any) -> list[Any]:
                waiters = notify(self)
                if waiters and self is inbox:  # who has not run yet
                    with pytest.raises(QueueEmpty):
                        puller.receive_nowait()
                    told.extend(waiters)
                return waiters

            monkeypatch.setattr(Inbox, "notify", promising)
            peer.send(b"yours")
            assert await receiving == [b"yours"]
            assert told


@every_world
async def test_with_no_prefetch_one_is_read_at_a_time(w: World, address: str) -> None:
    async with w.Puller(bind=address, prefetch=0) as puller:
        with await peer_of(w, "Puller", puller, address) as peer:
            there(puller)
            for number in range(10):
                peer.send(b"%d" % number)
            for number in range(10):
                assert puller.receive_nowait() == [b"%d" % number]
                assert puller.statistics().received == number + 1
            with pytest.raises(QueueEmpty):
                puller.receive_nowait()


@every_world
async def test_a_pause_ends_and_what_is_unread_comes(w: World, address: str) -> None:
    async with w.Puller(bind=address, prefetch=4) as puller:
        with await peer_of(w, "Puller", puller, address) as peer:
            for number in range(100):
                peer.send(b"%d" % number)
            await w.until(lambda: puller.statistics().unread == 4)
            for number in range(3):
                assert puller.receive_nowait() == [b"%d" % number]
            await w.until(lambda: puller.statistics().unread == 4)  # it reads on by itself
            for number in range(3, 50):
                assert puller.receive_nowait() == [b"%d" % number]
            for number in range(50, 100):
                assert await puller.receive() == [b"%d" % number]


@every_world
async def test_what_is_malformed_is_passed_and_reported(w: World, address: str) -> None:
    async with w.Subscriber("", bind=address) as subscriber:
        with await peer_of(w, "Subscriber", subscriber, address) as peer:
            there(subscriber)
            peer.send_multipart([b"1", b"2", b"3"])
            peer.send_multipart([b"t\0good"])
            items: list[Any] = []  # a busy machine reads one and leaves the other to the next call
            await w.until(lambda: items.extend(there(subscriber)) or items)
            assert items == [(b"t", b"good")]
            assert subscriber.statistics().malformed == 1
            await w.until(lambda: w.reports)
            assert [type(report) for report in w.reports] == [MalformedMessage]


async def test_the_newest_alone(w: World, address: str) -> None:
    options = {zmq.CONFLATE: 1}
    async with w.Subscriber("", bind=address, options=options) as subscriber:
        with await peer_of(w, "Subscriber", subscriber, address) as peer:
            there(subscriber)
            for number in range(50):
                peer.send(b"t\0%d" % number)
            items = []
            await w.until(lambda: items.extend(there(subscriber)) or (b"t", b"49") in items)
            assert items[-1] == (b"t", b"49")
            assert subscriber.statistics().unread == 0


@every_world
async def test_messages_that_wait_to_be_sent_are_sent_all_the_same(w: World, address: str) -> None:
    options = {zmq.SNDHWM: 1, zmq.RCVHWM: 1}
    async with w.Dealer(bind=address, options=options) as dealer:
        with dealer.socket.context.socket(zmq.DEALER) as peer:
            peer.set(zmq.LINGER, 0)
            peer.set_hwm(1)
            peer.connect(address)
            for number in range(20):
                dealer.send_nowait(b"%d" % number)
            came = []

            def talk() -> Any:
                there(dealer)  # which reads EVENTS, and so hides that there is room
                while peer.poll(0):
                    came.append(peer.recv())
                return len(came) == 20

            await w.until(talk)
            assert came == [b"%d" % number for number in range(20)]


async def test_after_stop_serving_there_is_what_was_left_and_then_an_error(
    w: World, address: str
) -> None:
    async with w.Replier(bind=address) as replier:
        await replier.stop_serving()
        with pytest.raises(SocketClosed, match="told to stop"):
            replier.receive_nowait()


@pytest.mark.parametrize("w", ["epoll", "asyncioreactor"], indirect=True)
async def test_nothing_is_read_for_it_where_a_handler_is_to_get_it(w: World, address: str) -> None:
    handled: list[Any] = []
    async with w.Puller(bind=address, handler=handled.append) as puller:
        with await peer_of(w, "Puller", puller, address) as peer:
            peer.send(b"x")
            with pytest.raises(QueueEmpty):
                puller.receive_nowait()
            await w.until(lambda: handled == [[b"x"]])


def test_outside_of_a_loop_it_says_so() -> None:
    puller = asyncio_backend.Puller(bind="inproc://now-nowhere")
    with pytest.raises(LoopError):
        puller.receive_nowait()
    puller.close()
