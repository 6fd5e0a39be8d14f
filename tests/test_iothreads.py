"""libzmq's I/O threads wait while a large burst of messages is handled, and only then."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from zmqbridge import hold_io_threads, txzmq
from zmqbridge._bridge import iothreads
from zmqbridge._bridge.iothreads import LARGE_BURST, OwnContext, threads_named

if TYPE_CHECKING:
    from tests.conftest import World


def may_hold() -> bool:
    """Whether this process may hold anything at all."""
    if not iothreads.HOLDABLE or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(
    not may_hold(), reason="there is no policy here under which threads interrupt nobody"
)


def policies(context: OwnContext) -> list[int]:
    """Those of a context's I/O threads, as the system sees them."""
    return [os.sched_getscheduler(thread) for thread in threads_named(context.holding._name)]


def named(context: OwnContext) -> None:
    """Wait until the I/O threads of a context that has a socket have named themselves."""
    end = time.monotonic() + 10
    while len(policies(context)) < context.get(zmq.IO_THREADS):
        assert time.monotonic() < end


@pytest.fixture
def own() -> Iterator[OwnContext]:
    """A context of the library's own with two I/O threads, which run."""
    with OwnContext(2) as context, context.socket(zmq.PULL):
        named(context)
        yield context


def test_what_is_held_interrupts_nobody_until_it_is_let_go(own: OwnContext) -> None:
    own.holding.hold()
    own.holding.hold()
    assert policies(own) == [os.SCHED_BATCH] * 2
    own.holding.let_run()
    assert policies(own) == [os.SCHED_OTHER] * 2


def test_no_other_thread_is_held(own: OwnContext) -> None:
    with zmq.Context() as foreign, foreign.socket(zmq.PULL), OwnContext() as other:
        with other.socket(zmq.PULL):
            named(other)
            assert own.holding.hold()
            held = []
            for task in os.listdir("/proc/self/task"):
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    held.append(os.sched_getscheduler(int(task)) == os.SCHED_BATCH)
            assert sum(held) == 2
            assert policies(other) == [os.SCHED_OTHER]


def test_a_process_under_another_policy_keeps_it() -> None:
    seen = []

    def under_batch() -> None:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        with OwnContext() as context, context.socket(zmq.PULL):  # its threads inherit the policy
            named(context)
            context.holding.hold()
            context.holding.let_run()
            seen.extend(policies(context))

    thread = threading.Thread(target=under_batch)
    thread.start()
    thread.join()
    assert seen == [os.SCHED_BATCH]


