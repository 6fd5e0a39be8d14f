"""Metrics: a collector for Prometheus that reads the statistics of sockets and proxies at a scrape.

It needs the extra ``[prometheus]``, and costs a message nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any, Protocol, runtime_checkable
from weakref import WeakKeyDictionary, WeakValueDictionary

from prometheus_client import Metric
from prometheus_client.samples import Sample

from zmqbridge.core.statistics import Statistics
from zmqbridge.errors import ZmqBridgeError
from zmqbridge.proxies import ProxyStatistics
from zmqbridge.tools import Counting

__all__ = ["Collector", "Counting", "Passing"]

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
    "missed": "Numbered publications that were told to be missing.",
    "unroutable": "Messages that were not accepted, as no such peer was there, e.g. replies.",
}


# How long a scrape waits for proxies, which answer at once unless they wait for a peer.
PROXY_TIMEOUT = 0.25  # seconds
SIDES = {"front": "the clients, publishers or pushers", "back": "the workers, subscribers, pullers"}


@runtime_checkable
class Passing(Protocol):
    """What else can be collected: a proxy of either backend."""

    @property
    def kind(self) -> str:
        """What it passes."""

    @property
    def paused(self) -> bool:
        """Whether it was paused."""

    def ask_statistics(self) -> Future[ProxyStatistics]:
        """What has passed, when its thread has answered."""


class Collector:
    """Reads the statistics of sockets and proxies at each scrape, by names that you give them.

    Register it: ``prometheus_client.REGISTRY.register(Collector({"jobs": puller}))``. A socket is
    held weakly: when it is gone, its numbers are gone, too. A scrape may come from any thread. It
    waits a quarter of a second at most for proxies that do not answer, as they wait for a peer;
    of those it shows what they said last.

    Args:
        sockets: sockets, connections and proxies by name; the name is the value of the label
            ``socket`` or ``proxy``. Take few and constant names, never a tag or a routing id: each
            is a time series that is kept for ever.
        prefix: what the names of all metrics begin with.

    Raises:
        TypeError: what is given has no statistics, or no name.
        ValueError: two have one name.
    """

    def __init__(
        self, sockets: Mapping[str, Counting | Passing] = {}, prefix: str = "zmqbridge"
    ) -> None:
        if not isinstance(sockets, Mapping):
            given = type(sockets).__name__
            raise TypeError(f'sockets is given as {given}: give names, as {{"jobs": puller}}')
        self._prefix = prefix
        self._sockets: WeakValueDictionary[str, Any] = WeakValueDictionary()
        self._proxies: WeakValueDictionary[str, Any] = WeakValueDictionary()
        self._said: WeakKeyDictionary[Any, ProxyStatistics] = WeakKeyDictionary()
        for name, socket in sockets.items():
            self.add(name, socket)

    def add(self, name: str, socket: Counting | Passing) -> None:
        """Collect the numbers of one more socket, connection or proxy.

        Raises:
            TypeError: it has no statistics.
            ValueError: another one has this name, and still exists.
        """
        if not isinstance(socket, Counting | Passing):
            given = type(socket).__name__
            raise TypeError(f"{name!r} is a {given}: give a socket, a connection or a proxy")
        known = self._sockets.get(name, self._proxies.get(name, socket))
        if known is not socket:
            raise ValueError(f"name={name!r} is another socket's: two would be one time series")
        kept = self._proxies if isinstance(socket, Passing) else self._sockets
        kept[name] = socket

    def remove(self, name: str) -> None:
        """Stop to collect the numbers of a socket or proxy; an unknown name is fine."""
        self._sockets.pop(name, None)
        self._proxies.pop(name, None)

    def describe(self) -> Iterable[Metric]:
        """The metrics without samples, by which the registry knows their names."""
        return self._of_sockets([]) + self._of_proxies([])

    def collect(self) -> Iterable[Metric]:
        """The metrics; the registry calls this at a scrape."""
        counted = [
            ({"socket": name, "pattern": type(socket).__name__}, socket.statistics())
            for name, socket in list(self._sockets.items())
        ]
        proxies = list(self._proxies.items())
        return self._of_sockets(counted) + (self._of_proxies(proxies) if proxies else [])

    def _of_sockets(self, counted: list[tuple[dict[str, str], Statistics]]) -> list[Metric]:
        metrics = []
        for place, field in enumerate(Statistics._fields):
            kind = "gauge" if field in GAUGES else "counter"
            stem = field if field == "open_requests" else f"{field}_messages"
            metric = self._metric(stem, HELP.get(field, f"Statistics.{field}."), kind)
            shown = metric.name if kind == "gauge" else f"{metric.name}_total"
            # Not `add_sample`, which takes twice as long.
            metric.samples = [Sample(shown, labels, counts[place]) for labels, counts in counted]
            metrics.append(metric)
        return metrics

    def _of_proxies(self, proxies: list[tuple[str, Passing]]) -> list[Metric]:
        answer = self._ask([proxy for _, proxy in proxies])
        labels = [{"proxy": name, "kind": proxy.kind} for name, proxy in proxies]
        up = self._metric("proxy_up", "Whether it answers: 0 if it has ended or waits.", "gauge")
        paused = self._metric("proxy_paused", "Whether it was paused.", "gauge")
        for (_, proxy), each in zip(proxies, labels, strict=True):
            up.add_sample(up.name, each, int(proxy in answer))
            paused.add_sample(paused.name, each, int(proxy.paused))
        metrics = [up, paused]
        for place, field in enumerate(ProxyStatistics._fields):
            side, way, *of_bytes = field.split("_")
            stem = f"proxy_{side}_{way}_{'bytes' if of_bytes else 'parts'}"
            where = f"{'from' if way == 'received' else 'to'} {SIDES[side]}"
            unit = "Bytes" if of_bytes else "Parts of messages"
            metric = self._metric(stem, f"{unit} {where}.", "counter")
            for (_, proxy), each in zip(proxies, labels, strict=True):
                said = self._said.get(proxy)
                if said is not None:
                    metric.add_sample(f"{metric.name}_total", each, said[place])
            metrics.append(metric)
        return metrics

    def _metric(self, stem: str, text: str, kind: str) -> Metric:
        return Metric(f"{self._prefix}_{stem}", text, kind)

    def _ask(self, proxies: list[Passing]) -> set[Passing]:
        """Ask all proxies at the same time, and keep what they say; those that answer in time."""
        asked = {}
        for proxy in proxies:
            with suppress(ZmqBridgeError):  # it was closed, or has failed
                asked[proxy.ask_statistics()] = proxy
        answered = set()
        for future in wait(asked, timeout=PROXY_TIMEOUT).done:
            with suppress(ZmqBridgeError):
                self._said[asked[future]] = future.result()
                answered.add(asked[future])
        return answered
