"""Runs and lists: restarts and new tags are noticed, whatever came and whatever did not."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest

from zmqbridge.core._baseline import Baseline, common
from zmqbridge.core.gaps import Gap, Restarted
from zmqbridge.core.incoming import CHECKED, Incoming
from zmqbridge.core.joining import Joining
from zmqbridge.core.lastvalues import LastValues
from zmqbridge.core.numbered import (
    COPY,
    MOST_PREFIXES,
    RUN,
    START,
    Ask,
    Asked,
    AskedList,
    begins_at,
    first_of_run,
    is_of_another,
    pack_asked,
    pack_number,
    run_of,
    split_asked,
)
from zmqbridge.core.outgoing import Kept, Outgoing
from zmqbridge.errors import MalformedMessage

ONE, TWO, THREE = (first_of_run(bytes([0, 0, 0, each])) for each in (7, 9, 5))
SEEDS = 400
PLACE = pack_number(ONE) + pack_number(3)
LIST = Ask(AskedList(START, (b"",)), afresh=False)


def told(incoming: Incoming) -> list[object]:
    """What may be delivered, in short: bodies, and what is told, with counts alone."""
    return [
        bytes(each[1])
        if isinstance(each, tuple)
        else (each.first % 2**32, each.last % 2**32)
        if isinstance(each, Gap)
        else each
        for each in incoming.take()
    ]


def heard(incoming: Incoming, *numbers: int, tag: bytes = b"t") -> list[object]:
    for number in numbers:
        incoming.live(tag, number, b"%d" % (number % 2**32))
    return told(incoming)


def tracking(**tags: int) -> Incoming:
    """One that has had a list of these tags and their last numbers."""
    incoming = Incoming(asks=True, by_tag=True, interval=10)
    incoming.track(b"")
    assert incoming.unlisted
    assert incoming.ask(0) == LIST
    assert incoming.lists
    for tag, number in tags.items():
        incoming.listed(tag.encode(), number, 0)
    assert incoming.unlisted
    incoming.replay_ended(0, PLACE)
    assert not incoming.unlisted
    return incoming


def test_a_run_is_in_the_numbers_from_a_mark_on_and_goes_on_in_the_next_one() -> None:
    assert [run_of(n) for n in (0, RUN - 1, COPY, 2**64 - 2)] == [0] * 4
    assert RUN <= first_of_run(b"\xff" * 4) < COPY
    assert begins_at(ONE + 5) == ONE
    assert begins_at(5) == 0
    assert not is_of_another(ONE + 5, ONE)
    assert not is_of_another(ONE + 2**32, ONE)
    assert is_of_another(ONE, ONE + 2**32)
    assert is_of_another(TWO, ONE)
    assert is_of_another(0, ONE)


@pytest.mark.parametrize("asks", [True, False])
def test_a_restart_is_told_also_if_the_numbers_are_higher_or_those_that_follow(asks: bool) -> None:
    for old, new in ((ONE, TWO), (TWO, ONE), (5, ONE), (ONE, 0)):
        incoming = Incoming(asks=asks)
        assert heard(incoming, old, old + 1) == [b"%d" % (old % 2**32), b"%d" % (old % 2**32 + 1)]
        if asks:
            assert heard(incoming, new + 2) == [Restarted()]
            assert incoming.ask(0) == Ask(Asked(new), afresh=False)
        else:
            assert heard(incoming, new + 2) == [Restarted(), (0, 1), b"2"]


def test_the_number_that_comes_next_shows_a_restart_and_an_old_answer_none() -> None:
    incoming = Incoming(asks=False)
    heard(incoming, ONE + 5)
    incoming.begin(TWO + 7)
    assert told(incoming) == [Restarted(), (0, 6)]
    incoming.begin(ONE + 6)
    assert heard(incoming, TWO + 7) == [b"7"]


def test_two_publishers_under_one_count_are_noticed_and_the_former_is_not_minded() -> None:
    incoming = Incoming(asks=False)
    assert heard(incoming, ONE + 5, TWO + 3) == [b"5", Restarted(), (0, 2), b"3"]
    burst = [[b"t", pack_number(each), b""] for each in (ONE + 6, TWO + 4, ONE + 7)]
    assert incoming.heard(burst) == [burst[0], burst[2]]
    assert (told(incoming), incoming.strange) == ([b""], 2)
    for other in range(100):  # only so many are remembered
        incoming.live(b"t", first_of_run(bytes([1, 0, other, 0])), b"")
    told(incoming)
    assert heard(incoming, ONE + 8) == [Restarted(), (0, 7), b"8"]


def test_what_comes_by_two_ways_is_delivered_once() -> None:
    incoming = Incoming(asks=False)
    assert heard(incoming, ONE, ONE, ONE + 1, ONE, ONE + 1) == [b"0", b"1"]
    assert incoming.doubled == 3


def test_who_knows_of_nothing_is_given_all_and_told_of_no_restart() -> None:
    incoming = Incoming(asks=True)
    incoming.resume(b"", -1)
    assert incoming.ask(0) == Ask(Asked(0), afresh=False)
    incoming.replayed(b"t", ONE + 3, b"3", 0)
    incoming.replay_ended(0)
    assert told(incoming) == [(0, 2), b"3"]


def test_an_answer_shows_a_restart_and_one_of_a_former_run_is_not_minded() -> None:
    incoming = Incoming(asks=True, interval=10)
    heard(incoming, ONE + 5)
    for now in (0, 10, 20):
        incoming.ask(now)
        incoming.due(now)
    assert incoming.ask(20) == Ask(Asked(ONE + 6), afresh=False)
    for number in (TWO + 2, TWO + 3, ONE + 6):
        incoming.replayed(b"t", number, b"%d" % (number % 2**32), 20)
    incoming.replay_ended(20)
    assert told(incoming) == [Restarted(), (0, 1), b"2", b"3"]
    assert heard(incoming, TWO + 3, TWO + 4) == [b"4"]
    assert incoming.doubled == 2


def test_a_number_of_another_run_asks_for_all() -> None:
    for by_tag in (True, False):
        outgoing = Outgoing(10, 1000, by_tag=by_tag)
        outgoing.begin(ONE)
        for body in (b"0", b"1"):
            outgoing.number(b"t", body)
        tag = b"t" if by_tag else None
        for start in (TWO + 70, THREE, 7):
            assert len(outgoing.replay(Asked(start, tag), 0, 9, 99)[0]) == 2
        assert len(outgoing.replay(Asked(ONE + 1, tag), 0, 9, 99)[0]) == 1


def test_a_list_has_the_last_numbers_of_the_tags_and_where_it_ends() -> None:
    outgoing = Outgoing(2, 1000, by_tag=True)
    outgoing.begin(ONE)
    for tag in (b"a", b"ab", b"a", b"c", b"b"):
        outgoing.number(tag, b"x")
    asked = AskedList(START, (b"a", b"b"))
    found, place = outgoing.listed(asked, 0, 4, 3)
    assert found == [Kept(b"a", pack_number(ONE + 1), b""), Kept(b"ab", pack_number(ONE), b"")]
    assert outgoing.listed(asked, place, 4, 100) == ([Kept(b"b", pack_number(ONE), b"")], 4)
    mark = outgoing.end_mark(asked, 4)
    assert mark == pack_number(ONE) + pack_number(4)
    outgoing.number(b"bb", b"x")
    later = AskedList(mark, (b"",))
    assert outgoing.listed(later, 0, 5, 100) == ([Kept(b"bb", pack_number(ONE), b"")], 5)
    # Where another publisher has ended a list says nothing.
    other = AskedList(pack_number(TWO) + pack_number(4), (b"",))
    assert len(outgoing.listed(other, 0, 5, 100)[0]) == 5
    assert outgoing.end_mark(Asked(0, b"a"), 5) == pack_number(ONE + 2)
    assert outgoing.end_mark(Asked(0, b"never"), 5) == pack_number(ONE)
    for nothing in (Asked(0), Asked(-1, b"a")):
        assert outgoing.end_mark(nothing, 5) == b""


def test_a_question_for_a_list_comes_as_it_was_asked() -> None:
    for prefixes in ((b"",), (b"a", b"b" * 8)):
        asked = AskedList(PLACE, prefixes)
        assert split_asked(pack_asked(asked)[1:]) == asked
    for wrong in ([PLACE], [PLACE, *[b"x"] * (MOST_PREFIXES + 1)]):
        with pytest.raises(MalformedMessage):
            split_asked(wrong)


def test_of_a_new_tag_all_is_asked_for_that_came_before_the_first_that_is_heard() -> None:
    incoming = tracking(old=ONE + 4)
    assert heard(incoming, ONE + 2, tag=b"new") == []
    assert incoming.ask(0) == Ask(Asked(ONE, b"new"), afresh=False)
    incoming.replayed(b"new", ONE + 1, b"1", 0)
    incoming.replay_ended(0, pack_number(ONE + 3))
    assert told(incoming) == [(0, 0), b"1", b"2"]
    assert heard(incoming, ONE + 6, tag=b"old") == []
    assert incoming.ask(0) == Ask(Asked(ONE + 5, b"old"), afresh=False)
    incoming.replay_ended(0, pack_number(ONE + 7))
    assert told(incoming) == [(5, 5), b"6"]
    assert heard(incoming, ONE, ONE + 1, tag=b"newer") == [b"0", b"1"]


def test_what_was_on_its_way_when_the_list_was_made_is_not_older() -> None:
    incoming = tracking(old=ONE + 4)
    assert heard(incoming, ONE + 3, ONE + 4, ONE + 5, tag=b"old") == [b"3", b"4", b"5"]
    incoming = tracking(old=ONE + 4)
    incoming.due(10)
    incoming.ask(0)
    incoming.due(20)  # now its number has been asked about
    incoming.replay_ended(20, pack_number(ONE + 5))
    assert heard(incoming, ONE + 3, ONE + 4, ONE + 5, tag=b"old") == [b"3", b"4", b"5"]


def test_before_there_is_a_list_a_tag_begins_with_what_comes() -> None:
    incoming = Incoming(asks=True, by_tag=True)
    incoming.track(b"a")
    assert heard(incoming, ONE + 5, tag=b"a") == [b"5"]
    assert incoming.ask(0) == Ask(AskedList(START, (b"a",)), afresh=False)
    incoming.listed(b"a", ONE + 5, 0)
    incoming.replay_ended(0, b"")  # this publisher does not know what a list is
    assert heard(incoming, ONE + 5, tag=b"ab") == [b"5"]
    assert incoming.ask(0) is None


def test_a_tag_of_another_publisher_begins_with_what_comes() -> None:
    incoming = tracking()
    assert heard(incoming, TWO + 5, TWO + 6, tag=b"other") == []
    assert incoming.ask(0) == Ask(Asked(TWO, b"other"), afresh=False)
    incoming.replay_ended(0, pack_number(ONE))
    assert told(incoming) == [b"5", b"6"]
    assert heard(incoming, TWO + 5, tag=b"another") == [b"5"]  # that one is known now
    # One that has numbers as the user wants them cannot be known by them.
    assert heard(incoming, 5, tag=b"third") == [b"5"]
    incoming = tracking()
    incoming.listed(b"?", 0, 0)


def test_numbers_without_a_run_begin_where_the_list_says() -> None:
    incoming = Incoming(asks=True, by_tag=True)
    incoming.track(b"")
    incoming.ask(0)
    incoming.replay_ended(0, pack_number(7) + pack_number(0))
    assert heard(incoming, 9) == []
    assert incoming.ask(0) == Ask(Asked(7, b"t"), afresh=False)
    incoming.replay_ended(0, b"")
    assert told(incoming) == [b"9"]
    assert heard(incoming, 9, tag=b"u") == []  # of which publisher it is, is not known


def test_a_silent_subscriber_asks_once_an_interval_for_new_tags_and_for_what_it_never_heard() -> (
    None
):
    incoming = tracking(old=ONE + 4)
    assert incoming.ask(0) is None
    assert incoming.next_deadline() == 10
    incoming.due(10)
    assert incoming.ask(10) == Ask(Asked(ONE + 5, b"old"), afresh=False)
    incoming.replayed(b"old", ONE + 5, b"5", 10)
    incoming.replay_ended(10, pack_number(ONE + 6))
    assert incoming.ask(10) == Ask(AskedList(PLACE, (b"",)), afresh=False)
    incoming.listed(b"new", ONE + 1, 10)
    incoming.listed(b"old", ONE + 5, 10)
    incoming.replay_ended(10, pack_number(ONE) + pack_number(4))
    assert incoming.ask(10) == Ask(Asked(ONE, b"new"), afresh=False)
    incoming.replay_ended(10, pack_number(ONE + 2))  # it has none of them any more
    assert told(incoming) == [b"5", (0, 1)]


def test_a_list_shows_that_the_publisher_has_begun_anew() -> None:
    incoming = tracking(old=ONE + 4, unheard=ONE)
    heard(incoming, ONE + 5, tag=b"old")
    incoming.due(10)
    incoming.ask(10)
    incoming.replay_ended(10, pack_number(TWO))  # of "unheard" the new publisher knows nothing
    assert incoming.ask(10) == Ask(AskedList(PLACE, (b"",)), afresh=False)
    incoming.listed(b"old", TWO + 1, 10)
    incoming.listed(b"new", TWO, 10)
    incoming.replay_ended(10, pack_number(TWO) + pack_number(2))
    assert incoming.ask(10) == Ask(Asked(ONE + 6, b"old"), afresh=False)
    incoming.replay_ended(10, pack_number(TWO + 2))
    assert told(incoming) == [Restarted(b"old"), (0, 1)]
    assert incoming.ask(10) == Ask(Asked(TWO, b"new"), afresh=False)
    # What was listed and never heard is nothing that could begin anew.
    assert heard(incoming, TWO + 1, tag=b"unheard") == []
    baseline = Baseline()
    baseline.want(b"")
    baseline.ask()
    baseline.note(b"t", ONE + 5)
    baseline.ended(PLACE)
    assert baseline.before(b"t", TWO + 3) == TWO - 1


def test_an_attempt_in_vain_is_made_again_and_holds_up_nobody() -> None:
    incoming = Incoming(asks=True, by_tag=True, timeout=5, pause=1, attempts=1, interval=100)
    incoming.track(b"a")
    incoming.track(b"a")
    assert incoming.next_deadline() == 0
    assert incoming.ask(0) == Ask(AskedList(START, (b"a",)), afresh=False)
    incoming.track(b"b")
    incoming.track(b"c")
    incoming.untrack(b"b")
    heard(incoming, ONE, ONE + 2)
    incoming.replayed(None, 3, b"", 0)
    assert incoming.unasked == 1
    incoming.due(5)
    assert not incoming.unlisted
    assert told(incoming) == []  # what is held is asked for first
    assert incoming.ask(6) == Ask(Asked(ONE + 1, b"t"), afresh=True)
    incoming.replay_ended(6)
    assert incoming.ask(6) == Ask(AskedList(START, (b"c", b"a")), afresh=False)
    incoming.replay_ended(6, PLACE)
    incoming.due(106)
    assert incoming.ask(106) == Ask(AskedList(PLACE, (b"a", b"c")), afresh=False)
    incoming.due(111)
    assert incoming.ask(112) == Ask(AskedList(PLACE, (b"a", b"c")), afresh=True)
    incoming.untrack(b"c")
    remains: list[object] = []
    incoming.close(remains)
    assert not incoming.unlisted
    by_publisher = Incoming(asks=True)
    by_publisher.track(b"a")
    by_publisher.untrack(b"a")
    assert by_publisher.ask(0) is None


def test_a_later_prefix_has_a_list_of_its_own_and_what_is_new_is_told_from_the_first_on() -> None:
    baseline = Baseline()
    baseline.want(b"a")
    assert baseline.ask() == AskedList(START, (b"a",))
    baseline.note(b"a", ONE + 2)
    baseline.ended(PLACE)
    baseline.want(b"b")
    assert baseline.ask() == AskedList(START, (b"b",))
    baseline.ended(pack_number(ONE) + pack_number(9))
    baseline.again()
    assert baseline.ask() == AskedList(PLACE, (b"a", b"b"))
    assert baseline.note(b"a", ONE + 3) is None  # it was listed
    assert baseline.note(b"b", ONE + 3) == ONE - 1
    # A publisher that leaves the mark out says nothing of a tag of its own run.
    assert not baseline.is_of_other(ONE + 3, b"")
    by_publisher = Incoming(asks=True)
    by_publisher.listed(b"a", 3, 0)
    by_publisher.close([])


def test_very_many_prefixes_are_asked_for_as_what_they_have_in_common() -> None:
    baseline = Baseline()
    for n in range(MOST_PREFIXES + 1):
        baseline.want(b"temp/%d" % n)
    assert baseline.ask() == AskedList(START, (b"temp/",))
    assert common([b"ab", b"a"]) == b"a"
    assert common([b"ab", b"ab"]) == b"ab"
    assert common([b"a", b""]) == b""


def test_what_is_unsubscribed_is_forgotten_and_very_many_tags_are_asked_about_in_turn() -> None:
    incoming = tracking(**{f"t{n}": ONE for n in range(CHECKED + 5)}, u=ONE)
    incoming.drop(lambda tag: tag != b"u")
    incoming.untrack(b"")
    assert heard(incoming, ONE + 5, tag=b"u") == [b"5"]
    incoming.due(10)
    asked = 0
    while incoming.ask(10) is not None:
        incoming.replay_ended(10, pack_number(ONE + 1))
        asked += 1
    assert asked == CHECKED


def test_one_who_joins_misses_nothing_of_tags_that_are_new_later() -> None:
    joining = Joining(interval=10)
    joining.track(b"")
    joining.join(b"")
    assert joining.ask(0) == Ask(Asked(-1, b""), afresh=False)
    joining.replayed(b"a", ONE + 4, b"4", 0)
    joining.replay_ended(0)
    assert joining.ask(0) == LIST
    joining.listed(b"a", ONE + 4, 0)
    joining.listed(b"b", ONE, 0)
    joining.replay_ended(0, PLACE)
    assert told(joining) == [b"4"]
    # It came by two ways, and so did an older one, which shows nothing.
    assert heard(joining, ONE + 3, ONE + 4, ONE + 5, tag=b"a") == [b"5"]
    joining.join(b"")
    joining.ask(0)
    joining.replayed(b"new", ONE + 1, b"1", 0)
    joining.replay_ended(0)
    assert told(joining) == []
    assert joining.ask(0) == Ask(Asked(ONE, b"new"), afresh=False)
    for n in (0, 1):
        joining.replayed(b"new", ONE + n, b"%d" % n, 0)
    joining.replay_ended(0, pack_number(ONE + 2))
    assert told(joining) == [b"0", b"1"]


def test_one_who_joins_is_told_of_a_restart_by_the_run_alone() -> None:
    joining = Joining()
    joining.join(b"")
    joining.ask(0)
    joining.replayed(b"a", ONE + 4, b"4", 0)
    joining.replay_ended(0)
    assert heard(joining, TWO + 9, tag=b"a") == [b"4", Restarted(b"a")]
    assert joining.ask(0) == Ask(Asked(TWO, b"a"), afresh=False)
    joining.replay_ended(0)
    assert told(joining) == [(0, 8), b"9"]
    assert joining.ask(0) == Ask(Asked(-1, b""), afresh=False)
    joining.replayed(b"a", ONE + 5, b"old", 0)  # an answer of the former one
    joining.replay_ended(0)
    joining.join(b"a")
    joining.ask(0)
    joining.replayed(b"a", THREE + 1, b"1", 0)
    assert told(joining) == [Restarted(b"a"), b"1"]


class Life:
    """A publisher by tag that restarts, a subscriber of all, and a connection that is cut."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.now = 0.0
        self.restart()
        joins = self.chance.random() < 0.4
        self.incoming = Joining() if joins else Incoming(asks=True, by_tag=True)
        self.incoming.track(b"")
        if isinstance(self.incoming, Joining):
            self.incoming.join(b"")
        self.wire: deque[tuple[bytes, int, bytes]] = deque()
        self.connected, self.begun = True, False
        self.next: dict[bytes, int] = {}  # what must be told next, by tag, once `begun`
        self.since: dict[bytes, int] = {}

    def restart(self) -> None:
        self.outgoing = Outgoing(self.chance.choice([3, 1000]), 10_000, by_tag=True)
        self.outgoing.begin(first_of_run(self.chance.randbytes(4)))
        self.outgoing.latest = LastValues(100)
        self.count: dict[bytes, int] = {}

    def publish(self) -> None:
        tag = b"%d" % self.chance.randrange(6)
        parts = self.outgoing.pack(tag, b"")
        self.outgoing.latest.keep(tag, parts)  # type: ignore[union-attr]
        number = int.from_bytes(parts[1], "big")
        self.count[tag] = number
        if self.connected:
            self.wire.append((tag, number, b"%d" % number))

    def ask(self) -> None:
        while (ask := self.incoming.ask(self.now)) is not None:
            asked = ask.asked
            if isinstance(asked, AskedList):
                end = len(self.outgoing.tags)
                for tag, raw, _ in self.outgoing.listed(asked, 0, end, 10_000)[0]:
                    self.incoming.listed(tag, int.from_bytes(raw, "big"), self.now)
                self.incoming.replay_ended(self.now, self.outgoing.end_mark(asked, end))
                continue
            if asked.start < 0:
                found = [each for each in self.outgoing.latest.matching({b""}) if each]  # type: ignore[union-attr]
            else:
                found = list(self.outgoing.replay(asked, 0, 10_000, 100_000)[0])
            for tag, raw, _ in found:
                number = int.from_bytes(raw, "big")
                self.incoming.replayed(tag, number, b"%d" % number, self.now)
            self.incoming.replay_ended(self.now, self.outgoing.end_mark(asked, 0))
            self.note()

    def hear(self, most: int) -> None:
        for _ in range(min(most, len(self.wire))):
            self.incoming.live(*self.wire.popleft())
            self.note()

    def note(self) -> None:
        for item in self.incoming.take():
            if isinstance(item, Restarted):
                self.next[item.tag] = -1
                continue
            gap = isinstance(item, Gap)
            tag = item.tag if gap else item[0]
            first, last = (item.first, item.last) if gap else (int(item[1]), int(item[1]))
            expected = self.next.get(tag, -2)
            if expected == -1:
                # A restart is told, and then all that the new one had, or where its last was.
                assert first == begins_at(first) or isinstance(self.incoming, Joining)
            elif expected != -2:
                assert first == expected, (tag, first - expected)
            elif self.begun:
                # Never heard: from the first one that was published since it began.
                assert first <= self.first_missed(tag, first), (tag, first % 2**32)
            self.next[tag] = last + 1

    def first_missed(self, tag: bytes, number: int) -> int:
        """From where on it misses publications of a tag, in the run of a number."""
        since = self.since.get(tag, 0)
        return since if run_of(since) == run_of(number) else begins_at(number)

    def live(self) -> None:
        for _ in range(self.chance.choice([20, 60])):
            step = self.chance.random()
            if step < 0.5:
                self.publish()
            elif step < 0.75:
                self.hear(self.chance.randint(1, 5))
            elif step < 0.9:
                self.ask()
                if not self.begun and not self.incoming.unlisted:
                    self.begun = True
                    self.since = {tag: number + 1 for tag, number in self.count.items()}
            elif step < 0.95:
                self.connected = not self.connected
                if self.connected:
                    self.hear(100)
            elif step < 0.97:
                self.hear(1000)
                self.restart()
            else:
                self.now += self.chance.choice([1, 11])
                self.incoming.due(self.now)
        for _ in range(6):
            self.connected = True
            self.hear(10_000)
            self.ask()
            self.now += 11
            self.incoming.due(self.now)
        self.ask()
        for tag, number in self.count.items():
            if self.begun and number >= self.first_missed(tag, number):
                assert self.next.get(tag) == number + 1, (tag, self.next.get(tag), number)


def test_of_all_tags_what_is_told_is_what_was_published_however_new_they_are() -> None:
    for seed in range(SEEDS):
        try:
            Life(seed).live()
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
