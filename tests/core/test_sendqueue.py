"""SendQueue against a list: order, marks, and who is told of room."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from zmqbridge.core.sendqueue import SendQueue
from zmqbridge.errors import QueueFull


class Queue(RuleBasedStateMachine):
    @initialize(high=st.integers(1, 6), low=st.integers(0, 3))
    def start(self, high, low):
        self.high, self.low = high, low
        self.queue: SendQueue[int] = SendQueue(high, low)
        self.model: dict[object, list[bytes]] = {}
        self.waiting: list[int] = []
        self.paused = False
        self.count = 0

    @rule(keyed=st.booleans())
    def put(self, keyed):
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
    def the_socket_takes_the_head(self):
        if self.model:
            assert self.queue.head() == self.model.pop(next(iter(self.model)))
            self.queue.advance()
            self.paused = self.paused and len(self.model) > self.low

    @rule(data=st.data())
    def discard(self, data):
        keyed = [key for key in self.model if isinstance(key, str)]
        if keyed:
            key = data.draw(st.sampled_from(keyed))
            assert self.queue.discard(key)
            assert not self.queue.discard(key)
            del self.model[key]
            self.paused = self.paused and len(self.model) > self.low

    @rule()
    def wait(self):
        self.count += 1
        self.queue.wait(self.count)
        self.waiting.append(self.count)

    @rule(data=st.data())
    def forget(self, data):
        if self.waiting:
            waiter = data.draw(st.sampled_from(self.waiting))
            self.queue.forget(waiter)
            self.queue.forget(waiter)
            self.waiting.remove(waiter)

    @rule()
    def resume(self):
        told = self.queue.resume()
        if self.paused:
            assert told == []
        else:
            assert told == self.waiting
            self.waiting = []

    @rule()
    def close(self):
        assert self.queue.clear() == list(self.model.values())
        assert self.queue.drop_waiters() == self.waiting
        self.model.clear()
        self.waiting = []
        self.paused = False

    @rule()
    def end(self):
        remains = []
        assert self.queue.close(remains) == self.waiting
        messages, waiters = remains
        assert (list(messages.values()), list(waiters)) == (
            list(self.model.values()),
            self.waiting,
        )
        self.model.clear()
        self.waiting = []
        self.paused = False

    @invariant()
    def agrees(self):
        if hasattr(self, "queue"):
            assert len(self.queue) == len(self.model)
            assert self.queue.paused == self.paused


TestQueue = Queue.TestCase
