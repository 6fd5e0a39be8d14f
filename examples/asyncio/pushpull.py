"""Push numbered tasks, or share in pulling them; here with asyncio.

Run it in two terminals, in any order:

    python examples/asyncio/pushpull.py --mode=push
    python examples/asyncio/pushpull.py --mode=pull
"""

import argparse
import asyncio
import contextlib
import itertools
from typing import Any

from zmqbridge.asyncio_backend import Puller, Pusher


async def push(address: dict[str, Any]) -> None:
    async with Pusher(**address) as pusher:
        for number in itertools.count(1):
            await pusher.push(b"task", b"%d" % number)
            print(f"pushed task {number}", flush=True)
            await asyncio.sleep(1)


async def pull(address: dict[str, Any]) -> None:
    async with Puller(**address) as puller:
        async for kind, number in puller:
            print(f"pulled {kind.decode()} {number.decode()}", flush=True)


MODES = {"push": (push, "connect"), "pull": (pull, "bind")}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-M", "--mode", choices=MODES, default="pull")
    parser.add_argument("-m", "--method", choices=["bind", "connect"])
    parser.add_argument("-e", "--endpoint", default="tcp://127.0.0.1:5556")
    options = parser.parse_args()
    run, method = MODES[options.mode]
    address = {options.method or method: options.endpoint}
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(address))
