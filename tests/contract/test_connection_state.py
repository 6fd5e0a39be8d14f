"""Connection state: monitor events and `connected`, on every class and every loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import gc
import math
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zmqbridge import (
    ConnectTimeout,
    ContextTerminated,
    HandshakeFailed,
    MalformedMessage,
    ResourcesExhausted,
    SocketClosed,
    StateUnknown,
)
from zmqbridge._bridge.calls import COMPILED
from zmqbridge._bridge.exhaustion import SIZE, Reserve, reserve
from zmqbridge._bridge.listening import Events
from zmqbridge._bridge.monitoring import next_name
from zmqbridge.asyncio_backend import Pusher
from zmqbridge.core.connectionevents import EventKind, MonitorEvent
from zmqbridge.core.inbox import HIGH
from zmqbridge.core.monitor import ACCEPTS

if TYPE_CHECKING:
    from tests.conftest import Puller, Replier, World

TCP = "tcp://127.0.0.1:*"
PEERS = {
    "Publisher": "Subscriber",
    "Subscriber": "Publisher",
    "Pusher": "Puller",
    "Puller": "Pusher",
    "Requester": "Replier",
    "Replier": "Requester",
    "Dealer": "Dealer",
    "Router": "Dealer",
    "XPublisher": "XSubscriber",
    "XSubscriber": "XPublisher",
    "Pair": "Pair",
}
QUICK = {zmq.RECONNECT_IVL: 10}
MANY = {zmq.BACKLOG: 1000}
LEFT = EventKind.DISCONNECTED

PULLER = """
import sys, zmq
socket = zmq.Context().socket(zmq.PULL)
socket.bind(sys.argv[1])
print(socket.LAST_ENDPOINT.decode(), flush=True)
sys.stdin.read()
"""


def puller(address: str) -> tuple[subprocess.Popen[str], str]:
    """A peer in a process of its own, and where it listens."""
    process = subprocess.Popen(
        [sys.executable, "-c", PULLER, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, process.stdout.readline().strip()


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


async def until(events: Events, kind: EventKind) -> list[int]:
    """The kinds of the next events, up to this one."""
    kinds = []
    async for event in events:
        kinds.append(event.kind)
        if event.kind == kind:
            return kinds
    raise AssertionError(f"it ended after {kinds}")


async def collect(events: Events, kinds: Any) -> None:
    """Note the kinds of all events until there are no more."""
    async for event in events:
        kinds.append(event.kind)


def refused(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def visit(bound: Puller, times: int) -> None:
    """Connect, say nothing, and leave: three events each time."""
    port = int(bound.addresses[0].rpartition(":")[2])
    for _ in range(times):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


@pytest.mark.parametrize("name", PEERS)
async def test_every_class_tells_when_its_peer_is_there(w: World, name: str) -> None:
    async with getattr(w, name)(bind=TCP, monitor=True) as one:
        async with getattr(w, PEERS[name])(connect=one.addresses, monitor=True) as other:
            await other.connected(10)
            await one.connected(timeout=10)
            await one.connected(math.inf)
            accepted = [EventKind.LISTENING, EventKind.ACCEPTED, EventKind.HANDSHAKE_SUCCEEDED]
            assert await until(one.events(), EventKind.HANDSHAKE_SUCCEEDED) == accepted
            connected = [EventKind.CONNECTED, EventKind.HANDSHAKE_SUCCEEDED]
            events = await until(other.events(), EventKind.HANDSHAKE_SUCCEEDED)
            assert [kind for kind in events if kind != EventKind.CONNECT_DELAYED] == connected


@pytest.mark.real("processes")
async def test_a_peer_that_is_killed_is_told_of_and_so_is_its_return(
    w: World, tmp_path: Path
) -> None:
    address = f"ipc://{tmp_path}/peer"
    process, _ = puller(address)
    async with w.Pusher(connect=address, monitor=True, options=QUICK) as pusher:
        events = pusher.events()
        try:
            await pusher.connected(10)
        finally:
            kill(process)
        kinds = await until(events, EventKind.DISCONNECTED)
        assert EventKind.HANDSHAKE_SUCCEEDED in kinds
        with pytest.raises(ConnectTimeout):
            await pusher.connected(0.02)
        process, _ = puller(address)
        try:
            await pusher.connected(10)
        finally:
            kill(process)
        kinds = await until(events, EventKind.HANDSHAKE_SUCCEEDED)
        assert EventKind.CONNECT_RETRIED in kinds


async def test_what_listens_and_what_cannot_is_told(w: World) -> None:
    async with w.Puller(bind=TCP, monitor=True) as puller:
        events = puller.events()
        (address,) = puller.addresses
        event = await anext(events)
        assert event[:2] == (EventKind.LISTENING, address)
        with pytest.raises(ValueError, match="in use"):
            puller.bind(address)
        kinds = await until(events, EventKind.BIND_FAILED)
        puller.unbind(address)
        kinds = await until(events, EventKind.CLOSED)
        assert EventKind.ACCEPTED not in kinds


async def test_connected_waits_for_a_peer_that_comes_later(w: World, tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/later"
    async with w.Requester(connect=address, monitor=True, options=QUICK) as requester:
        waiting = [w.spawn(requester.connected(10)) for _ in range(3)]
        with pytest.raises(ConnectTimeout) as late:
            await requester.connected(0.02)
        assert isinstance(late.value, TimeoutError)
        assert late.value.failure is None
        assert not any(map(w.done, waiting))
        async with w.Replier(bind=address):
            for each in waiting:
                assert await each is None
    for wrong in (0, -1, math.nan):
        with pytest.raises(ValueError, match="timeout"):
            await requester.connected(wrong)
    with pytest.raises(TypeError, match="timeout"):
        await requester.connected("1")


@pytest.mark.real("raw TCP")
async def test_a_connection_is_no_peer_before_its_handshake_has_succeeded(w: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        async with w.Dealer(connect=address, monitor=True, options=QUICK) as dealer:
            events = dealer.events()
            await until(events, EventKind.CONNECTED)
            with pytest.raises(ConnectTimeout):
                await dealer.connected(0.05)
            with server.accept()[0]:
                pass
            await until(events, EventKind.HANDSHAKE_FAILED_NO_DETAIL)
            with pytest.raises(ConnectTimeout, match="HANDSHAKE_FAILED_NO_DETAIL") as late:
                await dealer.connected(0.02)
            assert late.value.failure.address == address


@pytest.mark.real("a peer that blocks")
@pytest.mark.parametrize("disconnects", [False, True])
async def test_what_was_told_and_not_read_yet_is_known_at_once(w: World, disconnects: bool) -> None:
    with zmq.Context() as context, context.socket(zmq.PULL) as peer:
        peer.rcvtimeo = 10_000
        port = peer.bind_to_random_port("tcp://127.0.0.1")
        address = f"tcp://127.0.0.1:{port}"
        async with w.Pusher(connect=address, monitor=True) as pusher:
            pusher.push_nowait(b"there you are")
            peer.recv()  # and the loop has had no turn since the handshake
            if not disconnects:
                await pusher.connected(1e-9)
                return
            pusher.disconnect(address)
            peer.close()
            while not refused(port):  # it closes in another thread
                pass
            pusher.connect(address)
            with pytest.raises(ConnectTimeout):
                await pusher.connected(0.02)


async def test_a_listener_who_is_cancelled_loses_nothing(w: World) -> None:
    async with w.Puller(bind=TCP, monitor=True) as puller:
        events = puller.events()
        await until(events, EventKind.LISTENING)
        listening, waiting = w.spawn(anext(events)), w.spawn(puller.connected(10))
        await w.sleep(0)
        for cancelled in (listening, waiting):
            cancelled.cancel()
            with pytest.raises(w.Cancelled):
                await cancelled
        async with w.Pusher(connect=puller.addresses):
            assert await until(events, EventKind.HANDSHAKE_SUCCEEDED) == [
                EventKind.ACCEPTED,
                EventKind.HANDSHAKE_SUCCEEDED,
            ]
            await puller.connected(10)


async def test_closing_ends_the_iteration_and_fails_who_waits_for_a_peer(w: World) -> None:
    told: list[EventKind] = []
    told_less: list[EventKind] = []
    nothing: list[Any] = []
    async with w.Puller(bind=TCP, monitor=True) as puller:
        events, stopped = puller.events(), puller.events()
        unread, unread_and_stopped = puller.events(), puller.events()
        iterating = w.spawn(collect(events, told))
        stopping = w.spawn(collect(stopped, told_less))
        waiting = w.spawn(puller.connected())
        await w.until(lambda: told_less)
        stopped.close()
        stopped.close()
        await stopping
        unread_and_stopped.close()
        await collect(unread_and_stopped, nothing)
        assert not w.done(iterating)
    await iterating
    assert told == told_less == [EventKind.LISTENING]
    with pytest.raises(SocketClosed, match="Puller"):
        await waiting
    for ended in (events, unread):
        await collect(ended, nothing)
    assert nothing == []
    with pytest.raises(SocketClosed, match="Puller"):
        await puller.connected(1)
    with pytest.raises(SocketClosed, match="Puller"):
        puller.events()


@pytest.mark.real("threads")
async def test_a_context_that_is_terminated_reaches_who_waits_for_a_peer(w: World) -> None:
    context = zmq.Context()
    async with w.Puller(bind=TCP, monitor=True, context=context) as puller:
        waiting, listening = w.spawn(puller.connected()), w.spawn(collect(puller.events(), []))
        await w.settled()
        ending = threading.Thread(target=context.term)
        ending.start()
        for each in (waiting, listening):
            with pytest.raises(ContextTerminated):
                await each
        await w.until(lambda: puller.closed)
        ending.join(10)
        assert not ending.is_alive()


async def test_what_cannot_be_known_is_an_error_and_not_a_guess(w: World) -> None:
    async with w.Puller(bind=TCP) as puller:
        async with w.Pusher(connect=puller.addresses) as pusher:
            await pusher.push(b"there is a peer")
            await puller.receive()
            for late in (puller, pusher):
                with pytest.raises(StateUnknown, match="monitor=True"):
                    await late.connected(10)
                late.events()
                with pytest.raises(StateUnknown, match="monitor=True"):
                    await late.connected(10)
    async with w.Puller(bind="inproc://no-events", monitor=True) as puller:
        async with w.Pusher(monitor=True) as pusher:
            pusher.connect("inproc://no-events")
            await pusher.push(b"there is a peer")
            await puller.receive()
            for inproc in (puller, pusher):
                with pytest.raises(StateUnknown, match="inproc"):
                    await inproc.connected(10)
            pusher.connect(puller.bind(TCP))
            await pusher.connected(10)
            await puller.connected(10)


async def test_who_asks_before_there_is_an_address_needs_no_argument(w: World) -> None:
    async with w.Puller(bind=TCP) as puller:
        late = puller.events()
        async with w.Pusher() as pusher:
            pusher.events()
            pusher.connect(puller.addresses[0])
            await pusher.connected(10)
            assert (await anext(late)).kind == EventKind.ACCEPTED


async def test_a_peer_that_we_disconnect_from_is_no_peer_any_more(w: World) -> None:
    async with w.Replier(bind=TCP) as replier:
        (address,) = replier.addresses
        async with w.Requester(connect=address, monitor=True) as requester:
            for _ in range(2):
                await requester.connected(10)
                requester.disconnect(address)
                with pytest.raises(ConnectTimeout):
                    await requester.connected(0.02)
                requester.connect(address)
            await requester.connected(10)


@pytest.mark.real("raw TCP")
async def test_each_listener_gets_every_event_and_the_slow_one_misses_the_oldest(w: World) -> None:
    async with w.Puller(bind=TCP, monitor=True, options=MANY) as puller:
        slow = puller.events()
        seen: list[EventKind] = []
        w.spawn(collect(puller.events(), seen))
        visits = HIGH // 3 + 1
        for missed, more in enumerate((visits, 1)):
            visit(puller, more)
            await w.until(lambda so_far=visits + missed: seen.count(LEFT) == so_far)
            assert len(seen) == 1 + 3 * (visits + missed) == HIGH + slow.missed
        kinds = [(await anext(slow)).kind for _ in range(HIGH)]
        assert kinds == seen[slow.missed :]


@pytest.mark.real("raw TCP")
async def test_events_that_nobody_reads_hold_up_no_socket_of_the_context(w: World) -> None:
    async with (
        w.Puller(bind=TCP, monitor=True, options=MANY) as puller,
        w.Puller(bind=TCP) as other,
    ):
        visit(puller, 900)  # the loop has no turn, so these 2,700 events are read by nobody
        async with w.Pusher(connect=other.addresses) as pusher:
            await pusher.push(b"not held up")
            assert await other.receive() == [b"not held up"]


FLOOD = """
import socket, sys
held = []
for _ in range(200):
    held.append(socket.socket())
    held[-1].setblocking(False)
    held[-1].connect_ex(("127.0.0.1", int(sys.argv[1])))
