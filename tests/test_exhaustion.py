"""No room for one more socket: an error with the cause, and nothing that is left over."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest
import zmq

from zmqbridge import AuthenticationMissing, ResourcesExhausted, ZmqBridgeError
from zmqbridge._bridge import link
from zmqbridge.asyncio_backend import Puller
from zmqbridge.security import CurveServer, Policy

if TYPE_CHECKING:
    from tests.conftest import World

BOUND = 60  # seconds
both = pytest.mark.parametrize("w", ["asyncio", "epoll"], indirect=True)


def roomy(sockets: int) -> zmq.Context[zmq.Socket[bytes]]:
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, sockets)
    return context


@both
async def test_a_full_context_is_named_if_the_collector_came_between(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # pyzmq makes its error, and with it may come the end of a forgotten socket, before errno is
    # read. Then the number is that of a question to a socket which was closed.
    made = zmq.ZMQError.__init__

    def late(error: zmq.ZMQError, number: int | None = None, text: str | None = None) -> None:
        made(error, zmq.ENOTSOCK if number is None else number, text)

    context = roomy(1)
    opened = w.Puller(context=context)
    monkeypatch.setattr(zmq.ZMQError, "__init__", late)
    with pytest.raises(ResourcesExhausted, match=r"zmq\.MAX_SOCKETS=1") as refused:
        w.Puller(context=context)
    assert refused.value.errno == errno.EMFILE
    monkeypatch.undo()
    opened.close()
    context.term()


@both
@pytest.mark.parametrize("monitor", [False, True])
async def test_a_context_that_is_full_is_named_and_has_room_again(w: World, monitor: bool) -> None:
    context = roomy(7)
    opened = []
    with pytest.raises(ResourcesExhausted, match=r"zmq\.MAX_SOCKETS=7") as refused:
        while True:
            opened.append(w.Puller(context=context, monitor=monitor))
    assert isinstance(refused.value, ZmqBridgeError)
    assert isinstance(refused.value, OSError)
    assert refused.value.errno == errno.EMFILE
    assert len(opened) == (2 if monitor else 7)
    for _ in range(3):  # each of which takes sockets, fails, and gives them back
        with pytest.raises(ResourcesExhausted, match="MAX_SOCKETS"):
            while True:
                opened.append(w.Puller(context=context, monitor=monitor))
    opened.pop().close()
    again = []

    def room() -> bool:  # libzmq closes in a thread of its own
        try:
            again.append(w.Puller(context=context, monitor=monitor))
        except ResourcesExhausted:
            return False
        return True

    await w.until(room)
    for each in [*opened, *again]:
        each.close()
    context.term()


def test_the_librarys_own_context_that_is_full_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire() -> zmq.Context[zmq.Socket[bytes]]:
        return small

    small = roomy(3)
    monkeypatch.setattr(vars(link)["shared"], "acquire", acquire)
    opened = []
    with pytest.raises(ResourcesExhausted, match=r"zmq\.MAX_SOCKETS=3"):
        while True:
            opened.append(Puller())
    for each in opened:
        each.close()
    small.term()


@both
async def test_authenticators_and_what_asks_for_them_say_so_too(w: World) -> None:
    context = roomy(1)
    async with w.Puller(context=context) as puller:
        with pytest.raises(ResourcesExhausted, match="MAX_SOCKETS"):
            w.Authenticator({"*": Policy()}, context=context)
        puller.socket.curve_server = True
        with pytest.raises(ResourcesExhausted, match="MAX_SOCKETS"):
            puller.bind("tcp://127.0.0.1:*")
    context.term()
    context = roomy(2)
    _, secret = zmq.curve_keypair()
    with pytest.raises(AuthenticationMissing):
        w.Puller(bind="tcp://127.0.0.1:*", security=CurveServer(secret), context=context)
    context.term()


@both
async def test_when_it_cannot_be_seen_whether_there_is_an_authenticator_no_server_opens(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starved(socket: zmq.Socket[bytes], address: str) -> None:
        raise zmq.ZMQError(errno.ENOMEM)

    _, secret = zmq.curve_keypair()
    monkeypatch.setattr(zmq.Socket, "bind", starved)  # ours bind past it
    with zmq.Context() as context:
        with pytest.raises(zmq.ZMQError) as refused:
            w.Puller(bind="tcp://127.0.0.1:*", security=CurveServer(secret), context=context)
        assert refused.value.errno == errno.ENOMEM


PROGRAM = """
    import asyncio, contextlib, os, resource, sys, time
    import zmq
    from zmqbridge import ResourcesExhausted, asyncio_backend, twisted_backend

    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
    twisted = sys.argv[1] == "twisted"
    Puller = (twisted_backend if twisted else asyncio_backend).Puller  # is loaded here
    if twisted:
        from twisted.internet import reactor

    def descriptors():
        try:
            return len(os.listdir("/proc/self/fd"))
        except OSError:  # there is none left to look
            return 1000

    async def pause():
        if twisted:
            time.sleep(0.01)
        else:
            await asyncio.sleep(0.01)

    async def main():
        held = []
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        try:
            Puller()  # there is not even a context
        except ResourcesExhausted as error:
            assert "descriptor" in str(error), error
        for each in held:
            os.close(each)
        first = Puller(bind="inproc://first")
        there = descriptors()
        for monitor in (False, True):
            for _ in range(3):
                opened = []
                try:
                    while True:
                        opened.append(Puller(monitor=monitor))
                except ResourcesExhausted as error:
                    assert "descriptor" in str(error), error
                    assert "ulimit" in str(error), error
                for each in opened:
                    each.close()
                while descriptors() > there:
                    await pause()
        held = []
        puller = Puller()
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        try:
            puller.bind("ipc://*")
        except ResourcesExhausted as error:
            print("told")
        for each in held:
            os.close(each)
        puller.bind("ipc://*")
        puller.close()
        first.close()

    if twisted:  # its sockets belong to no program of asyncio
        with contextlib.suppress(StopIteration):
            main().send(None)
    else:
        asyncio.run(main())
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts them there")
@pytest.mark.parametrize("backend", ["asyncio", "twisted"])
def test_descriptors_that_are_used_up_are_named_and_given_back(backend: str) -> None:
    program = textwrap.dedent(PROGRAM)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, backend],
        capture_output=True,
        text=True,
        timeout=BOUND,
    )
    assert ran.stderr == ""
    assert ran.stdout == "told\n"


