"""ReceivingSocket: the pyzmq socket of receiving classes; it tells its owner of options set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zmq

from zmqbridge._bridge.bridgedsocket import Bridged, BridgedSocket

TAGS = (zmq.SUBSCRIBE, zmq.UNSUBSCRIBE)
# The options that affect the messages we hold: how many, and which.
TOLD = frozenset({zmq.RCVHWM, zmq.SNDHWM, zmq.CONFLATE, *TAGS})


class Telling(Bridged):
    """Tells the owner when an option of `TOLD` is set, by any method of the socket."""

    was_set: Callable[[zmq.Socket[bytes], int, Any], object] = staticmethod(lambda *_: None)

    repeats: Callable[[bytes, bool], bool] = staticmethod(lambda *_: False)

    def tell(
        self,
        owner: Callable[[zmq.Socket[bytes], int, Any], object],
        repeats: Callable[[bytes, bool], bool] | None = None,
    ) -> None:
        """Call `owner` with this socket, the option and its value, for each such option.

        Args:
            owner: what is called.
            repeats: whether a subscription, or its end, changes nothing and is to be left out.
        """
        object.__setattr__(self, "was_set", owner)  # pyzmq's own __setattr__ would look for options
        if repeats is not None:
            object.__setattr__(self, "repeats", repeats)

    def set(self, option: int, optval: Any) -> None:
        tagged = option in TAGS and type(optval) is bytes and not self.closed
        if tagged and self.repeats(optval, option == zmq.SUBSCRIBE):
            return
        super().set(option, optval)
        if option in TOLD:
            self.was_set(self, option, optval)

    setsockopt = set


class ReceivingSocket(Telling, BridgedSocket):
    """The pyzmq socket that receiving classes have."""
