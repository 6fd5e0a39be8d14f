"""Hand in jobs, or answer each of them twice; here with the API of txZMQ.

Run it in two terminals, in any order:

    python examples/txzmq/routerdealer.py --mode=dealer
    python examples/txzmq/routerdealer.py --mode=router
"""

import argparse

import zmq
from twisted.internet import reactor
from twisted.internet.task import LoopingCall

from zmqbridge.txzmq import ZmqDealerConnection, ZmqEndpoint, ZmqFactory, ZmqRouterConnection


class Router(ZmqRouterConnection):
    def gotMessage(self, dealer: bytes, job: bytes) -> None:
        print(f"got {job.decode()} from {dealer.hex()}", flush=True)
        self.sendMultipart(dealer, [job, b"accepted"])
        self.sendMultipart(dealer, [job, b"done"])


class Dealer(ZmqDealerConnection):
    number = 1

    def sendJob(self) -> None:
        try:
            self.sendMsg(b"job %d" % self.number)
        except zmq.Again:
            return  # there is no router: the next call tries again
        print(f"sent job {self.number}", flush=True)
        self.number += 1

    def gotMessage(self, job: bytes, state: bytes) -> None:
        print(f"{job.decode()} is {state.decode()}", flush=True)


def route(factory: ZmqFactory, endpoint: ZmqEndpoint) -> None:
    Router(factory, endpoint)


def deal(factory: ZmqFactory, endpoint: ZmqEndpoint) -> None:
    dealer = Dealer(factory, endpoint)
    LoopingCall(dealer.sendJob).start(1)


MODES = {"dealer": (deal, "connect"), "router": (route, "bind")}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-M", "--mode", choices=MODES, default="router")
    parser.add_argument("-m", "--method", choices=["bind", "connect"])
    parser.add_argument("-e", "--endpoint", default="tcp://127.0.0.1:5558")
    options = parser.parse_args()
    run, method = MODES[options.mode]
    endpoint = ZmqEndpoint(options.method or method, options.endpoint)
    factory = ZmqFactory()
    factory.registerForShutdown()
    run(factory, endpoint)
    reactor.run()
