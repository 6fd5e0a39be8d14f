"""Inbox against a list: nothing lost or doubled, receivers served in the order of asking."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from zmqbridge.core.inbox import Inbox


class Receivers(RuleBasedStateMachine):
    """Receivers wait, are told, run later or are cancelled meanwhile; newcomers may poll."""

    @initialize(high=st.integers(2, 6))
    def start(self, high):
        self.high, self.low = high, high // 4
        self.inbox: Inbox[int, str] = Inbox(high)
        self.messages: list[int] = []
        self.waiting: list[str] = []
        self.told: list[str] = []
        self.paused = False
        self.put_so_far = self.asked = 0

    def tell(self):
        told = self.inbox.notify()
        expected = self.waiting[: len(self.messages) - len(self.told)]
        assert told == expected
        del self.waiting[: len(told)]
        self.told += told

    def taken(self, message):
        assert message == self.messages.pop(0)
        self.paused = self.paused and len(self.messages) > self.low

    @rule(size=st.integers(1, 4))
    def burst(self, size):
        room = self.inbox.room()
        assert room == (0 if self.paused else self.high - len(self.messages))
        items = range(self.put_so_far, self.put_so_far + min(size, int(room)))
        self.put_so_far += len(items)
        self.inbox.put(items)
        self.messages += items
        self.paused = self.paused or len(self.messages) >= self.high
        self.tell()

    @rule(receivers=st.integers(1, 3))
    def ask(self, receivers):
        for _ in range(receivers):
            message = self.inbox.poll()
            if len(self.messages) > len(self.told):
                self.taken(message)
            else:
                assert message is None
                self.asked += 1
                self.inbox.wait(f"waiter {self.asked}")
                self.waiting.append(f"waiter {self.asked}")

    @rule()
    def pop(self):
        if self.messages and not self.told and not self.paused:
            self.taken(self.inbox.pop())
        else:
            with pytest.raises(IndexError):
                self.inbox.pop()

    @precondition(lambda self: self.told)
    @rule(receivers=st.integers(1, 4))
    def told_receivers_run(self, receivers):
        for waiter in self.told[:receivers]:
            self.told.remove(waiter)
            self.taken(self.inbox.take(waiter))

    @precondition(lambda self: self.told or self.waiting)
    @rule(data=st.data())
    def a_receiver_is_cancelled(self, data):
        waiter = data.draw(st.sampled_from(self.told + self.waiting))
        (self.told if waiter in self.told else self.waiting).remove(waiter)
        self.inbox.forget(waiter)
        self.tell()

    @precondition(lambda self: self.asked > 3)  # not so often that nobody gets far
    @rule()
    def close(self):
        assert sorted(self.inbox.clear()) == sorted(self.told + self.waiting)
        self.messages, self.told, self.waiting = [], [], []
        self.paused = False

    @invariant()
    def agrees(self):
        if hasattr(self, "inbox"):
            assert list(self.inbox.messages) == self.messages
            assert len(self.inbox) == len(self.messages)
            assert self.inbox.promised == len(self.told)
            assert self.inbox.paused == self.paused


TestReceivers = Receivers.TestCase
# Much must come together: several wait, a burst comes for them, they run, amid a pause at that.
TestReceivers.settings = settings(max_examples=500)


def test_messages_that_left_past_it_end_a_pause_too():
    inbox: Inbox[int, str] = Inbox(8)
    inbox.put(range(8))
    for number in range(6):
        assert not inbox.relax()
        assert inbox.room() == 0
        assert inbox.messages.popleft() == number
    assert inbox.relax()
    assert inbox.room() == 6
    assert inbox.pop() == 6
