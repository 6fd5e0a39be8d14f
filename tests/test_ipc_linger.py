"""What a sender over ipc has sent is read though it closes while its receiver is at its mark."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zmqbridge import QueueFull
from zmqbridge._bridge import lingers
from zmqbridge._bridge.addresses import HOLDS, IPC, place_of
from zmqbridge._bridge.lingers import LINGER
from zmqbridge.twisted_backend import Dealer, Pusher

if TYPE_CHECKING:
    from tests.conftest import World

ipclinger = pytest.importorskip("zmqbridge._bridge.ipclinger", exc_type=ImportError)
copies = ipclinger.copies
places_of, unread_by_peer = ipclinger.places_of, ipclinger.unread_by_peer

BOUND = 30  # seconds
pytestmark = pytest.mark.skipif(not HOLDS, reason="only Linux tells what a peer has not read")

# They fit into the kernel's buffer, though libzmq may write each by itself. That takes 1,280 bytes
# then, and when 52 KiB are taken, a quarter of what the system gives, the kernel asks for no more.
# A receiver with this mark takes half of them: with the last one it has read 8 KiB.
MANY, MARK = 48, 10
BODY = bytes(680)
IN_KERNEL = 5_000  # bytes, at least, when a receiver takes no more
QUIET = 8000  # milliseconds in which nothing comes, so it is lost


class Receiver:
    """A socket of plain pyzmq that is at its mark, until somebody reads."""

    def __init__(
        self,
        kind: int = zmq.PULL,
        address: str = "ipc://{path}",
        connect: list[str] | tuple[Any, ...] = (),
    ) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(kind)
        self.socket.set(zmq.RCVHWM, MARK)
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.RCVTIMEO, QUIET)
        for each in connect:
            self.socket.connect(each)
        if not connect:
            self.socket.bind(address)
        self.address = address

    def first(self) -> list[int]:
        """The first message of a process, which may take long to start."""
        assert self.socket.poll(BOUND * 1000)
        return self.read(1)

    def read(self, wanted: int = MANY) -> list[int]:
        got: list[int] = []
        while len(got) < wanted:
            try:
                got.append(int(self.socket.recv_multipart()[-1][:6]))
            except zmq.Again:
                break
        return got

    def close(self) -> None:
        self.context.destroy(0)


@pytest.fixture(autouse=True)
def nothing_of_other_tests_is_held() -> None:
    until(nothing_is_held)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    made = Receiver(address=f"ipc://{tmp_path}/it")
    yield made
    made.close()


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    made = zmq.Context()
    yield made
    made.destroy(0)


def message(number: int) -> bytes:
    return b"%06d" % number + BODY


def holders() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "zmqbridge-ipc"]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def unread_at(address: str) -> list[int]:
    """What each connection to whoever listens there has in the kernel for him, in bytes."""
    wanted, unread = place_of(address, False), []
    for number in os.listdir("/proc/self/fd"):
        try:
            if wanted in (places_of(int(number)) or ()):
                unread.append(unread_by_peer(int(number)))
        except OSError:  # no socket; or closed meanwhile
            pass
    return unread


def written(address: str) -> int:
    """How much lies in the kernel for whoever listens there, in bytes."""
    return max(unread_at(address), default=0)


def io_threads_rest() -> bool:
    """Whether the I/O threads of libzmq have nothing to do, thus have written all they can."""
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/stat") as file:
            name, _, state = file.read().rpartition(") ")
            if "(ZMQbg/IO" in name and state[0] != "S":
                return False
    return True


def all_is_in_kernel(address: str) -> bool:
    """Whether libzmq holds no message for whoever listens there; it drops those at a disconnect."""
    return written(address) > IN_KERNEL and io_threads_rest()


def connections(address: str) -> int:
    return len(unread_at(address))


async def fill(pusher: Any, receiver: Receiver, many: int = MANY) -> None:
    """Have a receiver at its mark, and all else in the kernel; the first message is read."""
    await pusher.push(message(0))
    assert receiver.read(1) == [0]
    for number in range(1, many):
        await pusher.push(message(number))


async def all_is_written(w: World, receiver: Receiver) -> None:
    """Wait until libzmq has nothing any more."""
    await w.until(lambda: all_is_in_kernel(receiver.address))


@pytest.mark.every_world
@pytest.mark.parametrize("how", ["aclose", "close", "disconnect"])
async def test_what_was_sent_is_read_after_the_sender_has_closed(
    w: World, receiver: Receiver, context: zmq.Context[zmq.Socket[bytes]], how: str
) -> None:
    async with w.Pusher(connect=receiver.address, context=context) as pusher:
        await fill(pusher, receiver)
        await all_is_written(w, receiver)
        if how == "disconnect":
            pusher.disconnect(receiver.address)
        elif how == "close":
            pusher.close()
    context.term()  # so libzmq has closed its own descriptor
    await w.sleep(0.15)  # longer than the linger of other transports
    assert receiver.read(MANY - 1) == list(range(1, MANY))
    await w.until(lambda: not holders())


def filled(receiver: Receiver, context: zmq.Context[zmq.Socket[bytes]], **options: Any) -> Any:
    """A sender of which the receiver is at its mark, and all else is in the kernel."""
    pusher = Pusher(connect=receiver.address, context=context, **options)
    fill_by_hand(pusher, receiver)
    return pusher


def fill_by_hand(pusher: Any, receiver: Receiver) -> None:
    pusher.push_nowait(message(0))
    assert receiver.read(1) == [0]
    for number in range(1, MANY):
        pusher.push_nowait(message(number))
    until(lambda: all_is_in_kernel(receiver.address))


def until(condition: Callable[..., Any], bound: int = 10) -> None:
    end = time.monotonic() + bound
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def nothing_is_held() -> bool:
    return not holders() and not len(copies)


def test_the_side_that_is_bound_and_the_raw_socket_too(
    tmp_path: Path, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    address = f"ipc://{tmp_path}/its"
    dealer = Dealer(bind=address, context=context)
    receiver = Receiver(zmq.DEALER, connect=[address])
    for number in range(MANY):
        dealer.socket.send(message(number))
    assert receiver.read(1) == [0]
    dealer.close()
    context.term()
    assert receiver.read(MANY - 1) == list(range(1, MANY))
    receiver.close()
    until(nothing_is_held)


def test_what_libzmq_has_not_written_yet_has_as_long_at_a_disconnect(
    receiver: Receiver, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    pusher, many = Pusher(connect=receiver.address, context=context), 900
    for number in range(many):
        pusher.push_nowait(message(number) + bytes(3000))
    until(lambda: receiver.socket.poll(0))  # else it has no connection yet
    pusher.disconnect(receiver.address)
    assert pusher.socket.get(zmq.LINGER) == LINGER
    time.sleep(5 * LINGER / 1000)  # longer than what it would have by its own linger
    assert receiver.read(many) == list(range(many))
    pusher.close()
    until(nothing_is_held)


def test_who_closes_right_after_connecting_is_waited_for(
    receiver: Receiver, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    first = filled(receiver, context)
    for number in range(5):
        with contextlib.closing(Pusher(connect=receiver.address, context=context)) as pusher:
            pusher.push_nowait(message(MANY + number))
    first.close()
    context.term()
    assert sorted(receiver.read(MANY + 4)) == list(range(1, MANY + 5))


def test_only_one_that_connected_just_now_waits_for_its_connection(
    receiver: Receiver, context: zmq.Context[zmq.Socket[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []

    def keep(places: Any, until: float, wait: float) -> bool:
        waited.append(wait)
        return False

    monkeypatch.setattr(ipclinger.copies, "keep", keep)
    for recent in (1000.0, 0.0):  # seconds
        monkeypatch.setattr(lingers, "RECENT", recent)
        pusher = Pusher(connect=receiver.address, context=context)
        until(lambda each=pusher: sends(each))
        pusher.close()
    assert waited == [lingers.COMING, 0]


def sends(pusher: Pusher) -> bool:
    try:
        pusher.push_nowait(message(1))
    except QueueFull:
        return False
    return pusher.statistics().sent > 0


def test_a_peer_that_never_reads_is_let_go_and_nothing_is_left(
    receiver: Receiver, context: zmq.Context[zmq.Socket[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = descriptors()
    monkeypatch.setattr(ipclinger, "UNREAD_LIMIT", 1.0)
    pusher = filled(receiver, context)
    begun = time.monotonic()
    pusher.close()
    assert time.monotonic() - begun < 0.9  # it is waited for elsewhere
    assert len(copies) == 1
    context.term()
    until(nothing_is_held)
    assert time.monotonic() - begun > 0.9
    receiver.close()
    until(lambda: descriptors() <= before)


def test_a_peer_that_has_hung_up_is_not_waited_for(
    receiver: Receiver, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    pusher = filled(receiver, context)
    pusher.close()
    assert len(copies) == 1
    context.term()
    receiver.close()
    until(nothing_is_held, 3)  # long before the linger is over


@pytest.mark.parametrize("linger", [0, 30])
def test_the_linger_bounds_it_and_zero_switches_it_off(
    receiver: Receiver, context: zmq.Context[zmq.Socket[bytes]], linger: int
) -> None:
    pusher = filled(receiver, context, options={zmq.LINGER: linger})
    pusher.close()
    if not linger:
        assert nothing_is_held()
    until(nothing_is_held, 3)
    context.term()
    receiver.socket.set(zmq.RCVTIMEO, 300)
    assert len(receiver.read()) < MANY - 1  # so they were lost


def test_the_connections_of_others_are_let_go_at_once(
    receiver: Receiver, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    others = [Pusher(connect=receiver.address, context=context) for _ in range(3)]
    for each in others:
        each.push_nowait(message(1))
    receiver.read(3)
    strangers = [socket.socket(socket.AF_UNIX) for _ in range(2)]
    strangers[0].connect(receiver.address.removeprefix("ipc://"))
    strangers[1].bind("")  # Linux chooses an abstract name; it is not connected
    pusher = Pusher(connect=receiver.address, context=context)
    pusher.push_nowait(message(2))
    receiver.read(1)
    before = descriptors()
    pusher.close()
    until(nothing_is_held, 3)
    assert descriptors() <= before
    for each in others:
        each.push_nowait(message(3))
    assert receiver.read(3) == [3, 3, 3]
    everybody: list[Any] = [*others, *strangers]
    for each in everybody:
        each.close()
    until(nothing_is_held, 3)


def test_sockets_that_close_together_are_held_each(
    receiver: Receiver, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    pushers = [Pusher(connect=receiver.address, context=context) for _ in range(4)]
    for number, pusher in enumerate(pushers):
        for each in range(MANY):
            pusher.push_nowait(message(MANY * number + each))
    first = receiver.read(1)
    for pusher in pushers:
        pusher.close()
    context.term()
    assert sorted(first + receiver.read(4 * MANY - 1)) == list(range(4 * MANY))
    until(nothing_is_held)


@pytest.mark.parametrize("timeout", [None, 5.0], ids=["", "with a default timeout"])
def test_the_sockets_of_others_block_or_not_as_before(
    receiver: Receiver, context: zmq.Context[zmq.Socket[bytes]], timeout: float | None
) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    own = [each for pair in pairs for each in pair]
    for number, each in enumerate(own):
        os.set_blocking(each.fileno(), bool(number % 2))
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout)
    try:
        pusher = Pusher(connect=receiver.address, context=context)
        pusher.push_nowait(message(0))
        assert receiver.read(1) == [0]
        pusher.close()
        assert [os.get_blocking(each.fileno()) for each in own] == [False, True] * 2
    finally:
        socket.setdefaulttimeout(before)
        for each in own:
            each.close()


def test_without_descriptors_it_closes_all_the_same(
    receiver: Receiver, context: zmq.Context[zmq.Socket[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int) -> None:
        raise OSError(errno.EMFILE, "none left")

    pusher = filled(receiver, context)
    monkeypatch.setattr(os, "dup", refuse)
    pusher.close()
    assert nothing_is_held()
    context.term()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_the_child_of_a_fork_keeps_none_of_its_parents(
    receiver: Receiver, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    pusher = filled(receiver, context)
    before = descriptors()
    pusher.close()
    assert len(copies) == 1
    context.term()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks amid threads
        child = os.fork()
    if not child:
        copies._lock.acquire(timeout=1)
        os._exit(0 if not len(copies) and descriptors() <= before else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert receiver.read(MANY - 1) == list(range(1, MANY))
    until(nothing_is_held)


def test_nothing_is_loaded_until_there_is_something_to_hold(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADS_NOTHING, f"ipc://{tmp_path}/it"],
        capture_output=True,
        text=True,
        timeout=BOUND,
    )
    assert (done.returncode, done.stderr) == (0, "")


LOADS_NOTHING = """
import sys
from zmqbridge.twisted_backend import Puller, Pusher

