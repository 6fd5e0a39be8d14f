"""Subscriptions against a list of prefixes, on the parts as they come over the wire."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from machines import SubscriptionsMachine

from zmqbridge.core.framing import head, split_topic
from zmqbridge.core.subscriptions import Subscriptions

TestSubscriptions = SubscriptionsMachine.TestCase

# Few letters, and NUL among them, so that much matches.
BYTES = st.lists(st.sampled_from([b"a", b"b", b"\0"]), max_size=4).map(b"".join)
MESSAGES = st.one_of(st.tuples(BYTES), st.tuples(BYTES, BYTES))


@given(MESSAGES, st.integers(0, 9))
def test_how_a_publication_came_can_be_told_from_it(
    message: tuple[bytes, ...], length: int
) -> None:
    publication = split_topic(message)
    assert head(publication, length) == message[0][:length]
    tag, body = publication
    assert publication == (tag, body)
    assert repr(publication) == repr((tag, body))


@given(st.lists(st.tuples(st.booleans(), BYTES), max_size=12), MESSAGES)
def test_what_is_wanted_is_counted_as_libzmq_counts_it(
    steps: list[tuple[bool, bytes]], message: tuple[bytes, ...]
) -> None:
    subscriptions = Subscriptions()
    model: list[bytes] = []
    publication = split_topic(message)
    for adding, prefix in steps:
        if adding:
            subscriptions.add(prefix)
            model.append(prefix)
        else:
            last = model.count(prefix) == 1
            if prefix in model:
                model.remove(prefix)
            assert subscriptions.remove(prefix) == last
        assert len(subscriptions) == len(set(model))
        assert (prefix in subscriptions) == (prefix in model)
        wanted = any(message[0].startswith(each) for each in model)
        assert subscriptions.wants(publication) == wanted
        alone = message[0].startswith(prefix) and not wanted
        assert subscriptions.orphaned(publication, prefix) == alone


def test_what_is_wanted_twice_is_wanted_until_it_ends_twice() -> None:
    subscriptions = Subscriptions()
    subscriptions.add(b"a")
    subscriptions.add(b"a")
    assert not subscriptions.remove(b"a")
    assert subscriptions.wants(split_topic([b"a\0body"]))
    assert subscriptions.remove(b"a")
    assert not subscriptions.wants(split_topic([b"a\0body"]))


@given(st.lists(st.tuples(st.booleans(), BYTES), max_size=12))
def test_what_repeats_is_counted_and_changes_nothing(steps: list[tuple[bool, bytes]]) -> None:
    told, all_told = Subscriptions(), Subscriptions()
    for begins, prefix in steps:
        before = len(all_told), prefix in all_told
        if begins:
            all_told.add(prefix)
        else:
            all_told.remove(prefix)
        repeats = told.repeat(prefix, begins)
        assert repeats == (before == (len(all_told), True) and before[1])
        if not repeats:
            told.add(prefix) if begins else told.remove(prefix)
        assert (prefix in told) == (prefix in all_told)
