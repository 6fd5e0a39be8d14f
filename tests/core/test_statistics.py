"""The account that statistics give: every message in one count."""

from __future__ import annotations

from zmqbridge.core.statistics import Statistics


def test_what_was_accepted_and_delivered_follows_from_the_other_counts() -> None:
    statistics = Statistics(
        sent=1,
        received=1000,
        queued=20,
        unread=3,
        malformed=40,
        dropped=300,
        open_requests=7,
        late_replies=500,
        withdrawn=4000,
        unreachable=200,  # of those that were dropped
        unclaimed=6,
        unwanted=50,
    )
    assert statistics.accepted == 4321
    assert statistics.delivered == 1000 - 599
