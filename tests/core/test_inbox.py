"""Inbox against a list: nothing lost or doubled, receivers served in the order of asking."""

from __future__ import annotations

from hypothesis import settings
from machines import InboxMachine, WeighedInboxMachine

from zmqbridge.core.inbox import Inbox

TestReceivers = InboxMachine.TestCase
TestReceiversOfLargeMessages = WeighedInboxMachine.TestCase
TestReceiversOfLargeMessages.settings = settings(max_examples=300)
# Much must come together: several wait, a burst comes for them, they run, amid a pause at that.
TestReceivers.settings = settings(max_examples=500)


def test_messages_that_left_past_it_end_a_pause_too() -> None:
    inbox: Inbox[int, str] = Inbox(8)
    inbox.put(range(8))
    for number in range(6):
        assert not inbox.relax()
        assert inbox.room() == 0
        assert inbox.messages.popleft() == number
    assert inbox.relax()
    assert inbox.room() == 6
    assert inbox.pop() == 6


def test_who_always_waits_has_room_for_one_and_for_the_next_when_that_is_taken() -> None:
    inbox: Inbox[int, str] = Inbox(0)
    assert inbox.room() == 0
    inbox.standing = 1
    assert inbox.room() == 1
    inbox.put([7])
    assert inbox.room() == 0
    assert inbox.messages.popleft() == 7
    assert inbox.relax()
    assert inbox.room() == 1


def test_a_promise_that_was_taken_back_is_given_to_the_same_receiver_again() -> None:
    inbox: Inbox[int, str] = Inbox(4)
    for waiter in "abc":
        inbox.wait(waiter)
    inbox.put([1, 2])
    assert inbox.notify() == ["a", "b"]
    inbox.sift([2].__contains__)
    assert inbox.take("b") is None
    inbox.wait("B", "b")
    inbox.put([3, 4])
    assert inbox.notify() == ["B", "c"]
    assert [inbox.take(waiter) for waiter in "aBc"] == [2, 3, 4]
    assert inbox.pop == inbox.messages.popleft


def test_an_inbox_that_has_ended_takes_nothing_and_lets_those_wait_for_whom_there_is_something() -> (  # noqa: E501
    None
):
    inbox: Inbox[str, str] = Inbox()
    for waiter in ("one", "two", "three"):
        inbox.wait(waiter)
    inbox.put(["first"])
    assert inbox.notify() == ["one"]
    assert inbox.has_promised("one")
    assert not inbox.has_promised("two")
    assert inbox.end() == ["two", "three"]
    assert inbox.room() == 0
    assert inbox.rest() == []  # it is promised
    assert inbox.take("one") == "first"
    inbox.put(["under way", "still"])
    assert inbox.rest() == ["under way", "still"]
