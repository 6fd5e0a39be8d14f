"""Topics: which prefixes subscribers want, how many do, and what it takes to remember them."""

from __future__ import annotations

import pytest
from machines import TopicsMachine

from zmqbridge.core.topics import (
    Topics,
    answer_header,
    is_answer,
    is_answer_to_any,
    is_private,
)

TestTopics = TopicsMachine.TestCase

MANY = 100_000
MOST = 200  # bytes for a topic


def test_many_topics_take_little_memory() -> None:
    tracemalloc = pytest.importorskip("tracemalloc", exc_type=ImportError)  # PyPy has none
    topics = Topics()
    tracemalloc.start()
    try:
        for number in range(MANY):
            topics.added(b"topic/%d/of/many" % number)
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(topics) == MANY
    assert used / MANY <= MOST


def test_who_subscribes_twice_has_to_end_it_twice() -> None:
    topics = Topics()
    assert [topics.added(b"a"), topics.added(b"a")] == [True, False]
    assert [topics.removed(b"a"), topics.removed(b"a")] == [False, True]
    assert (len(topics), topics.unfounded) == (0, 0)


def test_a_prefix_that_reaches_into_the_body_is_forgotten_with_its_last_subscription() -> None:
    topics = Topics()
    topics.added(b"a\0b")
    assert topics.wanted(b"a\0")
    assert topics.removed(b"a\0b")
    assert not topics.wanted(b"a\0")


def test_an_answer_to_a_barrier_has_four_parts_and_two_of_them_are_empty() -> None:
    assert is_answer([b"\0r12345678", b"", b"", b""])
    assert is_answer([b"\0r12345678", b"", b"\0" * 8, b""])  # with a number
    assert not is_answer([b"\0r12345678", b"", b"body", b""])
    assert not is_answer([b"\0r12345678", b"", b""])


def test_what_only_looks_like_an_answer_is_one_to_nobody_else() -> None:
    topic = b"\0r12345678"
    header = answer_header(topic, b"abcd")
    assert is_answer_to_any([topic, header, b"", b""])
    assert not is_answer_to_any([topic, header, b"body", b""])
    assert not is_answer_to_any([topic, b"abcdefgh", b"", b""])  # of another checksum
    assert not is_answer_to_any([topic, b"", b"", b""])
    assert not is_answer_to_any([topic[:-1] + b"9", header, b"", b""])  # of another topic


def test_a_topic_of_a_barrier_is_nobody_s_tag() -> None:
    assert is_private(b"\0r12345678")
    assert not is_private(b"\0r1234567")
    assert not is_private(b"tag-123456")
