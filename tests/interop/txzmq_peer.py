"""Programs written for txZMQ, each of which relays or answers whatever reaches it.

    python txzmq_peer.py original|facade

A line of JSON on standard input, ``[RELAY, "bind" or "connect", ADDRESS, ...]``, starts one; its
addresses are a line of JSON when it is ready. A line ``[]`` ends it, and is answered by ``[]``. The
process ends with its standard input. What is passed on is changed a little, so that it must have
been understood. Relays that send before they are sent to must connect: the original does not queue
for peers who are not there yet.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

if sys.argv[1] == "facade":
    from zmqbridge.txzmq import install

    install()

import txzmq
import zmq
from twisted.internet import protocol, reactor, stdio
from twisted.protocols.basic import LineReceiver

MARK = b"re"


def publications(make: Callable[..., Any]) -> None:
    """What is heard at the first address is published at the second."""
    heard, publisher = make(txzmq.ZmqSubConnection), make(txzmq.ZmqPubConnection)
    heard.gotMessage = lambda body, tag: publisher.publish(body, tag + MARK)
    heard.subscribe(b"")


def work(make: Callable[..., Any]) -> None:
    """What is pulled at the first address is pushed at the second."""
    puller, pusher = make(txzmq.ZmqPullConnection), make(txzmq.ZmqPushConnection)
    puller.onPull = lambda parts: pusher.push([MARK, *parts])


def replies(make: Callable[..., Any]) -> None:
    """Requests are answered."""
    replier = make(txzmq.ZmqREPConnection)
    replier.gotMessage = lambda request, *parts: replier.reply(request, MARK, *parts)


def requests(make: Callable[..., Any]) -> None:
    """What is pulled at the first address is asked at the second, the reply pushed at the third."""
    puller, requester = make(txzmq.ZmqPullConnection), make(txzmq.ZmqREQConnection)
    pusher = make(txzmq.ZmqPushConnection)

    def ask(parts: list[bytes]) -> None:
        requester.sendMsg(*parts).addCallback(pusher.push)

    puller.onPull = ask


def router(make: Callable[..., Any]) -> None:
    """Messages go back to the peer they came from."""
    ours = make(txzmq.ZmqRouterConnection)
    ours.gotMessage = lambda peer, *parts: ours.sendMultipart(peer, [MARK, *parts])


def dealer(make: Callable[..., Any]) -> None:
    """Says hello, then messages go back."""
    ours = make(txzmq.ZmqDealerConnection)
    ours.gotMessage = lambda *parts: ours.sendMultipart([MARK, *parts])
    ours.sendMsg(b"hello")


RELAYS = {each.__name__: each for each in (publications, work, replies, requests, router, dealer)}


class Parent(LineReceiver):
    """Whoever started this process; without it there is nothing left to do."""

    delimiter = b"\n"
    factory = None

    def lineReceived(self, line: bytes) -> None:
        asked = json.loads(line)
        real: list[str] = []
        if asked:
            self.factory = start(*asked, real=real)
        else:
            self.factory.shutdown()
        print(json.dumps(real), flush=True)

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        reactor.stop()


def start(relay: str, method: str, *addresses: str, real: list[str]) -> Any:
    factory = txzmq.ZmqFactory()
    waiting = list(addresses)

    def make(kind: Any) -> Any:
        connection = kind(factory, txzmq.ZmqEndpoint(method, waiting.pop(0)))
        real.append(connection.socket.get(zmq.LAST_ENDPOINT).decode())
        return connection

    RELAYS[relay](make)
    return factory


stdio.StandardIO(Parent())
reactor.run()
