"""The pump's rules, each on real libzmq sockets and without any event loop."""

from __future__ import annotations

import itertools
import math
import select
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zmqbridge import (
    ContextTerminated,
    MalformedMessage,
    PeerUnreachable,
    QueueFull,
    SocketClosed,
)
from zmqbridge._bridge import iothreads, sending
from zmqbridge._bridge.bridgedsocket import BridgedSocket
from zmqbridge._bridge.iothreads import LARGE_BURST, Holding, OwnContext
from zmqbridge._bridge.pump import Pump
from zmqbridge.core._pacing import BURST, SHORTEST, SLICE
from zmqbridge.core.patterns import NOTHING
from zmqbridge.core.sendqueue import HIGH

if TYPE_CHECKING:
    from tests.conftest import Make

DONTWAIT = zmq.DONTWAIT
BOUND = 3  # seconds that anything may take; all of it takes milliseconds
pytestmark = pytest.mark.usefixtures("still")  # tests on time set a clock


class Driver:
    """A pump with the least driver: one turn for each ring and each request, none besides."""

    def __init__(self, socket: BridgedSocket, **options: Any) -> None:
        self.socket = socket
        self.received: list[list[bytes]] = []
        self.bursts: list[int] = []
        self.woken: list[Any] = []
        self.reports: list[Any] = []
        self.losses: list[Any] = []
        self.report = self.reports.append
        self.room = lambda: BURST
        self.rejected = None
        self.asked = self.turns = 0
        self.owed = False
        high = options.pop("high", HIGH)
        vars(self).update(options)
        me: Any = self
        self.pump = Pump(socket, me, me, self.losses.append, high)
        socket.watch(self.pump)
        self.fd = select.poll()
        self.fd.register(int(zmq.Socket.get(socket, zmq.FD)), select.POLLIN)

    def feed(self, burst: list[list[bytes]]) -> tuple[Any, Any]:
        self.deliver(burst)
        return (), NOTHING

    def deliver(self, burst: list[list[bytes]]) -> None:
        self.bursts.append(len(burst))
        self.received += burst

    def tell(self, waiters: Any, results: Any = NOTHING) -> None:
        self.woken += waiters

    def call_soon(self) -> None:
        assert not self.owed, "asked for a second turn before the first"
        self.owed = True
        self.asked += 1

    def rings(self, milliseconds: int = 0) -> bool:
        return bool(self.fd.poll(milliseconds))

    def step(self, milliseconds: int = 0) -> bool:
        """Do what an honest loop would do now; True if there was anything to do."""
        if self.owed:
            self.turn()
        elif self.rings(milliseconds):
            self.turns += 1
            self.pump.ring()
        else:
            return False
        return True

    def turn(self) -> None:
        self.owed = False
        self.turns += 1
        self.pump.turn()

    def settle(self) -> None:
        """Run turns until the pump owes none and the FD is quiet; fail when it spins."""
        for _ in range(1000):
            if not self.step():
                return
        raise AssertionError("the pump spins")


def until(condition: Callable[..., object], *drivers: Driver) -> None:
    end = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < end, "it never came"
        for driver in drivers:
            driver.step(1)


