"""The third backend of docs/core.md, and its example of a test, run as they stand in the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from zmqbridge import RequestTimeout, SocketClosed
from zmqbridge.core import pack_reply, split_request

PAGE = Path(__file__).parents[1] / "docs" / "core.md"
BACKEND, OWN_TEST = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.S | re.M)


def run(text: str) -> SimpleNamespace:
    names = {"__name__": "page"}
    exec(compile(text, str(PAGE), "exec"), names)
    return SimpleNamespace(**names)


@pytest.fixture
def page() -> SimpleNamespace:
    return run(BACKEND)


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    with zmq.Context() as context:
        yield context


@pytest.fixture
def pusher(context: zmq.Context[zmq.Socket[bytes]]) -> Iterator[zmq.Socket[bytes]]:
    with context.socket(zmq.PUSH) as pusher:
        pusher.set(zmq.SNDHWM, 0)
        pusher.bind("inproc://work")
        yield pusher


@pytest.fixture
def router(context: zmq.Context[zmq.Socket[bytes]]) -> Iterator[zmq.Socket[bytes]]:
    with context.socket(zmq.ROUTER) as router:
        router.bind("inproc://server")
        yield router


def arrived(requester: Any, router: zmq.Socket[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The next request, for which the requester has to be driven."""
    while not router.poll(5):
        requester.step(monotonic())
    return split_request(router.recv_multipart())


def test_it_is_as_short_as_the_page_says() -> None:
    lines = [line.strip() for line in BACKEND.splitlines()]
    code = [line for line in lines if line and not line.startswith(("from", "import", '"""'))]
    assert len(code) <= 55, len(code)


def test_it_uses_the_core_and_pyzmq_only() -> None:
    modules = set(re.findall(r"^(?:from|import) (\S+)", BACKEND, re.M))
    assert modules == {
        "concurrent.futures",
        "contextlib",
        "math",
        "time",
        "zmq",
        "zmqbridge",
        "zmqbridge.core",
    }


def test_messages_come_in_order_and_no_more_are_held_than_may_be(
    page: SimpleNamespace, context: zmq.Context[zmq.Socket[bytes]], pusher: zmq.Socket[bytes]
) -> None:
    puller = page.BlockingPuller(context, "inproc://work", prefetch=100)
    for number in range(2500):
        pusher.send_multipart([b"%d" % number, b""])
    held = []
    for number in range(2500):
        assert puller.receive() == [b"%d" % number, b""]
        held.append(len(puller.inbox))
    assert max(held) == 99
    with pytest.raises(TimeoutError):
        puller.receive(timeout=0.01)
    pusher.send(b"late")
    while puller.inbox.poll() is None:
        puller.step(monotonic() + 1)
    puller.close()


def test_each_request_gets_its_own_reply(
    page: SimpleNamespace, context: zmq.Context[zmq.Socket[bytes]], router: zmq.Socket[bytes]
) -> None:
    requester = page.BlockingRequester(context, "inproc://server")
    first, second = requester.ask(b"1"), requester.ask(b"2", timeout=30)
    came = [arrived(requester, router) for _ in range(2)]
    assert [parts for _, parts in came] == [[b"1"], [b"2"]]
    for route, parts in reversed(came):
        router.send_multipart(pack_reply(route, [b"to", *parts]))
        router.send_multipart([route[0], b"malformed"])
        router.send_multipart(pack_reply(route, [b"again"]))
    assert requester.result(first) == [b"to", b"1"]
    assert requester.result(second) == [b"to", b"2"]
    while requester.table.late < 2:
        requester.step(monotonic() + 1)
    requester.close()


def test_a_request_that_is_not_answered_in_time_says_how_far_it_came(
    page: SimpleNamespace, context: zmq.Context[zmq.Socket[bytes]], router: zmq.Socket[bytes]
) -> None:
    requester = page.BlockingRequester(context, "inproc://server")
    with pytest.raises(RequestTimeout) as sent:
        requester.result(requester.ask(b"unanswered", timeout=0.05))
    alone = page.BlockingRequester(context, "tcp://127.0.0.1:9")
    with pytest.raises(RequestTimeout) as queued:
        alone.result(alone.ask(b"unsent", timeout=0.05))
    assert (sent.value.stage, queued.value.stage) == ("sent", "queued")
    assert len(alone.queue) == 0
    waiter = alone.ask(b"open")
    alone.close()
    requester.close()
    with pytest.raises(SocketClosed):
        waiter.result()


def test_the_state_machines_can_be_subclassed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent / "core")
    own = run(OWN_TEST)
    assert own.TestPolling is not None
    few = settings(max_examples=30, deadline=None, derandomize=True)
    run_state_machine_as_test(own.Polling, settings=few)


def test_a_driver_that_looks_too_late_fails_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent / "core")

    class Late(run(OWN_TEST).Polling):  # type: ignore[misc]  # of the page
        def pass_time(self) -> list[tuple[bytes, int]]:
            return self.table.expire(self.now - 1)

    # What Hypothesis draws depends also on the modules that are loaded: 30 were too few once.
    enough = settings(max_examples=1000, deadline=None, derandomize=True, database=None)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Late, settings=enough)
