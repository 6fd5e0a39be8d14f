"""Ask for the squares of numbers, or answer; here with the API of txZMQ.

Run it in two terminals, in any order:

    python examples/txzmq/reqrep.py --mode=req
    python examples/txzmq/reqrep.py --mode=rep
"""

import argparse

import zmq
from twisted.internet import reactor
from twisted.internet.task import LoopingCall

from zmqbridge import SocketClosed
from zmqbridge.txzmq import (
    ZmqEndpoint,
    ZmqFactory,
    ZmqREPConnection,
    ZmqREQConnection,
    ZmqRequestTimeoutError,
)


class Requester(ZmqREQConnection):
    defaultRequestTimeout = 2
    number = 0

    async def ask(self) -> None:
        self.number += 1
        try:
            (square,) = await self.sendMsg(b"%d" % self.number)
            print(f"the square of {self.number} is {square.decode()}", flush=True)
        except (ZmqRequestTimeoutError, zmq.Again):
            print(f"no reply about {self.number} in time", flush=True)
        except SocketClosed:
            pass  # it was Ctrl-C


class Replier(ZmqREPConnection):
    def gotMessage(self, messageId: bytes, message: bytes) -> None:
        number = int(message)
        print(f"asked for the square of {number}", flush=True)
        self.reply(messageId, b"%d" % number**2)


def ask(factory: ZmqFactory, endpoint: ZmqEndpoint) -> None:
    requester = Requester(factory, endpoint)
    LoopingCall(requester.ask).start(1)


def serve(factory: ZmqFactory, endpoint: ZmqEndpoint) -> None:
    Replier(factory, endpoint)


MODES = {"req": (ask, "connect"), "rep": (serve, "bind")}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("-M", "--mode", choices=MODES, default="rep")
    parser.add_argument("-m", "--method", choices=["bind", "connect"])
    parser.add_argument("-e", "--endpoint", default="tcp://127.0.0.1:5557")
    options = parser.parse_args()
    run, method = MODES[options.mode]
    endpoint = ZmqEndpoint(options.method or method, options.endpoint)
    factory = ZmqFactory()
    factory.registerForShutdown()
    run(factory, endpoint)
    reactor.run()