def test_where_it_is_forbidden_it_is_tried_once(
    own: OwnContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def forbidden(*arguments: Any) -> None:
        tried.append(arguments)
        raise PermissionError(errno.EPERM, "not here")

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    assert not own.holding.hold()
    own.holding.let_run()
    assert not own.holding.hold()
    assert [policy for _, policy, _ in tried] == [os.SCHED_BATCH, os.SCHED_OTHER]


def test_where_the_system_has_no_such_policy_nothing_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(iothreads, "HOLDABLE", False)
    monkeypatch.delattr(os, "sched_setscheduler")
    with OwnContext() as context, context.socket(zmq.PULL):
        assert context.holding is None


def test_threads_that_have_not_named_themselves_yet_are_found_later(
    own: OwnContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as early:
        early.setattr(iothreads, "threads_named", lambda start: threads_named(start)[:1])
        assert not own.holding.hold()
    assert policies(own) == [os.SCHED_OTHER] * 2
    assert own.holding.hold()
    assert policies(own) == [os.SCHED_BATCH] * 2


def test_where_threads_cannot_be_seen_nothing_is_done(
    own: OwnContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as hidden:
        hidden.setattr(iothreads, "TASKS", tmp_path / "not mounted")
        assert not own.holding.hold()
    own.holding.let_run()
    assert policies(own) == [os.SCHED_OTHER] * 2


@pytest.mark.parametrize("before", [True, False])
def test_a_context_that_has_ended_holds_nothing(before: bool) -> None:
    with OwnContext() as context, context.socket(zmq.PULL):
        named(context)
        if before:
            assert context.holding.hold()
    assert not context.holding.hold()
    context.holding.let_run()


@pytest.mark.parametrize("error", [RuntimeError, zmq.ZMQError, TypeError])
def test_whatever_pyzmq_says_of_a_context_that_has_ended_nothing_is_held(
    own: OwnContext, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def ended(self: OwnContext, option: int) -> None:
        raise error(zmq.ETERM)  # TypeError is what the uncompiled one says

    monkeypatch.setattr(OwnContext, "get", ended)
    assert not own.holding.hold()


def test_a_context_without_io_threads_holds_nothing_and_is_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with OwnContext(0) as context, context.socket(zmq.PULL):
        assert not context.holding.hold()
        monkeypatch.delattr(iothreads, "threads_named")
        assert not context.holding.hold()


@pytest.mark.parametrize("name", [b"\xc3", b"a" * 14 + "ä".encode()])
def test_other_threads_may_have_names_that_are_no_text(own: OwnContext, name: bytes) -> None:
    ended = threading.Event()
    named_so = threading.Event()

    def work() -> None:
        ctypes.CDLL(None).prctl(15, name, 0, 0, 0)  # PR_SET_NAME, which cuts it to 15 bytes
        named_so.set()
        ended.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    named_so.wait(10)
    assert own.holding.hold()
    own.holding.let_run()
    ended.set()
    thread.join()


def test_when_two_loops_look_for_the_threads_at_once_nothing_stays_held(
    own: OwnContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(start: bytes) -> list[int]:
        found = look(start)
        other.holding.hold()  # as another loop's thread would, which was faster
        return found

    look, other = iothreads.threads_named, own
    calls = iter([slowly, look])
    monkeypatch.setattr(iothreads, "threads_named", lambda start: next(calls)(start))
    assert own.holding.hold()
    own.holding.let_run()
    assert policies(own) == [os.SCHED_OTHER] * 2
    assert own.holding.hold()


def test_another_face_of_a_context_leaves_its_threads_alone(own: OwnContext) -> None:
    its: Any = own
    for face in (copy.copy(own), OwnContext.shadow(own.underlying), OwnContext(its)):
        assert face.holding is None
    assert own.holding.hold()


@pytest.mark.parametrize(
    "w", ["asyncio", "uvloop", "trio", "epoll", "asyncioreactor"], indirect=True
)
@pytest.mark.parametrize(
    ("messages", "policy"), [(LARGE_BURST - 2, os.SCHED_OTHER), (10 * LARGE_BURST, os.SCHED_BATCH)]
)
async def test_while_a_large_burst_of_requests_is_answered(
    w: World, still: None, messages: int, policy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(iothreads, "IN_A_ROW", 0)
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
                if 1 < number < LARGE_BURST // 2:
                    seen.update(policies(context))
                await request.reply(b"y")
            assert seen == {policy}
            await w.until(lambda: policies(context) == [os.SCHED_OTHER])


@pytest.mark.parametrize("w", ["asyncio", "epoll"], indirect=True)
async def test_whoever_closes_amid_a_large_burst_leaves_nothing_held(
    w: World, still: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(iothreads, "IN_A_ROW", 0)
    async with w.Puller(bind="inproc://amid") as puller, w.Puller() as keeper:
        context = keeper.socket.context
        named(context)
        with context.socket(zmq.PUSH) as peer:
            peer.connect("inproc://amid")
            for _ in range(10 * LARGE_BURST):
                peer.send(b"x")
            await puller.receive()
            await puller.receive()
            assert policies(context) == [os.SCHED_BATCH]
            puller.close()
            assert policies(context) == [os.SCHED_OTHER]


@pytest.fixture
def permission(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said about holding is said for this test."""
    monkeypatch.setattr(iothreads.Permission, "given", True)


@pytest.mark.parametrize("w", ["asyncio", "uvloop", "epoll"], indirect=True)
@pytest.mark.parametrize("said", ["before", "meanwhile", "by its context"])
async def test_who_is_told_not_to_hold_touches_no_threads_policy(
    w: World, said: str, monkeypatch: pytest.MonkeyPatch, permission: Any, still: None
) -> None:
    def refused(*arguments: Any) -> None:
        raise AssertionError(arguments)

    monkeypatch.setattr(iothreads, "IN_A_ROW", 0)
    if said != "meanwhile":
        monkeypatch.setattr(os, "sched_setscheduler", refused)
    if said == "before":
        hold_io_threads(False)
    with zmq.Context() as given:
        options = {"context": given} if said == "by its context" else {}
        async with w.Puller(bind="inproc://told", **options) as puller:
            with puller.socket.context.socket(zmq.PUSH) as peer:
                peer.connect("inproc://told")
                for _ in range(20 * LARGE_BURST):
                    peer.send(b"x")
                taken = 0
                context = puller.socket.context
                while taken < 2 or (said == "meanwhile" and policies(context) != [os.SCHED_BATCH]):
                    await puller.receive()  # on a busy machine the first bursts may be small
                    taken += 1
                if said == "meanwhile":
                    hold_io_threads(False)
                    await w.until(lambda: policies(context) == [os.SCHED_OTHER])
                    monkeypatch.setattr(os, "sched_setscheduler", refused)
                    for _ in range(20 * LARGE_BURST):
                        peer.send(b"x")
                for _ in range(20 * LARGE_BURST - taken):
                    await puller.receive()


def test_what_is_said_holds_for_factories_of_the_facade_too(permission: Any) -> None:
    factory = txzmq.ZmqFactory()
    try:
        for hold in (True, False, True):
            hold_io_threads(hold)
            assert (iothreads.holding_of(factory.context) is not None) == hold
    finally:
        factory.shutdown()


def test_what_is_said_about_holding_is_yes_or_no(permission: Any) -> None:
    with pytest.raises(TypeError, match="give True or False"):
        hold_io_threads("no")  # type: ignore[arg-type]


def test_it_is_held_when_enough_large_bursts_came_one_upon_the_other(
    own: OwnContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(iothreads, "MAX_GAP", 10)
    for _ in range(iothreads.IN_A_ROW):
        assert not own.holding.before(LARGE_BURST)
        own.holding.after(LARGE_BURST)
    assert not own.holding.before(LARGE_BURST - 1)
    assert own.holding.before(LARGE_BURST)
    assert own.holding.held
    assert policies(own) == [os.SCHED_BATCH] * 2
    own.holding.let_run()
    assert not own.holding.held
    assert policies(own) == [os.SCHED_OTHER] * 2
    monkeypatch.setattr(iothreads, "MAX_GAP", -1)
    assert not own.holding.before(LARGE_BURST)


def test_the_context_of_a_factory_of_the_facade_is_one() -> None:
    factory = txzmq.ZmqFactory()
    assert isinstance(factory.context, OwnContext)
    factory.shutdown()