for address in ("tcp://127.0.0.1:*", "inproc://it", sys.argv[1]):
    puller = Puller(bind=address)
    pusher = Pusher(connect=puller.addresses)
    if not address.startswith("ipc:"):
        pusher.push_nowait(b"x")
    pusher.close()
    puller.close()
    assert "zmqbridge._bridge.ipclinger" not in sys.modules, address
"""

# How programs end: their sockets are forgotten, or closed just before.
ENDS = {
    "asyncio": """
import asyncio
from zmqbridge.asyncio_backend import Pusher
async def main():
    kept.append(Pusher(connect=address))
    for number in range(many):
        await kept[0].push(message(number))
    await written()
kept = []
asyncio.run(main())
""",
    "twisted": """
from twisted.internet import defer, task
from zmqbridge.twisted_backend import Pusher
async def main():
    async with Pusher(connect=address) as pusher:
        for number in range(many):
            await pusher.push(message(number))
        await written()
task.react(lambda reactor: defer.ensureDeferred(main()))
""",
    "facade": """
from twisted.internet import defer, task
from zmqbridge.txzmq import ZmqEndpoint, ZmqFactory, ZmqPushConnection
async def main(reactor):
    factory = ZmqFactory()
    pusher = ZmqPushConnection(factory, ZmqEndpoint("connect", address))
    while True:
        try:
            pusher.push(message(0))
            break
        except Exception:
            await task.deferLater(reactor, 0.01)
    for number in range(1, many):
        pusher.push(message(number))
    await written()
    factory.shutdown()
