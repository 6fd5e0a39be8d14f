"""The end of a factory: whatever happens amid it, all is closed, and addresses are free."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
import zmq
from twisted.python.failure import Failure

import zmqbridge.txzmq.factory
from zmqbridge import SocketClosed
from zmqbridge.txzmq import (
    ZmqConnection,
    ZmqEndpoint,
    ZmqFactory,
    ZmqPullConnection,
    ZmqPushConnection,
    ZmqREQConnection,
)

if TYPE_CHECKING:
    from tests.conftest import Make, World


def ends(context: zmq.Context[Any] | None) -> bool:
    """Whether a context ends, as its factory has it do: an open socket would hold it up."""
    end = time.monotonic() + 5
    while not context.closed and time.monotonic() < end:
        time.sleep(0.001)
    return context.closed


@pytest.mark.parametrize("others", [0, 3])
def test_a_connection_made_while_the_factory_shuts_down_is_refused(
    make: Make, factory: ZmqFactory, others: int
) -> None:
    tried, refused = [], []

    def ask(failure: Failure | None = None) -> None:
        tried.append(1)
        assert len(tried) < 20, "it is retried for ever"
        try:
            request = make(ZmqREQConnection, "connect inproc://nobody")
        except SocketClosed as error:
            refused.append(str(error))
        else:
            request.sendMsg(b"x", timeout=5).addErrback(ask)

    ask()
    for _ in range(others):
        make(ZmqPullConnection)
    context = factory.context
    factory.shutdown()
    assert refused == ["ZmqFactory() was shut down, or its __init__ was not called yet"]
    assert factory.connections is None
    assert ends(context)


def test_an_overridden_shutdown_finds_the_connections_of_its_factory(
    make: Make, factory: ZmqFactory
) -> None:
    seen = []

    class Counting(ZmqPullConnection):
        other: ZmqConnection

        def shutdown(self) -> None:
            seen.append(len(self.factory.connections))
            assert isinstance(self.factory.connections, set)
            assert self in self.factory.connections
            assert self.factory.context is not None
            super().shutdown()
            self.other.shutdown()  # which belongs to it

    counting = make(Counting)
    counting.other = make(ZmqPushConnection)
    context = factory.context

    factory.shutdown()
    assert factory.connections is None
    assert seen in ([2], [1])
    assert counting.other.socket is None
    assert ends(context)


def test_a_shutdown_that_fails_keeps_nobody_from_being_shut_down(
    make: Make, factory: ZmqFactory
) -> None:
    class Failing(ZmqPullConnection):
        def shutdown(self) -> None:
            super().shutdown()
            raise RuntimeError("not me")

    class Forgetful(ZmqPullConnection):
        def shutdown(self) -> None:
            self.forgotten = True

    connections = [make(kind) for kind in (ZmqPullConnection, Failing, ZmqPushConnection)]
    forgetful = make(Forgetful)
    context = factory.context
    with pytest.raises(RuntimeError, match="not me"):
        factory.shutdown()
    assert [each.socket for each in connections] == [None] * 3
    assert (factory.connections, factory.context) == (None, None)
    ZmqPullConnection.shutdown(forgetful)
    assert ends(context)
    factory.shutdown()


def test_a_factory_can_be_shut_down_from_within_its_shutdown(
    make: Make, factory: ZmqFactory
) -> None:
    request = make(ZmqREQConnection, "connect inproc://nobody")
    request.sendMsg(b"x").addErrback(lambda failure: factory.shutdown())
    make(ZmqPullConnection)
    context = factory.context
    factory.shutdown()
    assert factory.connections is None
    assert ends(context)


@pytest.fixture
def addresses(tmp_path: Path) -> list[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return [f"tcp://127.0.0.1:{port}", f"ipc://{tmp_path}/s", f"ipc://@{tmp_path}"]


def test_addresses_are_free_when_a_factory_was_shut_down(
    w: World, addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # However late libzmq's thread comes to it; a machine that is busy is made up for here.
    monkeypatch.setattr(zmqbridge.txzmq.factory, "END_TIMEOUT", 0)
    with zmq.Context() as other:
        for _ in range(25):
            factory = ZmqFactory()
            factory.reactor = w.reactor
            factory.lingerPeriod = 1000
            for address in addresses:
                ZmqPullConnection(factory, ZmqEndpoint("bind", address))
            lingering = ZmqPushConnection(factory, ZmqEndpoint("connect", "tcp://127.0.0.1:9"))
            lingering.push(b"nobody will take this")
            factory.shutdown()
            for address in addresses:
                with other.socket(zmq.PULL) as puller:
                    puller.bind(address)
                zmqbridge._bridge.addresses.wait_until_free([address])


async def test_a_connection_can_be_bound_where_one_was_just_shut_down(
    w: World, addresses: list[str], make: Make
) -> None:
    got: list[list[bytes]] = []
    for number in range(15):
        pullers = [make(ZmqPullConnection, f"bind {address}") for address in addresses]
        for puller, address in zip(pullers, addresses, strict=True):
            puller.onPull = got.append
            make(ZmqPushConnection, f"connect {address}").push(b"x")
        await w.until(lambda wanted=3 * number + 3: len(got) == wanted)
        for puller in pullers:
            puller.shutdown()


def test_a_stand_in_for_the_socket_is_in_nobodys_way(make: Make, factory: ZmqFactory) -> None:
    puller = make(ZmqPullConnection)
    kept, puller.socket = puller.socket, Mock()
    puller.addEndpoints([ZmqEndpoint("bind", "tcp://127.0.0.1:1")])
    puller.socket.bind.assert_called_once_with("tcp://127.0.0.1:1")
    factory.shutdown()
    assert puller.socket is None
    kept.close()


def test_it_is_waited_for_until_they_are_free_and_no_longer(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def is_free(name: str) -> bool:
        asked.append(name)
        return len(asked) >= wanted

    monkeypatch.setattr(zmqbridge._bridge.addresses, "is_free", is_free)
    monkeypatch.setattr(zmqbridge._bridge.addresses, "RELEASE_TIMEOUT", 0.6)
    took, asks = [], []
    for wanted, linger in [  # noqa: B007
        (5, 5000),
        (10_000, 5000),
        (10_000, 0),
    ]:
        asked.clear()
        factory = ZmqFactory()
        factory.reactor = w.reactor
        factory.lingerPeriod = linger
        puller = ZmqPullConnection(factory, ZmqEndpoint("bind", "tcp://127.0.0.1:*"))
        bound = puller.socket.get(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
        pusher = ZmqPushConnection(factory, ZmqEndpoint("connect", "tcp://127.0.0.1:9"))
        pusher.push(b"nobody will take this")
        start = time.monotonic()
        factory.shutdown()
        took.append(time.monotonic() - start)
        asks.append(len(asked))
        if linger:
            assert asked[:5] == [bound] * 5
    assert asks[0] == 5
    assert 0.6 <= took[1] < 4  # less than the linger
    assert asks[2] < asks[1] / 2  # the context has ended, so nothing is left to wait for


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_may_forget_a_factory_without_a_word() -> None:
    program = """
import gc, os
from zmqbridge.txzmq import ZmqFactory

factory = ZmqFactory()
child = os.fork()
if not child:
    factory = None
    gc.collect()
else:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    factory.shutdown()
"""
    command = [sys.executable, "-W", "always::ResourceWarning", "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("how", ["endpoint", "bytes", "raw"])
def test_an_inproc_name_is_free_at_once(make: Make, how: str) -> None:
    for _ in range(200):
        # Any later, and libzmq's own thread would free it, or not yet.
        if how == "endpoint":
            made = make(ZmqPullConnection, "bind inproc://same")
        else:
            made = make(ZmqPullConnection)
            if how == "bytes":
                made.addEndpoints([("bind", b"inproc://same")])
            else:
                made.socket.bind("inproc://same")
        made.shutdown()
