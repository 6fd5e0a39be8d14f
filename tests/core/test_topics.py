"""Topics: which prefixes subscribers want, how many do, and what it takes to remember them."""

from __future__ import annotations

import tracemalloc

import pytest
from machines import TopicsMachine

from zmqbridge.core.topics import (
    Subscribed,
    Topics,
    Unsubscribed,
    is_private,
    split_change,
)
from zmqbridge.errors import MalformedMessage

TestTopics = TopicsMachine.TestCase

MANY = 100_000
MOST = 200  # bytes for a topic


def test_many_topics_take_little_memory():
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


def test_a_message_to_a_publisher_is_a_subscription_or_its_end():
    assert split_change([b"\1tag"]) == Subscribed(b"tag")
    assert split_change([b"\0"]) == Unsubscribed(b"")


@pytest.mark.parametrize("message", [[b""], [b"\2tag"], [b"\1tag", b"more"], [b"\0", b""]])
def test_anything_else_is_malformed(message):
    with pytest.raises(MalformedMessage):
        split_change(message)


def test_a_topic_of_a_barrier_is_nobody_s_tag():
    assert is_private(b"\0r12345678")
    assert not is_private(b"\0r1234567")
    assert not is_private(b"tag-123456")
