"""Who subscribes to what: a publisher counts its subscriptions, waits for them, and is told."""

from __future__ import annotations

import itertools
import signal
import socket
import subprocess
import sys
from typing import Any

import pytest
import zmq

from zmqbridge import (
    MalformedMessage,
    OptionError,
    SocketClosed,
    StateUnknown,
    Subscribed,
    TooFewSubscribers,
    Unsubscribed,
)

every_world = pytest.mark.every_world
_numbers = itertools.count()
MEBIBYTE = b"x" * 2**20

# Subscribers in a process of their own, which is killed with them.
DOOMED = """
import sys, zmq
context = zmq.Context()
sockets = [context.socket(zmq.SUB) for _ in range(30)]
for socket in sockets:
    socket.connect(sys.argv[1])
    socket.subscribe(b"news")
print("there", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def address() -> str:
    return f"inproc://audience-{next(_numbers)}"


def plain(publisher: Any, address: str) -> Any:
    """A subscriber that costs nothing of ours, in the same context."""
    sub = publisher.socket.context.socket(zmq.SUB)
    sub.set(zmq.LINGER, 0)
    sub.connect(address)
    return sub


def kinds(changes: list[Any]) -> list[tuple[type, bytes]]:
    return [(type(change), change.tag) for change in changes]


@every_world
async def test_a_publisher_knows_who_will_hear_it(w: Any, address: str) -> None:
    async with w.Publisher(bind=address) as publisher:
        assert publisher.subscribers() == 0
        assert not publisher.wanted("news")
        async with w.Subscriber(["news", ""], connect=address):
            async with w.Subscriber("news/today", connect=address):
                await publisher.wait_for("news/today", 3)
                assert publisher.subscribers("news") == 2
                assert publisher.subscribers(b"else") == 1
                assert publisher.subscribers() == 1
                assert publisher.wanted("else")
            await w.until(lambda: publisher.subscribers("news/today") == 2)
        await w.until(lambda: not publisher.wanted("news"))
        statistics = publisher.statistics()
        assert (statistics.received, statistics.malformed) == (0, 0)


@pytest.mark.parametrize("format", ["joined", "two-part", "parts", "raw"])
async def test_so_it_is_in_every_format(w: Any, format: str) -> None:
    async with w.Publisher(bind="inproc://formats-of-audience", format=format) as publisher:
        with plain(publisher, "inproc://formats-of-audience") as sub:
            sub.subscribe(b"tag\0")  # as one that takes only this tag, of joined publications
            sub.subscribe(b"t")
            await publisher.wait_for("tag", 2 if format == "joined" else 1)
            assert not publisher.wanted("other")
            sub.subscribe(b"other\0and its body")
            await w.until(lambda: publisher.wanted("other") == (format == "joined"))
            assert publisher.subscribers("other") == 0


@pytest.mark.real("processes")
async def test_the_counts_are_right_after_a_hundred_of_which_thirty_are_killed(w: Any) -> None:
    async with w.Publisher(bind="tcp://127.0.0.1:*") as publisher:
        [address] = publisher.addresses
        doomed = subprocess.Popen(
            [sys.executable, "-c", DOOMED, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with doomed:
            living = [plain(publisher, address) for _ in range(70)]
            for sub in living:
                sub.subscribe(b"news")
            await publisher.wait_for("news", 100)
            publisher.publish(b"hides what has come", "news")
            doomed.send_signal(signal.SIGKILL)
            await w.until(lambda: publisher.subscribers("news") == 70)
            for sub in living:
                sub.close()
            await w.until(lambda: publisher.subscribers("news") == 0)


@every_world
async def test_a_tag_that_is_subscribed_to_twice_is_one_subscription(w: Any, address: str) -> None:
    async with w.Publisher(bind=address) as publisher:
        async with w.Subscriber(["twice", "twice"], connect=address) as subscriber:
            subscriber.socket.subscribe(b"twice\0")  # by its format a "twice" as well
            subscriber.socket.setsockopt(zmq.SUBSCRIBE, b"twice")
            subscriber.subscribe("last")
            await publisher.wait_for("last")
            assert publisher.subscribers("twice") == 2
            for _ in range(2):
                subscriber.unsubscribe("twice")
            subscriber.unsubscribe("last")
            await w.until(lambda: not publisher.wanted("last"))
            assert publisher.subscribers("twice") == 2  # once more it was asked for
            subscriber.socket.unsubscribe(b"twice")
            await w.until(lambda: publisher.subscribers("twice") == 1)
        await w.until(lambda: not publisher.wanted("twice"))


@every_world
async def test_what_changes_is_told_as_it_happens(w: Any, address: str) -> None:
    async with w.Publisher(bind=address) as publisher:
        changes, heard, tags = publisher.subscriptions(), [], [b"a", b"b", b"c"]

        async def listen() -> None:
            while (change := await anext(changes, None)) is not None:
                heard.append(change)

        listening = w.spawn(listen())
        with plain(publisher, address) as sub:
            for tag in tags:  # also between publications, which hide what has come
                publisher.publish(b"1", "a")
                sub.subscribe(tag)
                publisher.publish(b"2", "a")
            sub.unsubscribe(b"a")
            await w.until(lambda: len(heard) == 4)
            late = publisher.subscriptions()
        await w.until(lambda: len(heard) == 6)
    await listening
    assert kinds(heard)[:4] == [*[(Subscribed, tag) for tag in tags], (Unsubscribed, b"a")]
    assert {change.tag for change in heard[4:]} == {b"b", b"c"}
    assert await anext(late, None) is None  # what was here when it closed is dropped


@pytest.mark.parametrize("w", ["epoll"], indirect=True)
async def test_a_handler_is_called_with_each_change(w: Any, address: str) -> None:
    heard = []

    def handle(change: Any) -> None:
        heard.append(change)
        if len(heard) == 1:
            raise LookupError("a fault of the handler")

    async with w.Publisher(bind=address) as publisher:
        listening = publisher.subscriptions(handle)
        with pytest.raises(TypeError, match="handler"):
            publisher.subscriptions(7)
        with plain(publisher, address) as sub:
            sub.subscribe(b"a")
            sub.subscribe(b"b")
            await w.until(lambda: len(heard) == 2)
            listening.close()
            sub.subscribe(b"c")
            await publisher.wait_for("c")
        assert kinds(heard) == [(Subscribed, b"a"), (Subscribed, b"b")]
        assert [type(each) for each in w.reports] == [LookupError]


@every_world
async def test_who_waits_for_subscribers_waits_so_long_and_no_longer(w: Any, address: str) -> None:
    wrong = [(0, 1, ValueError), (True, 1, TypeError), (1, 0, ValueError)]
    async with w.Publisher(bind=address) as publisher:
        with pytest.raises(TooFewSubscribers, match="0 subscriptions, and not 2") as caught:
            await publisher.wait_for("a", 2, timeout=0.01)
        assert caught.value.found == 0
        assert isinstance(caught.value, TimeoutError)
        waiting = w.spawn(publisher.wait_for("a", 2))
        cancelled = w.spawn(publisher.wait_for("a", 1))
        await w.settled()
        cancelled.cancel()
        with pytest.raises(w.Cancelled):
            await cancelled
        with plain(publisher, address) as one, plain(publisher, address) as two:
            one.subscribe(b"")
            await publisher.wait_for()
            assert not w.done(waiting)
            two.subscribe(b"a")
            await waiting
            for count, timeout, error in wrong:
                with pytest.raises(error):
                    await publisher.wait_for("a", count, timeout)
            with pytest.raises(TypeError, match="a tag"):
                await publisher.wait_for(7)
        waiting = w.spawn(publisher.wait_for("never", 9))
        await w.settled()
    with pytest.raises(SocketClosed):
        await waiting
    with pytest.raises(SocketClosed):
        await publisher.wait_for("never")
    for ask in (publisher.subscribers, publisher.wanted, publisher.subscriptions):
        with pytest.raises(SocketClosed):
            ask()


def speaking_zmtp(address: str) -> socket.socket:
    """A peer by bytes alone; libzmq's own end of such a topic overflows its stack."""
    peer = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 20)
    peer.sendall(b"\xff" + bytes(8) + b"\x7f\x03\0" + b"NULL".ljust(20, b"\0") + bytes(32))
    with peer.makefile("rb") as stream:  # which else keeps the connection open, on PyPy for long
        assert len(stream.read(64)) == 64
        peer.sendall(b"\4\x1a\5READY\x0bSocket-Type\0\0\0\4XSUB")
        assert len(stream.read(2 + 26)) == 28  # as long as ours: XPUB
    return peer


