"""Outbox: its state machine, and what its errors carry."""

from __future__ import annotations

from typing import Any

import pytest
from machines import OutboxMachine

from zmqbridge.core.outbox import Outbox
from zmqbridge.errors import PeerStalled, QueueFull

TestOutbox = OutboxMachine.TestCase


@pytest.mark.parametrize(("by_peer", "error"), [(False, QueueFull), (True, PeerStalled)])
def test_what_is_over_the_mark_comes_back_in_the_error(by_peer: bool, error: type[Any]) -> None:
    outbox = Outbox(1, by_peer=by_peer)
    outbox.start([b"peer", b"1"])
    with pytest.raises(QueueFull) as refused:
        outbox.put([b"peer", b"2"])
    assert type(refused.value) is error
    assert refused.value.message == [b"peer", b"2"]
    assert (outbox.refused, outbox.queued) == (1, 1)
