"""A small shop of three programs: a gateway, workers that charge customers, and a feed of prices.

It has three bugs, each of a kind that real programs have. "Testing your application" in the
documentation finds them on a simulated network; `mended.py` is the shop without them.
"""

from __future__ import annotations

import anyio

from zmqbridge import RequestTimeout
from zmqbridge.asyncio_backend import Publisher, Replier, Request, Requester, Subscriber


class Worker:
    """Charges customers: ``[b"charge", order, amount]`` is answered by ``[b"charged", order]``."""

    def __init__(self) -> None:
        self.charged: list[tuple[bytes, int]] = []

    async def handle(self, request: Request) -> None:
        _, order, amount = request.parts
        await anyio.sleep(0.05)  # the bank
        self.charged.append((order, int(amount)))
        await request.reply(b"charged", order)

    async def run(self, bind: str = "tcp://*:5001") -> None:
        async with Replier(bind=bind) as replier:
            await replier.serve(self.handle)


class Feed:
    """Publishes the price of each item when it changes."""

    def __init__(self) -> None:
        self.prices: dict[str, int] = {}
        self._changed = anyio.Event()

    def set_price(self, item: str, price: int) -> None:
        self.prices[item] = price
        self._changed.set()

    async def run(self, bind: str = "tcp://*:5002") -> None:
        async with Publisher(bind=bind) as publisher:
            while True:
                await self._changed.wait()
                self._changed = anyio.Event()
                for item, price in self.prices.items():
                    publisher.publish(b"%d" % price, tag=f"price.{item}")


class Gateway:
    """Takes orders, ``[order, item]``, and has them charged at the price that it has heard last."""

    def __init__(self) -> None:
        self.prices: dict[str, int] = {}
        self.pending: set[bytes] = set()
        self.workers: Requester

    async def listen(self, feed: str = "tcp://feed:5002") -> None:
        async with Subscriber("price.", connect=feed) as subscriber:
            async for tag, body in subscriber:
                self.prices[tag.decode().removeprefix("price.")] = int(body)

    async def handle(self, request: Request) -> None:
        order, item = request.parts
        price = self.prices.get(item.decode())
        if price is None:
            await request.reply(b"no price", order)
            return
        self.pending.add(order)
        reply = await self._charge(order, price)
        self.pending.discard(order)
        await request.reply(*reply)

    async def _charge(self, order: bytes, price: int) -> list[bytes]:
        for _ in range(3):
            try:
                return await self.workers.request(b"charge", order, b"%d" % price, timeout=1)
            except RequestTimeout:
                pass  # a worker may have died: another one does it
        raise RequestTimeout("sent")

    async def run(self, bind: str = "tcp://*:5000", workers: str = "tcp://worker:5001") -> None:
        async with (
            Requester(connect=workers) as self.workers,
            Replier(bind=bind) as replier,
            anyio.create_task_group() as group,
        ):
            group.start_soon(self.listen)
            await replier.serve(self.handle)