def frame(body: bytes, more: int = 0) -> bytes:
    return bytes([2 | more]) + len(body).to_bytes(8, "big") + body


@pytest.mark.real("raw TCP")
async def test_what_peers_send_besides_is_counted_and_harms_nobody(w: Any) -> None:
    any_size = {zmq.MAXMSGSIZE: -1}  # else libzmq lets nobody send so much
    async with w.Publisher(bind="tcp://127.0.0.1:*", barrier=True, options=any_size) as publisher:
        with speaking_zmtp(publisher.addresses[0]) as peer:
            odd = [frame(b""), frame(b"\2"), frame(b"\1a", 1) + frame(b"")]
            peer.sendall(b"".join(odd) + frame(b"\1" + MEBIBYTE) + frame(b"\1good"))
            await publisher.wait_for("good")
            assert {type(each) for each in w.reports} == {MalformedMessage}
            assert publisher.statistics().malformed == 4
            assert publisher.wanted(MEBIBYTE[:5000])  # nobody knows, so it has to be made
            assert publisher.subscribers(MEBIBYTE) == 0
            peer.sendall(frame(b"\0" + MEBIBYTE))
            await w.until(lambda: not publisher.wanted(MEBIBYTE[:5000]))
            peer.sendall(frame(b"\1" + MEBIBYTE))
            await w.until(lambda: publisher.statistics().malformed == 6)
        await w.until(lambda: not publisher.wanted("good"))
        statistics = publisher.statistics()
        assert statistics.received == statistics.malformed


