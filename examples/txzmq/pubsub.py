"""Publish the time of day, or print what is published; here with the API of txZMQ.

Run it in two terminals, in any order:

    python examples/txzmq/pubsub.py --mode=publisher
    python examples/txzmq/pubsub.py --mode=subscriber
"""

import argparse
import time

from twisted.internet import reactor
from twisted.internet.task import LoopingCall

from zmqbridge.txzmq import ZmqEndpoint, ZmqFactory, ZmqPubConnection, ZmqSubConnection


class Publisher(ZmqPubConnection):
    def publishTime(self) -> None:
        now = time.strftime("%X")
        self.publish(now.encode(), tag=b"time")
        print(f"published {now}", flush=True)


class Subscriber(ZmqSubConnection):
    def gotMessage(self, message: bytes, tag: bytes) -> None:
        print(f"received {message.decode()}, tagged {tag.decode()}", flush=True)


def publish(factory: ZmqFactory, endpoint: ZmqEndpoint) -> None:
    publisher = Publisher(factory, endpoint)
    LoopingCall(publisher.publishTime).start(1)


def subscribe(factory: ZmqFactory, endpoint: ZmqEndpoint) -> None:
    subscriber = Subscriber(factory, endpoint)
    subscriber.subscribe(b"time")


MODES = {"publisher": (publish, "bind"), "subscriber": (subscribe, "connect")}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-M", "--mode", choices=MODES, default="subscriber")
    parser.add_argument("-m", "--method", choices=["bind", "connect"])
    parser.add_argument("-e", "--endpoint", default="tcp://127.0.0.1:5555")
    options = parser.parse_args()
    run, method = MODES[options.mode]
    endpoint = ZmqEndpoint(options.method or method, options.endpoint)
    factory = ZmqFactory()
    factory.registerForShutdown()
    run(factory, endpoint)
    reactor.run()
