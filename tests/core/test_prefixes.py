"""Prefixes: the tags that begin with one are found, and the others are not looked at."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqbridge.core._baseline import Baseline
from zmqbridge.core._prefixes import ByTag, Prefixes
from zmqbridge.core.conflate import ConflatingInbox
from zmqbridge.core.incoming import Incoming
from zmqbridge.core.joining import Joining
from zmqbridge.core.lastvalues import LastValues
from zmqbridge.core.numbered import (
    MOST_PREFIXES,
    START,
    Asked,
    AskedList,
    pack_asked,
    pack_number,
    split_asked,
)
from zmqbridge.core.outgoing import Kept, Outgoing

MANY = 300
tags = st.binary(max_size=3).map(lambda tag: bytes(each % 3 for each in tag))


@given(st.lists(st.tuples(tags, tags, st.booleans())))
def test_those_that_begin_with_a_prefix_are_found(steps: list[tuple[bytes, bytes, bool]]) -> None:
    found: ByTag[int] = ByTag()
    for tag, prefix, goes in steps:
        if goes:
            found.pop(tag, None)
        else:
            found[tag] = 1
        expected = sorted(each for each in found if each.startswith(prefix))
        assert found.beginning(prefix) == expected
        assert Prefixes([prefix, tag]).begin(prefix)
        assert Prefixes([prefix]).begin(tag) == tag.startswith(prefix)


def test_what_went_is_forgotten_in_the_end() -> None:
    found: ByTag[int] = ByTag((b"%d" % n, n) for n in range(MANY))
    assert found.beginning(b"299") == [b"299"]
    for n in range(MANY - 1):
        del found[b"%d" % n]
    assert found.beginning(b"2") == [b"299"]
    assert found.beginning(b"") == [b"299"]


class Wanted:
    """Says that no tag is wanted, and counts how often it is asked."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self, tag: object) -> bool:
        self.looks += 1
        return False


def listed(incoming: Incoming) -> None:
    """Let it have a list of so many tags, and hear of half of them what follows a gap."""
    incoming.track(b"")
    asked = incoming.ask(0)
    assert asked is not None
    for n in range(MANY):
        incoming.listed(b"%d" % n, 5, 0)
    incoming.replay_ended(0, pack_number(0) + pack_number(MANY))
    for n in range(0, MANY, 2):
        incoming.live(b"%d" % n, 7, b"x")


@pytest.mark.parametrize("make", [lambda: Incoming(asks=True, by_tag=True), Joining])
def test_to_give_up_each_of_very_many_tags_is_one_look_at_each(
    make: Callable[[], Incoming],
) -> None:
    incoming, wanted = make(), Wanted()
    listed(incoming)
    assert incoming.held == MANY // 2
    for n in range(MANY):
        incoming.drop(wanted, b"%d" % n)
    assert wanted.looks == MANY
    assert incoming.held == 0


def test_so_it_is_where_the_newest_of_each_waits() -> None:
    inbox: ConflatingInbox[tuple[bytes, bytes], str] = ConflatingInbox()
    inbox.put((b"%d" % n, b"x") for n in range(MANY))
    inbox.put([(b"", b"without")])
    wanted = Wanted()
    inbox.sift_tags(b"none", lambda publication: True)
    for n in reversed(range(MANY)):
        inbox.sift_tags(b"%d" % n, wanted)
    assert wanted.looks <= MANY + 1
    assert (len(inbox), inbox.unwanted) == (0, MANY + 1)


def test_a_prefix_may_reach_behind_the_tag_and_who_was_told_of_it_waits_on() -> None:
    inbox: ConflatingInbox[tuple[bytes, bytes], str] = ConflatingInbox()
    inbox.wait("first")
    inbox.wait("second")
    inbox.put([(b"a", b"1"), (b"b", b"2")])
    assert inbox.notify() == ["first", "second"]
    inbox.sift_tags(b"a\0framed", lambda publication: publication[0] != b"a")
    assert inbox.take("first") == (b"b", b"2")
    assert inbox.take("second") is None


def test_what_covers_a_tag_is_known_by_its_length_and_forgotten() -> None:
    baseline = Baseline()
    for prefix in (b"a", b"b", b"bb"):
        baseline.want(prefix)
    baseline.ask()
    baseline.leave(b"a")
    baseline.ended(pack_number(3) + pack_number(0))
    assert [baseline.before(tag, 9) for tag in (b"a1", b"b1", b"c1")] == [8, 2, 8]
    baseline.leave(b"b")
    assert [baseline.before(tag, 9) for tag in (b"b2", b"bb2")] == [8, 2]


