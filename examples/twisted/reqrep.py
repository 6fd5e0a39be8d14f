"""Ask for the squares of numbers, or answer; here with Twisted.

Run it in two terminals, in any order:

    python examples/twisted/reqrep.py --mode=req
    python examples/twisted/reqrep.py --mode=rep
"""

import argparse
import itertools
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater, react

from zmqbridge import RequestTimeout
from zmqbridge.twisted_backend import Replier, Request, Requester


async def ask(reactor: Any, address: dict[str, Any]) -> None:
    async with Requester(**address, timeout=2) as requester:
        for number in itertools.count(1):
            try:
                (square,) = await requester.request(b"%d" % number)
                print(f"the square of {number} is {square.decode()}", flush=True)
            except RequestTimeout:
                print(f"no reply about {number} in time", flush=True)
            await deferLater(reactor, 1)


async def answer(request: Request) -> None:
    number = int(request.parts[0])
    print(f"asked for the square of {number}", flush=True)
    await request.reply(b"%d" % number**2)


async def serve(reactor: Any, address: dict[str, Any]) -> None:
    async with Replier(**address) as replier:
        await replier.serve(answer)


def main(reactor: Any, run: Any, address: dict[str, Any]) -> Deferred[Any]:
    running: Deferred[None] = Deferred.fromCoroutine(run(reactor, address))

    def stop() -> Deferred[None]:  # on Ctrl-C; the reactor waits until all is closed
        running.cancel()
        return running

    reactor.addSystemEventTrigger("before", "shutdown", stop)
    return running.addErrback(lambda failure: failure.trap(CancelledError))


MODES = {"req": (ask, "connect"), "rep": (serve, "bind")}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-M", "--mode", choices=MODES, default="rep")
    parser.add_argument("-m", "--method", choices=["bind", "connect"])
    parser.add_argument("-e", "--endpoint", default="tcp://127.0.0.1:5557")
    options = parser.parse_args()
    run, method = MODES[options.mode]
    address = {options.method or method: options.endpoint}
    react(main, [run, address])
