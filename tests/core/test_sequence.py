"""Numbered publications: what is delivered and the gaps are what was published, in order, once."""

from __future__ import annotations

import sys
from random import Random

import pytest
from hypothesis import settings
from machines import SequenceMachine

from zmqbridge.core.gaps import Gap, Restarted
from zmqbridge.core.incoming import Incoming
from zmqbridge.core.numbered import (
    END,
    Ask,
    Asked,
    pack_asked,
    pack_number,
    split_answer,
    split_asked,
    split_numbered,
)
from zmqbridge.core.outgoing import Kept, Outgoing
from zmqbridge.errors import MalformedMessage

TestLedger = SequenceMachine.TestCase
TestLedger.settings = settings(max_examples=100, stateful_step_count=40)

SEEDS = 2000


def drive(seed: int) -> None:
    """A long life on a bad network: more often than by chance alone much is under way at once."""
    chance = Random(seed)
    machine = SequenceMachine()
    machine.start(
        asks=chance.random() < 0.8,
        by_tag=chance.random() < 0.4,
        rising=chance.random() < 0.5,
        keep=chance.choice([2, 5, 1000, 1000]),
        queue=chance.choice([2, 4, 100]),
        hold=chance.choice([6, 1000, 1000]),
    )
    loss = chance.choice([0.1, 0.5])
    mild = chance.random() < 0.5  # nothing happens that cannot be made good
    for _ in range(chance.choice([10, 40, 80])):
        step = chance.random()
        if step < 0.35:
            machine.publish(
                chance.choice([b"a", b"b"]),
                [chance.random() > loss for _ in range(chance.randint(1, 5))],
            )
        elif step < 0.6:
            machine.hear(chance.randint(1, 4))
        elif step < 0.75 and machine.asked:
            machine.the_server_answers()
        elif step < 0.9 and machine.answers:
            machine.answers_come(chance.randint(1, 4), chance.random() < 0.3)
        elif step < 0.94 and machine.answers:
            lost = chance.randrange(len(machine.answers))
            if lost or not mild:
                machine.lose_answer(lost)
        elif step < 0.96:
            machine.time_passes(chance.choice([0.5, 2, 6, 40]))
        elif step < 0.97:
            machine.the_subscriber_restarts()
        elif step < 0.98 and not machine.by_tag:
            machine.the_publisher_tells_what_comes_next()
        elif machine.last and not mild:
            machine.the_publisher_restarts()
    machine.teardown()


