"""Whether a peer's connection is still there, on real descriptors."""

from __future__ import annotations

import select
import socket
import sys
from collections.abc import Iterator

import pytest
import zmq

from zmqbridge._bridge import patrol as module
from zmqbridge._bridge.patrol import Connections

pytestmark = pytest.mark.skipif(not module.TELLS, reason="the system does not tell")


class Frame:
    """A part of a message that came by some descriptor, or by none."""

    def __init__(self, fd: int | None = None) -> None:
        self.fd = fd

    def get(self, option: int) -> int:
        assert option == zmq.SRCFD
        if self.fd is None:
            raise zmq.ZMQError(zmq.EINVAL)
        return self.fd


@pytest.fixture
def known() -> Connections:
    return Connections()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, far = socket.socketpair()
    with ours, far:
        yield ours, far


@pytest.fixture(params=["ipc", "tcp"])
def any_pair(
    request: pytest.FixtureRequest, pair: tuple[socket.socket, socket.socket]
) -> Iterator[tuple[socket.socket, socket.socket]]:
    if request.param == "ipc":
        yield pair
        return
    if not module.HUNG_UP and sys.platform == "linux":
        pytest.skip("PyPy does not ask about it, as its frames name no descriptor")
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        far, _ = server.accept()
        with ours, far:
            yield ours, far


def test_a_connection_is_there_until_its_far_end_hangs_up(
    known: Connections, any_pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, far = any_pair
    known.learn(b"it", Frame(ours.fileno()))
    assert not known.has_gone(b"it")
    far.send(b"unread")
    assert not known.has_gone(b"it")
    far.close()
    assert [ours] == select.select([ours], (), (), 5)[0]  # tcp takes its time
    while not known.has_gone(b"it") and ours.recv(100):
        pass
    assert known.has_gone(b"it")
    assert known.has_gone(b"it")


def test_a_connection_has_gone_when_its_number_is_closed_or_another_ones(
    known: Connections, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, far = pair
    known.learn(b"it", Frame(ours.fileno()))
    number = ours.fileno()
    ours.close()
    other, its_far = socket.socketpair()
    with other, its_far:
        assert other.fileno() == number
        assert known.has_gone(b"it")
        # What is left of what it had sent does not bring it back.
        known.learn(b"it", Frame(number))
        assert known.has_gone(b"it")
    # Another connection does.
    known.learn(b"it", Frame(far.fileno()))
    assert b"it" not in known.lost


@pytest.mark.parametrize("frame", [Frame(), object()])
def test_of_what_came_by_no_connection_nothing_is_claimed(
    known: Connections, frame: Frame | object
) -> None:
    known.learn(b"it", frame)
    assert b"it" in known.known
    assert not known.has_gone(b"it")
    assert not known.has_gone(b"a stranger")


def test_what_came_by_a_connection_that_has_gone_is_asked_about_again(
    known: Connections, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, _ = pair
    number = ours.fileno()
    ours.close()
    known.learn(b"it", Frame(number))
    assert b"it" not in known.known


def test_peers_that_have_left_are_forgotten(
    known: Connections, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MANY", 4)
    known = Connections()
    far = pair[1]
    known.learn(b"stays", Frame(far.fileno()))
    for number in range(20):
        one, other = socket.socketpair()
        known.learn(b"%d" % number, Frame(one.fileno()))
        other.close()
        assert not number % 2 or known.has_gone(b"%d" % number)
        one.close()
    assert len(known.known) <= 5
    assert len(known.lost) <= 4
    assert b"stays" in known.known
    known.age()
    for number in range(20):
        known.learn(b"%d" % number, Frame())
    assert not known.is_silent(b"stays")
    assert len(known.known) + len(known._older) <= 6


def test_a_peer_that_is_heard_of_by_another_connection_has_come_back(
    known: Connections, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, far = pair
    known.learn(b"it", Frame(ours.fileno()))
    assert not known.is_silent(b"it")
    assert known.age() == module.AGE
    # Who is not heard of again is known by what it sent last,
    assert b"it" not in known.known
    assert not known.is_silent(b"it")
    other, its_far = socket.socketpair()
    with other, its_far:
        # and who is, by that.
        known.learn(b"it", Frame(other.fileno()))
        far.close()
        assert not known.has_gone(b"it")
        known.age()
        assert not known.has_gone(b"it")
        # Or it came by none, of which nothing is claimed.
        known.learn(b"another", Frame(ours.fileno()))
        known.age()
        known.learn(b"another", Frame())
        assert not known.has_gone(b"another")
    assert known.has_gone(b"it")
    assert known.is_silent(b"it")


def test_many_peers_are_asked_anew_more_seldom(
    known: Connections, pair: tuple[socket.socket, socket.socket]
) -> None:
    for number in range(1500):
        known.learn(b"%d" % number, Frame(pair[0].fileno()))
    assert known.age() == 1500 * module.AGE_OF_EACH > module.AGE
