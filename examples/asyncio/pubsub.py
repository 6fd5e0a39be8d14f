"""Publish the time of day, or print what is published; here with asyncio.

Run it in two terminals, in any order:

    python examples/asyncio/pubsub.py --mode=publisher
    python examples/asyncio/pubsub.py --mode=subscriber
"""

import argparse
import asyncio
import contextlib
import time
from typing import Any

from zmqbridge.asyncio_backend import Publisher, Subscriber


async def publish(address: dict[str, Any]) -> None:
    async with Publisher(**address) as publisher:
        while True:
            now = time.strftime("%X")
            publisher.publish(now.encode(), tag="time")
            print(f"published {now}", flush=True)
            await asyncio.sleep(1)


async def subscribe(address: dict[str, Any]) -> None:
    async with Subscriber("time", **address) as subscriber:
        async for tag, body in subscriber:
            print(f"received {body.decode()}, tagged {tag.decode()}", flush=True)


MODES = {"publisher": (publish, "bind"), "subscriber": (subscribe, "connect")}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-M", "--mode", choices=MODES, default="subscriber")
    parser.add_argument("-m", "--method", choices=["bind", "connect"])
    parser.add_argument("-e", "--endpoint", default="tcp://127.0.0.1:5555")
    options = parser.parse_args()
    run, method = MODES[options.mode]
    address = {options.method or method: options.endpoint}
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(address))
