"""The shared context: one for all sockets of a process, and it ends without holding anybody up."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import zmq

from zmqbridge.context import EXIT_PATIENCE, SharedContext
from zmqbridge.twisted_backend import Puller, Pusher

BOUND = 10  # seconds


def run(program, *options):
    """Run a program in a process of its own."""
    return subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_all_sockets_share_one_context_which_is_the_librarys_own():
    first, second = Pusher(), Puller()
    try:
        assert first.socket.context is second.socket.context
        assert first.socket.context is not zmq.Context.instance()
    finally:
        first.close()
        second.close()
        zmq.Context.instance().term()


def test_a_context_that_was_given_is_used_and_left_alone():
    with zmq.Context() as context:
        pusher = Pusher(context=context)
        assert pusher.socket.context is context
        pusher.close()
        assert not context.closed


@pytest.fixture
def mine():
    """A shared context of the test's own, so that nobody else's sockets count."""
    made = SharedContext()
    yield made
    made._at_exit()


def test_it_ends_elsewhere_after_its_last_socket_though_a_message_lingers(mine):
    context = mine.acquire()
    pusher = zmq.Socket(context, zmq.PUSH)
    pusher.set(zmq.LINGER, 300)
    pusher.connect("tcp://127.0.0.1:1")  # nobody is there
    pusher.send(b"unsent", zmq.DONTWAIT)
    pusher.close()
    start = time.monotonic()
    mine.release(context)
    assert time.monotonic() - start < 0.1
    end = time.monotonic() + BOUND
    while not context.closed:
        assert time.monotonic() < end
        time.sleep(0.005)
    assert time.monotonic() - start > 0.25  # it was given its time
    assert mine.acquire() is not context


def test_it_is_kept_for_a_socket_that_comes_soon(mine):
    context = mine.acquire()
    mine.release(context)
    assert mine.acquire() is context
    for thread in threading.enumerate():
        if thread.name == "zmqbridge-context":
            thread.join(BOUND)
    assert not context.closed
    mine.release(context)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_gets_a_fresh_one():
    done = run("""
        import os
        from zmqbridge.context import shared
        from zmqbridge.twisted_backend import Puller

        parents = Puller()
        context = parents.socket.context
        child = os.fork()
        if not child:
            mine = shared.acquire()
            fresh = mine is not context
            shared.release(context)  # a parent's; it counts for nothing here
            fresh = fresh and shared.acquire() is mine
            os._exit(0 if fresh else 1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        parents.close()
        raise SystemExit(status)
    """)
    assert done.returncode == 0, done.stderr


def test_a_process_with_a_forgotten_socket_ends_in_time_and_says_so():
    start = time.monotonic()
    done = run(
        """
        from zmqbridge.twisted_backend import Pusher
        Pusher(connect="tcp://127.0.0.1:1").socket.send(b"unsent")
        kept = Pusher(connect="tcp://127.0.0.1:1")
        kept.socket.send(b"unsent")
        """,
        "-Wdefault",
    )
    assert done.returncode == 0, done.stderr
    assert "ResourceWarning: unclosed <Pusher tcp://127.0.0.1:1>" in done.stderr
    assert time.monotonic() - start < EXIT_PATIENCE  # it did not have to be cut off


def test_closing_while_a_large_message_is_half_on_the_wire_aborts_nothing():
    done = run("""
        import zmq
        from zmqbridge.twisted_backend import Pusher

        plain = zmq.Context()
        for _ in range(20):
            puller = plain.socket(zmq.PULL)
            port = puller.bind_to_random_port("tcp://127.0.0.1")
            pusher = Pusher(connect=f"tcp://127.0.0.1:{port}")
            while not pusher.socket.poll(10, zmq.POLLOUT):
                pass
            pusher.push_nowait(*[bytes(500_000)] * 20)
            pusher.close()
            puller.close(0)
        plain.term()
        print("whole")
    """)
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert done.stdout == "whole\n"
