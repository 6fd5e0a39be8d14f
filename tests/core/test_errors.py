"""The errors say which situation it is, and carry what belongs to it."""

from __future__ import annotations

import errno

import pytest

from zmqbridge import (
    PeerUnreachable,
    QueueFull,
    RequestTimeout,
    ResourcesExhausted,
    ZmqBridgeError,
)
from zmqbridge.core.statistics import Statistics


@pytest.mark.parametrize("stage", ["queued", "sent"])
def test_a_request_timeout_is_a_timeout_error_and_says_how_far_it_got(stage: str) -> None:
    error = RequestTimeout(stage)
    assert isinstance(error, TimeoutError)
    assert isinstance(error, ZmqBridgeError)
    assert error.stage == stage


def test_a_full_queue_hands_the_message_back() -> None:
    assert QueueFull((b"a", b"b"), 1000).message == [b"a", b"b"]
    assert "1000" in str(QueueFull((b"a",), 1000))


def test_exhaustion_is_an_error_of_the_system_as_well() -> None:
    error = ResourcesExhausted("no room", errno.EMFILE)
    assert isinstance(error, ZmqBridgeError)
    assert isinstance(error, OSError)
    assert (error.errno, error.strerror) == (errno.EMFILE, "no room")


def test_an_unreachable_peer_is_named() -> None:
    assert PeerUnreachable(b"bob").peer == b"bob"


def test_statistics_are_named_numbers() -> None:
    assert Statistics(1, 2, 3, 4, 5, 6, 7, 8).late_replies == 8
