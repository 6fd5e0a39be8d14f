"""Publish the time of day, or print what is published; here with Twisted.

Run it in two terminals, in any order:

    python examples/twisted/pubsub.py --mode=publisher
    python examples/twisted/pubsub.py --mode=subscriber
"""

import argparse
import time
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater, react

from zmqbridge.twisted_backend import Publisher, Subscriber


async def publish(reactor: Any, address: dict[str, Any]) -> None:
    async with Publisher(**address) as publisher:
        while True:
            now = time.strftime("%X")
            publisher.publish(now.encode(), tag="time")
            print(f"published {now}", flush=True)
            await deferLater(reactor, 1)


async def subscribe(reactor: Any, address: dict[str, Any]) -> None:
    async with Subscriber("time", **address) as subscriber:
        async for tag, body in subscriber:
            print(f"received {body.decode()}, tagged {tag.decode()}", flush=True)


def main(reactor: Any, run: Any, address: dict[str, Any]) -> Deferred[Any]:
    running: Deferred[None] = Deferred.fromCoroutine(run(reactor, address))

    def stop() -> Deferred[None]:  # on Ctrl-C; the reactor waits until all is closed
        running.cancel()
        return running

    reactor.addSystemEventTrigger("before", "shutdown", stop)
    return running.addErrback(lambda failure: failure.trap(CancelledError))


MODES = {"publisher": (publish, "bind"), "subscriber": (subscribe, "connect")}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-M", "--mode", choices=MODES, default="subscriber")
    parser.add_argument("-m", "--method", choices=["bind", "connect"])
    parser.add_argument("-e", "--endpoint", default="tcp://127.0.0.1:5555")
    options = parser.parse_args()
    run, method = MODES[options.mode]
    address = {options.method or method: options.endpoint}
    react(main, [run, address])
