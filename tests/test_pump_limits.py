"""The pump without memory for a copy, with too many stuck peers, and on a loop held up."""
# ruff: noqa: F811  (fixtures of the other file about the pump)

from __future__ import annotations

import errno
import itertools
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from test_pump import (  # noqa: F401
    BOUND,
    context,
    driven,
    interrupt,
    numbered,
    plain,
    send_all,
    set_clock,
    spin,
    until,
)

from zmqbridge import OutOfMemory, PeerUnreachable
from zmqbridge._bridge import patrol
from zmqbridge._bridge.calls import COMPILED
from zmqbridge._bridge.catchup import AT_LEAST, MOST_QUIET, QUIET, RESTS, SETTLES
from zmqbridge._bridge.patrol import APART, FEW, PATROL, Connections
from zmqbridge._bridge.pump import Pump
from zmqbridge.core._pacing import BURST, SLICE

if TYPE_CHECKING:
    from tests.conftest import Make
    from tests.test_pump import Driver

pytestmark = pytest.mark.usefixtures("still")  # tests on time set a clock
TOO_LARGE = 1000  # bytes, from which on there is no memory for a copy


class Starved:
    """A frame whose copy takes more memory than there is."""

    def __init__(self, frame: zmq.Frame) -> None:
        self.frame = frame
        self.more = frame.more
        self.buffer = frame.buffer

    @property
    def bytes(self) -> bytes:
        if len(self.frame) >= TOO_LARGE:
            raise MemoryError
        return self.frame.bytes

    def get(self, option: int) -> Any:
        return self.frame.get(option)


def starve(driver: Driver) -> None:
    recv, send = driver.pump._recv, driver.pump._send

    def starved_recv(flags: int, copy: bool = True) -> Starved:
        got = recv(flags, copy)
        return got if copy else Starved(got)

    def starved_send(part: bytes, flags: int, copy: bool = True) -> None:
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
    driven: Make,
    plain: Make,
    kind: int,
    before: int,
    lost: list[bytes],
) -> None:
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


@needs_frames
@pytest.mark.parametrize("before", [0, 1, 5])
def test_what_raises_when_a_lost_message_is_reported_loses_no_other(
    driven: Any, plain: Any, before: Any
) -> None:
    driver = driven(zmq.PULL, bind="inproc://starved", report=interrupt)
    starve(driver)
    driver.settle()
    peer = plain(zmq.PUSH, "inproc://starved")
    send_all(peer, [*numbered(0, before), [LARGE], *numbered(before, 10)])
    with pytest.raises(KeyboardInterrupt):
        until(lambda: False, driver)
    until(lambda: len(driver.received) == 10, driver)
    assert driver.received == numbered(0, 10)


@pytest.mark.parametrize("message", [[LARGE], [b"head", LARGE, b"tail"], [LARGE, LARGE]])
def test_what_libzmq_cannot_copy_is_sent_from_where_it_is(
    driven: Make, plain: Make, message: list[bytes]
) -> None:
    driver = driven(zmq.PUSH, bind="inproc://starved")
    peer = plain(zmq.PULL, "inproc://starved")
    driver.settle()
    starve(driver)
    driver.pump.send(message)
    driver.pump.send([b"next"])
    assert peer.recv_multipart() == message
    assert peer.recv_multipart() == [b"next"]
    assert driver.pump.sent == 2


def test_what_libzmq_can_neither_copy_nor_take_now_waits(driven: Make, plain: Make) -> None:
    driver = driven(zmq.PUSH, bind="inproc://starved", hwm=1)
    peer = plain(zmq.PULL, "inproc://starved", hwm=1)
    driver.settle()
    starve(driver)
    sent = 0
    while not driver.pump.queued:
        driver.pump.send([LARGE])
        sent += 1
    while sent:
        until(lambda: peer.poll(0), driver)
        assert peer.recv() == LARGE
        sent -= 1
    assert driver.pump.queued == 0


def test_who_sends_is_told_that_there_is_no_memory(driven: Make, plain: Make) -> None:
    def send(part: bytes, flags: int, copy: bool = True) -> None:
        raise zmq.ZMQError(errno.ENOMEM)

    driver = driven(zmq.PUSH, bind="inproc://starved")
    driver.settle()
    real, driver.pump._send = driver.pump._send, send
    with pytest.raises(OutOfMemory, match="1000 bytes"):
        driver.pump.send([LARGE])
    assert driver.owed  # the attempt may have silenced the FD
    driver.settle()
    driver.pump._send = real
    peer = plain(zmq.PULL, "inproc://starved")
    driver.pump.send([b"next"])
    until(lambda: peer.poll(0), driver)
    assert not driver.losses


