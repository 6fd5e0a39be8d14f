"""The pump without memory for a copy, and with more stuck peers than it can try each time."""
# ruff: noqa: F811  (fixtures of the other file about the pump)

from __future__ import annotations

import errno

import pytest
import zmq
from test_pump import context, driven, numbered, plain, send_all, until  # noqa: F401

from zmqbridge import OutOfMemory, PeerUnreachable
from zmqbridge import pump as module
from zmqbridge.plain import COMPILED
from zmqbridge.pump import FEW, PATROL

TOO_LARGE = 1000  # bytes, from which on there is no memory for a copy


class Starved:
    """A frame whose copy takes more memory than there is."""

    def __init__(self, frame):
        self.frame = frame
        self.more = frame.more
        self.buffer = frame.buffer

    @property
    def bytes(self):
        if len(self.frame) >= TOO_LARGE:
            raise MemoryError
        return self.frame.bytes

    def get(self, option):
        return self.frame.get(option)


def starve(driver):
    recv, send = driver.pump._recv, driver.pump._send

    def starved_recv(flags, copy=True):
        got = recv(flags, copy)
        return got if copy else Starved(got)

    def starved_send(part, flags, copy=True):
        if copy and len(part) >= TOO_LARGE:
            raise zmq.ZMQError(errno.ENOMEM)
        send(part, flags, copy)

    driver.pump._recv, driver.pump._send = starved_recv, starved_send


LARGE = bytes(TOO_LARGE)
needs_frames = pytest.mark.skipif(not COMPILED, reason="there are no frames to wrap")


@needs_frames
@pytest.mark.parametrize(
    "lost",
    [[LARGE], [LARGE, b"tail"], [b"head", LARGE, b"tail"], [b"head", LARGE], [LARGE] * 3],
    ids=["alone", "first", "amid", "last", "all"],
)
@pytest.mark.parametrize("before", [0, 5])
@pytest.mark.parametrize("kind", [zmq.PULL, zmq.ROUTER])
def test_a_message_that_cannot_be_copied_is_lost_whole_and_alone(
    driven,
    plain,
    kind,
    before,
    lost,
):
    driver = driven(kind, bind="inproc://starved")
    starve(driver)
    driver.settle()
    peer = plain(zmq.PUSH if kind == zmq.PULL else zmq.DEALER, "inproc://starved")
    messages = [[*message, b"end"] for message in numbered(0, 20)]
    send_all(peer, messages[:before])
    send_all(peer, [lost])
    send_all(peer, messages[before:])
    until(lambda: len(driver.received) == 20, driver)
    driver.settle()
    assert [message[-2:] for message in driver.received] == messages
    (report,) = driver.reports
    assert type(report) is OutOfMemory
    assert str(TOO_LARGE) in str(report)
    assert (driver.pump.received, driver.pump.lost) == (21, 1)
    assert not driver.losses
    # It hears what comes later, too.
    send_all(peer, [[b"later"]])
    until(lambda: driver.received[-1][-1] == b"later", driver)


@pytest.mark.parametrize("message", [[LARGE], [b"head", LARGE, b"tail"], [LARGE, LARGE]])
def test_what_libzmq_cannot_copy_is_sent_from_where_it_is(driven, plain, message):
    driver = driven(zmq.PUSH, bind="inproc://starved")
    peer = plain(zmq.PULL, "inproc://starved")
    driver.settle()
    starve(driver)
    driver.pump.send(message)
    driver.pump.send([b"next"])
    assert peer.recv_multipart() == message
    assert peer.recv_multipart() == [b"next"]
    assert driver.pump.sent == 2


def test_who_sends_is_told_that_there_is_no_memory(driven, plain):
    def send(part, flags, copy=True):
        raise zmq.ZMQError(errno.ENOMEM)

    driver = driven(zmq.PUSH, bind="inproc://starved")
    real, driver.pump._send = driver.pump._send, send
    with pytest.raises(OutOfMemory, match="1000 bytes"):
        driver.pump.send([LARGE])
    driver.settle()
    driver.pump._send = real
    peer = plain(zmq.PULL, "inproc://starved")
    driver.pump.send([b"next"])
    until(lambda: peer.poll(0), driver)
    assert not driver.losses


