"""Metrics: what a scrape shows, and what it costs."""

from __future__ import annotations

import gc
import time
from concurrent.futures import Future
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from zmqbridge import ProxyStalled
from zmqbridge.core.statistics import Statistics
from zmqbridge.proxies import ProxyStatistics

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


@pytest.mark.parametrize("w", ["asyncio", "trio", "epoll"], indirect=True)
async def test_a_scrape_asks_the_proxies(
    w: World, prometheus: ModuleType, Collector: type[Any]
) -> None:
    registry = prometheus.CollectorRegistry()
    async with (
        w.Proxy("pipeline", HERE, HERE) as proxy,
        w.Pusher(connect=proxy.front_addresses) as pusher,
        w.Puller(connect=proxy.back_addresses) as puller,
    ):
        registry.register(Collector({"line": proxy, "in": puller}, prefix="mine"))

        def value(name: str) -> float | None:
            labels = {"proxy": "line", "kind": "pipeline"}
            return registry.get_sample_value(f"mine_proxy_{name}", labels)

        assert (value("up"), value("paused"), value("front_received_parts_total")) == (1, 0, 0)
        await pusher.push(b"two", b"parts")
        await puller.receive()
        await w.until(lambda: value("back_sent_parts_total") == 2)
        assert value("front_received_bytes_total") == 8
        assert value("front_sent_parts_total") == value("back_received_bytes_total") == 0
        await proxy.pause()
        assert (value("up"), value("paused"), value("back_sent_parts_total")) == (1, 1, 2)
        text = prometheus.generate_latest(registry).decode()
        assert "# TYPE mine_proxy_back_sent_parts_total counter" in text
        assert "# TYPE mine_proxy_up gauge" in text
        assert 'mine_received_messages_total{pattern="Puller",socket="in"} 1.0' in text
    assert (value("up"), value("back_sent_parts_total")) == (0, 2)  # what it said last


class Stuck:
    """A proxy that waits for a peer, by its answers."""

    kind, paused = "pubsub", False
    statistics = None

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def ask_statistics(self) -> Future[ProxyStatistics]:
        future: Future[ProxyStatistics] = Future()
        if isinstance(answer := self.answers.pop(0), Exception):
            future.set_exception(answer)
        elif answer is not None:
            future.set_result(answer)
        return future


def test_proxies_that_do_not_answer_hold_a_scrape_up_once_and_not_for_long(
    Collector: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zmqbridge.metrics.PROXY_TIMEOUT", 0.01)
    counts = ProxyStatistics(*range(8))
    stuck = [Stuck(counts, None, ProxyStalled(1.0), counts) for _ in range(3)]
    silent = Stuck(None, None, None, None)
    collector = Collector({"never": silent, **{str(n): each for n, each in enumerate(stuck)}})
    for up in (1, 0, 0, 1):
        metrics = {metric.name: metric for metric in collector.collect()}
        values = {
            each.labels["proxy"]: each.value for each in metrics["zmqbridge_proxy_up"].samples
        }
        assert values == {"never": 0, "0": up, "1": up, "2": up}
        last = metrics["zmqbridge_proxy_back_sent_bytes"].samples
        assert [each.value for each in last] == [7, 7, 7]  # and nothing of who has said nothing
    assert {metric.name for metric in collector.describe()} == set(metrics)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([object()], "sockets is given as list: give names"),
        ({"a": 3}, "'a' is a int: give a socket, a connection or a proxy"),
    ],
)
def test_what_cannot_be_collected_is_refused_at_once(
    Collector: type[Any], given: Any, text: str
) -> None:
    with pytest.raises(TypeError, match=text):
        Collector(given)


def test_a_socket_and_a_proxy_of_one_name_are_two(Collector: type[Any]) -> None:
    still, proxy = Still(), Stuck()
    collector = Collector({"a": still})
    with pytest.raises(ValueError, match="name='a' is another socket's"):
        collector.add("a", proxy)
    collector.remove("a")
    collector.add("a", proxy)
    with pytest.raises(ValueError, match="name='a' is another socket's"):
        collector.add("a", still)


def test_a_scrape_of_a_thousand_sockets_is_quick(Collector: type[Any]) -> None:
    sockets = {str(number): Still() for number in range(1000)}
    collector = Collector(sockets)
    took = []
    for _ in range(20):
        began = time.thread_time()
        list(collector.collect())
        took.append(time.thread_time() - began)
    assert min(took) < 0.04  # 6 ms, where nobody else runs; 10 ms are promised
