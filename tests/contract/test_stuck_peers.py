"""A peer that does not read, or has died: the others are served, and who waits for it is told."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from twisted.internet.testing import MemoryReactorClock

from zmqbridge import PeerStalled, PeerUnreachable, QueueFull, SocketClosed
from zmqbridge._bridge.patrol import PATROL
from zmqbridge._bridge.pump import Pump
from zmqbridge.core.sendqueue import SendQueue
from zmqbridge.core.statistics import Statistics
from zmqbridge.twisted_backend import Router

if TYPE_CHECKING:
    from tests.conftest import Request, World

some_worlds = pytest.mark.parametrize(
    "w", ["asyncio", "uvloop", "trio", "epoll", "asyncioreactor"], indirect=True
)
# Who has gone is looked for ten times as often as PATROL says, or most tests would wait for that.
OFTEN = PATROL / 10
REPLY = bytes(4096)
ASKED = 3000  # far more than fits between a server and a client that does not read
MARK = 50
# So that little fits in between, and what happens then happens soon.
SMALL = {zmq.SNDHWM: 5, zmq.SNDBUF: 8192}


@pytest.fixture(autouse=True)
def often(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "w" in request.fixturenames:
        monkeypatch.setattr("zmqbridge._bridge.patrol.PATROL", OFTEN)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Pump]:
    """Gets a pump each time that it has looked for peers that have died."""
    done: list[Pump] = []
    patrol = Pump.patrol

    def looks(pump: Pump) -> float:
        next_one = patrol(pump)
        done.append(pump)
        return next_one

    monkeypatch.setattr(Pump, "patrol", looks)
    return done


@pytest.fixture
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "tcp://127.0.0.1:*" if request.param == "tcp" else f"ipc://{tmp_path}/server"


both_transports = pytest.mark.parametrize("address", ["tcp", "ipc"], indirect=True)


class Client(zmq.Socket[bytes]):
    def kill(self) -> None:
        self.context.destroy(0)


@contextlib.contextmanager
def stuck_client(address: str, asked: int = ASKED) -> Iterator[Client]:
    """A plain client of this process that asks and asks and reads nothing; `kill` ends it."""
    context = zmq.Context()
    client: Any = context.socket(zmq.DEALER, Client)
    for option, value in {zmq.SNDHWM: 0, zmq.RCVHWM: 1, zmq.RCVBUF: 8192, zmq.LINGER: 0}.items():
        client.set(option, value)
    client.connect(address)
    for number in range(asked):
        client.send_multipart([b"%d" % number, b"", b"?"])
    try:
        yield client
    finally:
        client.kill()


KILLED = """
import sys, time, zmq
client = zmq.Context().socket(zmq.DEALER)
client.sndhwm, client.rcvhwm = 0, 1
client.connect(sys.argv[1])
for number in range(int(sys.argv[2])):
    client.send_multipart([b"%d" % number, b"", b"?"])