@pytest.fixture
def crowded(driven, plain):
    """A ROUTER with messages waiting for more stuck peers than are tried in each turn."""
    driver = driven(zmq.ROUTER, bind="inproc://many", hwm=1, socket_options={"ROUTER_MANDATORY": 1})
    peers = [
        plain(zmq.DEALER, "inproc://many", hwm=1, IDENTITY=b"%d" % number)
        for number in range(FEW + 5)
    ]
    driver.settle()
    for number in range(len(peers)):
        while not driver.pump.queued > number:
            driver.pump.send([b"%d" % number, b"x"])
    driver.settle()
    driver.peers = peers
    return driver


def tried(driver, monkeypatch):
    tries = []
    monkeypatch.setattr(
        module.Pump,
        "try_send",
        lambda self, message: tries.append(message[0]) or try_send(self, message),
    )
    return tries


try_send = module.Pump.try_send


def test_many_stuck_peers_cost_a_turn_nothing(crowded, monkeypatch):
    tries = tried(crowded, monkeypatch)
    for _ in range(10):
        crowded.pump.schedule()
        crowded.settle()
    assert tries == []
    # And a look at all of them is due so seldom that it takes one part in twenty of the time.
    pause = crowded.pump.patrol()
    assert pause == len(crowded.peers) * module.APART < PATROL
    assert sorted(tries) == sorted(b"%d" % number for number in range(len(crowded.peers)))


def test_a_patrol_serves_who_has_room_again_and_goes_on_until_nothing_waits(crowded):
    for number, peer in enumerate(crowded.peers):
        crowded.pump.send([b"%d" % number, b"another"])
        while peer.poll(0):
            peer.recv()
    assert crowded.pump.queued == 2 * len(crowded.peers)
    while crowded.pump.patrol() < float("inf"):
        for peer in crowded.peers:
            while peer.poll(0):
                peer.recv()
        crowded.settle()
    assert crowded.pump.queued == 0
    assert crowded.pump.patrol() == float("inf")  # as one comes by when all has gone out by turns


def test_a_patrol_is_bounded_in_time_and_goes_on_where_it_was(crowded, monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(module, "monotonic", lambda: next(clock))  # each look a second later
    tries = tried(crowded, monkeypatch)
    crowded.pump.patrol()
    assert len(tries) == 1
    crowded.settle()
    assert sorted(tries) == sorted(b"%d" % number for number in range(len(crowded.peers)))


def test_a_patrol_gives_up_who_has_gone_where_messages_stay_unread(crowded, monkeypatch):
    def has_gone(connections, peer):
        connections.lost |= {peer: None} if peer < b"2" else {}
        return peer < b"2"

    monkeypatch.setattr(module.Connections, "has_gone", has_gone)
    monkeypatch.setattr(module, "BEYOND", 0)
    for _ in range(int(PATROL / crowded.pump.pause_of_patrols()) + 2):
        crowded.pump.patrol()
        crowded.settle()
    assert len(crowded.pump.queues) == len(crowded.peers)  # libzmq would have told
    crowded._room = lambda: 0
    for peer in crowded.peers[-3:]:
        peer.send(b"unread")
    gone = [peer for peer in crowded.pump.queues if peer < b"2"]
    pause = 0
    for _ in range(int(PATROL / crowded.pump.pause_of_patrols()) + 2):
        pause = crowded.pump.patrol()
        crowded.settle()
    assert set(crowded.pump.queues).isdisjoint(gone)
    assert pause == PATROL if len(crowded.pump.queues) <= FEW else pause < PATROL
    assert {report.peer for report in crowded.reports} == set(gone)
    assert crowded.pump.unreachable == crowded.pump.dropped == len(gone)
    with pytest.raises(PeerUnreachable):
        crowded.pump.send([gone[0], b"x"])
    # When all was read, and libzmq does not say the same, it has come back.
    crowded._room = lambda: module.BURST
    crowded.settle()
    crowded.pump.send([gone[0], b"x"])
    assert gone[0] in crowded.pump.queues