def test_many_prefixes_are_asked_for_at_once() -> None:
    joining = Joining()
    prefixes = [b"%d" % n for n in range(MOST_PREFIXES + 1)]
    for prefix in prefixes:
        joining.join(prefix)
    ask = joining.ask(0)
    assert ask is not None
    assert ask.asked == Asked(-1, prefixes[0], tuple(prefixes[1:-1]))
    assert split_asked(pack_asked(ask.asked)[1:]) == ask.asked
    joining.replayed(b"7 and more", 3, b"x", 0)
    joining.replayed(b"x7", 3, b"x", 0)
    assert (joining.take(), joining.unasked) == ([(b"7 and more", b"x")], 1)
    joining.leave(prefixes[1])
    joining.due(5)  # it is not answered
    later = joining.ask(100)
    assert later is not None
    assert later.asked == Asked(-1, prefixes[-1], (prefixes[0], *prefixes[2:-1]))


def test_the_latest_of_several_prefixes_is_one_answer() -> None:
    outgoing = Outgoing(9, 100, by_tag=True)
    for tag in (b"a", b"b", b"c1", b"a", b"c2"):
        outgoing.pack(tag, b"")
    asked = Asked(-1, b"a", (b"c",))
    found, place = outgoing.replay(asked, 0, 9, 99)
    assert ([each.tag for each in found], place) == ([b"c1", b"a", b"c2"], outgoing.end)
    assert outgoing.replay(asked, 0, 9, 2)[1] == 3  # its size is that of its tags, too
    # Without a tag it is those of all tags from a number on.
    assert [each.tag for each in outgoing.replay(Asked(1), 0, 9, 99)[0]] == [b"a"]
    # Each of its lengths is a step.
    assert outgoing.replay(asked._replace(more=(b"cc", b"ccc")), 0, 6, 99)[1] == 2


def test_a_last_value_that_is_no_more_among_the_last_ones_is_an_answer_as_well() -> None:
    outgoing = Outgoing(1, 100, by_tag=True)
    asked = Asked(1, b"t")
    values = LastValues(9)
    for tag in (b"t", b"t", b"t", b"u"):
        values.keep(tag, outgoing.pack(tag, b"x"))
    assert outgoing.replay(asked, 0, 9, 99) == ([], 4)
    outgoing.latest = values
    assert outgoing.replay(asked, 0, 9, 99) == ([Kept(b"t", pack_number(2), b"x")], 4)
    assert outgoing.replay(asked._replace(start=3), 0, 9, 99) == ([], 4)
    outgoing.latest = LastValues(9)
    assert outgoing.replay(asked, 0, 9, 99) == ([], 4)


def test_of_prefixes_of_many_lengths_fewer_tags_are_looked_at() -> None:
    values = LastValues(9)
    for n in range(4):
        values.keep(b"%d" % n, [b"%d" % n])
    for length in (1, 2, 3):
        values.wanted(b"3" * length)
    assert [values.part(9, 6, 99) for _ in range(3)] == [([], []), ([[b"3"]], []), ([], [])]


def test_a_list_comes_first_and_shows_of_what_nothing_was_missed() -> None:
    incoming = Incoming(asks=True, by_tag=True)
    incoming.track(b"")
    for tag in (b"same", b"behind"):
        incoming.resume(tag, 4)
    ask = incoming.ask(0)
    assert ask is not None
    assert ask.asked == AskedList(START, (b"",))
    incoming.listed(b"same", 4, 0)
    incoming.listed(b"behind", 6, 0)
    incoming.replay_ended(0, pack_number(0) + pack_number(2))
    ask = incoming.ask(0)
    assert ask is not None
    assert ask.asked == Asked(5, b"behind")
    incoming.replay_ended(0, pack_number(7))
    assert incoming.ask(0) is None


def test_but_not_before_what_is_held() -> None:
    incoming = Incoming(asks=True, by_tag=True)
    incoming.track(b"")
    for number in (1, 3):
        incoming.live(b"t", number, b"x")
    ask = incoming.ask(0)
    assert ask is not None
    assert ask.asked == Asked(2, b"t")
