"""WatchedSocket: the pyzmq socket of those who must know that a program has replaced its methods.

Tests of programs put mocks on a socket, tracing puts methods of its own on ``zmq.Socket``. The pump
goes past them; whoever wants them to be called has to ask here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zmq
import zmq.sugar.socket
from zmq.backend import Socket as CompiledSocket

from zmqbridge._bridge.receivingsocket import ReceivingSocket

CALLS = frozenset(("get", "recv", "send"))


def _genuine(method: Any) -> Any:
    """A method of ``zmq.Socket``, None if somebody has replaced it before we came."""
    code = getattr(method, "__code__", None)
    return method if code and code.co_filename == zmq.sugar.socket.__file__ else None


SEND = _genuine(zmq.Socket.send)
RECV, GET = CompiledSocket.recv, CompiledSocket.get


class WatchedSocket(ReceivingSocket):
    """It tells when somebody puts a method of his own on it."""

    meddled: Callable[[], None] = staticmethod(lambda: None)

    def __setattr__(self, key: str, value: Any) -> None:
        super().__setattr__(key, value)
        if key in CALLS:
            self.meddled()

    def tell_of_meddling(self, meddled: Callable[[], None]) -> None:
        """Have `meddled` called then."""
        object.__setattr__(self, "meddled", meddled)


def untouched(socket: Any) -> bool:
    """Whether a socket's methods are pyzmq's."""
    return (
        zmq.Socket.send is SEND
        and zmq.Socket.recv is RECV
        and zmq.Socket.get is GET
        and not CALLS & vars(socket).keys()
    )
