"""RaisingInbox: an error among messages is got in its place, and never by `pop`."""

from __future__ import annotations

import pytest
from machines import RaisingInboxMachine

from zmqbridge.core.raising import RaisingInbox, WeighedRaisingInbox

TestReceivers = RaisingInboxMachine.TestCase


def test_an_error_is_got_by_poll_in_its_place() -> None:
    inbox: RaisingInbox[str] = RaisingInbox()
    error = LookupError()
    inbox.put([1])
    inbox.expect()
    inbox.put([error, 2])
    assert len(inbox) == 3
    assert inbox.pop() == 1
    for _ in range(2):
        with pytest.raises(IndexError):
            inbox.pop()
    assert inbox.poll() is error
    assert inbox.pop() == 2
    with pytest.raises(IndexError):
        inbox.pop()
    assert inbox.pop == inbox.messages.popleft


def test_an_error_is_promised_as_a_message_is() -> None:
    inbox: RaisingInbox[str] = RaisingInbox()
    error = LookupError()
    inbox.wait("one")
    inbox.wait("two")
    inbox.put([1])
    assert inbox.notify() == ["one"]
    inbox.expect()
    inbox.put([error, 2])
    assert inbox.notify() == ["two"]
    assert inbox.take("two") == 1
    assert inbox.take("one") is error
    assert inbox.pop() == 2


def test_an_error_is_not_popped_while_a_message_is_promised() -> None:
    inbox: RaisingInbox[str] = RaisingInbox()
    inbox.wait("one")
    inbox.expect()
    error = LookupError()
    inbox.put([1, error, 2])
    assert inbox.notify() == ["one"]
    assert inbox.pop() == 1
    with pytest.raises(IndexError):
        inbox.pop()
    assert inbox.poll() is error
    assert inbox.take("one") == 2


def test_with_a_bound_in_bytes_an_error_keeps_its_place_too() -> None:
    inbox: WeighedRaisingInbox[str] = WeighedRaisingInbox(
        10, lambda item: 6 if isinstance(item, bytes) else 0
    )
    error = LookupError()
    inbox.expect()
    inbox.put([error, b"one"])
    assert not inbox.paused
    inbox.put([b"two"])
    assert inbox.paused
    assert [inbox.poll() for _ in range(3)] == [error, b"one", b"two"]
    assert not inbox.paused


@pytest.mark.parametrize("kind", [RaisingInbox, WeighedRaisingInbox])
def test_an_argument_that_it_does_not_take_is_blamed_on_it(kind: type) -> None:
    with pytest.raises(TypeError, match=rf"^{kind.__name__}\.__init__\(\) .*'hgh'"):
        kind(hgh=1)
