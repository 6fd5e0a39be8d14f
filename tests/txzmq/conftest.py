"""A factory on a reactor of the test's own, and connections of it."""

from __future__ import annotations

import pytest
import zmq

from zmqbridge.txzmq import ZmqEndpoint, ZmqFactory


def pytest_generate_tests(metafunc):
    if "w" in metafunc.fixturenames:
        metafunc.parametrize("w", ["epoll", "select", "asyncioreactor"], indirect=True)


@pytest.fixture
def factory(w):
    factory = ZmqFactory()
    factory.reactor = w.reactor
    yield factory
    factory.shutdown()


@pytest.fixture
def make(factory):
    """Make a connection of some class, with endpoints ("bind tcp://…") and with hooks."""

    def make(kind, *endpoints, **hooks):
        connection = kind(factory)
        vars(connection).update(hooks)
        connection.addEndpoints(ZmqEndpoint(*endpoint.split()) for endpoint in endpoints)
        return connection

    return make


@pytest.fixture
def address():
    """Where a connection was bound last, e.g. the port that libzmq chose."""
    return lambda connection: connection.socket.get(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
