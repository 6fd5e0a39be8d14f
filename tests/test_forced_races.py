"""Races with the threads of the library: each is brought about by hand, at the worst moment."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zmqbridge._bridge import guards, mechanisms
from zmqbridge._bridge.addresses import HOLDS
from zmqbridge.security import Peer, Policy
from zmqbridge.twisted_backend import Pusher, _clocks

if TYPE_CHECKING:
    from tests.conftest import World

only_where_ipc_is_held = pytest.mark.skipif(
    not HOLDS, reason="only Linux tells what a peer has not read"
)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.001)


# The thread that holds connections over ipc.


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/it"


@only_where_ipc_is_held
def test_a_number_that_another_descriptor_has_got_before_it_was_copied_is_not_held(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zmqbridge._bridge.ipclinger import copies

    ours, theirs = socket.socketpair()
    copied = []
    dup = os.dup

    def of_what_was_opened_meanwhile(original: int) -> int:
        if sys._getframe(1).f_code.co_name != "_find":  # of what libzmq has, to ask for its address
            return dup(original)
        copied.append(dup(ours.fileno()))
        return copied[-1]

    with ours, theirs, zmq.Context() as context, context.socket(zmq.PULL) as puller:
        puller.bind(address)
        pusher = Pusher(connect=address, context=context)
        pusher.push_nowait(b"x")
        assert puller.recv() == b"x"
        until(lambda: not len(copies))
        with monkeypatch.context() as patched, copies._lock:  # so its thread closes nothing
            patched.setattr(os, "dup", of_what_was_opened_meanwhile)
            pusher.close()
            assert not len(copies)
        assert copied
        ours.close()
        theirs.settimeout(30)
        assert theirs.recv(1) == b"", "a copy of the wrong descriptor is still open"


@only_where_ipc_is_held
def test_a_connection_that_went_since_the_last_look_is_not_sought_for(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zmqbridge._bridge.descriptors import is_of
    from zmqbridge._bridge.ipclinger import Copies, copies

    def connected(context: Any) -> Any:
        pusher = Pusher(connect=address, context=context)
        pusher.push_nowait(b"x")
        return pusher

    sought = []
    seek = Copies._seek
    until(lambda: not len(copies))
    with zmq.Context() as context, context.socket(zmq.PULL) as puller:
        puller.set(zmq.RCVHWM, 1)
        puller.bind(address)
        first, second = connected(context), connected(context)
        assert puller.recv() == puller.recv() == b"x"
        with copies._lock:  # so its thread sees nothing
            first.close()
            held = [each for each in copies._copies.values() if each.standing]
            assert len(held) == 2
            until(lambda: not all(is_of(each.original, each.inode) for each in held))
            third = connected(context)
            assert puller.recv() == b"x"
            monkeypatch.setattr(Copies, "_seek", lambda self: (sought.append(1), seek(self)))
            third.close()
            assert len(sought) == 1
        second.close()
    until(lambda: not len(copies))


# The thread that compares the clocks.


class Reactor:
    """As much of a reactor as the comparison asks for."""

    def seconds(self) -> float:
        return time.monotonic()


def test_a_socket_that_opens_while_the_thread_of_the_clocks_ends_gets_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The thread finds nothing open; before it has said that it ends, a socket opens, and relies on
    # it; later the socket is closed.
    answers = iter([False, True])
    reactor = Reactor()
    _clocks._watchers[reactor] = threading.current_thread()
    ends = threading.Event()
    monkeypatch.setattr(_clocks, "_needed", lambda its: next(answers, not ends.is_set()))
    assert _clocks._look(reactor, 0.0) == float("inf")
    other = _clocks._watchers[reactor]
    assert other is not threading.current_thread()
    assert other.is_alive()
    ends.set()
    other.join(30)
    assert not other.is_alive()
    assert reactor not in _clocks._watchers


# libzmq's thread, which asks the authenticator.


async def test_an_authenticator_takes_no_more_questions_when_it_answers_the_last(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    free = []

    async def check(peer: Peer) -> None:
        asked.append(peer)
        await w.sleep(100)

    with (
        zmq.Context() as context,
        context.socket(zmq.REQ) as libzmq,
        contextlib.ExitStack() as left,
    ):
        libzmq.linger = 0
        async with w.Authenticator({"*": Policy(check=check)}, context=context) as authenticator:
            libzmq.connect(mechanisms.ZAP)
            question = [b"1.0", b"7", b"", b"127.0.0.1", b"", b"PLAIN", b"name", b"password"]
            libzmq.send_multipart(question)
            await w.until(lambda: asked)
            pattern: Any = authenticator._zap
            reply = type(pattern)._reply

            def see_whether_it_is_free(self: Any, answer: Any) -> None:
                other = left.enter_context(context.socket(zmq.REP))
                other.bind(mechanisms.ZAP)
                free.append(True)
                reply(self, answer)

            with monkeypatch.context() as patched:
                patched.setattr(type(pattern), "_reply", see_whether_it_is_free)
                authenticator.close()
            assert free
            assert libzmq.poll(30_000)
            assert libzmq.recv_multipart()[2] == b"500"


# Sets that another thread changes.


class Overtaken:
    """A set of two, to which another thread adds one while it is listed for the first time."""

    def __init__(self) -> None:
        self.listed = 0

    def __iter__(self) -> Iterator[int]:
        self.listed += 1
        yield 1
        if self.listed == 1:
            raise RuntimeError("Set changed size during iteration")
        yield 2


def test_a_set_that_another_thread_changes_is_listed_again() -> None:
    assert guards.snapshot(Overtaken()) == [1, 2]


def changing() -> Iterator[Any]:
    yield from ()
    raise RuntimeError("Set changed size during iteration")


def test_while_sockets_come_and_go_the_thread_of_the_clocks_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not _clocks._needed(object())
    for name in ("_delays", "open_sockets"):
        with monkeypatch.context() as patched:
            patched.setattr(_clocks, name, changing())
            assert _clocks._needed(object())