async def test_where_libzmq_keeps_only_the_newest_it_does_not_tell_who_subscribes(
    w: Any, address: str
) -> None:
    async with w.Publisher(bind=address, options={zmq.CONFLATE: 1}) as publisher:
        assert publisher.socket.type == zmq.PUB
        with pytest.raises(StateUnknown, match="CONFLATE"):
            publisher.subscribers("a")
        with pytest.raises(StateUnknown, match="CONFLATE"):
            await publisher.wait_for("a")
        with pytest.raises(StateUnknown, match="CONFLATE"):
            publisher.subscriptions()


@pytest.mark.parametrize("w", ["asyncio", "epoll"], indirect=True)
async def test_many_who_come_at_once_are_read_in_short_bursts(w: Any, address: str) -> None:
    async with w.Publisher(bind=address) as publisher:
        bursts = []
        feed = publisher._audience.feed

        def measured(burst: list[list[bytes]]) -> Any:
            bursts.append(len(burst))
            return feed(burst)

        publisher._pump._pattern = type("Measured", (), {
            "feed": staticmethod(measured), "room": publisher._audience.room, "rejected": None,
        })  # fmt: skip
        with plain(publisher, address) as sub:
            for number in range(2000):
                sub.subscribe(b"topic %d" % number)
            await w.until(lambda: sum(bursts) == 2000)
            assert max(bursts) <= 50


MANUAL = [("XPUB_MANUAL", 1), ("XPUB_MANUAL_LAST_VALUE", 1)]
COUNTED = [("XPUB_VERBOSER", 0), ("XPUB_VERBOSE", 0), ("XPUB_VERBOSE", 1), ("INVERT_MATCHING", 1)]


@pytest.mark.parametrize(
    ("kind", "given", "option", "value"),
    [
        *(("Publisher", {}, *refused) for refused in MANUAL + COUNTED),
        *(("Publisher", {"options": {zmq.CONFLATE: 1}}, *refused) for refused in MANUAL),
        *(("XPublisher", {}, *refused) for refused in MANUAL),
    ],
)
async def test_options_that_would_hide_the_subscribers_are_refused(
    w: Any, address: str, kind: str, given: dict[str, Any], option: str, value: int
) -> None:
    number = getattr(zmq, option)
    says = f"zmq.{option}={value} would"
    with pytest.raises(OptionError, match=says):
        getattr(w, kind)(options={number: value, **given.get("options", {})})
    async with getattr(w, kind)(bind=address, **given) as publisher:
        raw = publisher.socket
        for setting in (
            lambda: raw.set(number, value),
            lambda: raw.setsockopt(number, value),
            lambda: setattr(raw, option, value),
        ):
            with pytest.raises(OptionError, match=says):
                setting()
        with plain(publisher, address) as sub:
            sub.subscribe(b"")

            def came() -> bool:
                publisher.publish(b"still")
                return bool(sub.poll(0))

            await w.until(came)
            assert sub.recv() == b"\0still"


@pytest.mark.real("XPUB_MANUAL")
async def test_options_of_publishers_that_hide_nothing_are_set(w: Any) -> None:
    harmless = {zmq.XPUB_VERBOSER: 1, zmq.INVERT_MATCHING: 0, zmq.XPUB_MANUAL: 0}
    async with w.Publisher(options=harmless), w.XPublisher(options={zmq.XPUB_VERBOSE: 1}):
        pass
