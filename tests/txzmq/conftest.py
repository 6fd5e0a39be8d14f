"""A factory on a reactor of the test's own, and connections of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from twisted.logger import globalLogPublisher

from zmqbridge.txzmq import ZmqConnection, ZmqEndpoint, ZmqFactory

if TYPE_CHECKING:
    from tests.conftest import Make, World

TWISTED = ["epoll", "poll", "select", "asyncioreactor", "asyncioreactor-uvloop"]


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # Of all the worlds, those of Twisted, unless a test names its own.
    named = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "w" in metafunc.fixturenames and "w" not in named:
        worlds = pytest.mark.parametrize("w", TWISTED, indirect=True)
        metafunc.definition.add_marker(worlds)


@pytest.fixture
def factory(w: World) -> Iterator[ZmqFactory]:
    factory = ZmqFactory()
    factory.reactor = w.reactor
    yield factory
    factory.shutdown()


@pytest.fixture
def make(factory: ZmqFactory) -> Make:
    """Make a connection of some class, with endpoints ("bind tcp://…") and with hooks."""

    def make(kind: type[Any], *endpoints: str, **hooks: Any) -> Any:
        connection = kind(factory)
        vars(connection).update(hooks)
        connection.addEndpoints(ZmqEndpoint(*endpoint.split()) for endpoint in endpoints)
        return connection

    return make


@pytest.fixture
def address() -> Callable[[ZmqConnection], str]:
    """Where a connection was bound last, e.g. the port that libzmq chose."""
    return lambda connection: connection.socket.get(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()


@pytest.fixture
def logged() -> Iterator[list[tuple[str | None, BaseException]]]:
    """What is logged as an error: the system that it is logged for, and the exception."""
    events = []

    def observe(event: dict[str, Any]) -> None:
        # The first is of `log.err`, the second of Deferreds whose errors nobody handles.
        failure = event.get("failure") or event.get("log_failure")
        if failure is not None:
            events.append((event.get("log_system"), failure.value))

    globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]  # a function is one
    yield events
    globalLogPublisher.removeObserver(observe)  # type: ignore[arg-type]
