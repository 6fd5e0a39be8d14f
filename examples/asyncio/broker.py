"""A broker of publications that remembers the last one of each tag; here with asyncio.

Publishers and subscribers connect to it. Whoever subscribes gets at once the last publication of
each tag that it asks for; by the option it is told of each subscription and each end. In three
terminals, in any order:

    python examples/asyncio/broker.py
    python examples/asyncio/pubsub.py --mode=publisher --method=connect
    python examples/asyncio/pubsub.py --mode=subscriber --endpoint=tcp://127.0.0.1:5556
"""

import argparse
import asyncio
import contextlib

import zmq

from zmqbridge import Subscribed
from zmqbridge.asyncio_backend import XPublisher, XSubscriber


async def publications(front: XSubscriber, back: XPublisher, last: dict[bytes, bytes]) -> None:
    async for tag, body in front:
        last[tag] = body
        back.publish(body, tag)


async def subscriptions(front: XSubscriber, back: XPublisher, last: dict[bytes, bytes]) -> None:
    async for change in back:
        print(f"{type(change).__name__.lower()}: {change.tag.decode()}", flush=True)
        if isinstance(change, Subscribed):
            front.subscribe(change.tag)
            for tag, body in last.items():
                if tag.startswith(change.tag):
                    back.publish(body, tag)  # all who want this tag get it again
        else:
            front.unsubscribe(change.tag)


async def broker(front_address: str, back_address: str) -> None:
    last: dict[bytes, bytes] = {}
    async with (
        XSubscriber(bind=front_address) as front,
        XPublisher(bind=back_address, options={zmq.XPUB_VERBOSER: 1}) as back,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(publications(front, back, last))
        group.create_task(subscriptions(front, back, last))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--front", default="tcp://127.0.0.1:5555")
    parser.add_argument("--back", default="tcp://127.0.0.1:5556")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(broker(options.front, options.back))