task.react(lambda reactor: defer.ensureDeferred(main(reactor)))
""",
    "multiprocessing": """
import asyncio, multiprocessing
from zmqbridge.asyncio_backend import Pusher
async def main():
    async with Pusher(connect=address) as pusher:
        for number in range(many):
            await pusher.push(message(number))
        await written()
child = multiprocessing.get_context("fork").Process(target=lambda: asyncio.run(main()))
child.start()
child.join()
""",
    "fork": """
import asyncio, os
from zmqbridge.asyncio_backend import Pusher, end_context
async def main():
    async with Pusher(connect=address) as pusher:
        for number in range(many):
            await pusher.push(message(number))
        await written()
    await end_context()
child = os.fork()
if not child:
    asyncio.run(main())
    os._exit(0)
os.waitpid(child, 0)
""",
}
SENDER = """
import sys
sys.path.insert(0, sys.argv[3])
import test_ipc_linger as tests
tests.ipclinger.UNREAD_LIMIT = 20  # on a busy machine others may keep the reader for some seconds
address, many, message = sys.argv[1], int(sys.argv[2]), tests.message
async def written():
    if many > 1:
        tests.until(lambda: tests.written(address) > tests.IN_KERNEL)
    print("leaves", flush=True)
"""


def sender(end: str, address: str, many: int = MANY) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SENDER + ENDS[end], address, str(many), os.path.dirname(__file__)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_what_is_no_socket_of_libzmq_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    # The compiled calls would take any memory for libzmq's socket, e.g. that of a simulated one.
    asked: list[object] = []

    class Compiled:
        get = set = staticmethod(lambda *arguments: asked.append(arguments))

    monkeypatch.setattr(lingers, "CompiledSocket", Compiled)
    assert not lingers.hold(SimpleNamespace(**{IPC: [place_of(b"ipc:///nobody", False)]}))
    assert asked == []


@pytest.mark.parametrize("end", ENDS)
def test_a_process_that_ends_waits_until_it_was_read(receiver: Receiver, end: str) -> None:
    with sender(end, receiver.address) as process:
        first = receiver.first()
        assert process.stdout.readline() == "leaves\n"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)  # so it has ended, if it does not wait
        assert first + receiver.read(MANY - 1) == list(range(MANY))
        assert process.wait(BOUND) == 0


@pytest.mark.parametrize("end", ENDS)
def test_a_process_of_which_all_was_read_ends_at_once(receiver: Receiver, end: str) -> None:
    with sender(end, receiver.address, many=1) as process:
        assert receiver.first() == [0]
        assert process.stdout.readline() == "leaves\n"
        begun = time.monotonic()
        assert process.wait(BOUND) == 0
        assert time.monotonic() - begun < 15  # it would be 20, see SENDER


def test_a_process_whose_peer_never_reads_ends(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ipclinger.UNREAD_LIMIT == 5
    monkeypatch.setitem(ENDS, "asyncio", "tests.ipclinger.UNREAD_LIMIT = 1\n" + ENDS["asyncio"])
    with sender("asyncio", receiver.address) as process:
        receiver.read(1)
        assert process.stdout.readline() == "leaves\n"
        begun = time.monotonic()
        assert process.wait(BOUND) == 0
        assert time.monotonic() - begun > 0.5


@pytest.fixture
def sought(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    times = []
    seek = ipclinger.Copies._seek
    monkeypatch.setattr(ipclinger.Copies, "_seek", lambda self: (times.append(1), seek(self)))
    return times


def test_many_that_close_together_seek_their_connections_once(
    receiver: Receiver, context: zmq.Context[zmq.Socket[bytes]], sought: list[Any]
) -> None:
    pushers = [Pusher(connect=receiver.address, context=context) for _ in range(20)]
    for pusher in pushers:
        pusher.push_nowait(message(0))
    receiver.read(20)
    for pusher in pushers:
        pusher.close()
    assert len(sought) == 1
    until(nothing_is_held)


def test_what_is_connected_later_or_anew_is_sought_again(
    receiver: Receiver, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    filled(receiver, context).close()
    assert receiver.read(MANY - 1) == list(range(1, MANY))
    pusher = filled(receiver, context)
    pusher.close()
    assert receiver.read(MANY - 1) == list(range(1, MANY))

    pusher = Pusher(connect=receiver.address, context=context, options={zmq.RECONNECT_IVL: 1})
    other = Pusher(connect=receiver.address, context=context)
    for each in (pusher, other):
        each.push_nowait(message(0))
    assert receiver.read(2) == [0, 0]
    other.close()  # now that of `pusher` is known, too
    until(nothing_is_held)
    receiver.close()
    again = Receiver(address=receiver.address)
    fill_by_hand(pusher, again)
    pusher.close()
    context.term()
    assert again.read(MANY - 1) == list(range(1, MANY))
    again.close()


def test_what_is_written_right_before_libzmq_closes_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine, peer = socket.socketpair()

    def write_and_close_after(fd: int) -> int:
        unread = unread_by_peer(fd)
        if mine.fileno() >= 0:
            mine.send(b"the last message")
            mine.close()
        return unread

    monkeypatch.setattr(ipclinger, "unread_by_peer", write_and_close_after)
    with peer, socket.socket(fileno=os.dup(mine.fileno())) as held:
        inode = os.fstat(mine.fileno()).st_ino
        copy = ipclinger.Copy(held.fileno(), inode, mine.fileno(), place_of("ipc:///x", False))
        copy.until = 100.0
        for now in 1.0, 2.0:
            copy.look(now)
            assert not copy.is_over(now)
        peer.recv(100)
        copy.look(3.0)
        assert copy.is_over(3.0)


# More than the kernel takes, so libzmq has the rest, and its connection, until the receiver reads.
TOO_MANY = 800


def stuck(address: str, context: zmq.Context[zmq.Socket[bytes]]) -> Any:
    """A sender whose socket cannot end before its receiver, which takes no more, reads."""
    pusher = Pusher(connect=address, context=context)
    for number in range(TOO_MANY):
        pusher.push_nowait(message(number))
    until(lambda: written(address) > IN_KERNEL)
    return pusher


def all_is_read_of(receiver: Receiver, held: int) -> None:
    until(lambda: len(copies) <= held)
    time.sleep(5 * ipclinger.SELDOM)  # after so long what is not held was let go
    assert len(copies) == held
    assert receiver.read(TOO_MANY) == list(range(TOO_MANY))
    until(nothing_is_held)


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("why", ["has sent nothing", "has no linger"])
def test_another_that_closes_and_is_not_held_lets_go_of_nothing(
    receiver: Receiver, context: zmq.Context[zmq.Socket[bytes]], order: str, why: str
) -> None:
    options: Any = {zmq.LINGER: 0} if why == "has no linger" else {}
    other = Pusher(connect=receiver.address, context=context, options=options)
    if options:
        other.push_nowait(message(0))
        assert receiver.read(1) == [0]
    both = [stuck(receiver.address, context), other]
    until(lambda: connections(receiver.address) == 2)
    for each in both if order == "after" else reversed(both):
        each.close()
    all_is_read_of(receiver, 1)


def test_a_peer_that_hangs_up_lets_go_of_no_other_of_that_name(
    receiver: Receiver, context: zmq.Context[zmq.Socket[bytes]], tmp_path: Path
) -> None:
    os.mkdir(tmp_path / "other")
    gone = Receiver(address=f"ipc://{tmp_path}/other/it")
    with contextlib.closing(Pusher(connect=gone.address, context=context)) as other:
        other.push_nowait(message(0))
        assert gone.read(1) == [0]
        stuck(receiver.address, context).close()
        assert len(copies) == 2
        gone.close()
        all_is_read_of(receiver, 1)


def test_copies_leave_descriptors_to_the_program(
    context: zmq.Context[zmq.Socket[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 2 * ipclinger.PART
    receivers = [Receiver(address=f"ipc://{tmp_path}/{number}") for number in range(3)]
    pushers = [filled(each, context) for each in receivers]
    monkeypatch.setattr(ipclinger.resource, "getrlimit", lambda which: (limit, limit))
    for pusher in pushers:
        pusher.close()
    assert len(copies) == 2
    for each in receivers:
        each.close()
    until(nothing_is_held)


def test_who_is_connected_while_another_ends_is_sought_when_he_closes(
    receiver: Receiver, context: zmq.Context[zmq.Socket[bytes]], tmp_path: Path
) -> None:
    os.mkdir(tmp_path / "other")
    address = f"ipc://{tmp_path}/other/it"
    first = stuck(receiver.address, context)
    with contextlib.closing(Pusher(connect=address, context=context)) as late:
        first.close()  # all connections are sought, and that of `late` is not there
        assert len(copies) == 1
        again = Receiver(address=address)
        until(lambda: connections(address) == 3)  # two of the first, as one is a copy
        for number in range(TOO_MANY):
            late.push_nowait(message(number))
        assert again.read(1) == [0]
    assert len(copies) == 2
    assert again.read(TOO_MANY - 1) == list(range(1, TOO_MANY))
    all_is_read_of(receiver, 1)
    again.close()


def test_a_peer_that_reads_nothing_is_waited_for_five_seconds_whatever_the_linger() -> None:
    copy = ipclinger.Copy(0, 0, 0, place_of("ipc://it", False))
    copy.until, copy.standing, copy.unread, copy.since = 1000.0, False, 100, 50.0
    assert not copy.is_over(50 + ipclinger.UNREAD_LIMIT - 0.1)
    assert copy.is_over(50 + ipclinger.UNREAD_LIMIT)
    copy.standing = True  # libzmq still writes
    assert not copy.is_over(999.9)
    assert copy.is_over(1000)
