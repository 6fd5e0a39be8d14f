"""Push numbered tasks, or share in pulling them; here with the API of txZMQ.

Run it in two terminals, in any order:

    python examples/txzmq/pushpull.py --mode=push
    python examples/txzmq/pushpull.py --mode=pull
"""

import argparse

import zmq
from twisted.internet import reactor
from twisted.internet.task import LoopingCall

from zmqbridge.txzmq import ZmqEndpoint, ZmqFactory, ZmqPullConnection, ZmqPushConnection


class Pusher(ZmqPushConnection):
    number = 1

    def pushTask(self) -> None:
        try:
            self.push([b"task", b"%d" % self.number])
        except zmq.Again:
            return  # there is no puller: the next call tries again
        print(f"pushed task {self.number}", flush=True)
        self.number += 1


class Puller(ZmqPullConnection):
    def onPull(self, message: list[bytes]) -> None:
        kind, number = message
        print(f"pulled {kind.decode()} {number.decode()}", flush=True)


def push(factory: ZmqFactory, endpoint: ZmqEndpoint) -> None:
    pusher = Pusher(factory, endpoint)
    LoopingCall(pusher.pushTask).start(1)


def pull(factory: ZmqFactory, endpoint: ZmqEndpoint) -> None:
    Puller(factory, endpoint)


MODES = {"push": (push, "connect"), "pull": (pull, "bind")}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-M", "--mode", choices=MODES, default="pull")
    parser.add_argument("-m", "--method", choices=["bind", "connect"])
    parser.add_argument("-e", "--endpoint", default="tcp://127.0.0.1:5556")
    options = parser.parse_args()
    run, method = MODES[options.mode]
    endpoint = ZmqEndpoint(options.method or method, options.endpoint)
    factory = ZmqFactory()
    factory.registerForShutdown()
    run(factory, endpoint)
    reactor.run()
