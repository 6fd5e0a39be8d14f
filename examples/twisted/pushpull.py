"""Push numbered tasks, or share in pulling them; here with Twisted.

Run it in two terminals, in any order:

    python examples/twisted/pushpull.py --mode=push
    python examples/twisted/pushpull.py --mode=pull
"""

import argparse
import itertools
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater, react

from zmqbridge.twisted_backend import Puller, Pusher


async def push(reactor: Any, address: dict[str, Any]) -> None:
    async with Pusher(**address) as pusher:
        for number in itertools.count(1):
            await pusher.push(b"task", b"%d" % number)
            print(f"pushed task {number}", flush=True)
            await deferLater(reactor, 1)


async def pull(reactor: Any, address: dict[str, Any]) -> None:
    async with Puller(**address) as puller:
        async for kind, number in puller:
            print(f"pulled {kind.decode()} {number.decode()}", flush=True)


def main(reactor: Any, run: Any, address: dict[str, Any]) -> Deferred[Any]:
    running: Deferred[None] = Deferred.fromCoroutine(run(reactor, address))

    def stop() -> Deferred[None]:  # on Ctrl-C; the reactor waits until all is closed
        running.cancel()
        return running

    reactor.addSystemEventTrigger("before", "shutdown", stop)
    return running.addErrback(lambda failure: failure.trap(CancelledError))


MODES = {"push": (push, "connect"), "pull": (pull, "bind")}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-M", "--mode", choices=MODES, default="pull")
    parser.add_argument("-m", "--method", choices=["bind", "connect"])
    parser.add_argument("-e", "--endpoint", default="tcp://127.0.0.1:5556")
    options = parser.parse_args()
    run, method = MODES[options.mode]
    address = {options.method or method: options.endpoint}
    react(main, [run, address])
