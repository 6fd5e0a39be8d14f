"""One who joins gets the last publication of each tag, and of none an older one after a newer."""

from __future__ import annotations

import pytest
from hypothesis import settings
from machines import JoiningMachine

from zmqbridge.core.gaps import Restarted
from zmqbridge.core.incoming import Incoming
from zmqbridge.core.joining import Joining
from zmqbridge.core.numbered import COPY, Ask, Asked, as_copy, pack_number

TestJoining = JoiningMachine.TestCase
TestJoining.settings = settings(max_examples=200, stateful_step_count=40)


def told(incoming: Incoming) -> list[object]:
    return [
        each if isinstance(each, Restarted) else b" ".join(map(bytes, each))
        for each in incoming.take()
    ]


def joined(*given: tuple[bytes, int, bytes], prefix: bytes = b"") -> Joining:
    """One that has joined a prefix, and has got this as an answer."""
    joining = Joining()
    joining.join(prefix)
    assert joining.next_deadline() == 0
    assert joining.ask(0) == Ask(Asked(-1, prefix), afresh=False)
    for each in given:
        joining.replayed(*each, 0)
    return joining


def test_the_last_of_each_tag_is_delivered_and_the_count_goes_on_from_it() -> None:
    joining = joined((b"a", 4, b"4"), (b"b", 0, b"0"))
    assert told(joining) == [b"a 4", b"b 0"]
    joining.replay_ended(0)
    assert joining.heard([[b"a", pack_number(5), b"5"], [b"b", pack_number(2), b"2"]]) == []
    assert told(joining) == [b"a 5"]
    assert joining.ask(0) == Ask(Asked(1, b"b"), afresh=False)
    joining.replayed(b"b", 1, b"1", 0)
    assert told(joining) == [b"b 1", b"b 2"]


def test_of_what_came_by_itself_no_older_one_follows() -> None:
    joining = joined()
    joining.live(b"a", 7, b"7")
    joining.replayed(b"a", 6, b"6", 0)
    joining.replayed(b"a", 7, b"7", 0)
    joining.replay_ended(0)
    assert told(joining) == [b"a 7"]
    assert joining.doubled == 2


def test_what_was_missed_meanwhile_is_asked_for_in_order() -> None:
    joining = joined()
    joining.live(b"a", 5, b"5")
    joining.replayed(b"a", 7, b"7", 0)
    joining.replay_ended(0)
    assert told(joining) == [b"a 5"]
    assert joining.ask(0) == Ask(Asked(6, b"a"), afresh=False)


def test_what_was_on_its_way_before_the_answer_is_dropped() -> None:
    joining = joined((b"a", 7, b"7"))
    joining.replay_ended(0)
    joining.live(b"a", 6, b"6")
    joining.live(b"a", 7, b"7")
    joining.live(b"a", 8, b"8")
    assert told(joining) == [b"a 7", b"a 8"]
    # It was asked whether the publisher has begun anew, and it has not.
    assert joining.ask(0) == Ask(Asked(-1, b""), afresh=False)
    joining.replayed(b"a", 8, b"8", 0)
    joining.replay_ended(0)
    assert told(joining) == []
    assert joining.ask(0) is None


def test_an_older_one_is_of_a_publisher_that_has_begun_anew_if_that_says_so() -> None:
    joining = joined((b"a", 7, b"old 7"), (b"b", 3, b"old 3"))
    joining.replay_ended(0)
    assert told(joining) == [b"a old 7", b"b old 3"]
    joining.live(b"a", 0, b"new 0")
    assert joining.ask(0) == Ask(Asked(-1, b""), afresh=False)
    joining.replayed(b"a", 1, b"new 1", 0)
    joining.replayed(b"b", 3, b"new 3", 0)
    joining.replay_ended(0)
    assert told(joining) == [Restarted(b"a"), b"a new 1", Restarted(b"b"), b"b new 3"]
    joining.live(b"a", 1, b"new 1")
    joining.live(b"a", 2, b"new 2")
    assert told(joining) == [b"a new 2"]


def test_it_has_if_it_does_not_know_the_tag_of_what_came() -> None:
    joining = joined((b"a", 7, b"old 7"))
    joining.replay_ended(0)
    joining.live(b"a", 0, b"new 0")
    joining.ask(0)
    joining.replay_ended(0)
    assert told(joining) == [b"a old 7", Restarted(b"a"), b"a new 0"]
    assert joining.doubled == 0