def has_sent_all(driver: Driver, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while driver.pump.queues and time.monotonic() < end:
        driver.step(1)
    return not driver.pump.queues


def before(pump: Pump, name: str, number: int, action: Callable[[], object]) -> None:
    """Let something happen just before the pump's next call number so-and-so of libzmq."""
    call, calls = getattr(pump, name), itertools.count(1)

    def called(*arguments: Any) -> Any:
        if next(calls) == number:
            action()
        return call(*arguments)

    setattr(pump, name, called)


def set_clock(
    monkeypatch: pytest.MonkeyPatch, monotonic: Callable[[], float], *drivers: Driver
) -> None:
    """Have the pumps of these drivers read this clock, and every pump that is made from now on."""
    monkeypatch.setattr(sending, "clock_of", lambda socket: monotonic)
    for driver in drivers:
        driver.pump.monotonic = monotonic


@pytest.fixture
def context() -> Iterator[zmq.Context[Any]]:
    with zmq.Context() as context:
        yield context


@pytest.fixture
def plain(context: zmq.Context[Any]) -> Iterator[Make]:
    """Make a pyzmq socket: its kind, an address to connect to, its options."""
    sockets = []

    def make(
        kind: int,
        connect: str | None = None,
        *,
        bind: str | None = None,
        hwm: int = 1000,
        cls: type[Any] = zmq.Socket,
        **options: Any,
    ) -> Any:
        socket = cls(context, kind)
        socket.set(zmq.LINGER, 100)
        socket.set_hwm(hwm)
        for name, value in options.items():
            socket.set(getattr(zmq, name), value)
        if bind:
            socket.bind(bind)
        if connect:
            socket.connect(connect)
        sockets.append(socket)
        return socket

    yield make
    for socket in sockets:
        socket.close(100)


@pytest.fixture
def driven(plain: Make) -> Make:
    """Make a socket with a pump; what the pump takes is told apart by its names."""

    def make(
        kind: int,
        connect: str | None = None,
        *,
        bind: str | None = None,
        hwm: int = 1000,
        socket_options: dict[str, bytes | int] | None = None,
        **options: Any,
    ) -> Any:
        socket = plain(
            kind, connect, bind=bind, hwm=hwm, cls=BridgedSocket, **(socket_options or {})
        )
        return Driver(socket, **options)

    return make


def interrupt(error: Any) -> None:
    """What shows an error to the program, and is interrupted while it does."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("by", ["ring", "turn"])
def test_what_raises_when_a_malformed_message_is_reported_loses_nothing(
    driven: Any, plain: Any, by: Any
) -> None:
    driver = driven(zmq.PULL, bind="inproc://malformed", report=interrupt)
    driver.settle()

    def feed(burst: list[list[bytes]]) -> tuple[Any, Any]:
        driver.deliver(burst)
        driver.rejected = MalformedMessage("no", burst[-1])
        waiters.append(burst[0])
        return burst[:1], [None]

    driver.feed = feed
    waiters: list[Any] = []
    send_all(plain(zmq.PUSH, "inproc://malformed"), numbered(0, 3))
    assert driver.rings(1000)
    with pytest.raises(KeyboardInterrupt):
        getattr(driver.pump, by)()
    driver.report = driver.reports.append
    until(lambda: len(driver.received) == 3, driver)
    assert driver.woken == waiters


def numbered(first: int, last: int) -> list[list[bytes]]:
    return [[b"%d" % number] for number in range(first, last)]


def send_all(socket: zmq.Socket[bytes], messages: list[list[bytes]]) -> None:
    for message in messages:
        socket.send_multipart(message, DONTWAIT)


def sent_until_full(send: Callable[..., Any]) -> int:
    """How many messages a plain socket takes before it would block."""
    for number in itertools.count():
        try:
            send(b"%d" % number)
        except zmq.Again:
            return number
    raise AssertionError


# Receiving.


def test_a_turn_reads_events_once_and_again_after_the_first_message(
    driven: Make, plain: Make
) -> None:
    puller = driven(zmq.PULL, bind="inproc://it")
    pusher = plain(zmq.PUSH, "inproc://it")
    options = []
    get = puller.pump._get
    puller.pump._get = lambda option: options.append(option) or get(option)
    for messages, times in ([], 1), (numbered(0, 1), 2), (numbered(1, 100), 2):
        options.clear()
        send_all(pusher, messages)
        puller.turn()
        assert options == times * [zmq.EVENTS]
    assert puller.received == numbered(0, 100)
    assert puller.pump.received == 100


def test_a_message_that_rang_and_its_answer_cost_one_turn(driven: Make, plain: Make) -> None:
    # The one with which the ring ends; or the one that is due, and then the ring asks no EVENTS.
    dealer = driven(zmq.DEALER, bind="inproc://it")
    asking = plain(zmq.DEALER, "inproc://it")
    dealer.deliver = lambda burst: dealer.pump.send([b"answer"])
    options, get = [], dealer.pump._get
    dealer.pump._get = lambda option: options.append(option) or get(option)
    for due in (False, True):
        dealer.settle()
        if due:
            dealer.pump.schedule()
        options.clear()
        asking.send(b"?", DONTWAIT)
        dealer.pump.ring()
        assert asking.recv(DONTWAIT) == b"answer"
        assert dealer.owed == due
        assert options == [zmq.EVENTS] * (not due)


def test_a_turn_amid_a_delivery_leaves_the_pump_able_to_ask_for_more(
    driven: Make, plain: Make
) -> None:
    puller = driven(zmq.PULL, bind="inproc://it")
    pusher = plain(zmq.PUSH, "inproc://it")
    pusher.send(b"first", DONTWAIT)
    puller.settle()
    puller.deliver = lambda burst: puller.owed and puller.turn()  # as a nested loop would
    pusher.send(b"it rings", DONTWAIT)
    puller.pump.schedule()
    puller.pump.ring()
    puller.pump.schedule()
    assert puller.owed


def test_a_burst_is_bounded_and_another_turn_takes_the_rest(driven: Make, plain: Make) -> None:
    puller = driven(zmq.PULL, bind="inproc://it", room=lambda: math.inf)
    pusher = plain(zmq.PUSH, "inproc://it")
    messages = [[b"%d" % number, b"", b"rest"] for number in range(3 * BURST)]
    send_all(pusher, messages)
    puller.turn()
    assert puller.received == messages[: BURST // 4]
    assert puller.owed
    puller.settle()
    assert puller.bursts == [BURST // 4, BURST // 2, BURST, BURST, BURST // 4]
    assert puller.received == messages


def test_bursts_that_take_long_to_handle_become_short_and_long_again(
    driven: Make, plain: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    set_clock(monkeypatch, lambda: now)
    puller = driven(zmq.PULL, bind="inproc://it", room=lambda: math.inf)
    pusher = plain(zmq.PUSH, "inproc://it")
    for slices, least in ((2.5, SHORTEST), (1.5, SHORTEST), (0.5, BURST)):
        for _ in range(10):
            pusher.get(zmq.EVENTS)  # takes notice of room now; a send looks for it once in 1 ms
            sent_until_full(lambda part: pusher.send(part, DONTWAIT))
            puller.turn()
            now += slices * SLICE
        assert puller.bursts[-1] == least


def test_a_burst_is_bounded_in_time(
    driven: Make, plain: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(1000.0, SLICE * 0.6)  # each look at it is most of a slice later
    set_clock(monkeypatch, lambda: next(clock))
    puller = driven(zmq.PULL, bind="inproc://it")
    pusher = plain(zmq.PUSH, "inproc://it")
    send_all(pusher, numbered(0, 100))
    puller.turn()
    assert 0 < len(puller.received) < 50
    assert puller.owed
    puller.settle()
    assert puller.received == numbered(0, 100)
    assert max(puller.bursts) < 50


def test_a_loop_that_refuses_a_turn_has_nothing_sent_twice(driven: Make, plain: Make) -> None:
    def refuse() -> None:
        raise RuntimeError("it is closed")

    dealer = driven(zmq.DEALER, bind="inproc://it")
    peer = plain(zmq.DEALER, "inproc://it")
    dealer.settle()
    dealer.call_soon = refuse
    with pytest.raises(RuntimeError):
        dealer.pump.send([b"once"])
    assert dealer.pump.sent == 1
    assert peer.recv(DONTWAIT) == b"once"
    with pytest.raises(zmq.Again):
        peer.recv(DONTWAIT)


@pytest.mark.parametrize(("size", "burst"), [(1_048_576, 1), (65_536, 4), (2000, 100)])
def test_a_burst_is_bounded_in_bytes(driven: Make, plain: Make, size: int, burst: int) -> None:
    puller = driven(zmq.PULL, bind="inproc://it")
    pusher = plain(zmq.PUSH, "inproc://it")
    for _ in range(100):
        pusher.send_multipart([b"header", bytes(size)], DONTWAIT)
    puller.turn()
    assert len(puller.received) == burst
    puller.settle()
    assert len(puller.received) == 100
    assert set(puller.bursts) == {burst}


def test_what_nobody_keeps_is_gone_before_the_next_message_is_read(
    driven: Make, plain: Make
) -> None:
    tracemalloc = pytest.importorskip(
        "tracemalloc", exc_type=ImportError, reason="PyPy traces no memory"
    )
    size = 1_048_576
    body = bytes(size)
    left = 10

    def handle(burst: list[list[bytes]]) -> None:
        nonlocal left
        left -= 1
        if left:
            pusher.send(body, DONTWAIT)  # it is there when the pump reads on

    puller = driven(zmq.PULL, bind="inproc://it", deliver=handle)
    pusher = plain(zmq.PUSH, "inproc://it")
    puller.settle()
    tracemalloc.start()
    try:
        pusher.send(body, DONTWAIT)
        until(lambda: not left, puller)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < peak < 2 * size


def test_a_paused_turn_silences_the_fd_and_reads_nothing(driven: Make, plain: Make) -> None:
    room = 3
    puller: Any = driven(
        zmq.PULL, bind="inproc://it", hwm=5, room=lambda: room - len(puller.received)
    )
    pusher = plain(zmq.PUSH, "inproc://it", hwm=5)
    puller.settle()
    assert sent_until_full(lambda part: pusher.send(part, DONTWAIT)) == 10
    puller.settle()
    assert puller.received == numbered(0, 3)
    taken = sent_until_full(lambda part: pusher.send(part, DONTWAIT))
    assert taken <= 3  # what is unread pushes back on the peer
    turns = puller.turns
    assert not puller.owed
    assert not puller.rings(20)
    room = 1000
    puller.pump.schedule()
    puller.settle()
    assert puller.received == numbered(0, 10) + numbered(0, taken)
    assert puller.turns <= turns + 3


@pytest.mark.parametrize("room", [1, 3])
def test_a_room_that_is_smaller_than_a_burst_bounds_it(
    driven: Make, plain: Make, room: int
) -> None:
    puller = driven(zmq.PULL, bind="inproc://it", room=lambda: room)
    pusher = plain(zmq.PUSH, "inproc://it")
    puller.settle()
    send_all(pusher, numbered(0, 10))
    puller.settle()
    assert max(puller.bursts) == room
    assert puller.received == numbered(0, 10)


def test_a_paused_reader_that_waits_for_room_to_send_does_not_spin(
    driven: Make, plain: Make
) -> None:
    dealer = driven(zmq.DEALER, bind="inproc://it", hwm=2, room=lambda: 0)
    peer = plain(zmq.DEALER, "inproc://it", hwm=2)
    dealer.settle()
    send_all(peer, numbered(0, 1))
    for message in numbered(0, 5):
        dealer.pump.send(message)
    dealer.settle()
    assert dealer.pump.queued == 1
    assert not dealer.rings(20)


# The edge.


def refused(call: Callable[..., Any], *arguments: Any) -> None:
    with pytest.raises(zmq.ZMQError):
        call(*arguments)


TOUCHES = {
    "get": lambda s: s.get(zmq.EVENTS),
    "getsockopt": lambda s: s.getsockopt(zmq.EVENTS),
    "attribute": lambda s: s.EVENTS,
    "set": lambda s: s.set(zmq.LINGER, 1),
    "setsockopt": lambda s: s.setsockopt(zmq.LINGER, 1),
    "set attribute": lambda s: setattr(s, "linger", 1),
    "set_string": lambda s: s.set_string(zmq.SOCKS_PROXY, "x"),
    "get_string": lambda s: s.get_string(zmq.LAST_ENDPOINT),
    "hwm": lambda s: s.set_hwm(7),
    "connect": lambda s: s.connect("inproc://nobody"),
    "bind": lambda s: s.bind("inproc://another"),
    "unbind": lambda s: s.unbind("inproc://edge"),
    "disconnect": lambda s: (s.connect("inproc://other"), s.disconnect("inproc://other")),
    "recv": lambda s: s.recv(DONTWAIT),
    "recv_multipart": lambda s: s.recv_multipart(DONTWAIT),
    "recv_string": lambda s: s.recv_string(DONTWAIT),
    "send": lambda s: s.send(b"x", DONTWAIT),
    "send_multipart": lambda s: s.send_multipart([b"x", b"y"], DONTWAIT),
    "send_string": lambda s: s.send_string("x", DONTWAIT),
    "failing set": lambda s: refused(s.set, zmq.SNDHWM, -1),
    "failing connect": lambda s: refused(s.connect, "nonsense"),
    "poll": lambda s: s.poll(0),
}


@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES)
def test_touching_the_raw_socket_makes_nobody_deaf(
    driven: Make, plain: Make, touch: Callable[..., Any]
) -> None:
    dealer = driven(zmq.DEALER, bind="inproc://edge")
    peer = plain(zmq.DEALER, "inproc://edge")
    dealer.settle()
    send_all(peer, numbered(0, 3))
    assert dealer.rings()
    touch(dealer.socket)
    assert dealer.asked == 1
    dealer.socket.get(zmq.EVENTS)
    assert dealer.asked == 1  # one turn, for however many touches
    dealer.settle()
    assert dealer.received[-1] == [b"2"]
    assert len(dealer.received) >= 2


@pytest.mark.parametrize("method", ["subscribe", "unsubscribe"])
def test_subscribing_makes_nobody_deaf(driven: Make, plain: Make, method: str) -> None:
    subscriber = driven(zmq.SUB, bind="inproc://edge", socket_options={"SUBSCRIBE": b""})
    publisher = plain(zmq.PUB, "inproc://edge")
    subscriber.settle()
    until(lambda: publisher.poll(0, zmq.POLLOUT))
    send_all(publisher, numbered(0, 3))
    assert subscriber.rings()
    getattr(subscriber.socket, method)(b"never sent")
    assert subscriber.asked == 1
    subscriber.settle()
    assert subscriber.received == numbered(0, 3)


def test_sending_makes_nobody_deaf_and_asks_for_one_turn(driven: Make, plain: Make) -> None:
    dealer = driven(zmq.DEALER, bind="inproc://edge")
    peer = plain(zmq.DEALER, "inproc://edge")
    dealer.settle()
    send_all(peer, numbered(0, 3))
    for _ in range(10):
        dealer.pump.send([b"x"])
    assert dealer.asked == 1
    dealer.settle()
    assert dealer.received == numbered(0, 3)
    dealer.pump.send([b"x"])
    assert dealer.asked == 2


@pytest.mark.parametrize(("kind", "peer"), [(zmq.PUSH, zmq.PULL), (zmq.PUB, zmq.SUB)])
def test_who_cannot_receive_asks_for_no_turn_to_send(
    driven: Make, plain: Make, kind: int, peer: int
) -> None:
    sender = driven(kind, bind="inproc://edge")
    plain(peer, "inproc://edge")
    sender.settle()
    for _ in range(10):
        sender.pump.send([b"a", b"b"])
    assert sender.asked == 0
    assert sender.pump.sent == 10


def test_sending_to_nobody_makes_no_router_deaf(driven: Make, plain: Make) -> None:
    router = driven(zmq.ROUTER, bind="inproc://edge", socket_options={"ROUTER_MANDATORY": 1})
    dealer = plain(zmq.DEALER, "inproc://edge", IDENTITY=b"it")
    router.settle()
    dealer.send(b"here", DONTWAIT)
    spin()
    with pytest.raises(PeerUnreachable):
        router.pump.send([b"nobody", b"x"])
    until(lambda: router.received == [[b"it", b"here"]], router)


def spin() -> None:
    """Wait out the millisecond in which libzmq sends without a look at what came."""
    end = time.monotonic() + 0.005
    while time.monotonic() < end:
        pass


@pytest.mark.parametrize(("unread", "asks", "times"), [(1, "_get", 2), (2, "_recv", 3)])
def test_room_that_comes_while_a_turn_reads_is_not_missed(
    driven: Make, plain: Make, unread: int, asks: str, times: int
) -> None:
    dealer = driven(zmq.DEALER, bind="inproc://edge", hwm=2)
    peer = plain(zmq.DEALER, "inproc://edge", hwm=2)
    dealer.settle()
    for message in numbered(0, 5):
        dealer.pump.send(message)
    dealer.settle()
    assert dealer.pump.queued == 1
    taken = []
    send_all(peer, numbered(0, unread))
    # The turn has seen that there is no room; then there is, and its last question swallows that.
    before(dealer.pump, asks, times, lambda: taken.extend(drained(peer)))
    until(lambda: not dealer.pump.queued, dealer)
    assert taken + drained(peer) == numbered(0, 5)


def test_a_message_that_comes_while_a_router_flushes_again_is_not_missed(
    driven: Make, plain: Make
) -> None:
    # The simulation has found this by seed 4995: a request that was never answered.
    options = {"ROUTER_MANDATORY": 1}
    router = driven(zmq.ROUTER, bind="inproc://edge", hwm=1, socket_options=options)
    dealer = plain(zmq.DEALER, "inproc://edge", hwm=1, IDENTITY=b"it")
    router.settle()
    for _ in range(3):  # libzmq takes two of them
        router.pump.send([b"it", b"x"])
    router.settle()
    assert router.pump.queued == 1
    # A turn finds no room, and when it asks again there is some. Before it sends, something comes.
    before(router.pump, "_get", 2, lambda: drained(dealer))
    before(router.pump, "_send", 2, lambda: (dealer.send(b"here", DONTWAIT), spin()))
    router.pump.schedule()
    router.settle()
    assert not router.pump.queues
    assert router.received == [[b"it", b"here"]]


def test_a_stuck_peer_that_leaves_after_a_router_flushed_again_is_not_missed(
    router: Driver, member: Make
) -> None:
    leaving = member(b"leaving")
    for message in to(b"leaving", 0, 7):
        router.pump.send(message)
    router.settle()

    # The second reading tells libzmq that the peer leaves, its answer comes before a third one.
    before(router.pump, "_get", 2, lambda: (leaving.close(0), spin()))
    before(router.pump, "_get", 3, spin)
    router.pump.schedule()
    router.settle()
    until(lambda: router.reports, router)
    assert router.pump.queues == {}


def test_room_that_comes_at_the_end_of_a_flush_is_not_missed(driven: Make, plain: Make) -> None:
    pusher = driven(zmq.PUSH, bind="inproc://edge", hwm=2)
    peer = plain(zmq.PULL, "inproc://edge", hwm=2)
    pusher.settle()
    for message in numbered(0, 10):
        pusher.pump.send(message)
    pusher.settle()
    taken = drained(peer)
    assert taken
    # The flush fills the pipe again; before the turn ends the peer empties it.
    before(pusher.pump, "_get", 2, lambda: taken.extend(drained(peer)))
    until(lambda: taken.extend(drained(peer)) or len(taken) == 10, pusher)
    assert taken == numbered(0, 10)


def drained(socket: zmq.Socket[bytes]) -> list[list[bytes]]:
    messages = []
    while True:
        try:
            messages.append(socket.recv_multipart(DONTWAIT))
        except zmq.Again:
            return messages


# Sending.


def test_what_waits_goes_out_in_order_when_room_comes(driven: Make, plain: Make) -> None:
    pusher = driven(zmq.PUSH, bind="inproc://it", hwm=2)
    peer = plain(zmq.PULL, "inproc://it", hwm=2)
    pusher.settle()
    for message in numbered(0, 20):
        pusher.pump.send(message)
    pusher.settle()
    assert pusher.pump.sent == 4
    assert pusher.pump.queued == 16
    assert not pusher.rings(20)
    taken = []
    until(lambda: taken.extend(drained(peer)) or len(taken) == 20, pusher)
    assert taken == numbered(0, 20)
    assert pusher.pump.queues == {}
    assert pusher.pump.sent == 20


def test_nothing_overtakes_what_waits(driven: Make, plain: Make) -> None:
    pusher = driven(zmq.PUSH, bind="inproc://it")
    pusher.pump.send([b"0"])
    peer = plain(zmq.PULL, "inproc://it")
    until(lambda: pusher.rings(1))
    spin()
    pusher.pump.send([b"1"])  # libzmq has room for it, and has not yet got the other
    pusher.settle()
    assert drained(peer) == numbered(0, 2)


def test_a_flush_is_bounded_in_time(
    driven: Make, plain: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    pusher = driven(zmq.PUSH, bind="inproc://it")
    for message in numbered(0, 100):
        pusher.pump.send(message)
    peer = plain(zmq.PULL, "inproc://it")
    until(lambda: pusher.rings(1))
    clock = itertools.count(1000.0, SLICE * 0.3)
    set_clock(monkeypatch, lambda: next(clock), pusher)
    pusher.turn()
    assert 0 < pusher.pump.sent < 10
    assert pusher.owed
    pusher.settle()
    assert drained(peer) == numbered(0, 100)


def test_a_full_queue_hands_the_message_back(driven: Make, plain: Make) -> None:
    pusher = driven(zmq.PUSH, bind="inproc://it", high=2)
    for message in numbered(0, 2):
        pusher.pump.send(message)
    with pytest.raises(QueueFull) as refused:
        pusher.pump.send([b"2", b"rest"])
    assert refused.value.message == [b"2", b"rest"]
    assert pusher.pump.queued == 2
    peer = plain(zmq.PULL, "inproc://it")
    until(lambda: not pusher.pump.queues, pusher)
    assert drained(peer) == numbered(0, 2)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [([b"1", "2"], TypeError), ([b"1", b"2", None], TypeError), ([1], TypeError), ([], ValueError)],
)
def test_a_wrong_message_leaves_no_half_in_the_socket(
    driven: Make,
    plain: Make,
    wrong: list[bytes | int | str | None],
    error: type[Exception],
) -> None:
    pusher = driven(zmq.PUSH, bind="inproc://it")
    peer = plain(zmq.PULL, "inproc://it")
    pusher.settle()
    with pytest.raises(error):
        pusher.pump.send(wrong)
    pusher.pump.send([b"whole", b"message"])
    assert drained(peer) == [[b"whole", b"message"]]
    assert pusher.pump.sent == 1


def test_parts_that_their_owner_can_change_are_copied(driven: Make, plain: Make) -> None:
    pusher = driven(zmq.PUSH, bind="inproc://it")
    part = bytearray(b"as sent")
    pusher.pump.send([part, memoryview(b"viewed")])
    part[:] = b"changed"
    peer = plain(zmq.PULL, "inproc://it")
    until(lambda: not pusher.pump.queues, pusher)
    assert drained(peer) == [[b"as sent", b"viewed"]]


def test_senders_that_wait_are_resumed_when_the_queue_is_empty(driven: Make, plain: Make) -> None:
    pusher = driven(zmq.PUSH, bind="inproc://it")
    pusher.pump.send([b"0"])
    pusher.pump.queue_of([b"0"]).wait("first")
    pusher.pump.queue_of([b"0"]).wait("second")
    pusher.settle()
    assert pusher.woken == []
    plain(zmq.PULL, "inproc://it")
    until(lambda: pusher.woken, pusher)
    assert pusher.woken == ["first", "second"]


def test_a_queued_message_can_be_taken_back(driven: Make, plain: Make) -> None:
    dealer = driven(zmq.DEALER, bind="inproc://it")
    for number in range(3):
        dealer.pump.send([b"%d" % number], key=number)
    assert dealer.pump.discard(1)
    assert not dealer.pump.discard(1)
    assert dealer.pump.queued == 2
    peer = plain(zmq.DEALER, "inproc://it")
    until(lambda: not dealer.pump.queues, dealer)
    assert not dealer.pump.discard(0)
    assert drained(peer) == [[b"0"], [b"2"]]
    assert dealer.pump.sent == 2


def test_taking_the_last_one_back_forgets_no_waiter(driven: Make, plain: Make) -> None:
    dealer = driven(zmq.DEALER, bind="inproc://it")
    dealer.pump.send([b"0"], key=0)
    dealer.pump.queue_of([b"0"]).wait("waiter")
    dealer.pump.discard(0)
    assert dealer.woken == ["waiter"]  # at once, for nothing else may ever come
    assert dealer.pump.withdrawn == 1
    assert dealer.pump.backlog() is None


def test_whoever_wants_to_know_is_told_when_messages_begin_to_wait(
    driven: Make, plain: Make
) -> None:
    pusher = driven(zmq.PUSH, bind="inproc://it")
    stalled: list[Any] = []
    pusher.pump.stalled = stalled.append
    for number in range(3):
        pusher.pump.send([b"%d" % number])
    assert stalled == [pusher.pump.backlog()]
    plain(zmq.PULL, "inproc://it")
    until(lambda: not pusher.pump.queues, pusher)
    pusher.pump.send([b"3"])
    assert len(stalled) == 1


# A peer that leaves in mid-message.


@pytest.mark.parametrize("parts", [2, 3, 4])
@pytest.mark.parametrize(
    ("kind", "transport"),
    list(itertools.product([zmq.PUSH, zmq.DEALER, zmq.PAIR], ["inproc", "ipc"])),
)
def test_a_message_whose_peer_left_in_its_middle_goes_whole_to_the_next(
    driven: Make,
    plain: Make,
    tmp_path: Path,
    parts: int,
    kind: int,
    transport: str,
) -> None:
    for number in range(2, parts + 1):  # the part before which the peer is gone
        address = f"{transport}://{tmp_path}/{parts}-{number}"
        sender = driven(kind, bind=address)
        answers = zmq.PULL if kind == zmq.PUSH else kind
        leaving = plain(answers, address)
        until(lambda s=sender: int(zmq.Socket.get(s.socket, zmq.EVENTS)) & zmq.POLLOUT)
        sender.settle()

        def leave(sender: Driver = sender, leaving: zmq.Socket[bytes] = leaving) -> None:
            leaving.close()
            assert sender.rings(1000 * BOUND)
            spin()

        before(sender.pump, "_send", number, leave)
        broken = [b"%d" % index for index in range(parts)]
        sender.pump.send(broken)
        kept = sender.pump.queued
        # A PUSH may be told of a peer's whole leaving at once; then libzmq says nothing at all.
        assert kept == 1 or kind == zmq.PUSH
        sender.pump.send([b"after", b"it"])
        sender.settle()
        peer = plain(answers, address)
        # A PAIR that comes before the other has quite gone is turned away for good: it comes again.
        while kind == zmq.PAIR and not has_sent_all(sender, 0.5):
            peer.close(0)
            peer = plain(answers, address)
        until(lambda s=sender: not s.pump.queues, sender)
        sender.pump.send([b"last"])
        taken: list[Any] = []
        until(lambda t=taken, p=peer: t.extend(drained(p)) or [b"last"] in t, sender)
        assert taken == [broken] * kept + [[b"after", b"it"], [b"last"]]
        assert sender.pump.sent == 3
        assert sender.pump.dropped == 0


# ROUTER.


@pytest.fixture
def router(driven: Make) -> Driver:
    return driven(
        zmq.ROUTER, bind="inproc://router", hwm=2, socket_options={"ROUTER_MANDATORY": 1}, high=5
    )


@pytest.fixture
def member(plain: Make, router: Driver) -> Make:
    """Make a DEALER that the router knows, and that takes four messages."""

    def make(name: bytes) -> Any:
        dealer = plain(zmq.DEALER, "inproc://router", hwm=2, IDENTITY=name)
        router.settle()
        return dealer

    return make


def to(name: bytes, first: int, last: int) -> list[list[bytes]]:
    return [[name, *message] for message in numbered(first, last)]


def test_a_peer_that_never_was_is_unreachable(router: Driver) -> None:
    with pytest.raises(PeerUnreachable) as refused:
        router.pump.send([b"nobody", b"x", b"y"])
    assert refused.value.peer == b"nobody"
    assert router.pump.queued == router.pump.sent == 0


def test_nothing_is_left_of_what_nobody_took(router: Driver, member: Make) -> None:
    dealer = member(b"it")
    with pytest.raises(PeerUnreachable):
        router.pump.send([b"nobody", b"x", b"y"])
    router.pump.send([b"it", b"a", b"b"])
    assert drained(dealer) == [[b"a", b"b"]]


def test_a_stuck_peer_holds_up_no_other(router: Driver, member: Make) -> None:
    stuck, quick = member(b"stuck"), member(b"quick")
    for message in to(b"stuck", 0, 9):
        router.pump.send(message)
    router.settle()
    assert router.pump.queued == 5
    with pytest.raises(QueueFull):
        router.pump.send([b"stuck", b"9"])
    for message in to(b"quick", 0, 4):
        router.pump.send(message)
    assert drained(quick) == numbered(0, 4)
    for message in to(b"quick", 4, 9):
        router.pump.send(message)
    taken = []
    until(lambda: taken.extend(drained(quick)) or len(taken) == 5, router)
    assert taken == numbered(4, 9)
    assert list(router.pump.queues) == [b"stuck"]
    taken.clear()
    until(lambda: taken.extend(drained(stuck)) or len(taken) == 9, router)
    assert taken == numbered(0, 9)
    assert router.pump.queues == {}


def test_a_stuck_peer_does_not_keep_the_loop_busy(router: Driver, member: Make) -> None:
    member(b"stuck")
    quick = member(b"quick")
    for message in to(b"stuck", 0, 9):
        router.pump.send(message)
    router.settle()
    router.pump.send([b"quick", b"x"])
    router.settle()
    assert not router.rings(20)
    assert drained(quick) == [[b"x"]]


@pytest.mark.parametrize("others", [False, True], ids=["alone", "with another"])
def test_what_waits_for_a_peer_that_leaves_is_counted_and_reported(
    router: Driver, member: Make, others: bool
) -> None:
    leaving = member(b"leaving")
    other = member(b"other") if others else None
    for message in to(b"leaving", 0, 7):
        router.pump.send(message)
    router.settle()
    router.pump.queue_of([b"leaving"]).wait("waiter")
    leaving.close(0)
    until(lambda: router.reports, router)
    (report,) = router.reports
    assert isinstance(report, PeerUnreachable)
    assert report.peer == b"leaving"
    assert router.pump.dropped == 3
    assert router.pump.queues == {}
    assert router.woken == ["waiter"]
    if other:
        router.pump.send([b"other", b"x"])
        assert drained(other) == [[b"x"]]


def test_what_raises_when_a_call_that_does_not_wait_reports_loses_no_turn(
    driven: Make, plain: Make
) -> None:
    driver = driven(zmq.PULL, bind="inproc://malformed", report=interrupt)
    driver.settle()

    def feed(burst: list[Any]) -> Any:
        driver.deliver(burst)
        driver.rejected = MalformedMessage("no", burst[-1])
        return (), NOTHING

    driver.feed = feed
    send_all(plain(zmq.PUSH, "inproc://malformed"), numbered(0, BURST + 5))
    with pytest.raises(KeyboardInterrupt):
        driver.pump.fetch()
    assert 0 < len(driver.received) < BURST
    assert driver.owed


def test_what_raises_when_a_gone_peer_is_reported_loses_nothing(router: Any, member: Any) -> None:
    leaving, other = member(b"leaving"), member(b"other")
    for message in to(b"leaving", 0, 7):
        router.pump.send(message)
    router.settle()
    router.pump.queue_of([b"leaving"]).wait("waiter")
    router.report = interrupt
    leaving.close(0)
    send_all(other, numbered(0, 3))
    with pytest.raises(KeyboardInterrupt):
        until(lambda: False, router)
    assert router.woken == ["waiter"]
    until(lambda: len(router.received) == 3, router)


def test_room_for_one_peer_that_comes_while_another_is_served_is_not_missed(
    router: Driver, member: Make
) -> None:
    one, two = member(b"one"), member(b"two")
    for message in to(b"one", 0, 5) + to(b"two", 0, 5):
        router.pump.send(message)
    router.settle()
    assert router.pump.queued == 2
    taken = drained(two)

    def make_room() -> None:
        taken.extend(drained(one))
        spin()

    # One's queue was tried and is stuck; sending to two learns that one has room.
    before(router.pump, "_send", 2, make_room)
    until(lambda: not router.pump.queues, router)
    taken += drained(one) + drained(two)
    assert len(taken) == 10


def test_room_for_a_peer_that_comes_at_the_end_of_a_flush_is_not_missed(
    router: Driver, member: Make
) -> None:
    one = member(b"one")
    member(b"idle")
    for message in to(b"one", 0, 5):
        router.pump.send(message)
    router.settle()
    taken = []
    before(router.pump, "_get", 2, lambda: taken.extend(drained(one)))
    router.pump.schedule()
    until(lambda: not router.pump.queues, router)
    assert taken + drained(one) == numbered(0, 5)


def test_senders_whose_peer_was_served_are_woken_though_time_was_up(
    router: Driver, member: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = member(b"one"), member(b"two")
    for message in to(b"one", 0, 5) + to(b"two", 0, 6):
        router.pump.send(message)
    router.settle()
    router.pump.queue_of([b"one"]).wait("for one")
    router.pump.queue_of([b"two"]).wait("for two")
    drained(one), drained(two)
    clock = itertools.count(1000.0, SLICE * 0.6)  # a slice has time for one more
    set_clock(monkeypatch, lambda: next(clock))
    until(lambda: not router.pump.queues, router)
    assert router.woken == ["for one", "for two"]


# The end.


def test_a_terminated_context_is_told_once_and_at_once(
    plain: Make, driven: Make, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    dealer = driven(zmq.DEALER, bind="inproc://it")
    dealer.settle()
    ending = threading.Thread(target=context.term)
    ending.start()
    try:
        until(lambda: dealer.losses, dealer)
        (loss,) = dealer.losses
        assert isinstance(loss, ContextTerminated)
        with pytest.raises(ContextTerminated):
            dealer.pump.send([b"x"])
    finally:
        dealer.socket.close()
        ending.join(BOUND)
    assert not ending.is_alive()


def test_a_context_that_ends_between_two_sends_is_told_to_the_owner(
    plain: Make, driven: Make, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    pusher = driven(zmq.PUSH, bind="inproc://it")
    for message in numbered(0, 3):
        pusher.pump.send(message)
    pusher.settle()
    ending = threading.Thread(target=context.term)

    def end() -> None:
        ending.start()
        until(lambda: ended(pusher.socket))

    before(pusher.pump, "_send", 1, end)
    peer = plain(zmq.PULL, "inproc://it")
    try:
        until(lambda: pusher.losses, pusher)
        assert isinstance(pusher.losses[0], ContextTerminated)
    finally:
        peer.close()
        pusher.socket.close()
        ending.join(BOUND)


def ended(socket: BridgedSocket) -> bool:
    try:
        zmq.Socket.get(socket, zmq.EVENTS)
    except zmq.ContextTerminated:
        return True
    return False


def test_a_socket_that_its_user_closed_is_told(driven: Make) -> None:
    dealer = driven(zmq.DEALER, bind="inproc://it")
    dealer.settle()
    dealer.socket.close()
    with pytest.raises(SocketClosed):
        dealer.pump.send([b"x"])
    assert dealer.owed
    dealer.turn()
    (loss,) = dealer.losses
    assert type(loss) is SocketClosed


def test_closing_drops_and_counts_what_waits(driven: Make) -> None:
    pusher = driven(zmq.PUSH, bind="inproc://it")
    for message in numbered(0, 3):
        pusher.pump.send(message)
    pusher.pump.queue_of([b"0"]).wait("waiter")
    assert pusher.pump.close() == ["waiter"]
    assert pusher.pump.dropped == 3
    assert pusher.pump.queued == 0
    assert pusher.pump.close() == []
    assert pusher.pump.dropped == 3


def test_a_closed_pump_does_nothing(driven: Make, plain: Make) -> None:
    puller = driven(zmq.PULL, bind="inproc://it")
    puller.settle()
    pusher = plain(zmq.PUSH, "inproc://it")
    pusher.send(b"x", DONTWAIT)
    puller.pump.close()
    asked = puller.asked
    puller.turn()
    puller.pump.schedule()
    assert puller.socket.recv(DONTWAIT) == b"x"  # nobody took it
    assert puller.received == []
    assert puller.losses == []
    assert puller.asked == asked


@pytest.mark.parametrize("callback", ["deliver", "tell", "report"])
def test_an_owner_may_close_in_any_callback(router: Driver, member: Make, callback: str) -> None:
    leaving, slow = member(b"leaving"), member(b"slow")
    for message in to(b"leaving", 0, 5) + to(b"slow", 0, 5):
        router.pump.send(message)
    router.settle()
    router.pump.queue_of([b"slow"]).wait("waiter")

    def close(*_: Any) -> None:
        router.pump.close()
        router.socket.close()

    setattr(router, callback, close)
    leaving.close(0)
    drained(slow)
    slow.send(b"x", DONTWAIT)
    until(lambda: router.pump.closed, router)
    assert router.losses == []


# Crowds.


class Recording(Holding):
    """What holds I/O threads, but only says so."""

    __slots__ = ()

    def hold(self) -> bool:
        return True

    def let_run(self) -> None:
        self.held = False


class TestLargeBursts:
    @pytest.fixture
    def context(self) -> Iterator[zmq.Context[Any]]:
        with OwnContext() as context:
            context.holding = Recording(context, b"")
            yield context

    @pytest.fixture(autouse=True)
    def first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The first large burst will do."""
        monkeypatch.setattr(iothreads, "IN_A_ROW", 0)

    @pytest.mark.parametrize(
        ("late", "held"),
        [(math.inf, [False, False, True, True]), (-math.inf, [False, False, False, False])],
    )
    def test_it_takes_some_large_bursts_one_close_upon_the_other(
        self,
        driven: Make,
        plain: Make,
        context: OwnContext,
        monkeypatch: pytest.MonkeyPatch,
        late: float,
        held: list[bool],
    ) -> None:
        monkeypatch.setattr(iothreads, "IN_A_ROW", 2)
        monkeypatch.setattr(iothreads, "MAX_GAP", late)
        puller = driven(zmq.PULL, bind="inproc://a")
        peer = plain(zmq.PUSH, "inproc://a")
        seen = []
        puller.deliver = lambda burst: seen.append(context.holding.held)
        for _ in held:
            send_all(peer, numbered(0, LARGE_BURST))
            puller.turn()
        assert seen == held

    @pytest.mark.parametrize(("messages", "held"), [(LARGE_BURST, False), (LARGE_BURST + 1, True)])
    def test_the_io_thread_is_held_from_a_large_burst_to_the_next_turn(
        self,
        driven: Make,
        plain: Make,
        context: OwnContext,
        messages: int,
        held: bool,
    ) -> None:
        # The message that made the FD ring is handed over alone.
        puller = driven(zmq.PULL, bind="inproc://a")
        puller.settle()
        seen = []
        puller.deliver = lambda burst: seen.append((len(burst), context.holding.held))
        send_all(plain(zmq.PUSH, "inproc://a"), numbered(0, messages))
        until(lambda: len(seen) == 2, puller)
        assert seen == [(1, False), (messages - 1, held)]
        assert (context.holding.held, puller.owed) == (held, held)
        puller.settle()
        assert not context.holding.held

    def test_a_handler_that_raises_leaves_nothing_held(
        self, driven: Make, plain: Make, context: OwnContext
    ) -> None:
        def deliver(burst: list[list[bytes]]) -> None:
            raise ZeroDivisionError

        puller = driven(zmq.PULL, bind="inproc://a", deliver=deliver)
        send_all(plain(zmq.PUSH, "inproc://a"), numbered(0, LARGE_BURST))
        with pytest.raises(ZeroDivisionError):
            puller.turn()
        assert context.holding.held
        puller.settle()
        assert not context.holding.held

    def test_closing_lets_go(self, driven: Make, plain: Make, context: OwnContext) -> None:
        puller = driven(zmq.PULL, bind="inproc://a")
        puller.deliver = lambda burst: puller.pump.close()
        send_all(plain(zmq.PUSH, "inproc://a"), numbered(0, LARGE_BURST))
        puller.turn()
        assert puller.pump.received == LARGE_BURST
        assert (context.holding.held, puller.owed) == (False, False)


def test_a_context_of_the_users_is_not_touched(
    driven: Make, plain: Make, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    puller = driven(zmq.PULL, bind="inproc://a")
    send_all(plain(zmq.PUSH, "inproc://a"), numbered(0, LARGE_BURST))
    puller.turn()
    assert (puller.bursts, puller.owed) == ([LARGE_BURST], False)
