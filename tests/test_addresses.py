"""Addresses that this process gave up a moment ago are waited for, and no others."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from zmqbridge import AddressError
from zmqbridge._bridge import addresses
from zmqbridge.twisted_backend import Puller

BOUND = 10  # seconds


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """A port at which somebody listens, for as long as the listener is open."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    yield listener
    listener.close()


def name_of(listener: socket.socket) -> str:
    return f"tcp://127.0.0.1:{listener.getsockname()[1]}"


def later(call: Callable[..., Any]) -> threading.Timer:
    timer = threading.Timer(0.1, call)
    timer.start()
    return timer


def bind(name: str) -> str:
    puller = Puller()
    try:
        return puller.bind(name)
    finally:
        puller.close()


def given_up(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As if a socket of ours had been bound there until now."""
    monkeypatch.setitem(addresses._left, name, time.monotonic())


@pytest.mark.parametrize("asked", ["127.0.0.1", "*", "localhost"])
def test_a_port_of_ours_is_waited_for_whatever_interface_is_named(
    taken: socket.socket, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    name = name_of(taken)
    given_up(monkeypatch, name)
    closing = later(taken.close)
    port = name.rpartition(":")[2]
    try:
        assert bind(f"tcp://{asked}:{port}").endswith(f":{port}")
    finally:
        closing.join()


def test_but_for_a_bounded_time_and_where_it_was_ours_a_moment_ago(
    taken: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = name_of(taken)
    monkeypatch.setattr(addresses, "RELEASE_TIMEOUT", 0.2)
    waited = []
    for since in (None, time.monotonic() - addresses.RECENT - 1, time.monotonic()):
        if since is not None:
            monkeypatch.setitem(addresses._left, name, since)
        start = time.monotonic()
        with pytest.raises(AddressError, match="in use"):
            bind(name)
        waited.append(time.monotonic() - start)
    assert min(waited[:2]) < 0.2 <= waited[2] < BOUND


@pytest.mark.parametrize("name", ["tcp://127.0.0.1:*", "tcp://[::1]:*", "ipc://@{}"])
def test_an_address_is_free_when_nobody_listens_there(name: str) -> None:
    with zmq.Context() as context, context.socket(zmq.PULL) as puller:
        puller.set(zmq.IPV6, 1)
        try:
            puller.bind(name.format(f"zmqbridge-{os.getpid()}"))
        except zmq.ZMQError:
            pytest.skip("this system does not know such addresses")
        bound = puller.get(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
        assert not addresses.is_free(bound)
    addresses.wait_until_free([bound])
    assert addresses.is_free(bound)


def test_what_was_given_up_is_remembered_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "MOST", 3)
    monkeypatch.setattr(addresses, "_left", {})
    names = [bind("tcp://127.0.0.1:*") for _ in range(5)]
    assert list(addresses._left) == names[2:]


def test_sockets_of_many_threads_give_up_theirs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bound:
        pass

    def gives_up(thread: int) -> None:
        for number in range(3000):
            bound = Bound()
            vars(bound)[addresses.BOUND] = [f"tcp://127.0.0.1:{thread}{number}"]
            addresses.left(bound)
        done.append(thread)

    monkeypatch.setattr(addresses, "MOST", 3)
    monkeypatch.setattr(addresses, "_left", {})
    done: list[int] = []
    threads = [threading.Thread(target=gives_up, args=[number]) for number in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(BOUND)
    finally:
        sys.setswitchinterval(interval)
    assert sorted(done) == [0, 1, 2, 3]
    assert len(addresses._left) <= 3 + len(threads)


def test_an_errno_that_is_not_of_bind_is_asked_for_again() -> None:
    numbers = [zmq.EAGAIN, zmq.EADDRINUSE]

    def call(socket: Any, address: Any) -> None:
        raise zmq.ZMQError(numbers.pop(0))

    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        with pytest.raises(zmq.ZMQError) as refused:
            addresses.bind(pull, "tcp://127.0.0.1:1", call)
    assert refused.value.errno == zmq.EADDRINUSE
    assert numbers == []
