"""The last publication of each tag: what is kept, and what is sent again for whom."""

from __future__ import annotations

from machines import LastValuesMachine

from zmqbridge.core.lastvalues import LastValues

TestLastValues = LastValuesMachine.TestCase


def kept(most: int, *tags: bytes) -> LastValues:
    values = LastValues(most)
    for number, tag in enumerate(tags):
        values.keep(tag, [tag, b"%d" % number])
    return values


def sent(values: LastValues, most: int = 100, look: int = 100, size: int = 1000) -> list[bytes]:
    publications, signs = values.part(most, look, size)
    return [b" ".join(each) for each in publications] + signs


def test_the_newest_of_each_tag_is_kept_of_those_that_were_published_to_last() -> None:
    values = kept(2, b"a", b"b", b"a", b"c")
    assert len(values) == 2
    values.wanted(b"")
    assert sent(values) == [b"a 2", b"c 3"]
    values.wanted(b"a")
    values.close()
    assert (len(values), values.pending) == (0, False)


def test_what_begins_with_a_prefix_is_sent_again_once_however_many_want_it() -> None:
    values = kept(9, b"a", b"ab", b"b", b"abc")
    assert not values.pending
    for prefix in (b"ab", b"ab", b"abcd", b"c"):
        values.wanted(prefix)
    assert values.pending
    assert sent(values) == [b"ab 1", b"abc 3"]
    assert not values.pending
    assert sent(values) == []


def test_it_is_sent_in_parts_and_who_comes_meanwhile_is_next() -> None:
    values = kept(9, b"a", b"b", b"c")
    values.wanted(b"")
    values.then(b"first")
    assert sent(values, 2) == [b"a 0", b"b 1"]
    values.wanted(b"c")
    values.then(b"second")
    values.keep(b"c", [b"c", b"newer"])
    assert sent(values, 2) == [b"c newer", b"first"]
    assert values.pending
    assert sent(values, 4) == [b"c newer", b"second"]
    assert not values.pending
    values.then(b"alone")
    assert values.pending
    assert sent(values, 2) == [b"alone"]


def test_a_part_has_bounds_for_what_is_sent_looked_at_and_how_large_it_is() -> None:
    values = kept(9, b"a", b"b", b"ba", b"bb", b"bc")
    values.wanted(b"b")
    for sign in (b"1", b"2", b"3", b"4"):
        values.then(sign)
    assert sent(values, look=2) == [b"b 1"]  # and "a" was looked at
    assert sent(values, most=1) == [b"ba 2"]
    assert sent(values, size=3) == [b"bb 3"]
    assert sent(values, most=2) == [b"bc 4", b"1"]
    assert sent(values, most=2) == [b"2", b"3"]
    values.then(b"later")
    assert sent(values, most=2) == [b"4"]
    assert sent(values, most=2) == [b"later"]
    assert not values.pending


def test_what_was_forgotten_meanwhile_is_left_out() -> None:
    values = kept(2, b"a", b"b")
    values.wanted(b"")
    assert sent(values, 1) == [b"a 0"]
    values.keep(b"c", [b"c", b"2"])
    values.keep(b"d", [b"d", b"3"])
    assert sent(values) == []
