"""Hand in jobs, or answer each of them twice; here with asyncio.

Run it in two terminals, in any order:

    python examples/asyncio/routerdealer.py --mode=dealer
    python examples/asyncio/routerdealer.py --mode=router
"""

import argparse
import asyncio
import contextlib
import itertools
from typing import Any

from zmqbridge import PeerUnreachable
from zmqbridge.asyncio_backend import Dealer, Router


async def route(address: dict[str, Any]) -> None:
    async with Router(**address) as router:
        async for dealer, (job,) in router:
            print(f"got {job.decode()} from {dealer.hex()}", flush=True)
            with contextlib.suppress(PeerUnreachable):  # the dealer may have left
                await router.send(dealer, job, b"accepted")
                await router.send(dealer, job, b"done")


async def deal(address: dict[str, Any]) -> None:
    async with Dealer(**address) as dealer, asyncio.TaskGroup() as group:
        group.create_task(hear(dealer))
        for number in itertools.count(1):
            await dealer.send(b"job %d" % number)
            print(f"sent job {number}", flush=True)
            await asyncio.sleep(1)


async def hear(dealer: Dealer) -> None:
    async for job, state in dealer:
        print(f"{job.decode()} is {state.decode()}", flush=True)


MODES = {"dealer": (deal, "connect"), "router": (route, "bind")}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-M", "--mode", choices=MODES, default="router")
    parser.add_argument("-m", "--method", choices=["bind", "connect"])
    parser.add_argument("-e", "--endpoint", default="tcp://127.0.0.1:5558")
    options = parser.parse_args()
    run, method = MODES[options.mode]
    address = {options.method or method: options.endpoint}
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(address))
