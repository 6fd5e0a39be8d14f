"""Outbox against a dict of lists: lanes, counts, and who is told of room."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from zmqbridge.core.outbox import Outbox
from zmqbridge.errors import PeerStalled, QueueFull

PEERS = [b"one", b"two", b"three"]
peers = st.sampled_from(PEERS)


class OutboxMachine(RuleBasedStateMachine):
    """Messages for three peers are sent, taken back, or given up with their peer."""

    def make(self, **settings: Any) -> Outbox:
        """The machine under test: one of your own, or the one in a driver."""
        return Outbox(**settings)

    @initialize(high=st.integers(1, 4), by_peer=st.booleans())
    def begin(self, high: int, by_peer: bool) -> None:
        self.high, self.by_peer = high, by_peer
        self.outbox = self.make(high=high, by_peer=by_peer)
        self.lanes: dict[bytes, dict[object, list[bytes]]] = {}
        self.waiting: dict[bytes, list[int]] = {}
        names = ("refused", "dropped", "unreachable", "withdrawn", "unroutable")
        self.counts = dict.fromkeys(names, 0)
        self.number = 0

    def lane(self, peer: bytes) -> bytes:
        return peer if self.by_peer else b""

    def told(self, lane: bytes) -> list[Any]:
        """Who waits on a lane that is drained."""
        return [] if self.lanes.get(lane) else self.waiting.pop(lane, [])

    @rule(peer=peers)
    def send(self, peer: bytes) -> None:
        self.number += 1
        message, lane = [peer, b"%d" % self.number], self.lane(peer)
        assert self.outbox.lane_of(message) == lane
        if not self.lanes.get(lane):
            assert not self.outbox.put(message, self.number)
            queue = self.outbox.start(message, self.number)
            assert queue is self.outbox.queue_of(message)
            self.lanes.setdefault(lane, {})[self.number] = message
        elif len(self.lanes[lane]) < self.high:
            assert self.outbox.put(message, self.number)
            self.lanes[lane][self.number] = message
        else:
            with pytest.raises(PeerStalled if self.by_peer else QueueFull) as refused:
                self.outbox.put(message, self.number)
            assert refused.value.message == message
            assert isinstance(refused.value, PeerStalled) == self.by_peer
            self.counts["refused"] += 1

    @rule(peer=peers)
    def wait(self, peer: bytes) -> None:
        queue = self.outbox.queue_of([peer])
        assert (queue is not None) == (self.lane(peer) in self.lanes)
        if queue is not None:
            self.number += 1
            queue.wait(self.number)
            self.waiting.setdefault(self.lane(peer), []).append(self.number)

    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        key = data.draw(st.integers(1, self.number + 1))
        lane = next((lane for lane, queued in self.lanes.items() if key in queued), None)
        if lane is None:
            assert self.outbox.discard(key) is None
            return
        del self.lanes[lane][key]
        self.counts["withdrawn"] += 1
        assert self.outbox.discard(key) == self.told(lane)

    @rule(peer=peers, takes=st.integers(0, 4))
    def the_socket_takes_some(self, peer: bytes, takes: int) -> None:
        lane = self.lane(peer)
        queued = self.lanes.get(lane, {})
        for key in list(queued)[:takes]:
            assert self.outbox[lane].head() == queued.pop(key)
            self.outbox[lane].advance()
        if not queued:
            self.lanes.pop(lane, None)
        assert self.outbox.served(lane) == self.told(lane)

    @rule(peer=peers)
    def the_peer_leaves(self, peer: bytes) -> None:
        lane = self.lane(peer)
        if lane in self.lanes:
            gone = len(self.lanes.pop(lane))
            self.counts["dropped"] += gone
            self.counts["unreachable"] += gone
            self.outbox.give_up(lane)
            assert self.outbox.served(lane) == self.told(lane)

    @rule(peer=peers)
    def the_socket_knows_no_such_peer(self, peer: bytes) -> None:
        # What waits was accepted; `the_peer_leaves` counts it.
        waits = bool(self.lanes.get(self.lane(peer)))
        assert self.outbox.no_route([peer, b"?"]).peer == peer
        self.counts["unroutable"] += not waits

    @rule()
    def close(self) -> None:
        self.counts["dropped"] += sum(map(len, self.lanes.values()))
        remains: list[Any] = []
        waiters = [waiter for lane in self.lanes for waiter in self.waiting.get(lane, [])]
        assert self.outbox.close(remains) == waiters
        assert [list(held.values()) for held in remains[::2]] == [
            list(queued.values()) for queued in self.lanes.values()
        ]
        self.lanes.clear()
        self.waiting.clear()

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "outbox"):
            assert list(self.outbox) == list(self.lanes)
            assert bool(self.outbox) == bool(self.lanes)
            assert self.outbox.queued == sum(map(len, self.lanes.values()))
            backlog = self.outbox.backlog()
            assert (len(backlog) if backlog is not None else 0) == next(
                (len(queued) for queued in self.lanes.values() if queued), 0
            )
            assert {name: getattr(self.outbox, name) for name in self.counts} == self.counts
