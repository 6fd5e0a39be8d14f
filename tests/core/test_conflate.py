"""ConflatingInbox: the newest of each tag, in the order in which their tags came."""

from __future__ import annotations

import pytest
from hypothesis import settings
from machines import ConflatingInboxMachine

from zmqbridge.core.conflate import ConflatingInbox

TestConflating = ConflatingInboxMachine.TestCase
TestConflating.settings = settings(max_examples=300)


def test_a_newer_one_takes_the_place_of_the_older_one_of_its_tag() -> None:
    inbox: ConflatingInbox[tuple[bytes, int], str] = ConflatingInbox()
    inbox.put([(b"a", 1), (b"b", 2), (b"a", 3)])
    inbox.put([(b"b", 4), (b"c", 5)])
    assert len(inbox) == 3
    assert inbox.unwanted == 2
    assert [inbox.pop() for _ in range(3)] == [(b"a", 3), (b"b", 4), (b"c", 5)]
    with pytest.raises(IndexError):
        inbox.pop()


def test_without_a_mark_reading_never_pauses() -> None:
    inbox: ConflatingInbox[tuple[bytes, int], str] = ConflatingInbox()
    inbox.put((b"%d" % number, number) for number in range(5000))
    assert not inbox.paused
    assert inbox.room() > 0