@pytest.fixture
def crowded(driven: Make, plain: Make) -> Any:
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


def tried(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    tries = []
    monkeypatch.setattr(
        Pump,
        "try_send",
        lambda self, message: tries.append(message[0]) or try_send(self, message),
    )
    return tries


try_send = Pump.try_send


TRYING = 2.5e-6  # seconds, about


def test_many_stuck_peers_cost_a_turn_nothing(
    crowded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, lambda: 100.0, crowded)  # so there is time for all of them
    tries = tried(crowded, monkeypatch)
    for _ in range(10):
        crowded.pump.schedule()
        crowded.settle()
    assert tries == []
    # And a look at all of them is due so seldom that it takes one part in twenty of the time.
    pause = crowded.pump.patrol()
    assert pause == len(crowded.peers) * APART < PATROL
    assert 0.02 < len(crowded.peers) * TRYING / pause < 0.1
    assert sorted(tries) == sorted(b"%d" % number for number in range(len(crowded.peers)))


def test_a_patrol_serves_who_has_room_again_and_goes_on_until_nothing_waits(
    crowded: Any,
) -> None:
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


def test_a_patrol_is_bounded_in_time_and_goes_on_where_it_was(
    crowded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10**6))
    set_clock(monkeypatch, lambda: next(clock), crowded)  # each look a second later
    tries = tried(crowded, monkeypatch)
    crowded.pump.patrol()
    assert len(tries) == 1
    crowded.settle()
    assert sorted(tries) == sorted(b"%d" % number for number in range(len(crowded.peers)))


