"""Topics: which prefixes subscribers want, how many do, and what it takes to remember them."""

from __future__ import annotations

import tracemalloc

from machines import TopicsMachine

from zmqbridge.core.topics import Topics, is_private

TestTopics = TopicsMachine.TestCase

MANY = 100_000
MOST = 200  # bytes for a topic


def test_many_topics_take_little_memory() -> None:
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


def test_a_topic_of_a_barrier_is_nobody_s_tag() -> None:
    assert is_private(b"\0r12345678")
    assert not is_private(b"\0r1234567")
    assert not is_private(b"tag-123456")
