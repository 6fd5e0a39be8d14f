"""Types: the kind of simulated socket for each ØMQ socket type, and which types fit each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import zmq

from zmqbridge.testing._kinds import Dealer, Kind, Pair, Pull, Push
from zmqbridge.testing._routing import Rep, Req, Router
from zmqbridge.testing._topics import Publisher, Subscriber, XPublisher, XSubscriber

if TYPE_CHECKING:
    from zmqbridge.testing._socketstate import SocketState

KINDS: dict[int, Callable[[SocketState], Kind]] = {
    zmq.PAIR: Pair, zmq.PUB: Publisher, zmq.SUB: Subscriber, zmq.REQ: Req, zmq.REP: Rep,
    zmq.DEALER: Dealer, zmq.ROUTER: Router, zmq.PULL: Pull, zmq.PUSH: Push, zmq.XPUB: XPublisher,
    zmq.XSUB: XSubscriber,
}  # fmt: skip

# Which types fit each other (``check_socket_type`` in libzmq's mechanism.cpp).
FITS: dict[int, frozenset[int]] = {
    zmq.PAIR: frozenset({zmq.PAIR}),
    zmq.PUB: frozenset({zmq.SUB, zmq.XSUB}),
    zmq.SUB: frozenset({zmq.PUB, zmq.XPUB}),
    zmq.XPUB: frozenset({zmq.SUB, zmq.XSUB}),
    zmq.XSUB: frozenset({zmq.PUB, zmq.XPUB}),
    zmq.REQ: frozenset({zmq.REP, zmq.ROUTER}),
    zmq.REP: frozenset({zmq.REQ, zmq.DEALER}),
    zmq.DEALER: frozenset({zmq.REP, zmq.DEALER, zmq.ROUTER}),
    zmq.ROUTER: frozenset({zmq.REQ, zmq.DEALER, zmq.ROUTER}),
    zmq.PULL: frozenset({zmq.PUSH}),
    zmq.PUSH: frozenset({zmq.PULL}),
}