def test_what_a_queue_has_left_when_time_is_up_goes_out_in_the_next_turns(
    crowded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, peer in enumerate(crowded.peers):
        crowded.pump.send([b"%d" % number, b"another"])
        while peer.poll(0):
            peer.recv()
    assert crowded.pump.queued == 2 * len(crowded.peers)
    clock = iter(range(10**6))
    set_clock(monkeypatch, lambda: next(clock), crowded)
    crowded.pump.patrol()
    assert crowded.pump.queued == 2 * len(crowded.peers) - 1
    crowded.settle()
    assert crowded.pump.queued == 0


def test_of_many_stuck_peers_all_are_asked_for_in_the_time_of_one_patrol(
    driven: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # But each time some of them, because to ask takes longer than to try.
    driver = driven(zmq.ROUTER, bind="inproc://many")
    asked = []
    monkeypatch.setattr(Pump, "try_send", lambda self, message: False)
    monkeypatch.setattr(Connections, "is_silent", lambda self, peer: asked.append(peer) or False)
    many = 300
    for number in range(many):
        driver.pump.send([b"%d" % number, b"x"])
    driver.settle()
    for _ in range(3):
        asked.clear()
        passed = 0
        while passed < PATROL:
            before = len(asked)
            passed += driver.pump.patrol()
            assert len(asked) - before < many / 10
            driver.settle()
        assert len(set(asked)) == many
        assert len(asked) < 2 * many
    # However many they are, each is tried every half second.
    for number in range(many, 100 * many):
        driver.pump.queues[b"%d" % number] = driver.pump.queues[b"0"]
    assert driver.pump.pause_of_patrols() == PATROL == 0.5


def test_where_nothing_else_tells_who_has_gone_a_patrol_reads_on_but_not_without_end(
    driven: Make, plain: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, lambda: 100.0)  # so each burst is a full one
    options = {"ROUTER_MANDATORY": 1, "SNDHWM": 1}
    driver = driven(zmq.ROUTER, bind="inproc://on", hwm=0, socket_options=options)
    driver.room = lambda: 0
    stuck = plain(zmq.DEALER, "inproc://on", hwm=1, IDENTITY=b"stuck")
    asks = plain(zmq.DEALER, "inproc://on", hwm=0, IDENTITY=b"asks")
    driver.settle()
    driver.pump.queues.high = 100_000

    def patrols() -> int:
        driver.settle()
        for _ in range(60):
            driver.pump.patrol()
            received = driver.pump.received
            driver.settle()
            assert driver.pump.received == received  # a patrol only
        return driver.pump.received

    for _ in range(11_000):
        asks.send(b"?")
    assert patrols() == 0  # nobody is stuck
    until(lambda: driver.pump.send([b"stuck", b"x"]) or driver.pump.queued)
    assert 10_000 <= patrols() < 10_500
    # And when it has been served, there is as much for the next who is stuck.
    while driver.pump.patrol() < float("inf"):
        while stuck.poll(0):
            stuck.recv()
        driver.settle()
    until(lambda: driver.pump.send([b"stuck", b"x"]) or driver.pump.queued)
    assert patrols() == 11_000


@pytest.mark.parametrize("slow", [False, True])
def test_a_patrol_that_reads_on_comes_again_soon_and_counts_what_it_has_read(
    driven: Make, plain: Make, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    # On a slow machine a turn reads a few messages in its time.
    clock = (number * SLICE * (0.6 if slow else 0) for number in itertools.count())
    set_clock(monkeypatch, lambda: next(clock))
    monkeypatch.setattr(patrol, "BEYOND", most := 1000)
    options = {"ROUTER_MANDATORY": 1, "SNDHWM": 1}
    driver = driven(zmq.ROUTER, bind="inproc://soon", hwm=0, socket_options=options)
    driver.room = lambda: 0
    plain(zmq.DEALER, "inproc://soon", hwm=1, IDENTITY=b"stuck")
    asks = plain(zmq.DEALER, "inproc://soon", hwm=0, IDENTITY=b"asks")
    driver.settle()
    driver.pump.queues.high = 100_000
    until(lambda: driver.pump.send([b"stuck", b"x"]) or driver.pump.queued)
    for _ in range(2 * most):
        asks.send(b"?")
    driver.settle()
    pauses = [driver.pump.patrol()]
    while pauses[-1] < PATROL:
        driver.settle()
        pauses.append(driver.pump.patrol())
    assert most <= driver.pump.received < most + BURST
    assert set(pauses[:-1]) == {0.02}
    assert slow is (len(pauses) > 50)


def test_by_which_connection_peers_came_is_noted_however_they_are_read_and_anew_by_and_by(
    driven: Make, plain: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def age(connections: Connections) -> float:
        ages.append(now)
        return aged(connections)

    now = 100.0
    ages: list[Any] = []
    aged = Connections.age
    set_clock(monkeypatch, lambda: now)
    monkeypatch.setattr(Connections, "age", age)
    driver = driven(zmq.ROUTER, bind="tcp://127.0.0.1:*")
    address = driver.socket.get(zmq.LAST_ENDPOINT).decode()
    peers = [plain(zmq.DEALER, address, IDENTITY=b"%d" % number) for number in range(2)]
    for read in driver.pump.turn, driver.pump.ring:
        for number, peer in enumerate(peers):
            now += 1.5
            due = now
            for _ in range(2):
                driver.settle()
                peer.send(b"here")
                until(lambda: driver.pump._get(zmq.EVENTS) & zmq.POLLIN)
                read()
                now += 0.1
            assert list(driver.pump._patrol.known) == [b"%d" % number]
            assert ages.pop() == due
            assert ages == []


def test_what_raises_when_a_patrol_reports_leaves_the_others_told_and_served(
    crowded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connections, "has_gone", lambda connections, peer: peer == b"0")
    crowded.room = lambda: 0
    crowded.pump.queue_of([b"0"]).wait("waiter")
    crowded.peers[-1].send(b"unread")
    crowded.report = interrupt
    with pytest.raises(KeyboardInterrupt):
        for _ in range(int(PATROL / crowded.pump.pause_of_patrols()) + 2):
            crowded.pump.patrol()
    assert crowded.woken == ["waiter"]
    assert b"0" not in crowded.pump.queues
    assert crowded.pump.queued == len(crowded.peers) - 1
    assert not crowded.pump._patrol.reads_on  # the round has ended
    crowded.peers[1].recv()
    crowded.settle()
    crowded.pump.patrol()
    assert b"1" not in crowded.pump.queues


def test_a_patrol_gives_up_who_has_gone_where_messages_stay_unread(
    crowded: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def has_gone(connections: Connections, peer: bytes) -> bool:
        lost: Any = {peer: None} if peer < b"2" else {}
        connections.lost |= lost
        return peer < b"2"

    monkeypatch.setattr(Connections, "has_gone", has_gone)
    monkeypatch.setattr(patrol, "BEYOND", 0)
    for unread, room in (False, BURST), (True, BURST), (False, 0):
        crowded.room = lambda: room  # noqa: B023
        for _ in range(int(PATROL / crowded.pump.pause_of_patrols()) + 2):
            if unread:
                crowded.peers[-1].send(b"is read at once")
            crowded.pump.patrol()
            crowded.settle()
        assert len(crowded.pump.queues) == len(crowded.peers)  # libzmq would have told
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
    monkeypatch.setattr(Connections, "has_gone", lambda connections, peer: False)
    back, hears, closed, *_ = gone
    # Who takes a message has come back,
    reads(crowded.peers[int(hears)])
    crowded.settle()  # which brings the news of room
    stall(crowded, hears)
    # and who does not, when all was read and libzmq does not say the same.
    crowded.room = lambda: BURST
    crowded.settle()
    stall(crowded, back)
    crowded.room = lambda: 0
    crowded.peers[-1].send(b"unread")
    for peer in back, hears:
        while peer in crowded.pump.queues:
            reads(crowded.peers[int(peer)])
            crowded.settle()
            crowded.pump.patrol()
        while crowded.pump.try_send([peer, b"x"]):
            pass
        crowded.pump.send([peer, b"x"])  # it waits, like anybody's
        assert peer in crowded.pump.queues
    # Who is unreachable by libzmq's own word needs no other.
    assert closed in crowded.pump._patrol.lost
    crowded.peers[int(closed)].close()
    crowded.room = lambda: BURST
    crowded.settle()
    with pytest.raises(PeerUnreachable):
        until(lambda: crowded.pump.try_send([closed, b"x"]), crowded)
    assert closed not in crowded.pump._patrol.lost


def reads(peer: zmq.Socket[bytes]) -> None:
    while peer.poll(0):
        peer.recv()


def stall(driver: Driver, peer: bytes) -> None:
    while peer not in driver.pump.queues:
        driver.pump.send([peer, b"x"])


class Late:
    """A puller whose loop was held up, its peer, and a clock that stands."""

    def __init__(self, driver: Driver, peer: zmq.Socket[bytes]) -> None:
        self.driver, self.peer, self.now = driver, peer, 100.0

    def sends(self) -> None:
        self.peer.send(b"x")
        until(lambda: self.driver.pump._get(zmq.EVENTS) & zmq.POLLIN)

    def looks(self, late: float) -> int:
        """How often it has to look until it is content, a millisecond apart."""
        for number in range(1, 200):
            if self.driver.pump.caught_up(late + number * SETTLES):
                return number
            self.driver.settle()
            self.now += SETTLES
        raise AssertionError("never")


@pytest.fixture
def late(driven: Make, plain: Make, monkeypatch: pytest.MonkeyPatch) -> Late:
    driver = driven(zmq.PULL, bind="inproc://late")
    late = Late(driver, plain(zmq.PUSH, "inproc://late"))
    driver.settle()
    set_clock(monkeypatch, lambda: late.now, driver)
    return late


def test_before_something_expires_what_has_come_is_read(late: Late) -> None:
    for lateness in (0.0, 0.002):  # a timer that goes off as timers do
        late.sends()
        assert late.looks(lateness - SETTLES) == 1
        assert late.driver.received.pop() == [b"x"]


def test_when_nothing_had_come_a_late_timer_is_not_held_up_more(late: Late) -> None:
    assert late.looks(5.0) == 1


def test_after_a_delay_more_is_waited_for_until_nothing_comes_for_some_milliseconds(
    late: Late,
) -> None:
    assert 0.004 <= QUIET * SETTLES <= 0.03  # as long as others may have a core
    slightly = 0.0065  # with the SETTLES of the first look just above HELD_UP
    for _ in range(2):  # the second time it begins anew
        late.sends()
        assert late.looks(slightly + SETTLES) == 1 + QUIET
    # What comes at the very end of that time has as much after it.
    late.sends()
    for _ in range(QUIET):
        assert not late.driver.pump.caught_up(slightly + 2 * SETTLES)
    late.sends()
    assert late.looks(slightly + SETTLES) == 1 + QUIET
    assert len(late.driver.received) == 4


@pytest.mark.parametrize(("lateness", "wanted"), [(0.06, 30), (0.1, 50), (10, MOST_QUIET)])
def test_the_longer_the_delay_the_longer_it_is_waited_for(
    late: Late, lateness: float, wanted: int
) -> None:
    # On a machine where many processes wait for a core a thread may wait as long as we did.
    assert 0.1 <= MOST_QUIET * SETTLES <= 0.3
    late.sends()
    assert late.looks(lateness - SETTLES) == 1 + wanted


def test_what_was_read_just_before_the_timer_counts_as_well(late: Late) -> None:
    late.sends()
    late.driver.pump.turn()  # as on loops that look at descriptors first
    assert late.looks(0.06 - SETTLES) == 1 + 30
    assert late.looks(0.06 - SETTLES) == 1  # it was the last one


def test_when_more_has_come_than_a_burst_it_is_read_though_the_timer_is_not_late(
    late: Late,
) -> None:
    # The loop was held up until just before this timer was due.
    many = 2 * BURST
    for number in range(many):
        late.peer.send(b"%d" % number)
    assert 0 <= late.looks(-SETTLES) - RESTS / SETTLES <= 5
    assert len(late.driver.received) == many


@pytest.mark.parametrize(("lateness", "at_most"), [(0.05, 1), (5, 5)])
def test_but_not_for_ever_where_messages_never_end(
    late: Late, lateness: float, at_most: int
) -> None:
    for _ in range(2):
        began = late.now
        while True:
            late.sends()
            if late.driver.pump.caught_up(lateness + late.now - began):
                break
            late.now += 0.005
            assert late.now - began < 2 * at_most
        assert late.now - began == pytest.approx(at_most, abs=0.2)


def test_nor_before_many_turns_however_slow_they_are(late: Late) -> None:
    # On trio a turn that wakes hundreds of tasks may take a tenth of a second.
    for number in range(AT_LEAST):
        late.sends()
        done = late.driver.pump.caught_up(0.5 + number / 10)
        assert done is (number == AT_LEAST - 1)
        late.now += 0.1


def test_nor_does_a_reading_that_was_not_needed_to_its_end_shorten_the_next(late: Late) -> None:
    for _ in range(4):  # as when all that waited is answered before
        for number in range(AT_LEAST - 20):
            late.sends()
            assert not late.driver.pump.caught_up(0.5 + number / 10, again=number > 0)
            late.now += 0.1
        late.now += 100


@pytest.mark.parametrize("kind", [zmq.PUSH, zmq.DEALER], ids=["push", "dealer"])
@pytest.mark.parametrize("number", [1, 2, 3], ids=["one was sent", "two", "three"])
def test_a_peer_that_leaves_amid_what_libzmq_cannot_copy_costs_the_next_message_nothing(
    driven: Make, plain: Make, kind: int, number: int
) -> None:
    address = "inproc://leaving"
    driver = driven(kind, bind=address)
    answers = zmq.PULL if kind == zmq.PUSH else zmq.DEALER
    leaving = plain(answers, address)
    until(lambda: int(zmq.Socket.get(driver.socket, zmq.EVENTS)) & zmq.POLLOUT)
    driver.settle()
    starve(driver)
    send, sent = driver.pump._send, []

    def leave(part: bytes, flags: int, copy: bool = True) -> None:
        if not copy or len(part) < TOO_LARGE:
            sent.append(part)
            if len(sent) == number + 1:
                leaving.close()
                assert driver.rings(1000 * BOUND)
                spin()
        send(part, flags, copy)

    driver.pump._send = leave
    broken = [b"head", LARGE, LARGE, b"tail"]
    driver.pump.send(broken)
    driver.pump._send = send
    kept = driver.pump.queued
    assert kept == 1 or kind == zmq.PUSH  # which may be told of a peer's whole leaving at once
    driver.pump.send([b"after", b"it"])
    peer = plain(answers, address)
    until(lambda: not driver.pump.queues, driver)
    driver.pump.send([b"last"])
    taken = []
    while [b"last"] not in taken:
        until(lambda: peer.poll(0), driver)
        taken.append(peer.recv_multipart())
    assert taken == [broken] * kept + [[b"after", b"it"], [b"last"]]
