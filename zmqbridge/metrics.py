"""Metrics: a collector for Prometheus that reads ``statistics()`` when it is scraped.

It needs the extra ``[prometheus]``, and costs a message nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol
from weakref import WeakValueDictionary

from prometheus_client import Metric
from prometheus_client.samples import Sample

from zmqbridge.core.statistics import Statistics

__all__ = ["Collector", "Counting"]

# All other figures only grow.
GAUGES = frozenset({"queued", "unread", "open_requests"})
HELP = {
    "sent": "Messages given to libzmq.",
    "received": "Messages taken from libzmq, malformed ones included.",
    "queued": "Messages that wait in the send queue now.",
    "unread": "Messages that wait in the inbox now.",
    "malformed": "Messages received without the shape of the pattern.",
    "dropped": "Messages accepted that could not be sent.",
    "open_requests": "Requests that wait for their reply now.",
    "late_replies": "Replies that matched no open request.",
    "withdrawn": "Requests that were cancelled or expired before they were sent.",
    "unreachable": "Dropped messages whose peer had left.",
    "unclaimed": "Messages that were in the inbox when the socket was closed.",
    "refused": "Messages that were not accepted, as a queue was at its mark.",
    "lost": "Messages received that no memory was left to copy.",
    "unwanted": "Publications unsubscribed before they were taken.",
}


class Counting(Protocol):
    """What can be collected: a socket of either backend, or a connection of the facade."""

    def statistics(self) -> Statistics:
        """Its counts."""


class Collector:
    """Reads the statistics of sockets at each scrape, by the names that you give them.

    Register it: ``prometheus_client.REGISTRY.register(Collector({"jobs": puller}))``. A socket is
    held weakly: when it is gone, its numbers are gone, too. A scrape may come from any thread.

    Args:
        sockets: sockets by name; the name is the value of the label ``socket``. Take few and
            constant names, never a tag or a routing id: each is a time series that is kept for
            ever.
        prefix: what the names of all metrics begin with.
    """

    def __init__(self, sockets: Mapping[str, Counting] = {}, prefix: str = "zmqbridge") -> None:
        self._prefix = prefix
        self._sockets: WeakValueDictionary[str, Counting] = WeakValueDictionary()
        for name, socket in sockets.items():
            self.add(name, socket)

    def add(self, name: str, socket: Counting) -> None:
        """Collect the numbers of one more socket.

        Raises:
            ValueError: another socket has this name, and still exists.
        """
        if self._sockets.get(name, socket) is not socket:
            raise ValueError(f"name={name!r} is another socket's: two would be one time series")
        self._sockets[name] = socket

    def remove(self, name: str) -> None:
        """Stop to collect the numbers of a socket; an unknown name is fine."""
        self._sockets.pop(name, None)

    def describe(self) -> Iterable[Metric]:
        """The metrics without samples, by which the registry knows their names."""
        return self._metrics([])

    def collect(self) -> Iterable[Metric]:
        """The metrics; the registry calls this at a scrape."""
        return self._metrics(
            [
                ({"socket": name, "pattern": type(socket).__name__}, socket.statistics())
                for name, socket in list(self._sockets.items())
            ]
        )

    def _metrics(self, counted: list[tuple[dict[str, str], Statistics]]) -> list[Metric]:
        metrics = []
        for place, field in enumerate(Statistics._fields):
            kind = "gauge" if field in GAUGES else "counter"
            stem = field if field == "open_requests" else f"{field}_messages"
            name = f"{self._prefix}_{stem}"
            metric = Metric(name, HELP.get(field, f"Statistics.{field}."), kind)
            shown = name if kind == "gauge" else f"{name}_total"
            # Not `add_sample`, which takes twice as long.
            metric.samples = [Sample(shown, labels, counts[place]) for labels, counts in counted]
            metrics.append(metric)
        return metrics
