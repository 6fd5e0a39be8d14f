"""An application on its way from Twisted to asyncio: the old half and the new one on one loop.

    python examples/both_worlds.py

The old half keeps a stock; its code is unchanged since it was written for txZMQ. The new half is an
asyncio task. Both share a context, so they talk over inproc://; Ctrl-C ends both.
"""

import asyncio
from typing import Any

from twisted.internet import asyncioreactor

loop = asyncio.new_event_loop()
asyncioreactor.install(loop)  # before anything else asks for the reactor

from twisted.internet.defer import CancelledError, Deferred  # noqa: E402
from twisted.internet.task import react  # noqa: E402

from zmqbridge.asyncio_backend import Requester  # noqa: E402
from zmqbridge.txzmq import ZmqEndpoint, ZmqFactory, ZmqREPConnection  # noqa: E402

ADDRESS = "inproc://stock"
STOCK = {b"apples": 12, b"pears": 3}


class Stock(ZmqREPConnection):
    def gotMessage(self, message_id: bytes, item: bytes) -> None:
        self.reply(message_id, b"%d" % STOCK.get(item, 0))


async def report(context: Any) -> None:
    async with Requester(connect=ADDRESS, context=context, timeout=2) as requester:
        while True:
            for item in (b"apples", b"pears", b"plums"):
                (count,) = await requester.request(item)
                print(f"there are {count.decode()} {item.decode()}", flush=True)
            await asyncio.sleep(1)


def main(reactor: Any) -> Deferred[Any]:
    factory = ZmqFactory()
    factory.registerForShutdown()
    Stock(factory, ZmqEndpoint("bind", ADDRESS))
    reporting = loop.create_task(report(factory.context))
    running = Deferred.fromFuture(reporting)

    def stop() -> Deferred[
        None
    ]:  # on Ctrl-C; the reactor waits until the task has closed its socket
        reporting.cancel()
        return running

    reactor.addSystemEventTrigger("before", "shutdown", stop)
    return running.addErrback(lambda failure: failure.trap(CancelledError, asyncio.CancelledError))


if __name__ == "__main__":
    try:
        react(main)
    finally:
        loop.close()
