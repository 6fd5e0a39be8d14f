"""Ask for the squares of numbers, or answer; here with asyncio.

Run it in two terminals, in any order:

    python examples/asyncio/reqrep.py --mode=req
    python examples/asyncio/reqrep.py --mode=rep
"""

import argparse
import asyncio
import contextlib
import itertools
from typing import Any

from zmqbridge import RequestTimeout
from zmqbridge.asyncio_backend import Replier, Request, Requester


async def ask(address: dict[str, Any]) -> None:
    async with Requester(**address, timeout=2) as requester:
        for number in itertools.count(1):
            try:
                (square,) = await requester.request(b"%d" % number)
                print(f"the square of {number} is {square.decode()}", flush=True)
            except RequestTimeout:
                print(f"no reply about {number} in time", flush=True)
            await asyncio.sleep(1)


async def answer(request: Request) -> None:
    number = int(request.parts[0])
    print(f"asked for the square of {number}", flush=True)
    await request.reply(b"%d" % number**2)


async def serve(address: dict[str, Any]) -> None:
    async with Replier(**address) as replier:
        await replier.serve(answer)


MODES = {"req": (ask, "connect"), "rep": (serve, "bind")}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-M", "--mode", choices=MODES, default="rep")
    parser.add_argument("-m", "--method", choices=["bind", "connect"])
    parser.add_argument("-e", "--endpoint", default="tcp://127.0.0.1:5557")
    options = parser.parse_args()
    run, method = MODES[options.mode]
    address = {options.method or method: options.endpoint}
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(address))