def test_whatever_happens_on_the_way_what_is_told_is_what_was_published() -> None:
    for seed in range(SEEDS):
        try:
            drive(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


def told(incoming: Incoming) -> list[object]:
    """What may be delivered, in short: numbers, and what is told."""
    return [int(each[1]) if isinstance(each, tuple) else each for each in incoming.take()]


def heard(incoming: Incoming, *numbers: int, tag: bytes = b"t") -> list[object]:
    for number in numbers:
        incoming.live(tag, number, b"%d" % number)
    return told(incoming)


def answered(incoming: Incoming, *numbers: int, now: float = 0.0, end: bool = True) -> list[object]:
    for number in numbers:
        incoming.replayed(b"t", number, b"%d" % number, now)
    if end:
        incoming.replay_ended(now)
    return told(incoming)


def test_without_anybody_to_ask_each_gap_is_told_at_once() -> None:
    incoming = Incoming(asks=False)
    assert heard(incoming, 7, 8, 11, 12) == [7, 8, Gap(9, 10), 11, 12]
    assert incoming.missed == 2
    assert incoming.ask(0) is None
    assert incoming.next_deadline() == float("inf")


def test_a_gap_has_a_length_whatever_numbers_a_peer_sends() -> None:
    incoming = Incoming(asks=False)
    gap = heard(incoming, 0, 2**64 - 2)[1]
    assert gap == Gap(1, 2**64 - 3)
    assert isinstance(gap, Gap)
    assert len(gap) == sys.maxsize
    assert incoming.missed == 2**64 - 3


def test_a_burst_is_what_its_publications_are_one_by_one() -> None:
    for by_tag in (False, True):
        incoming = Incoming(asks=False, by_tag=by_tag)
        burst = [[b"t", pack_number(n), b"%d" % n] for n in (7, 8, 11, 0)]
        odd = [[b"t", END, b""], [b"t", b"1234567", b""], [b"t"]]
        key = b"t" if by_tag else b""
        assert incoming.heard([*burst[:2], *odd, *burst[2:]]) == odd
        assert told(incoming) == [7, 8, Gap(9, 10, key), 11, Restarted(key), 0]


def test_numbers_that_go_back_are_a_publisher_that_has_restarted() -> None:
    incoming = Incoming(asks=False)
    assert heard(incoming, 7, 8, 0, 1) == [7, 8, Restarted(), 0, 1]
    assert heard(incoming, 1) == [Restarted(), Gap(0, 0), 1]


def test_a_number_that_is_missing_and_comes_too_late_is_that_of_another_publisher() -> None:
    burst = [[b"t", pack_number(6), b"6"]]
    for in_burst in (True, False):
        incoming = Incoming(asks=True)
        assert heard(incoming, 5, 8) == [5]
        if in_burst:
            incoming.heard(burst)
        else:
            incoming.live(b"t", 6, b"6")
        assert told(incoming) == [Gap(6, 7), 8, Restarted()]
        assert incoming.ask(0) == Ask(Asked(0), afresh=False)


def test_nothing_newer_is_delivered_while_older_ones_may_come() -> None:
    incoming = Incoming(asks=True)
    assert heard(incoming, 1, 4) == [1]
    assert incoming.ask(0) == Ask(Asked(2), afresh=False)
    assert incoming.ask(0) is None
    assert heard(incoming, 5) == []
    assert incoming.held == 2
    # The answer was made before 5 came, and after 3 was published.
    assert answered(incoming, 2, end=False) == [2]
    assert answered(incoming, 3, end=False) == [3, 4, 5]
    assert answered(incoming, 4, 5, 6) == [6]
    assert heard(incoming, 6, 7) == [7]
    assert incoming.doubled == 3


def test_what_the_publisher_has_no_more_is_told_as_a_gap_in_its_place() -> None:
    incoming = Incoming(asks=True)
    heard(incoming, 1, 9, 12)
    assert incoming.ask(0) is not None
    assert answered(incoming, 7, 8, end=False) == [Gap(2, 6), 7, 8, 9]
    assert answered(incoming, 10, 11) == [10, 11, 12]
    heard(incoming, 20)
    assert incoming.ask(0) == Ask(Asked(13), afresh=False)
    assert answered(incoming) == [Gap(13, 19), 20]


def test_what_came_itself_is_no_gap_where_the_answer_begins_later() -> None:
    incoming = Incoming(asks=True)
    heard(incoming, 1, 5, 6)
    assert incoming.ask(0) is not None
    assert answered(incoming, 8) == [Gap(2, 4), 5, 6, Gap(7, 7), 8]
    heard(incoming, 10, 12)
    assert incoming.ask(0) is not None
    assert answered(incoming, 12) == [Gap(9, 9), 10, Gap(11, 11), 12]


def test_an_answer_that_was_on_its_way_before_says_nothing_of_later_ones() -> None:
    incoming = Incoming(asks=True, interval=10)
    heard(incoming, 1)
    assert incoming.ask(0) is None
    for now in (10, 20):
        incoming.due(now)
    assert incoming.ask(20) == Ask(Asked(2), afresh=False)
    assert heard(incoming, 4) == []
    assert answered(incoming, now=20) == []
    assert incoming.ask(20) == Ask(Asked(2), afresh=False)
    assert answered(incoming, 2, 3) == [2, 3, 4]


def test_a_part_that_is_lost_on_the_way_is_asked_for_again() -> None:
    incoming = Incoming(asks=True)
    heard(incoming, 1, 6)
    assert incoming.ask(0) is not None
    assert answered(incoming, 2, 4, 5) == [2]
    assert incoming.ask(0) == Ask(Asked(3), afresh=False)
    assert answered(incoming, 3, 4, 5) == [3, 4, 5, 6]
    # So it is where nothing is held: the last ones were missed.
    for now in (0, 10, 20):
        incoming.ask(now)
        incoming.due(now)
    assert incoming.ask(20) == Ask(Asked(7), afresh=False)
    assert answered(incoming, 7, 9, now=20) == [7]
    assert incoming.ask(20) == Ask(Asked(8), afresh=False)


def test_a_silent_subscriber_asks_once_an_interval_whether_the_last_ones_were_missed() -> None:
    incoming = Incoming(asks=True, by_tag=True, interval=10)
    assert incoming.next_deadline() == float("inf")
    heard(incoming, 1)
    heard(incoming, 5, tag=b"busy")
    assert incoming.ask(0) is None
    assert incoming.next_deadline() == 10
    incoming.due(10)
    heard(incoming, 6, tag=b"busy")
    assert incoming.ask(10) is None
    incoming.due(20)
    assert incoming.ask(20) == Ask(Asked(2, b"t"), afresh=False)
    assert incoming.next_deadline() == 25
    assert answered(incoming, 2, now=20) == [2]


def test_a_count_that_has_begun_misses_also_what_comes_first() -> None:
    incoming = Incoming(asks=False)
    incoming.begin(7)
    assert heard(incoming, 9) == [Gap(7, 8), 9]
    incoming.begin(10)
    assert heard(incoming, 10) == [10]
    incoming = Incoming(asks=True, interval=10)
    incoming.begin(0)
    assert incoming.ask(0) is None
    incoming.due(10)
    assert incoming.ask(10) == Ask(Asked(0, None), afresh=False)
    assert answered(incoming, 0, 1, now=10) == [0, 1]
    incoming = Incoming(asks=False, by_tag=True)
    incoming.begin(7)  # of which tag?
    assert heard(incoming, 9) == [9]


def test_the_number_that_comes_next_shows_what_is_missing_and_a_restart() -> None:
    incoming = Incoming(asks=True)
    heard(incoming, 7)
    incoming.begin(8)
    assert incoming.ask(0) is None
    incoming.begin(10)
    assert incoming.ask(0) == Ask(Asked(8), afresh=False)
    incoming.begin(10)
    assert answered(incoming, 8) == [8]
    incoming.begin(10)
    assert incoming.ask(0) == Ask(Asked(9), afresh=False)
    incoming.begin(3)
    assert told(incoming) == [Restarted()]
    assert incoming.ask(0) == Ask(Asked(0), afresh=True)
    assert answered(incoming, 1, 2) == [Gap(0, 0), 1, 2]
    assert heard(incoming, 3) == [3]
    incoming.begin(0)
    assert told(incoming) == [Restarted()]
    assert incoming.ask(0) is None

    incoming = Incoming(asks=False)
    heard(incoming, 7)
    incoming.begin(3)
    assert told(incoming) == [Restarted(), Gap(0, 2)]
    assert heard(incoming, 3, 5) == [3, Gap(4, 4), 5]


def test_a_count_goes_on_where_an_earlier_process_has_stopped() -> None:
    incoming = Incoming(asks=True)
    incoming.resume(b"", 6)
    incoming.resume(b"", 3)  # it has begun
    assert incoming.next_deadline() == 0
    assert incoming.ask(0) == Ask(Asked(7), afresh=False)
    assert heard(incoming, 9) == []
    assert answered(incoming, 7, 8) == [7, 8, 9]

    incoming = Incoming(asks=True)
    incoming.resume(b"", -1)
    assert incoming.ask(0) == Ask(Asked(0), afresh=False)
    assert answered(incoming, 2, 3) == [Gap(0, 1), 2, 3]

    incoming = Incoming(asks=True, by_tag=True)
    incoming.resume(b"t", 6)
    incoming.resume(b"u", 0)
    assert incoming.ask(0) == Ask(Asked(7, b"t"), afresh=False)
    assert answered(incoming) == []
    assert incoming.ask(0) == Ask(Asked(1, b"u"), afresh=False)

    incoming = Incoming(asks=False)
    incoming.resume(b"", 6)
    assert incoming.ask(0) is None
    assert heard(incoming, 9) == [Gap(7, 8), 9]


def test_a_publisher_that_began_anew_meanwhile_is_told() -> None:
    for asks in (True, False):
        incoming = Incoming(asks=asks)
        incoming.resume(b"", 6)
        assert heard(incoming, 0) == [Restarted(), 0]


def test_what_an_earlier_process_has_not_received_is_asked_for_until_there_is_an_answer() -> None:
    incoming = Incoming(asks=True, by_tag=True, timeout=5, pause=1, attempts=1, interval=1000)
    for tag in (b"t", b"u"):
        incoming.resume(tag, 6)
    heard(incoming, 9, tag=b"u")
    assert incoming.ask(0) == Ask(Asked(7, b"t"), afresh=False)
    incoming.due(5)
    assert told(incoming) == [Gap(7, 8, b"u"), 9]
    assert incoming.ask(6) == Ask(Asked(7, b"t"), afresh=True)
    assert answered(incoming, 7, now=6) == [7]
    assert incoming.ask(6) is None


def test_numbers_come_with_their_publications_where_they_are_wanted() -> None:
    incoming = Incoming(asks=True, numbers=True)
    incoming.live(b"t", 1, b"one")
    assert incoming.heard([[b"t", pack_number(n), b"x"] for n in (2, 4)]) == []
    incoming.ask(0)
    incoming.replayed(b"t", 3, b"y", 0)
    expected = [(b"t", b"one", 1), (b"t", b"x", 2), (b"t", b"y", 3), (b"t", b"x", 4)]
    assert incoming.take() == expected


def test_the_next_number_is_known_where_the_publisher_counts() -> None:
    assert Outgoing(10, 1000, by_tag=True).next_number() == b""
    outgoing = Outgoing(10, 1000, first=5)
    assert outgoing.next_number() == outgoing.number(b"t", b"") == (5).to_bytes(8, "big")
    assert outgoing.next_number() == (6).to_bytes(8, "big")


def test_an_attempt_that_fails_is_made_again_after_a_pause_and_at_last_all_is_delivered() -> None:
    incoming = Incoming(asks=True, timeout=5, pause=1, attempts=3)
    heard(incoming, 1, 3)
    assert incoming.ask(0) == Ask(Asked(2), afresh=False)
    assert incoming.next_deadline() == 5
    incoming.due(4)
    assert incoming.ask(4) is None
    incoming.due(5)
    assert incoming.ask(5) is None
    assert incoming.next_deadline() == 6
    assert incoming.ask(6) == Ask(Asked(2), afresh=True)
    incoming.due(11)
    assert incoming.next_deadline() == 11 + 2
    assert incoming.ask(13) is not None
    assert told(incoming) == []
    incoming.due(18)
    assert told(incoming) == [Gap(2, 2), 3]
    assert incoming.failures == 3
    heard(incoming, 5)
    # It was heard again, so it is asked at once; while that is held, with pauses.
    assert incoming.ask(19) == Ask(Asked(4), afresh=True)
    heard(incoming, 7)
    incoming.due(24)
    assert told(incoming) == [Gap(4, 4), 5, Gap(6, 6), 7]
    heard(incoming, 9)
    assert incoming.ask(24) == Ask(Asked(8), afresh=True)
    assert answered(incoming, 8, now=24) == [8, 9]
    assert incoming.failures == 0


def test_an_answer_about_what_is_no_more_is_not_waited_for() -> None:
    incoming = Incoming(asks=True)
    heard(incoming, 5, 7)
    assert incoming.ask(0) is not None
    assert heard(incoming, 0) == [Gap(6, 6), 7, Restarted(), 0]
    assert incoming.next_deadline() == 10
    assert heard(incoming, 3) == []
    assert incoming.ask(0) == Ask(Asked(1), afresh=True)


def test_more_than_may_be_held_is_delivered_with_its_gaps() -> None:
    incoming = Incoming(asks=True, hold=(2, 100))
    assert heard(incoming, 1, 3, 5, 7) == [1, Gap(2, 2), 3, Gap(4, 4), 5, Gap(6, 6), 7]
    incoming = Incoming(asks=True, hold=(9, 1))
    assert heard(incoming, 1, 3, 5) == [1, Gap(2, 2), 3, Gap(4, 4), 5]


def test_an_answer_without_tags_has_that_of_what_was_missing() -> None:
    incoming = Incoming(asks=True)
    heard(incoming, 1)
    heard(incoming, 3, tag=b"other")
    assert incoming.ask(0) is not None
    incoming.replayed(None, 2, b"2", 0)
    assert incoming.take() == [(b"other", b"2"), (b"other", b"3")]


def test_what_is_not_wanted_counts_and_is_not_delivered() -> None:
    incoming = Incoming(asks=True)
    heard(incoming, 1, 3)
    assert incoming.ask(0) is not None
    incoming.replayed(b"another", 2, None, 0)
    assert told(incoming) == [3]


def test_an_answer_about_another_tag_was_not_asked_for() -> None:
    incoming = Incoming(asks=True, by_tag=True)
    heard(incoming, 1, 3)
    assert incoming.ask(0) == Ask(Asked(2, b"t"), afresh=False)
    incoming.replayed(b"u", 2, b"2", 0)
    assert incoming.unasked == 1
    assert told(incoming) == []


def test_what_is_kept_is_bounded_in_number_and_in_bytes() -> None:
    outgoing = Outgoing(3, 100)
    for number in range(5):
        assert outgoing.number(b"t", b"x") == pack_number(number)
    assert (len(outgoing), outgoing.size, outgoing.oldest) == (3, 6, 2)
    outgoing.number(b"t", b"y" * 98)
    assert (len(outgoing), outgoing.size) == (1, 99)
    outgoing.number(b"t", b"y" * 100)
    assert (len(outgoing), outgoing.size) == (0, 0)
    assert outgoing.replay(Asked(0), 0, 10, 10) == ([], 7)


def numbers(kept: list[Kept]) -> list[tuple[bytes, int]]:
    return [(each.tag, int.from_bytes(each.number, "big")) for each in kept]


def test_an_answer_comes_in_parts_bounded_in_number_and_in_bytes() -> None:
    outgoing = Outgoing(100, 1000, first=50)
    for body in (b"", b"1", b"22", b"333"):
        outgoing.number(b"t", body)
    found, place = outgoing.replay(Asked(51), 0, 2, 100)
    assert (numbers(found), place) == ([(b"t", 51), (b"t", 52)], 3)
    found, place = outgoing.replay(Asked(51), place, 2, 100)
    assert (numbers(found), place) == ([(b"t", 53)], 4)
    found, place = outgoing.replay(Asked(0), 0, 9, 3)
    assert (numbers(found), place) == ([(b"t", 50), (b"t", 51)], 2)
    assert outgoing.replay(Asked(99), 0, 9, 9) == ([], 4)
    assert outgoing.replay(Asked(0, b"u"), 0, 9, 9) == ([], 4)
    assert outgoing.replay(Asked(-1, b""), 0, 9, 9) == ([], 4)  # there is no latest of a tag


def test_each_tag_may_have_numbers_of_its_own() -> None:
    outgoing = Outgoing(4, 1000, by_tag=True, first=10)
    for tag in (b"a", b"b", b"a", b"ab", b"a"):
        outgoing.number(tag, b"")
    assert numbers(outgoing.replay(Asked(10, b"a"), 0, 9, 9)[0]) == [(b"a", 11), (b"a", 12)]
    assert numbers(outgoing.replay(Asked(12, b"a"), 0, 9, 9)[0]) == [(b"a", 12)]
    latest = outgoing.replay(Asked(-1, b"a"), 0, 9, 9)[0]
    assert numbers(latest) == [(b"ab", 10), (b"a", 12)]
    assert len(outgoing.replay(Asked(-1), 0, 9, 9)[0]) == 3


def test_an_answer_about_a_tag_looks_at_no_other() -> None:
    outgoing = Outgoing(8, 1000, by_tag=True)
    for number in range(12):
        outgoing.number(b"%d" % (number % 3), b"x")
    # Of 0 to 3 the first one is dropped; one look each, and none at the other tags.
    assert outgoing.replay(Asked(0, b"1"), 0, 1, 9) == ([Kept(b"1", pack_number(1), b"x")], 7)
    found, place = outgoing.replay(Asked(2, b"1"), 0, 2, 9)
    assert (numbers(found), place) == ([(b"1", 2)], 10)
    for _ in range(6):  # meanwhile that place is dropped
        outgoing.number(b"1", b"x")
    found, place = outgoing.replay(Asked(2, b"1"), 7, 9, 9)
    assert (numbers(found), place) == ([(b"1", each) for each in range(3, 8)], 16)
    found, place = outgoing.replay(Asked(2, b"1"), place, 9, 99)
    assert (numbers(found), place) == ([(b"1", 8), (b"1", 9)], outgoing.end)


def test_what_is_kept_of_a_buffer_is_a_copy() -> None:
    outgoing, body = Outgoing(3, 100), bytearray(b"x")
    assert outgoing.pack(b"t", body) == (b"t", pack_number(0), b"x")
    body[:] = b"y"
    assert outgoing.replay(Asked(0), 0, 9, 9)[0][0].body == b"x"
    with pytest.raises(TypeError):
        outgoing.pack(b"t", "text")  # type: ignore[arg-type]
    assert outgoing.end == 1


def test_that_nothing_follows_is_answered_without_a_look_at_all_the_others() -> None:
    outgoing = Outgoing(3, 1000, by_tag=True)
    for tag in (b"a", b"b", b"b", b"b"):
        outgoing.number(tag, b"")
    # One question is at its end, one about what was dropped, one about a tag that never was.
    for asked in (Asked(3, b"b"), Asked(0, b"a"), Asked(0, b"c")):
        assert outgoing.replay(asked, 0, 1, 9) == ([], outgoing.end)
    assert outgoing.replay(Asked(2, b"b"), 0, 1, 9) == ([], 2)


@pytest.mark.parametrize("asked", [Asked(7), Asked(7, b""), Asked(7, b"t"), Asked(-1, b"t")])
def test_a_question_comes_as_it_was_asked(asked: Asked) -> None:
    message = pack_asked(asked)
    assert message[0] == b""
    assert split_asked(message[1:]) == asked


@pytest.mark.parametrize("parts", [[], [b""], [b"1234567"], [b"1" * 8, b"t", b""], [b"x", b"t"]])
def test_what_is_no_question_is_malformed(parts: list[bytes]) -> None:
    with pytest.raises(MalformedMessage):
        split_asked(parts)


def test_a_numbered_publication_has_three_parts_and_a_number() -> None:
    assert split_numbered([b"t", pack_number(3), b"body"]) == (b"t", 3, b"body")
    for wrong in ([b"t", b"body"], [b"t", b"1234567", b"body"], [b"t", END, b""], [b"t"] * 4):
        with pytest.raises(MalformedMessage):
            split_numbered(wrong)


def test_a_replay_has_a_tag_or_none_and_an_end() -> None:
    number = pack_number(3)
    assert split_answer([b"", b"t", number, b"body"]) == (b"t", 3, b"body")
    assert split_answer([b"", number, b"body"]) == (None, 3, b"body")
    assert split_answer([b"", b"", END, b""]) == (b"", -1, b"")
    assert split_answer([b"", END, b""]) == (None, -1, b"")
    for wrong in ([b""], [b"t", number, b""], [b"", b"12", b""], [b"", b"t", number, b"", b""]):
        with pytest.raises(MalformedMessage):
            split_answer(wrong)
