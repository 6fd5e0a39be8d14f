"""ReceivingSocket: the pyzmq socket of those who receive, which tells what is set on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zmq

from zmqbridge._bridge.bridgedsocket import BridgedSocket

# What bears on the messages that are held: how many, and which.
TOLD = frozenset({zmq.RCVHWM, zmq.SNDHWM, zmq.CONFLATE, zmq.SUBSCRIBE, zmq.UNSUBSCRIBE})


class ReceivingSocket(BridgedSocket):
    """Whatever way an option is set that bears on what is held, the owner of the socket is told."""

    was_set: Callable[[zmq.Socket[bytes], int, Any], object] = staticmethod(lambda *_: None)

    def tell(self, owner: Callable[[zmq.Socket[bytes], int, Any], object]) -> None:
        """Have `owner` called with this socket, each such option, and the value it was given."""
        object.__setattr__(self, "was_set", owner)  # past pyzmq's own, as in `watch`

    def set(self, option: int, optval: Any) -> None:
        super().set(option, optval)
        if option in TOLD:
            self.was_set(self, option, optval)

    setsockopt = set