print("asked", flush=True)
time.sleep(100)
"""


@contextlib.contextmanager
def process(address: str, asked: int = ASKED) -> Iterator[subprocess.Popen[bytes]]:
    """The same in a process of its own, which can be killed."""
    client = subprocess.Popen(
        [sys.executable, "-c", KILLED, address, str(asked)], stdout=subprocess.PIPE
    )
    try:
        client.stdout.readline()
        yield client
    finally:
        client.kill()
        client.wait()
        client.stdout.close()


@some_worlds
@both_transports
async def test_serve_answers_the_others_all_the_while(w: World, address: str) -> None:
    async with w.Replier(bind=address, options=SMALL, send_queue=MARK) as replier:
        serving = w.spawn(replier.serve(lambda request: request.reply(REPLY)))
        where = replier.addresses[0]
        async with w.Requester(connect=where, timeout=10) as requester:
            with stuck_client(where):
                await w.until(lambda: replier.statistics().refused)
                for _ in range(20):
                    assert await requester.request(b"?") == [REPLY]
                await w.until(lambda: replier.statistics().received == ASKED + 20)
                statistics = replier.statistics()
                # What waits for it is bounded, and every reply is in one count.
                assert 0 < statistics.queued <= MARK
                assert statistics.unread == 0
                assert statistics.refused == ASKED + 20 - statistics.accepted
            # It is told once that it does not read, and once that it has left.
            await w.until(lambda: 0 < replier.statistics().unreachable <= MARK)
            assert replier.statistics().queued == 0
            assert await requester.request(b"?") == [REPLY]
        stalled, gone = w.reports
        assert type(stalled) is PeerStalled
        assert type(gone) is PeerUnreachable
        assert stalled.peer == gone.peer == stalled.message[0]
        replier.close()
        await serving


@some_worlds
async def test_of_whom_it_is_said_that_he_left_is_remembered_but_not_without_end(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(request: Request) -> None:
        raise PeerUnreachable(*request.parts)

    monkeypatch.setattr("zmqbridge._bridge.keepers.BLAMED", 2)
    async with w.Replier(bind="inproc://left") as replier:
        serving = w.spawn(replier.serve(handler))
        async with w.Dealer(connect="inproc://left") as dealer:
            for peer in (b"a", b"a", b"b", b"b", b"a", b"c", b"a"):
                await dealer.send(b"id", b"", peer)
            await w.until(lambda: replier.statistics().received == 7)
            await w.settled()
        assert [report.peer for report in w.reports] == [b"a", b"b", b"c", b"a"]
        replier.close()
        await serving


@some_worlds
async def test_a_reply_that_finds_no_room_is_an_error_that_hands_it_back(w: World) -> None:
    async with w.Replier(bind="tcp://127.0.0.1:*", options=SMALL, send_queue=MARK) as replier:
        with stuck_client(replier.addresses[0]):
            with pytest.raises(PeerStalled) as stalled:
                async for request in replier:
                    await request.reply(REPLY)
            assert isinstance(stalled.value, QueueFull)
            assert stalled.value.message[-1] == REPLY
            assert stalled.value.peer == request.peer
            assert "does not read" in str(stalled.value)
            assert replier.statistics().refused == 1


def all_is_answered(counts: Statistics, answered: int) -> bool:
    return counts.unread == 0 and answered == counts.received and counts.queued == 0


@some_worlds
@both_transports
@pytest.mark.parametrize("client", [stuck_client, process])
async def test_who_waits_to_send_to_a_peer_is_told_that_it_has_died(
    w: World, address: str, client: Callable[..., Any]
) -> None:
    # The loop that would take the requests waits itself, so nothing more is read.
    async def answer() -> None:
        async for peer, parts in router:
            try:
                await router.send(peer, *parts, REPLY)
            except PeerUnreachable as error:
                gone.append(error.peer)
            answered.append(peer)

    gone: list[bytes] = []
    answered: list[bytes] = []
    async with w.Router(bind=address, options=SMALL) as router:
        answering = w.spawn(answer())
        where = router.addresses[0]
        with client(where) as stuck:
            await w.until(lambda: router.statistics().queued)
            async with w.Dealer(connect=where) as dealer:
                await dealer.send(b"another")
                stuck.kill()
                assert (await dealer.receive())[0] == b"another"
                # The rest of what the dead one had asked is met with the same error, at once. More
                # may come while libzmq still ends its connection, so all is asked for together.
                await w.until(lambda: all_is_answered(router.statistics(), len(answered)))
        assert len(set(gone)) == 1
        counts = router.statistics()
        # What was accepted before is in another count than what the calls have raised for.
        assert (counts.unroutable, counts.dropped) == (len(gone), counts.unreachable)
        router.close()
        with contextlib.suppress(SocketClosed):  # libzmq may have found yet more of the dead one's
            await answering


@some_worlds
async def test_who_waits_to_send_within_the_process_is_told_that_the_peer_has_closed(
    w: World,
) -> None:
    # Of an inproc peer the system knows nothing, so it is found by reading on.
    async def answer() -> None:
        async for peer, parts in router:
            try:
                await router.send(peer, *parts, REPLY)
            except PeerUnreachable as error:
                gone.append(error.peer)

    gone: list[bytes] = []
    async with w.Router(bind="inproc://stuck", options={zmq.SNDHWM: 5}) as router:
        answering = w.spawn(answer())
        with zmq.Socket(router.socket.context, zmq.DEALER) as stuck:
            stuck.set(zmq.SNDHWM, 0)
            stuck.set(zmq.RCVHWM, 5)
            stuck.set(zmq.LINGER, 0)
            stuck.connect("inproc://stuck")
            for number in range(1500):
                stuck.send(b"%d" % number)
            await w.until(lambda: router.statistics().queued and router.statistics().unread)
        async with w.Dealer(connect="inproc://stuck") as dealer:
            await dealer.send(b"another")
            assert (await dealer.receive())[0] == b"another"
        assert gone
        router.close()
        await answering


@some_worlds
async def test_a_peer_that_is_merely_slow_is_waited_for(w: World, looks: list[Pump]) -> None:
    async def answer() -> None:
        async for peer, parts in router:
            await router.send(peer, *parts, REPLY)

    async with w.Router(bind="tcp://127.0.0.1:*", options=SMALL) as router:
        answering = w.spawn(answer())
        with stuck_client(router.addresses[0], 100) as slow:
            await w.until(lambda: router.statistics().queued)
            looks.clear()
            await w.until(lambda: len(looks) >= 3)
            for number in range(100):
                await w.until(lambda: slow.poll(0))
                assert slow.recv_multipart()[0] == b"%d" % number
        router.close()
        await answering


@some_worlds
@pytest.mark.parametrize("says", ["something", "nothing", "something before the old one closes"])
async def test_a_peer_that_came_back_under_its_name_is_waited_for(
    w: World, says: str, tmp_path: Path, looks: list[Pump]
) -> None:
    def come() -> zmq.Socket[bytes]:
        peer = context.socket(zmq.DEALER)
        options: dict[int, Any] = {zmq.ROUTING_ID: b"it", zmq.RCVHWM: 1, zmq.LINGER: 0}
        for option, value in options.items():
            peer.set(option, value)
        peer.connect(address)
        return peer

    address = f"ipc://{tmp_path}/named"
    with contextlib.ExitStack() as stack:
        context = zmq.Context()
        stack.callback(context.destroy, 0)
        async with w.Router(bind=address, options=SMALL | {zmq.ROUTER_HANDOVER: 1}) as router:
            before = come()
            before.send(b"here")
            await router.receive()
            if says != "something before the old one closes":
                with router.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED) as ends:
                    before.close()
                    await w.until(lambda: ends.poll(0))
                    router.socket.disable_monitor()
                while reaches(router, b"it"):  # seldom, as what it does not take is lost with it
                    await w.sleep(OFTEN)
            after = come()
            if says != "nothing":
                after.send(b"here")
                await router.receive()
            before.close()
            await w.until(lambda: reaches(router, b"it"))
            for _ in range(100):  # more than the kernel takes
                router.send_nowait(b"it", REPLY)
            looks.clear()
            await w.until(lambda: len(looks) >= 3)
            assert router.statistics().unreachable == 0
            await w.until(lambda: after.poll(0) and after.recv() == REPLY)
            for _ in range(99):
                await w.until(lambda: after.poll(0))
                assert after.recv() == REPLY
            assert w.reports == []


def reaches(router: Any, peer: bytes) -> bool:
    try:
        router.send_nowait(peer, b"are you there?")
    except PeerUnreachable:
        return False
    return True


@some_worlds
async def test_what_waits_for_many_stuck_peers_goes_out_when_they_read(w: World) -> None:
    # They are more than are tried in each turn.
    async with w.Router(bind="tcp://127.0.0.1:*", options=SMALL) as router:
        with contextlib.ExitStack() as stack:
            peers = [stack.enter_context(stuck_client(router.addresses[0], 1)) for _ in range(40)]
            for _ in peers:
                peer, _ = await router.receive()
                for _ in range(40):
                    router.send_nowait(peer, REPLY)
            await w.until(lambda: router.statistics().queued > 400)
            left = dict.fromkeys(peers, 40)
            while left:
                for peer in list(left):
                    while peer.poll(0):
                        peer.recv_multipart()
                        left[peer] -= 1
                    if not left[peer]:
                        del left[peer]
                await w.sleep(0.001)
            assert router.statistics().queued == 0


def test_who_is_stuck_later_puts_no_look_at_the_others_off(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    monkeypatch.setattr(Pump, "patrol", lambda pump: looks.append(reactor.seconds()) or PATROL)
    reactor: Any = MemoryReactorClock()
    router = Router(reactor=reactor)
    for tenth in range(20):
        if not tenth % 3:
            router._patrols.stalled(None)
        router._pump.queues[b"stuck"] = SendQueue(10)
        reactor.advance(0.1)
    assert len(looks) == 3
    router.close()


@some_worlds
@pytest.mark.parametrize("message", [[b"id", b""], [b""], [b"route", b"id", b""]])
async def test_a_request_with_no_part_is_malformed(w: World, message: list[bytes]) -> None:
    async def echo(request: Request) -> None:
        await request.reply(*request.parts)

    async with w.Replier(bind="tcp://127.0.0.1:*") as replier:
        serving = w.spawn(replier.serve(echo))
        with stuck_client(replier.addresses[0], 0) as plain:
            plain.send_multipart(message)
            plain.send_multipart([b"id", b"", b"?"])
            await w.until(lambda: plain.poll(0))
            assert plain.recv_multipart() == [b"id", b"", b"?"]
        assert replier.statistics().malformed == 1
        assert len(w.reports) == 1
        replier.close()
        await serving