def test_it_has_if_another_one_has_the_same_number() -> None:
    joining = joined((b"a", 0, b"old"))
    joining.replay_ended(0)
    joining.live(b"a", 0, b"new")
    joining.live(b"a", 1, b"newer")
    assert told(joining) == [b"a old", Restarted(b"a"), b"a new", b"a newer"]
    assert joining.ask(0) == Ask(Asked(-1, b""), afresh=False)


def test_who_joins_another_prefix_asks_again_and_who_leaves_does_not() -> None:
    joining = joined(prefix=b"a")
    joining.join(b"b")
    joining.join(b"c")
    joining.leave(b"b")
    joining.leave(b"never")
    assert joining.ask(0) is None  # one at a time
    joining.replayed(b"other", 1, b"", 0)
    joining.replayed(None, 1, b"", 0)
    assert joining.unasked == 2
    joining.replayed(b"a", 1, None, 0)  # nobody wants it any more
    joining.replay_ended(0)
    assert joining.ask(0) == Ask(Asked(-1, b"c"), afresh=False)
    joining.replay_ended(0)
    joining.replay_ended(0)
    assert (told(joining), joining.unasked, joining.ends) == ([], 3, 1)
    assert joining.ask(0) is None


def test_an_attempt_without_an_answer_is_made_again_unless_nobody_wants_it() -> None:
    joining = joined(prefix=b"a")
    assert joining.next_deadline() == 5
    joining.due(5)
    assert joining.ask(5) is None
    assert joining.next_deadline() == 6
    assert joining.ask(6) == Ask(Asked(-1, b"a"), afresh=True)
    joining.leave(b"a")
    joining.due(11)
    assert joining.ask(100) is None
    assert joining.next_deadline() == float("inf")


def test_a_question_for_what_is_missing_comes_first_and_may_fail() -> None:
    joining = Joining()
    joining.join(b"")
    joining.live(b"a", 1, b"1")
    joining.live(b"a", 3, b"3")
    assert joining.ask(0) == Ask(Asked(2, b"a"), afresh=False)
    joining.due(5)
    assert joining.ask(6) == Ask(Asked(2, b"a"), afresh=True)


def test_what_is_known_of_a_tag_is_dropped_with_its_subscription() -> None:
    joining = joined((b"a", 7, b"7"), (b"b", 7, b"7"))
    joining.replay_ended(0)
    told(joining)
    joining.live(b"a", 3, b"3")
    joining.live(b"b", 3, b"3")
    joining.drop(lambda tag: tag == b"b")
    joining.ask(0)
    joining.replay_ended(0)
    assert told(joining) == [Restarted(b"b"), b"b 3"]
    remains: list[object] = []
    joining.close(remains)
    assert joining.next_deadline() == float("inf")


def test_a_copy_for_somebody_else_is_dropped_and_for_us_it_is_the_first() -> None:
    incoming = Incoming(asks=False, by_tag=True)
    copy = as_copy([b"a", pack_number(3), b"3"])
    assert copy == (b"a", pack_number(3 | COPY), b"3")
    assert incoming.heard([list(copy)]) == []
    assert told(incoming) == [b"a 3"]
    incoming.heard([[b"a", pack_number(4), b"4"], [b"a", pack_number(COPY + 4), b"4"]])
    assert told(incoming) == [b"a 4"]
    assert incoming.doubled == 1
    # With an older number it is of a publisher that has begun anew.
    incoming.heard([[b"a", pack_number(COPY), b"0"]])
    assert told(incoming) == [Restarted(b"a"), b"a 0"]
    by_publisher = Incoming(asks=False)
    by_publisher.heard([[b"a", pack_number(COPY), b""]])
    assert told(by_publisher) == [b"a "]


@pytest.mark.parametrize("by_tag", [True, False])
def test_what_is_held_is_dropped_with_its_subscription(by_tag: bool) -> None:
    incoming = Incoming(asks=True, by_tag=by_tag)
    for number in (0, 2, 3):
        incoming.live(b"t", number, b"%d" % number)
    assert told(incoming) == [b"t 0"]
    assert incoming.ask(0) is not None
    incoming.drop(lambda tag: True)
    assert incoming.held == 2
    incoming.drop(lambda tag: False)
    if by_tag:
        assert (incoming.held, incoming.doubled) == (0, 2)
        incoming.replayed(b"t", 1, b"1", 0)
        assert incoming.unasked == 1
        incoming.live(b"t", 9, b"9")  # it was subscribed to again
        assert told(incoming) == [b"t 9"]
    else:
        assert incoming.held == 2
        incoming.replayed(b"t", 1, None, 0)
        incoming.replay_ended(0)
        assert (told(incoming), incoming.held, incoming.doubled) == ([], 0, 2)
