"""Under a flood everything else goes on: timers, other sockets, signals."""

from __future__ import annotations

import contextlib
import gc
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zmq

if TYPE_CHECKING:
    from tests.conftest import World

pytestmark = pytest.mark.real("slices of time")

some_worlds = pytest.mark.parametrize(
    "w", ["asyncio", "uvloop", "trio", "epoll", "asyncioreactor"], indirect=True
)
TICK = 0.005  # seconds
FLOOD = 0.3  # seconds of the loop's own thread for which ticks are counted
# Of the ticks. PyPy's compiler stops the loop as it pleases, with bare pyzmq as well.
WANTED = 0.8 if sys.implementation.name == "cpython" else 0.5


@pytest.fixture(autouse=True)
def nothing_to_collect() -> None:
    """What two thousand other tests have left takes Python's collector longer than a tick."""
    gc.collect()
    if hasattr(gc, "freeze"):  # PyPy has none, whose collector looks at the young alone
        gc.freeze()


async def enough_ticks(w: World) -> None:
    """Check that a 5 ms ticker keeps most of its ticks.

    One is lost for each 5 ms that it comes late. What counts is the time that the loop's own thread
    has used, for how late a tick is and for how long the flood goes on: on a busy machine other
    processes take time as well, and in 0.3 s by the clock this thread may run for 0.03 s.
    """
    kept = lost = 0
    end = time.thread_time() + FLOOD
    while time.thread_time() < end:
        used = time.thread_time()
        await w.sleep(TICK)
        kept += 1
        lost += max(0, int((time.thread_time() - used) / TICK) - 1)
    assert kept >= WANTED * (kept + lost), (kept, lost)
    assert kept > 5


FAR = """
import sys, zmq
kind, does, address = sys.argv[1:]
socket = zmq.Context().socket(getattr(zmq, kind))
getattr(socket, does)(address)
while True:
    socket.send(b"x" * 20) if kind == "PUSH" else socket.recv()
"""


@contextlib.contextmanager
def far(kind: str, does: str, address: str) -> Iterator[str]:
    """A plain socket in a process of its own that sends or receives as fast as it can."""
    process = subprocess.Popen([sys.executable, "-c", FAR, kind, does, address])
    try:
        yield address
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def flood(tmp_path: Path) -> Iterator[str]:
    with far("PUSH", "bind", f"ipc://{tmp_path}/flood") as address:
        yield address


@some_worlds
async def test_timers_go_on_while_messages_are_taken_one_by_one(w: World, flood: str) -> None:
    taken = 0

    async def take() -> None:
        nonlocal taken
        async for _ in puller:
            taken += 1

    async with w.Puller(connect=flood) as puller:
        taking = w.spawn(take())
        await w.until(lambda: taken > 1000)
        await enough_ticks(w)
        assert taken > 2000
        puller.close()
        await taking


@pytest.mark.parametrize("w", ["epoll", "select", "asyncioreactor"], indirect=True)
async def test_timers_go_on_while_a_handler_is_called(w: World, flood: str) -> None:
    handled = []

    def handler(message: list[bytes]) -> None:
        handled.append(message)
        end = time.thread_time() + 0.00002
        while time.thread_time() < end:
            pass

    async with w.Puller(connect=flood, handler=handler) as puller:
        await w.until(lambda: len(handled) > 1000)
        await enough_ticks(w)
        assert len(handled) > 2000
        assert puller.statistics().unread <= 1000


@some_worlds
async def test_timers_go_on_while_messages_are_sent_in_a_tight_loop(w: World) -> None:
    ended = False

    async def send() -> None:
        while not ended:
            await dealer.send(b"x" * 20)

    # Without a limit, or sending would wait for the peer, and the loop have its turn for that.
    async with w.Dealer(bind="ipc://*", options={zmq.SNDHWM: 0}) as dealer:
        with far("DEALER", "connect", *dealer.addresses):
            sending = w.spawn(send())
            await w.until(lambda: dealer.statistics().sent > 3000)
            await enough_ticks(w)
            ended = True
            await sending


@some_worlds
async def test_another_socket_is_served_under_a_flood(w: World, flood: str) -> None:
    taken = 0

    async def take() -> None:
        nonlocal taken
        async for _ in puller:
            taken += 1

    async with (
        w.Puller(connect=flood) as puller,
        w.Replier(bind="ipc://*") as replier,
        w.Requester(connect=replier.addresses, timeout=10) as requester,
    ):
        taking = w.spawn(take())
        serving = w.spawn(replier.serve(lambda request: request.reply(*request.parts)))
        await w.until(lambda: taken > 1000)
        start = time.monotonic()
        for _ in range(20):
            await requester.request(b"x")
        assert time.monotonic() - start < 5  # 20 round trips; each is a few bursts long
        puller.close()
        replier.close()
        await taking
        await serving


STOPPING = {
    "asyncio": """
import asyncio, signal, sys
from zmqbridge.asyncio_backend import Puller

async def main():
    async with Puller(connect=sys.argv[1]) as puller:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, puller.close)
        n = 0
        async for _ in puller:
            n += 1
            if n == 1000:
                print("flooded", flush=True)

asyncio.run(main())
print("stopped")
""",
    "twisted": """
import sys
from twisted.internet import reactor
from zmqbridge.twisted_backend import Puller
n = 0
def handler(message):
    global n
    n += 1
    if n == 1000:
        print("flooded", flush=True)
puller = Puller(connect=sys.argv[1], handler=handler)
reactor.addSystemEventTrigger("before", "shutdown", puller.close)
reactor.run()
print("stopped")
""",
    "facade": """
import sys
from twisted.internet import reactor
from zmqbridge.txzmq import *
n = 0
class Pull(ZmqPullConnection):
    def onPull(self, message):
        global n
        n += 1
        if n == 1000:
            print("flooded", flush=True)
factory = ZmqFactory()
factory.registerForShutdown()
# Not before the reactor handles signals, as a connection reads when it is made.
reactor.callWhenRunning(Pull, factory, ZmqEndpoint("connect", sys.argv[1]))
reactor.run()
print("stopped")
""",
}


@pytest.mark.parametrize("backend", STOPPING)
def test_a_signal_is_acted_on_under_a_flood(backend: str, flood: str) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", STOPPING[backend], flood], stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout.readline() == "flooded\n"
        program.send_signal(signal.SIGTERM)
        # The flood never ends, so a program that it keeps from stopping does not stop.
        assert program.communicate(timeout=20)[0] == "stopped\n"
        assert program.returncode == 0
    finally:
        program.kill()
        program.wait()
