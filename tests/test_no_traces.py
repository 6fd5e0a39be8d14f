"""Several loops one after the other and in threads; and no trace of the library in its process."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from typing import Any

import pytest

from zmqbridge import LoopError
from zmqbridge.asyncio_backend import Publisher, Puller, Pusher, Replier, Request, Requester

# What any program may have set; nothing of ours may be seen by it.
STRICT = ["-X", "dev", "-W", "error"]  # of which -X dev is asyncio's debug mode, too
# Asyncio's debug mode says so when a callback was slow, as all are on a busy machine.
SLOW = re.compile(r"^Executing <.* took [0-9.]+ seconds\n", re.MULTILINE)
PACKAGES = ["asyncio_backend", "twisted_backend", "txzmq", "_cli"]


def run(program: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, *STRICT, *options, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    assert SLOW.sub("", done.stderr) == ""
    return done.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_leaves_no_trace(package: str) -> None:
    run(f"""
        import asyncio, os, signal, sys, threading

        def state():
            return (
                asyncio.events._event_loop_policy,
                asyncio.events._get_running_loop(),
                [signal.getsignal(number) for number in signal.valid_signals()],
                threading.enumerate(),
                sys.excepthook, sys.unraisablehook, threading.excepthook,
                os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd") else None,
                sys.getswitchinterval(), sys.getrecursionlimit(),
            )

        before = state()
        import zmqbridge.{package}
        assert state() == before, (state(), before)
        assert not {{"trio", "uvloop", "twisted.internet.reactor"}} & set(sys.modules)
    """)


HOSTS = {
    "asyncio": "asyncio.run(main())",
    "uvloop": "import uvloop; uvloop.run(main())",
    "trio": "import trio; trio.run(main)",
    "deaf": """
class Deaf(asyncio.SelectorEventLoop):
    def refuse(self, *args):
        raise NotImplementedError
    add_reader = remove_reader = add_writer = remove_writer = refuse
with asyncio.Runner(loop_factory=Deaf) as runner:
    runner.run(main())
""",
    "twisted": "task.react(lambda reactor: defer.ensureDeferred(main()))",
}


@pytest.mark.parametrize("host", HOSTS)
def test_a_program_ends_as_it_began(host: str) -> None:
    if host in ("uvloop", "trio"):
        pytest.importorskip(host)
    backend = "twisted" if host == "twisted" else "asyncio"
    program = f"""
import anyio, asyncio, os, threading, time
from twisted.internet import defer, task
from zmqbridge.{backend}_backend import Replier, Requester, Publisher, Pusher

async def sleep(seconds):
    if {host == "twisted"}:
        from twisted.internet import reactor
        await task.deferLater(reactor, seconds)
    else:
        await anyio.sleep(seconds)

async def use_sockets():
    for _ in range(4):
        async with (
            Replier(bind="tcp://127.0.0.1:*") as replier,
            Requester(connect=replier.addresses, timeout=0.02) as requester,
            Publisher(bind="inproc://nobody") as publisher,
            Pusher(bind="inproc://somebody") as pusher,
        ):
            publisher.publish(b"for nobody")
            pusher.push_nowait(b"for somebody")
            try:
                await requester.request(b"x")
            except TimeoutError:
                pass

async def what_is_left():
    # The context ends in its own time, in a thread with our name.
    end = time.monotonic() + 10
    while any("zmqbridge" in thread.name for thread in threading.enumerate()):
        assert time.monotonic() < end
        await sleep(0.01)
    return len(threading.enumerate()), len(os.listdir("/proc/self/fd"))

async def main():
    await use_sockets()
    after_one = await what_is_left()
    await use_sockets()
    after_two = await what_is_left()
    assert after_two == after_one, (after_one, after_two)
    print("in peace")

