"""ReceivingSocket: the pyzmq socket of receiving classes; it tells its owner of options set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zmq

from zmqbridge._bridge.bridgedsocket import Bridged, BridgedSocket

# The options that affect the messages we hold: how many, and which.
TOLD = frozenset({zmq.RCVHWM, zmq.SNDHWM, zmq.CONFLATE, zmq.SUBSCRIBE, zmq.UNSUBSCRIBE})


class Telling(Bridged):
    """Tells the owner when an option of `TOLD` is set, by any method of the socket."""

    was_set: Callable[[zmq.Socket[bytes], int, Any], object] = staticmethod(lambda *_: None)

    def tell(self, owner: Callable[[zmq.Socket[bytes], int, Any], object]) -> None:
        """Call `owner` with this socket, the option and its value, for each such option."""
        object.__setattr__(self, "was_set", owner)  # pyzmq's own __setattr__ would look for options

    def set(self, option: int, optval: Any) -> None:
        super().set(option, optval)
        if option in TOLD:
            self.was_set(self, option, optval)

    setsockopt = set


class ReceivingSocket(Telling, BridgedSocket):
    """The pyzmq socket that receiving classes have."""
