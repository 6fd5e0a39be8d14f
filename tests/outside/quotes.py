"""A server of quotes, and a client that asks again; it has a bug that needs bad luck."""

from __future__ import annotations

from zmqbridge import RequestTimeout
from zmqbridge.asyncio_backend import Replier, Request, Requester


class Shop:
    """Sells a few pieces; each order is to be taken once."""

    def __init__(self, pieces: int) -> None:
        self.pieces = pieces

    async def serve(self) -> None:
        async with Replier(bind="tcp://*:5555") as replier:
            await replier.serve(self.sell)

    async def sell(self, request: Request) -> None:
        self.pieces -= 1  # the bug: an order that comes twice is sold twice
        await request.reply(b"sold")


async def buy(requester: Requester) -> None:
    """Buy one piece, and ask until the shop has answered."""
    while True:
        try:
            await requester.request(b"one", timeout=1)
            return
        except RequestTimeout:
            continue
