"""The send queue against a dict: order, marks, and which senders are told of room."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from zmqbridge.core.sendqueue import SendQueue
from zmqbridge.errors import QueueFull

SOME = 6  # steps before the queue is emptied at once, so that it fills at all


class SendQueueMachine(RuleBasedStateMachine):
    """Messages are put, sent and discarded; senders wait during a pause."""

    def make(self, **settings: Any) -> SendQueue[int]:
        """The machine under test: one of your own, or the one in a driver."""
        return SendQueue(**settings)

    @initialize(high=st.integers(1, 6), low=st.integers(0, 3))
    def start(self, high: int, low: int) -> None:
        self.high, self.low = high, low
        self.queue = self.make(high=high, low=low)
        self.model: dict[object, list[bytes]] = {}
        self.waiting: list[int] = []
        self.paused = False
        self.count = 0

    @rule(keyed=st.booleans())
    def put(self, keyed: bool) -> None:
        self.count += 1
        message = [b"%d" % self.count]
        key = f"key {self.count}" if keyed else None
        if len(self.model) >= self.high:
            with pytest.raises(QueueFull) as refused:
                self.queue.put(message, key)
            assert refused.value.message == message
            return
        self.queue.put(message, key)
        self.model[key or self.count] = message
        self.paused = self.paused or len(self.model) > self.low

    @rule()
    def the_socket_takes_the_head(self) -> None:
        if self.model:
            assert self.queue.head() == self.model.pop(next(iter(self.model)))
            self.queue.advance()
            self.paused = self.paused and len(self.model) > self.low

    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        keyed = [key for key in self.model if isinstance(key, str)]
        if keyed:
            key = data.draw(st.sampled_from(keyed))
            assert self.queue.discard(key)
            assert not self.queue.discard(key)
            del self.model[key]
            self.paused = self.paused and len(self.model) > self.low

    @rule()
    def wait(self) -> None:
        self.count += 1
        self.queue.wait(self.count)
        self.waiting.append(self.count)

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        if self.waiting:
            waiter = data.draw(st.sampled_from(self.waiting))
            self.queue.forget(waiter)
            self.queue.forget(waiter)
            self.waiting.remove(waiter)

    @rule()
    def notify(self) -> None:
        told = self.queue.notify()
        if self.paused:
            assert told == []
        else:
            assert told == self.waiting
            self.waiting = []

    @precondition(lambda self: self.count > SOME)
    @rule()
    def the_peer_leaves(self) -> None:
        assert self.queue.drop() == len(self.model)
        self.model.clear()
        self.paused = False

    @precondition(lambda self: self.count > SOME)
    @rule(remains=st.none() | st.builds(list))
    def close(self, remains: list[Any] | None) -> None:
        assert self.queue.close(remains) == self.waiting
        if remains is not None:
            messages, waiters = remains
            assert list(messages.values()) == list(self.model.values())
            assert list(waiters) == self.waiting
        self.model.clear()
        self.waiting = []
        self.paused = False

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "queue"):
            assert len(self.queue) == len(self.model)
            assert self.queue.paused == self.paused