print("there they are", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def out_of_descriptors(bound: Replier) -> Iterator[None]:
    """More connections than this process has descriptors for."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    port = bound.addresses[0].rpartition(":")[2]
    flood = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.readline()" + FLOOD, port],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 20, hard))
    used = []
    try:
        with pytest.raises(OSError, match="Too many"):
            while True:
                used.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(5):
            os.close(used.pop())
        flood.stdin.write("go\n")
        flood.stdin.flush()
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in used:
            os.close(descriptor)
        kill(flood)


@pytest.mark.parametrize("w", ["asyncio", "uvloop", "trio", "epoll", "select"], indirect=True)
async def test_failed_accepts_fill_no_memory_and_hide_nothing_else(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zmqbridge.core.monitor.PAUSE", 0.1)
    async with (
        w.Replier(bind=TCP, monitor=True) as replier,
        w.Requester(connect=replier.addresses) as requester,
    ):
        serving = w.spawn(replier.serve(lambda request: request.reply(*request.parts)))
        events, monitor = replier.events(), replier._link.monitor
        assert await requester.request(b"before", timeout=5) == [b"before"]
        with out_of_descriptors(replier):
            await w.until(lambda: monitor._storm.next_deadline() < math.inf)
            came = [math.inf]
            while came[-1] >= 100 and len(came) < 6:  # on a busy machine more was told before
                told = monitor.link.statistics().received
                for _ in range(60):
                    assert await requester.request(b"amid", timeout=20) == [b"amid"]
                    await w.sleep(0.005)
                came.append(monitor.link.statistics().received - told)
            assert came[-1] < 100, came
            if monitor.complete:  # else there was none at all, which is said
                await replier.connected(timeout=5)
        await w.until(lambda: monitor._storm.next_deadline() == math.inf)
        kinds = [(await anext(events)).kind for _ in range(len(events._events))]
        assert EventKind.ACCEPT_FAILED in kinds
        assert (EventKind.MONITOR_STOPPED in kinds) == (not monitor.complete)
        async with w.Requester(connect=replier.addresses) as late:
            assert await late.request(b"after", timeout=5) == [b"after"]
            assert EventKind.ACCEPTED in await until(events, EventKind.HANDSHAKE_SUCCEEDED)
        replier.close()
        await serving
    assert [type(report) for report in w.reports] == [StateUnknown] * (not monitor.complete)


def failed_accept() -> list[bytes]:
    return [struct.pack("=HI", EventKind.ACCEPT_FAILED, errno.EMFILE), b"here"]


@pytest.mark.real("raw TCP")
async def test_no_other_event_is_lost_or_told_twice_around_a_storm(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zmqbridge.core.monitor.PAUSE", 0.05)
    told: list[EventKind] = []
    async with w.Puller(bind=TCP, monitor=True, options=MANY) as puller:
        monitor = puller._link.monitor
        listening = w.spawn(collect(puller.events(), told))
        await w.until(lambda: told)
        slow = puller.events()
        for storm in range(1, 4):
            visit(puller, 20)  # of which nobody was told yet
            monitor.link.pump.hand_over([failed_accept() for _ in range(ACCEPTS + 1)])
            visit(puller, 20)
            await w.until(lambda storm=storm: told.count(LEFT) == 40 * storm)
            await w.until(lambda: monitor._storm.next_deadline() == math.inf)
        monitor.link.pump.hand_over([failed_accept()])
        await w.until(lambda: told.count(EventKind.ACCEPT_FAILED) == 3 * (ACCEPTS + 1) + 1)
    await listening
    told = [kind for kind in told if kind != EventKind.ACCEPT_FAILED]
    assert told.count(EventKind.LISTENING) == 1
    assert told.count(EventKind.ACCEPTED) == told.count(LEFT) == 120
    assert EventKind.MONITOR_STOPPED not in told
    assert len(told) == 1 + 3 * 120
    assert slow.missed == 3 * 120 + 3 * (ACCEPTS + 1) + 1 - HIGH


@pytest.mark.real("descriptors")
async def test_the_failed_accepts_of_a_storm_are_counted(w: World) -> None:
    async with w.Puller(bind=TCP, monitor=True) as puller:
        monitor, events = puller._link.monitor, puller.events()
        await until(events, EventKind.LISTENING)
        tell, deliver, told = zmq.Socket.monitor, monitor.feed, []

        def note(burst: list[list[bytes]]) -> tuple[list[Any] | tuple[Any, ...], Any]:
            if monitor._aside is None:
                told.append(burst)
            return deliver(burst)

        def rages_on(*args: Any) -> None:
            object.__delattr__(puller.socket, "monitor")
            with puller.socket.context.socket(zmq.PUSH) as storm:
                name = next_name()  # libzmq gives a name back some time after its socket was closed
                storm.bind(name)
                monitor.link.socket.connect(name)
                for _ in range(500):
                    storm.send_multipart(failed_accept())
            tell(puller.socket, *args)

        object.__setattr__(puller.socket, "monitor", rages_on)
        monitor.feed = note
        monitor.link.pump.hand_over([failed_accept() for _ in range(ACCEPTS + 1)])
        assert not any(failed_accept() in burst for burst in told[1:])  # nobody keeps them
        assert events.missed == 500
        assert len(events._events) == ACCEPTS + 1
        visit(puller, 1)
        assert LEFT in (await until(events, LEFT))


@pytest.mark.real("descriptors")
async def test_when_there_is_no_descriptor_at_all_that_is_said_and_mended_later(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any) -> None:
        object.__delattr__(puller.socket, "monitor")
        zmq.Socket.monitor(puller.socket, None, 0)  # so does libzmq, before it looks for one
        raise zmq.ZMQError(errno.EMFILE)

    def none_left(*args: Any) -> None:
        looks.append(1)
        raise OSError(errno.EMFILE, "none left")

    monkeypatch.setattr("zmqbridge.core.monitor.PAUSE", 0.02)
    told: list[EventKind] = []
    looks: list[int] = []
    async with w.Puller(bind=TCP, monitor=True) as puller:
        monitor = puller._link.monitor
        listening = w.spawn(collect(puller.events(), told))
        await w.until(lambda: told)
        slow = puller.events()
        object.__setattr__(puller.socket, "monitor", fails)
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", none_left)
            monitor.link.pump.hand_over([failed_accept() for _ in range(ACCEPTS + 1)])
            assert [type(report) for report in w.reports] == [StateUnknown]
            # What libzmq has told of the storm before is read now.
            assert slow.missed == 0
            monitor.link.pump.hand_over([failed_accept() for _ in range(2 * ACCEPTS)])
            assert slow.missed == 2 * ACCEPTS
            assert len(slow._events) == ACCEPTS + 1
            with pytest.raises(StateUnknown):
                await puller.connected(timeout=5)
            begun, before = time.monotonic(), len(looks)
            await w.until(lambda: len(looks) >= before + 4)
            pauses = (time.monotonic() - begun) / 0.02
            assert len(looks) - before <= pauses + 2  # one each time that the storm may be over
            assert len(reserve) == 0
        await w.until(lambda: monitor._storm.next_deadline() == math.inf)
        visit(puller, 1)
        await w.until(lambda: LEFT in told)
    await listening
    assert len(w.reports) == 1


@pytest.mark.real("descriptors")
async def test_nor_does_it_guess_when_the_last_descriptor_goes_after_a_storm(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any) -> None:
        failed.append(1)
        if len(failed) == 3:
            object.__delattr__(puller.socket, "monitor")
        zmq.Socket.monitor(puller.socket, None, 0)
        raise zmq.ZMQError(errno.EMFILE)

    monkeypatch.setattr("zmqbridge.core.monitor.PAUSE", 0.02)
    failed: list[int] = []
    async with w.Puller(bind=TCP, monitor=True) as puller:
        monitor, events = puller._link.monitor, puller.events()
        monitor.link.pump.hand_over([failed_accept() for _ in range(ACCEPTS + 1)])
        object.__setattr__(puller.socket, "monitor", fails)
        await w.until(lambda: w.reports)
        with pytest.raises(StateUnknown):
            await puller.connected(timeout=5)
        await w.until(lambda: monitor._storm.next_deadline() == math.inf)
        visit(puller, 1)
        await until(events, LEFT)
    assert [type(report) for report in w.reports] == [StateUnknown]


async def test_the_reserve_is_held_while_there_is_a_monitor(w: World) -> None:
    assert len(reserve) == 0
    async with w.Puller(monitor=True), w.Puller(monitor=True) as other:
        assert len(reserve) == SIZE
        other.close()
        assert len(reserve) == SIZE
    assert len(reserve) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_no_reserve() -> None:
    kept = Reserve()
    kept.join("somebody")
    assert kept.fill()
    kept.disown()
    assert len(kept) == 0
    kept.leave("somebody")
    program = """
import os
from zmqbridge._bridge.exhaustion import reserve
reserve.join("somebody")
child = os.fork()
if not child:
    os._exit(len(reserve))
print(len(reserve), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == (f"{SIZE} 0\n", "")


def test_a_reserve_takes_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def dup(descriptor: int) -> int:
        if len(kept) == 3:
            raise OSError(errno.EMFILE, "none left")
        return copy(descriptor)

    kept, copy = Reserve(), os.dup
    monkeypatch.setattr(os, "dup", dup)
    assert not kept.fill()
    assert len(kept) == 4  # one to begin with, which is copied
    kept.empty()


def test_a_reserve_has_room_for_those_who_are_accepted_in_the_meantime() -> None:
    program = """
import os, resource
from zmqbridge._bridge.exhaustion import reserve

def take(count):
    try:
        for _ in range(count):
            os.open(os.devnull, os.O_RDONLY)
    except OSError:
        pass

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
reserve.join("somebody")
take(64)
with reserve.released():
    take(10)  # libzmq's I/O thread, before we get the lock that it holds
    os.pipe()
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_what_was_used_of_the_reserve_is_taken_anew() -> None:
    kept = Reserve()
    kept.join("somebody")
    with kept.released():
        assert len(kept) == 0
    assert len(kept) == SIZE
    kept.leave("somebody")
    assert len(kept) == 0


@pytest.mark.real("the bytes of libzmq's monitor")
async def test_what_is_no_event_is_reported_and_the_next_one_is_told(w: World) -> None:
    async with w.Puller(bind=TCP, monitor=True) as puller:
        events = puller.events()
        await until(events, EventKind.LISTENING)
        monitor = puller._link.monitor
        monitor.link.pump.hand_over([[b"junk"], [struct.pack("=HI", 0x8000, 7), b"\xff"]])
        assert await anext(events) == (0x8000, "\ufffd", 7)
        assert [type(report) for report in w.reports] == [MalformedMessage]
        visit(puller, 1)
        await until(events, EventKind.DISCONNECTED)


@pytest.mark.real("the order of calls on libzmq")
async def test_the_monitor_is_turned_off_before_either_end_of_it_is_closed(w: World) -> None:
    async with w.Puller(bind=TCP, monitor=True) as puller:
        told_of, reading = puller.socket, puller._link.monitor.link.socket
        calls = []

        def monitor(*args: Any) -> None:
            calls.append((*args, told_of.closed, reading.closed))
            zmq.Socket.monitor(told_of, *args)

        object.__setattr__(told_of, "monitor", monitor)
    assert calls == [(None, 0, False, False)]
    assert told_of.closed
    assert reading.closed


async def test_a_socket_that_could_not_be_made_leaves_no_monitor(w: World) -> None:
    async with w.Puller(bind=TCP) as puller:
        await flat(w, functools.partial(in_use, w, puller.addresses[0]), 20)


@pytest.mark.real("MAX_SOCKETS")
@pytest.mark.skipif(not COMPILED, reason="pyzmq's CFFI backend ignores what libzmq says of it")
async def test_a_monitor_that_could_not_be_attached_is_closed(w: World) -> None:
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, 2)  # libzmq's own end of a monitor is the third
    async with w.Puller(context=context) as puller:
        with pytest.raises(ResourcesExhausted, match="MAX_SOCKETS"):
            puller.events()
    ending = threading.Thread(target=context.term, daemon=True)
    ending.start()
    await w.until(lambda: not ending.is_alive())


async def in_use(w: World, address: str) -> None:
    with pytest.raises(ValueError, match="in use"):
        w.Puller(bind=address, monitor=True)


async def test_monitored_sockets_leave_no_descriptors(w: World) -> None:
    await flat(w, functools.partial(monitored, w), 500)


async def monitored(w: World) -> None:
    async with w.Puller(bind=TCP, monitor=True):
        pass


async def flat(w: World, cycle: Any, cycles: int) -> None:
    """Descriptors are as many after this many cycles as after a few."""
    for _ in range(5):
        await cycle()
    await w.sleep(0.02)
    before = descriptors()
    for _ in range(cycles):
        await cycle()
    # libzmq closes in another thread.
    await w.until(lambda: descriptors() <= before + 4)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_socket_may_be_disconnected_before_there_is_a_loop() -> None:
    async def main() -> None:
        async with pusher:
            with pytest.raises(ConnectTimeout):
                await pusher.connected(0.02)
            pusher.connect(address)
            await pusher.connected(10)

    with zmq.Context() as context, context.socket(zmq.PULL) as peer:
        peer.rcvtimeo = 10_000
        address = f"tcp://127.0.0.1:{peer.bind_to_random_port('tcp://127.0.0.1')}"
        pusher = Pusher(connect=address, monitor=True)
        assert pusher._link.monitor.link.socket.poll(10_000)
        pusher.disconnect(address)
        asyncio.run(main())


@pytest.mark.parametrize("w", ["asyncio", "uvloop"], indirect=True)
def test_a_forgotten_socket_is_warned_of_once(w: World) -> None:
    gc.collect()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        w.Puller(bind=TCP, monitor=True)
        gc.collect()
    assert sum("Puller" in str(each.message) for each in warned) == 1


@pytest.mark.parametrize("w", ["epoll", "select", "asyncioreactor"], indirect=True)
async def test_twisted_programs_may_give_a_handler(w: World) -> None:
    told = []

    def handler(event: MonitorEvent) -> Coroutine[Any, Any, Any]:
        told.append(event.kind)
        if event.kind == EventKind.LISTENING:
            raise KeyError("raised")
        return later(event.kind)

    async def later(kind: int) -> None:
        await w.sleep(0)
        if kind == EventKind.ACCEPTED:
            raise KeyError("later")

    async with w.Puller(bind=TCP, monitor=True) as puller:
        with pytest.raises(TypeError, match="handler"):
            puller.events("no function")
        handing_over = puller.events(handler)
        visit(puller, 1)
        await w.until(lambda: EventKind.DISCONNECTED in told)
        assert told[:2] == [EventKind.LISTENING, EventKind.ACCEPTED]
        await w.until(lambda: len(w.reports) == 2)
        assert [str(report) for report in w.reports] == ["'raised'", "'later'"]
        handing_over.close()
        so_far = len(told)
        others = puller.events()
        visit(puller, 1)
        await until(others, EventKind.DISCONNECTED)
        assert len(told) == so_far


@pytest.mark.parametrize("name", ["Requester", "Subscriber", "Puller", "Pusher"])
async def test_a_socket_of_another_type_is_told_of_and_makes_way(
    w: World, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zmqbridge.core.connectionstate.AGAIN", 0.05)
    # libzmq itself never tries an address again at which there was a socket of another type.
    address = f"ipc://{tmp_path}/peer"
    tags = [b""] if name == "Subscriber" else []
    async with getattr(w, name)(*tags, connect=address, monitor=True, options=QUICK) as one:
        async with w.Pair(bind=address):
            with pytest.raises(HandshakeFailed, match="whose type does not fit") as raised:
                await one.connected(10)
            assert raised.value.event.kind == LEFT
        async with getattr(w, PEERS[name])(bind=address):
            await one.connected(10)
