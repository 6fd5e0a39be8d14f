"""WatchedSocket: a pyzmq socket that tells its owner when a program replaces its methods.

The tests of a program put mocks on a socket, and tracing tools replace methods of ``zmq.Socket``.
The pump does not call such methods. An owner that wants them to be called asks this module.
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
    """A method of ``zmq.Socket``; None if it was replaced before this module was imported."""
    code = getattr(method, "__code__", None)
    return method if code and code.co_filename == zmq.sugar.socket.__file__ else None


SEND = _genuine(zmq.Socket.send)
RECV, GET = CompiledSocket.recv, CompiledSocket.get


class WatchedSocket(ReceivingSocket):
    """Calls `meddled` when a program puts a method of its own on this socket."""

    meddled: Callable[[], None] = staticmethod(lambda: None)

    def __setattr__(self, key: str, value: Any) -> None:
        super().__setattr__(key, value)
        if key in CALLS:
            self.meddled()

    def tell_of_meddling(self, meddled: Callable[[], None]) -> None:
        """Call `meddled` from now on when a method of the socket is replaced."""
        object.__setattr__(self, "meddled", meddled)


def untouched(socket: Any) -> bool:
    """Whether the methods of a socket are still pyzmq's."""
    return (
        zmq.Socket.send is SEND
        and zmq.Socket.recv is RECV
        and zmq.Socket.get is GET
        and not CALLS & vars(socket).keys()
    )
