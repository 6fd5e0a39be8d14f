"""Metrics: what a scrape shows, and what it costs."""

from __future__ import annotations

import gc
import time
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from zmqbridge.core.statistics import Statistics

if TYPE_CHECKING:
    from tests.conftest import World

HERE = "tcp://127.0.0.1:*"


@pytest.fixture
def prometheus() -> ModuleType:
    return pytest.importorskip("prometheus_client")


@pytest.fixture
def Collector(prometheus: ModuleType) -> type[Any]:
    from zmqbridge.metrics import Collector

    return Collector


@pytest.mark.parametrize("w", ["asyncio", "trio", "epoll"], indirect=True)
async def test_a_scrape_shows_the_statistics_of_now(
    w: World, prometheus: ModuleType, Collector: type[Any]
) -> None:
    registry = prometheus.CollectorRegistry()
    async with w.Puller(bind=HERE) as puller, w.Pusher(connect=puller.addresses) as pusher:
        registry.register(Collector({"jobs out": pusher, "jobs in": puller}))

        def value(name: str, socket: str) -> int:
            pattern = "Pusher" if socket == "jobs out" else "Puller"
            labels = {"socket": socket, "pattern": pattern}
            return registry.get_sample_value(f"zmqbridge_{name}", labels)

        assert value("sent_messages_total", "jobs out") == 0
        for number in range(3):
            await pusher.push(b"%d" % number)
        await puller.receive()
        await w.until(lambda: puller.statistics().received == 3)
        assert value("sent_messages_total", "jobs out") == 3
        assert value("received_messages_total", "jobs in") == 3
        assert value("unread_messages", "jobs in") == 2
        text = prometheus.generate_latest(registry).decode()
        assert "# TYPE zmqbridge_queued_messages gauge" in text
        assert "# TYPE zmqbridge_sent_messages_total counter" in text
    assert value("unclaimed_messages_total", "jobs in") == 2


class Still:
    def statistics(self) -> Statistics:
        return Statistics(1, 2, 3, 4, 5, 6, 7, 8)


def test_each_count_is_a_metric_of_its_own(Collector: type[Any]) -> None:
    from zmqbridge.metrics import GAUGES

    still = Still()
    metrics = list(Collector({"a": still}, prefix="mine").collect())
    assert len(metrics) == len({metric.name for metric in metrics}) == len(Statistics._fields)
    assert {metric.type for metric in metrics} == {"gauge", "counter"}
    assert sum(metric.type == "gauge" for metric in metrics) == len(GAUGES)
    assert all(metric.documentation for metric in metrics)
    assert all(metric.name.startswith("mine_") for metric in metrics)


def test_two_sockets_of_one_name_are_refused_and_those_gone_are_not_held(
    Collector: type[Any],
) -> None:
    collector, first = Collector(), Still()
    collector.add("a", first)
    collector.add("a", first)
    with pytest.raises(ValueError, match="name='a' is another socket's"):
        collector.add("a", Still())
    del first
    gc.collect()
    assert [metric.samples for metric in collector.collect()] == [[]] * len(Statistics._fields)
    again = Still()
    collector.add("a", again)
    assert all(len(metric.samples) == 1 for metric in collector.collect())
    collector.remove("a")
    collector.remove("a")
    assert not any(metric.samples for metric in collector.collect())


def test_two_collectors_need_two_prefixes(prometheus: ModuleType, Collector: type[Any]) -> None:
    registry = prometheus.CollectorRegistry()
    registry.register(Collector())
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(Collector())
    registry.register(Collector(prefix="other"))


def test_a_scrape_of_a_thousand_sockets_is_quick(Collector: type[Any]) -> None:
    sockets = {str(number): Still() for number in range(1000)}
    collector = Collector(sockets)
    took = []
    for _ in range(5):
        began = time.thread_time()
        list(collector.collect())
        took.append(time.thread_time() - began)
    assert min(took) < 0.1  # 10 to 20 ms, where nobody else runs
