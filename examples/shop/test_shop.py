"""Tests of the shop on a simulated network: ``pytest examples/shop`` finds its bugs.

``SHOP=mended pytest examples/shop`` passes.
"""

from __future__ import annotations

import importlib
import os
import sys

import anyio
import pytest

from zmqbridge import RequestTimeout
from zmqbridge.asyncio_backend import Requester
from zmqbridge.testing import Network, faults

sys.path.insert(0, os.path.dirname(__file__))
shop = importlib.import_module(os.environ.get("SHOP", "shop"))


class Shop:
    """The three programs, each on a node of its own."""

    def __init__(self, network: Network) -> None:
        self.worker, self.feed, self.gateway = shop.Worker(), shop.Feed(), shop.Gateway()
        self.feed.set_price("apples", 3)
        for name in ("worker", "feed", "gateway"):
            network.node(name).start(getattr(self, name).run)

    async def is_open(self) -> None:
        """Wait until the gateway has heard the prices."""
        while "apples" not in self.gateway.prices:
            await anyio.sleep(1)
            self.feed.set_price("apples", 3)


def customer(timeout: float = 10) -> Requester:
    return Requester(timeout, connect="tcp://gateway:5000")


async def test_an_order_is_charged_at_the_price(zmq_network: Network) -> None:
    it = Shop(zmq_network)
    await it.is_open()
    async with customer() as asker:
        assert await asker.request(b"order 1", b"apples") == [b"charged", b"order 1"]
    assert it.worker.charged == [(b"order 1", 3)]


async def test_each_order_is_charged_once(zmq_network: Network) -> None:
    it = Shop(zmq_network)
    await it.is_open()
    silence = faults.Fault(zmq_network.random.uniform(0, 5), "one_way", "worker", "gateway", 1.5)
    faults.apply(zmq_network, [silence])
    answered: list[bytes] = []
    async with customer() as asker:
        for number in range(20):
            order = b"order %d" % number
            await asker.request(order, b"apples")
            answered.append(order)
            await anyio.sleep(0.3)
    orders = [order for order, _ in it.worker.charged]
    assert sorted(orders) == sorted(answered), "a customer was charged twice, or not at all"


async def test_the_gateway_hears_of_each_new_price(zmq_network: Network) -> None:
    it = Shop(zmq_network)
    await it.is_open()
    for price in range(10, 20):
        if zmq_network.random.random() < 0.3:
            zmq_network.cut("feed", "gateway")
        it.feed.set_price("apples", price)
        await anyio.sleep(5)
        assert it.gateway.prices["apples"] == price


async def test_nothing_is_left_of_an_order_that_failed(zmq_network: Network) -> None:
    it = Shop(zmq_network)
    await it.is_open()
    zmq_network.node("worker").pause()
    async with customer() as asker:
        with pytest.raises(RequestTimeout):
            await asker.request(b"order 1", b"apples")
    await anyio.sleep(10)
    assert not it.gateway.pending