FIRST = """
    import asyncio, contextlib, os, resource, sys, time
    import zmq
    import zmqbridge.errors
    from zmqbridge import asyncio_backend, txzmq

    how = sys.argv[1]
    if how == "facade":
        from twisted.internet import reactor
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
    ADDRESS = "tcp://127.0.0.1:*"
    asyncio_backend.Puller  # is loaded here, and so are the modules that it needs
    asyncio_backend.Proxy

    def own():
        asyncio_backend.Puller(bind=ADDRESS)

    def given():
        asyncio_backend.Puller(bind=ADDRESS, context=zmq.Context(2))

    def facade():
        end = txzmq.ZmqEndpoint("bind", ADDRESS)
        txzmq.ZmqPullConnection(txzmq.ZmqFactory(), end)

    def proxy():
        asyncio_backend.Proxy("pipeline", ADDRESS, ADDRESS)

    def address(free):
        puller = asyncio_backend.Puller()
        fill(free)
        puller.bind(ADDRESS)

    def fill(left):
        held = []
        try:
            while True:
                held.append(os.dup(1))
        except OSError:
            pass
        for each in held[:left]:
            os.close(each)

    async def main(free):
        if how != "address":
            fill(free)
        try:
            globals()[how](*[free] * (how == "address"))
            outcome = "opened"
        except zmqbridge.errors.ResourcesExhausted as error:
            outcome = "refused" if "descriptor" in str(error) else error
        os.write(1, f"{free} {outcome}\\n".encode())
        os._exit(0)

    for free in map(int, sys.argv[2:]):
        if not os.fork():
            asyncio.run(main(free))
        if os.wait()[1]:
            print(free, "killed", flush=True)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts as on Linux")
@pytest.mark.parametrize(
    ("how", "few", "enough"),
    [
        ("own", range(1, 7), 7),
        ("given", range(1, 9), 9),
        ("facade", range(1, 7), 7),
        ("proxy", range(1, 7), 15),
        ("address", range(1), 1),
    ],
)
def test_with_too_few_descriptors_for_libzmq_the_first_socket_is_refused(
    how: str, few: range, enough: int
) -> None:
    program = textwrap.dedent(FIRST)  # libzmq would abort the process
    ran = subprocess.run(
        [sys.executable, "-c", program, how, *map(str, [*few, enough])],
        capture_output=True,
        text=True,
        timeout=BOUND,
    )
    refused = "".join(f"{free} refused\n" for free in few)
    assert (ran.stdout, ran.stderr) == (f"{refused}{enough} opened\n", "")