{HOSTS[host]}
"""
    if not os.path.exists("/proc/self/fd"):
        pytest.skip("no /proc")
    assert run(program) == "in peace\n"


def test_sockets_may_be_made_before_there_is_a_loop() -> None:
    assert (
        run("""
        import asyncio
        from zmqbridge.asyncio_backend import Replier, Requester
        replier = Replier(bind="inproc://early")
        requester = Requester(connect="inproc://early", timeout=10)

        async def main():
            async with replier, requester:
                asking = asyncio.create_task(requester.request(b"question"))
                request = await replier.receive()
                await request.reply(b"answer")
                print(await asking)

        asyncio.run(main())
    """)
        == "[b'answer']\n"
    )


def test_without_a_loop_the_error_says_what_is_missing() -> None:
    publisher = Publisher(bind="inproc://no loop")
    try:
        with pytest.raises(LoopError, match="running event loop"):
            publisher.publish(b"x")
    finally:
        publisher.close()


def test_on_a_second_loop_a_socket_is_refused_and_can_still_be_closed() -> None:
    async def use() -> list[bytes]:
        await pusher.push(b"x")
        return await puller.receive()

    pusher, puller = Pusher(bind="inproc://second"), Puller(connect="inproc://second")
    assert asyncio.run(use()) == [b"x"]
    for call in (use, puller.receive, lambda: puller.__aenter__()):

        async def second(call: Callable[..., Any] = call) -> None:
            with pytest.raises(LoopError, match="belongs to another loop"):
                await call()

        asyncio.run(second())
    assert pusher.statistics().sent == 1
    asyncio.run(puller.aclose())
    pusher.close()
    assert puller.closed
    assert pusher.closed


def test_each_run_has_its_own_sockets() -> None:
    async def main() -> list[bytes]:
        async with Puller(bind="inproc://again") as puller:
            async with Pusher(connect="inproc://again") as pusher:
                await pusher.push(b"x")
                return await puller.receive()

    for _ in range(3):
        assert asyncio.run(main()) == [b"x"]


def test_each_thread_has_its_loop_and_they_talk() -> None:
    count, outcomes = 4, []

    async def client(number: int) -> None:
        async with Requester(connect="inproc://threads", timeout=20) as requester:
            questions = [b"%d asks %d" % (number, n) for n in range(300)]
            replies = await asyncio.gather(*(requester.request(each) for each in questions))
            outcomes.append(replies == [[each] for each in questions])

    async def server() -> None:
        async def echo(request: Request) -> None:
            await request.reply(*request.parts)

        async with Replier(bind="inproc://threads") as replier:
            serving = asyncio.create_task(replier.serve(echo))
            for thread in threads:
                thread.start()
            await asyncio.gather(*(asyncio.to_thread(thread.join, 20) for thread in threads))
            replier.close()
            await serving

    threads = [
        threading.Thread(target=lambda n=number: asyncio.run(client(n))) for number in range(count)
    ]
    asyncio.run(server())
    assert outcomes == [True] * count


def test_what_is_sent_and_closed_while_the_process_ends_still_goes_out() -> None:
    # Python 3.12 starts no thread any more by then, in which a context could end.
    assert (
        run("""
        import atexit, threading, zmq
        from twisted.internet.selectreactor import SelectReactor
        from zmqbridge.twisted_backend import Pusher
        from zmqbridge.txzmq import ZmqEndpoint, ZmqFactory, ZmqPushConnection

        def end():
            pusher.push_nowait(b"last words")
            pusher.close()
            connection.push(b"and the facade's")
            factory.shutdown()

        def hear():
            print(sorted(puller.recv() for _ in range(2)))
            puller.close()
            plain.term()

        plain = zmq.Context()
        atexit.register(hear)
        puller = plain.socket(zmq.PULL)
        puller.rcvtimeo = 10_000
        port = puller.bind_to_random_port("tcp://127.0.0.1")

        factory = ZmqFactory()
        factory.reactor = reactor = SelectReactor()
        address = f"tcp://127.0.0.1:{port}"
        connection = ZmqPushConnection(factory, ZmqEndpoint("connect", address))
        pusher = Pusher(connect=address, reactor=reactor, options={zmq.LINGER: 5000})
        for socket in (pusher.socket, connection.socket):
            assert socket.poll(10_000, zmq.POLLOUT)
        atexit.register(end)
    """)
        == """[b"and the facade's", b'last words']\n"""
    )
