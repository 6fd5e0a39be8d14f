"""The tests of the project: one passes with any seed, the other fails with some."""

from __future__ import annotations

import anyio
from quotes import Shop, buy

from zmqbridge.asyncio_backend import Requester
from zmqbridge.testing import Network, faults


async def test_a_piece_is_sold(zmq_network: Network) -> None:
    shop = Shop(pieces=10)
    zmq_network.node("shop").start(shop.serve)
    async with Requester(connect="tcp://shop:5555") as requester:
        await buy(requester)
    assert shop.pieces == 9


async def test_each_piece_is_sold_once(zmq_network: Network) -> None:
    shop = Shop(pieces=10)
    zmq_network.node("shop").start(shop.serve)
    trouble = faults.draw(zmq_network.random, ["main", "shop"], until=5, longest=3)
    faults.apply(zmq_network, trouble)
    async with Requester(connect="tcp://shop:5555") as requester:
        for _ in range(5):
            await buy(requester)
            await anyio.sleep(1)
    assert shop.pieces == 5
