"""Tally: the statistics of a socket, from what its pump and its pattern have counted."""

from __future__ import annotations

from typing import Any

from zmqbridge.core.statistics import Statistics


def statistics(pump: Any, **counts: int) -> Statistics:
    """The `Statistics` of a pump and a pattern, whose counts are given by name."""
    return Statistics(
        **{
            "sent": pump.sent,
            "received": pump.received,
            "queued": pump.queued,
            "unread": 0,
            "malformed": 0,
            "dropped": pump.dropped,
            "open_requests": 0,
            "late_replies": 0,
            "withdrawn": pump.withdrawn,
            "unreachable": pump.unreachable,
            "refused": pump.refused,
            "lost": pump.lost,
            "unroutable": pump.unroutable,
            **counts,
        }
    )
