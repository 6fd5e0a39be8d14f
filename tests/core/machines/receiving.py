"""The inbox against a list: nothing lost or doubled, receivers served in the order of asking."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from zmqbridge.core.inbox import HIGH, Inbox, WeighedInbox
from zmqbridge.core.raising import RaisingInbox

LIMITS = st.one_of(st.integers(2, 6), st.integers(0, 6))


def number_of(message: Any) -> int:
    number: int = message.args[0] if isinstance(message, Exception) else message
    return number


class InboxMachine(RuleBasedStateMachine):
    """Receivers wait, are told, run later or are cancelled meanwhile; newcomers may poll.

    A message may be dropped that was promised: then its receiver, when it runs, waits again.
    """

    MOST = 9

    @initialize(high=LIMITS, newest=st.sampled_from([False, False, False, True]))
    def start(self, high: int, newest: bool) -> None:
        self.inbox = self.make()
        self.messages: list[Any] = []
        self.waiting: list[str] = []
        self.told: list[str] = []
        self.stale: set[str] = set()  # they will run, and find that theirs was dropped
        self.paused = False
        self.put_so_far = self.asked = self.unwanted = 0
        self.limit(high, newest)

    def make(self, **settings: Any) -> Inbox[Any, str]:
        """The machine under test: one of your own, or the one in a driver."""
        return Inbox(**settings)

    def deliver(self, items: list[Any]) -> list[str]:
        """A burst has come: put it, and return the waiters that are told."""
        self.inbox.put(items)
        return self.inbox.notify()

    def give_up(self, waiter: str) -> list[str]:
        """A receiver waits no more: return the waiters that are told instead."""
        self.inbox.forget(waiter)
        return self.inbox.notify()

    def close_all(self) -> list[str]:
        """The socket is closing: return all waiters."""
        return self.inbox.close()

    def heavy(self, most: int) -> bool:
        return False

    def limit(self, high: int, newest: bool) -> None:
        self.inbox.limit(high, newest=newest)
        self.high, self.low, self.newest = high, high // 4, newest
        self.kept_up()
        self.relaxed()

    def kept_up(self) -> None:
        if self.newest:
            outdated = max(0, len(self.messages) - max(1, len(self.told)))
            self.unwanted += outdated
            del self.messages[:outdated]
        else:
            full = len(self.messages) >= max(1, self.high) or self.heavy(self.MOST - 1)
            self.paused = self.paused or full

    def relaxed(self) -> None:
        full = len(self.messages) > self.low or self.heavy(self.MOST // 4)
        self.paused = self.paused and full and not self.newest

    def tell(self, told: list[str]) -> None:
        expected = self.waiting[: len(self.messages) - len(self.told)]
        assert told == expected
        del self.waiting[: len(told)]
        self.told += told

    def taken(self, message: Any | None) -> None:
        assert message == self.messages.pop(0)
        self.relaxed()

    def room(self) -> int:
        if self.paused:
            return 0
        if self.newest:
            return HIGH
        return self.high - len(self.messages) if self.high else len(self.waiting)

    @rule(size=st.integers(1, 4))
    def burst(self, size: int) -> None:
        assert self.inbox.room() == self.room()
        items = self.next_items(min(size, self.room()))
        self.put_so_far += len(items)
        told = self.deliver(items)
        self.messages += items
        self.kept_up()
        self.tell(told)

    def next_items(self, count: int) -> list[Any]:
        return list(range(self.put_so_far, self.put_so_far + count))

    def may_pop(self) -> bool:
        return len(self.messages) > len(self.told) and not self.paused

    @rule(receivers=st.integers(1, 3))
    def ask(self, receivers: int) -> None:
        for _ in range(receivers):
            message = self.inbox.poll()
            if len(self.messages) > len(self.told):
                self.taken(message)
            else:
                assert message is None
                self.waiting.append(self.new_waiter())

    def new_waiter(self, instead_of: str | None = None) -> str:
        self.asked += 1
        waiter = f"waiter {self.asked}"
        on_demand = self.inbox.wait(waiter, instead_of)
        assert on_demand == (not self.high and not self.newest)
        return waiter

    @rule()
    def pop(self) -> None:
        if self.may_pop():
            self.taken(self.inbox.pop())
        else:
            with pytest.raises(IndexError):
                self.inbox.pop()

    @precondition(lambda self: self.told)
    @rule(receivers=st.integers(1, 4))
    def told_receivers_run(self, receivers: int) -> None:
        for waiter in self.told[:receivers]:
            self.told.remove(waiter)
            self.stale.discard(waiter)
            self.taken(self.inbox.take(waiter))

    @precondition(lambda self: self.messages)
    @rule(kept=st.integers(0, 15))
    def some_are_not_wanted_any_more(self, kept: int) -> None:
        self.drop([each for each in self.messages if kept & 1 << number_of(each) % 4])

    def drop(self, wanted: list[Any]) -> None:
        self.inbox.sift(lambda message: message in wanted)
        self.unwanted += len(self.messages) - len(wanted)
        if wanted != self.messages:
            self.messages = wanted
            self.relaxed()
        self.stale.update(self.told[len(wanted) :])
        self.waiting = self.told[len(wanted) :] + self.waiting
        del self.told[len(wanted) :]

    @precondition(lambda self: self.stale - set(self.told))
    @rule(data=st.data())
    def one_finds_its_message_gone_and_keeps_its_place(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(sorted(self.stale - set(self.told))))
        assert self.inbox.take(waiter) is None
        self.stale.remove(waiter)
        self.waiting[self.waiting.index(waiter)] = self.new_waiter(waiter)

    @precondition(lambda self: self.told or self.waiting)
    @rule(data=st.data())
    def a_receiver_is_cancelled(self, data: st.DataObject) -> None:
        waiter = data.draw(st.sampled_from(self.told + self.waiting))
        (self.told if waiter in self.told else self.waiting).remove(waiter)
        self.stale.discard(waiter)
        self.tell(self.give_up(waiter))

    @precondition(lambda self: self.asked > 3)  # seldom, so that the runs get far
    @rule()
    def close(self) -> None:
        assert sorted(self.close_all()) == sorted(self.told + self.waiting)
        self.messages, self.told, self.waiting, self.stale = [], [], [], set()
        self.paused = False

    @precondition(lambda self: self.asked > 3)
    @rule(high=LIMITS, newest=st.booleans())
    def set_anew(self, high: int, newest: bool) -> None:
        self.limit(high, newest)

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "inbox"):
            assert list(self.inbox.messages) == self.messages
            assert len(self.inbox) == len(self.messages)
            assert self.inbox.promised == len(self.told)
            assert self.inbox.paused == self.paused
            assert self.inbox.unwanted == self.unwanted


class WeighedInboxMachine(InboxMachine):
    """The same where the messages have sizes, which are bounded, too."""

    def make(self, **settings: Any) -> WeighedInbox[int, str]:
        return WeighedInbox(self.MOST, self.size_of)

    @staticmethod
    def size_of(message: int) -> int:
        return message % 5

    def heavy(self, most: int) -> bool:
        return sum(map(self.size_of, self.messages)) > most


class RaisingInboxMachine(InboxMachine):
    """The same where some messages are errors, which `pop` leaves to `poll`."""

    def make(self, **settings: Any) -> Inbox[Any, str]:
        self.raising: RaisingInbox[str] = RaisingInbox(**settings)
        return self.raising

    def next_items(self, count: int) -> list[Any]:
        items: list[Any] = super().next_items(count)
        for number in range(len(items)):
            if items[number] % 3 == 1:
                self.raising.expect()
                items[number] = LookupError(items[number])
        return items

    def may_pop(self) -> bool:
        return super().may_pop() and not isinstance(self.messages[0], Exception)
