"""A broker of publications that remembers the last one of each tag; here with Twisted.

Publishers and subscribers connect to it. Whoever subscribes gets at once the last publication of
each tag that it asks for; by the option it is told of each subscription and each end. In three
terminals, in any order:

    python examples/twisted/broker.py
    python examples/twisted/pubsub.py --mode=publisher --method=connect
    python examples/twisted/pubsub.py --mode=subscriber --endpoint=tcp://127.0.0.1:5556
"""

import argparse
from typing import Any

import zmq
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from zmqbridge import Subscribed, Unsubscribed
from zmqbridge.twisted_backend import XPublisher, XSubscriber


class Broker:
    """Its two sockets, and what was published last."""

    def __init__(self, front: str, back: str) -> None:
        self.last: dict[bytes, bytes] = {}
        self.front = XSubscriber(bind=front, handler=self.publication)
        self.back = XPublisher(bind=back, handler=self.changed, options={zmq.XPUB_VERBOSER: 1})

    def publication(self, publication: tuple[bytes, bytes]) -> None:
        tag, body = publication
        self.last[tag] = body
        self.back.publish(body, tag)

    def changed(self, change: Subscribed | Unsubscribed) -> None:
        print(f"{type(change).__name__.lower()}: {change.tag.decode()}", flush=True)
        if isinstance(change, Subscribed):
            self.front.subscribe(change.tag)
            for tag, body in self.last.items():
                if tag.startswith(change.tag):
                    self.back.publish(body, tag)  # all who want this tag get it again
        else:
            self.front.unsubscribe(change.tag)

    async def close(self) -> None:
        await self.front.aclose()
        await self.back.aclose()


def main(reactor: Any, front: str, back: str) -> Deferred[None]:
    broker = Broker(front, back)
    stopped: Deferred[None] = Deferred()

    def stop() -> Deferred[None]:  # on Ctrl-C; the reactor waits until all is closed
        closing = Deferred.fromCoroutine(broker.close())
        return closing.addCallback(stopped.callback)

    reactor.addSystemEventTrigger("before", "shutdown", stop)
    return stopped


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--front", default="tcp://127.0.0.1:5555")
    parser.add_argument("--back", default="tcp://127.0.0.1:5556")
    options = parser.parse_args()
    react(main, [options.front, options.back])
