"""libzmq's I/O threads wait while a crowd of messages is handled, and only then."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from pathlib import Path

import pytest
import zmq

from zmqbridge import iothreads, txzmq
from zmqbridge.iothreads import OwnContext
from zmqbridge.pump import CROWD

pytestmark = pytest.mark.skipif(
    not iothreads.HOLDABLE, reason="this system has no policy under which threads interrupt nobody"
)


def policies(context):
    """Those of a context's I/O threads, as the system sees them."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # another thread that has just ended
            if (task / "comm").read_text().startswith(context._name):
                found.append(os.sched_getscheduler(int(task.name)))
    return found


def named(context):
    """Wait until the I/O threads of a context that has a socket have named themselves."""
    end = time.monotonic() + 10
    while len(policies(context)) < context.get(zmq.IO_THREADS):
        assert time.monotonic() < end


@pytest.fixture
def own():
    """A context of the library's own with two I/O threads, which run."""
    with OwnContext(2) as context, context.socket(zmq.PULL):
        named(context)
        yield context


def test_what_is_held_interrupts_nobody_until_it_is_let_go(own):
    own.hold()
    own.hold()
    assert policies(own) == [os.SCHED_BATCH] * 2
    own.let_go()
    assert policies(own) == [os.SCHED_OTHER] * 2


def test_no_other_thread_is_held(own):
    with zmq.Context() as foreign, foreign.socket(zmq.PULL), OwnContext() as other:
        with other.socket(zmq.PULL):
            named(other)
            tasks = {int(task) for task in os.listdir("/proc/self/task")}
            own.hold()
            held = [task for task in tasks if os.sched_getscheduler(task) == os.SCHED_BATCH]
            assert len(held) == 2
            assert policies(other) == [os.SCHED_OTHER]


def test_a_process_under_another_policy_keeps_it():
    seen = []

    def under_batch():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        with OwnContext() as context, context.socket(zmq.PULL):  # its threads inherit the policy
            named(context)
            context.hold()
            context.let_go()
            seen.extend(policies(context))

    thread = threading.Thread(target=under_batch)
    thread.start()
    thread.join()
    assert seen == [os.SCHED_BATCH]


def test_where_it_is_forbidden_it_is_tried_once(own, monkeypatch):
    tried = []

    def forbidden(*arguments):
        tried.append(arguments)
        raise PermissionError(errno.EPERM, "not here")

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    own.hold()
    own.let_go()
    own.hold()
    assert len(tried) == 1


def test_where_the_system_has_no_such_policy_nothing_is_done(monkeypatch):
    monkeypatch.setattr(iothreads, "HOLDABLE", False)
    monkeypatch.delattr(os, "sched_setscheduler")
    with OwnContext() as context, context.socket(zmq.PULL):
        context.hold()
        context.let_go()


def test_threads_that_have_not_named_themselves_yet_are_found_later(own, monkeypatch, tmp_path):
    for tasks, policy in ((tmp_path, os.SCHED_OTHER), (iothreads.TASKS, os.SCHED_BATCH)):
        monkeypatch.setattr(iothreads, "TASKS", tasks)
        own.hold()
        assert policies(own) == [policy] * 2


def test_where_threads_cannot_be_seen_nothing_is_done(own, monkeypatch, tmp_path):
    monkeypatch.setattr(iothreads, "TASKS", tmp_path / "not mounted")
    own.hold()
    own.let_go()
    assert policies(own) == [os.SCHED_OTHER] * 2


def test_a_context_that_has_ended_holds_nothing():
    with OwnContext() as context, context.socket(zmq.PULL):
        named(context)
        context.hold()
        context.let_go()
    context.hold()
    context.let_go()


@pytest.mark.parametrize(
    "w", ["asyncio", "uvloop", "trio", "epoll", "asyncioreactor"], indirect=True
)
@pytest.mark.parametrize(
    ("messages", "policy"), [(CROWD - 2, os.SCHED_OTHER), (10 * CROWD, os.SCHED_BATCH)]
)
async def test_while_a_crowd_of_requests_is_answered(w, messages, policy):
    seen = set()
    async with w.Replier(bind="inproc://crowd") as replier:
        context = replier.socket.context
        named(context)
        with context.socket(zmq.DEALER) as peer:
            peer.connect("inproc://crowd")
            for _ in range(messages):
                peer.send_multipart([b"id", b"", b"x"])
            for number in range(messages):
                request = await replier.receive()
                # The first may come alone, and who takes long makes way for a turn.
                if 1 < number < CROWD // 2:
                    seen.update(policies(context))
                await request.reply(b"y")
            assert seen == {policy}
            await w.until(lambda: policies(context) == [os.SCHED_OTHER])


@pytest.mark.parametrize("w", ["asyncio", "epoll"], indirect=True)
async def test_whoever_closes_amid_a_crowd_leaves_nothing_held(w):
    async with w.Puller(bind="inproc://amid") as puller, w.Puller() as keeper:
        context = keeper.socket.context
        named(context)
        with context.socket(zmq.PUSH) as peer:
            peer.connect("inproc://amid")
            for _ in range(10 * CROWD):
                peer.send(b"x")
            await puller.receive()
            await puller.receive()
            assert policies(context) == [os.SCHED_BATCH]
            puller.close()
            assert policies(context) == [os.SCHED_OTHER]


def test_the_context_of_a_factory_of_the_facade_is_one():
    factory = txzmq.ZmqFactory()
    assert isinstance(factory.context, OwnContext)
    factory.shutdown()
