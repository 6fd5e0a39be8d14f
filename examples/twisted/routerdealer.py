"""Hand in jobs, or answer each of them twice; here with Twisted.

Run it in two terminals, in any order:

    python examples/twisted/routerdealer.py --mode=dealer
    python examples/twisted/routerdealer.py --mode=router
"""

import argparse
import contextlib
import itertools
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater, react

from zmqbridge import PeerUnreachable
from zmqbridge.twisted_backend import Dealer, Router


async def route(reactor: Any, address: dict[str, Any]) -> None:
    async with Router(**address) as router:
        async for dealer, (job,) in router:
            print(f"got {job.decode()} from {dealer.hex()}", flush=True)
            with contextlib.suppress(PeerUnreachable):  # the dealer may have left
                await router.send(dealer, job, b"accepted")
                await router.send(dealer, job, b"done")


async def deal(reactor: Any, address: dict[str, Any]) -> None:
    async with Dealer(**address, handler=hear) as dealer:
        for number in itertools.count(1):
            await dealer.send(b"job %d" % number)
            print(f"sent job {number}", flush=True)
            await deferLater(reactor, 1)


def hear(message: list[bytes]) -> None:
    job, state = message
    print(f"{job.decode()} is {state.decode()}", flush=True)


def main(reactor: Any, run: Any, address: dict[str, Any]) -> Deferred[Any]:
    running: Deferred[None] = Deferred.fromCoroutine(run(reactor, address))

    def stop() -> Deferred[None]:  # on Ctrl-C; the reactor waits until all is closed
        running.cancel()
        return running

    reactor.addSystemEventTrigger("before", "shutdown", stop)
    return running.addErrback(lambda failure: failure.trap(CancelledError))


MODES = {"dealer": (deal, "connect"), "router": (route, "bind")}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-M", "--mode", choices=MODES, default="router")
    parser.add_argument("-m", "--method", choices=["bind", "connect"])
    parser.add_argument("-e", "--endpoint", default="tcp://127.0.0.1:5558")
    options = parser.parse_args()
    run, method = MODES[options.mode]
    address = {options.method or method: options.endpoint}
    react(main, [run, address])
