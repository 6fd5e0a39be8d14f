"""What a simulated program cannot have is refused by a word that says what to do instead."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
import zmq
import zmq.asyncio
from simulated_worlds import Loop

from zmqbridge import asyncio_backend, twisted_backend
from zmqbridge.testing import Network, NotSimulated, SimReactor


def raised(loop: Any, call: Callable[[], Any]) -> str:
    """The text of the NotSimulated that a call in a program of `main` raises."""

    async def main() -> None:
        made = call()
        if made is not None:
            await made

    with pytest.raises((NotSimulated, ExceptionGroup)) as caught:
        loop.run(main, Network())
    error: Any = caught.value
    while isinstance(error, ExceptionGroup):  # of anyio and trio
        [error] = error.exceptions
    assert isinstance(error, NotSimulated), error
    return str(error)


@pytest.fixture
def context() -> Iterator[zmq.Context[Any]]:
    with zmq.Context() as made:
        yield made


CALLS: list[tuple[Callable[[], Any], str]] = [
    (lambda: threading.Thread(target=print).start(), "threads are not simulated"),
    (lambda: time.sleep(1), "await a sleep of the loop"),
    (lambda: subprocess.run(["true"]), "let a node play it"),
    (lambda: os.system("true"), "let a node play it"),
    (lambda: socket.create_connection(("127.0.0.1", 9)), "let the test replace what connects"),
]


@pytest.mark.parametrize(("call", "text"), CALLS, ids=[text for _, text in CALLS])
def test_calls_that_block_or_are_real(loop: Any, call: Any, text: str) -> None:
    assert text in raised(loop, call)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork(loop: Any) -> None:
    def fork() -> None:
        if not os.fork():
            os._exit(1)

    assert "os.fork in a program of <Node main>" in raised(loop, fork)


def test_a_real_socket_of_a_real_context(loop: Any, context: Any) -> None:
    assert "make it with context=node.context" in raised(loop, lambda: context.socket(zmq.PULL))


def test_nothing_is_refused_outside_of_programs_and_after_them(context: Any) -> None:
    before = time.sleep, threading.Thread.start, zmq.Context.socket
    first, second = SimReactor(), SimReactor()
    for ends in (None, first, second):
        if ends is not None:
            ends.close()
        time.sleep(0.001)
        thread = threading.Thread(target=time.sleep, args=(0.001,))
        thread.start()
        thread.join()
        context.socket(zmq.PULL).close()
    assert (time.sleep, threading.Thread.start, zmq.Context.socket) == before


def test_a_sleep_of_no_time_is_no_harm(loop: Any) -> None:
    async def main() -> str:
        time.sleep(0)
        return "slept"

    assert loop.run(main, Network()) == "slept"


ASYNCIO: list[tuple[Callable[[], Any], str]] = [
    (lambda: asyncio.create_subprocess_exec("true"), "let a node play it"),
    (lambda: anyio.run_process(["true"]), "let a node play it"),
    (lambda: asyncio.open_connection("127.0.0.1", 9), "let the test replace what connects"),
    (lambda: asyncio.start_server(print, "127.0.0.1", 0), "let the test replace what connects"),
    (lambda: anyio.connect_tcp("127.0.0.1", 9), "let the test replace what connects"),
    (lambda: asyncio.get_running_loop().getaddrinfo("a", 1), "let the test replace what connects"),
    (
        lambda: asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, print),
        "signals are those of the real process",
    ),
    (lambda: asyncio.to_thread(print), "threads are not simulated"),
    (lambda: anyio.to_thread.run_sync(print), "threads are not simulated"),
    (lambda: zmq.asyncio.Context.instance().socket(zmq.PULL).close(), "context=node.context"),
]


@pytest.mark.parametrize(("call", "text"), ASYNCIO)
def test_what_an_asyncio_loop_has_besides(call: Any, text: str) -> None:
    assert text in raised(Loop("asyncio"), call)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: anyio.connect_tcp("127.0.0.1", 9), "let the test replace what connects"),
        (lambda: anyio.to_thread.run_sync(print), "threads are not simulated"),
    ],
)
def test_what_trio_has_besides(call: Any, text: str) -> None:
    assert text in raised(Loop("trio"), call)


def test_a_reactor_starts_no_process() -> None:
    with SimReactor() as reactor, pytest.raises(NotSimulated, match="let a node play it"):
        reactor.spawnProcess(None, "true")


def test_a_closed_reactor_lets_no_time_pass() -> None:
    reactor = SimReactor()
    reactor.close()
    for call in (lambda: reactor.advance(1), lambda: reactor.run_until(lambda: True)):
        with pytest.raises(NotSimulated, match="was closed"):
            call()


# Sockets whose loop is not the simulated one.


def test_a_socket_in_a_nodes_context_is_on_the_reactor_of_its_network() -> None:
    network = Network()
    with SimReactor(network) as reactor:
        context = network.node("main").context
        puller = twisted_backend.Puller(bind="tcp://*:5555", context=context)
        pusher = twisted_backend.Pusher(connect="tcp://main:5555", context=context)
        pusher.push_nowait(b"x")
        assert reactor.run_until(puller.receive()) == [b"x"]


def test_a_socket_in_a_nodes_context_without_a_reactor_is_told() -> None:
    with pytest.raises(NotSimulated, match=r"make a SimReactor\(network\) first"):
        twisted_backend.Puller(bind="tcp://*:5555", context=Network().node("main").context)


def test_a_socket_in_a_nodes_context_on_a_real_loop_is_told() -> None:
    context = Network().node("main").context

    async def main() -> None:
        puller = asyncio_backend.Puller(bind="tcp://*:5555", context=context)
        try:
            await asyncio.wait_for(puller.receive(), 5)
        finally:
            puller.close()

    with pytest.raises(NotSimulated, match=r"zmqbridge.testing.run\(\)"):
        asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({zmq.RECONNECT_IVL: 0}, "only 1 ms and more is simulated, and not 0"),
        ({zmq.RECONNECT_IVL: -1}, "only 1 ms and more is simulated, and not -1"),
        ({zmq.HEARTBEAT_TTL: 300}, "HEARTBEAT_TTL only the default is simulated: 0"),
    ],
)
def test_values_with_which_libzmq_is_another(options: dict[int, int], text: str) -> None:
    context = Network().node("it").context
    with pytest.raises(NotSimulated, match=text):
        asyncio_backend.Requester(options=options, context=context)


def test_a_socket_of_a_kind_without_patterns() -> None:
    with pytest.raises(NotSimulated, match="a socket of the type STREAM is not simulated"):
        Network().node("it").context.socket(zmq.STREAM)
