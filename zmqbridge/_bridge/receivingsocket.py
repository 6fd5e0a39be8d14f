"""ReceivingSocket: the pyzmq socket that tells its owner of options, and refuses some."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import zmq

from zmqbridge._bridge.bridgedsocket import Bridged, BridgedSocket
from zmqbridge.errors import OptionError

TAGS = (zmq.SUBSCRIBE, zmq.UNSUBSCRIBE)
# The options that affect the messages we hold: how many, and which.
TOLD = frozenset({zmq.RCVHWM, zmq.SNDHWM, zmq.CONFLATE, *TAGS})

Refused = Mapping[int, tuple[Callable[[Any], bool], str]]
"""Of options: whether a value of it is refused, and why."""

AWAY = "would have subscriptions wait for an answer that only a blocking program can give"
OF_PUBLISHERS: Refused = dict.fromkeys(
    (zmq.XPUB_MANUAL, zmq.XPUB_MANUAL_LAST_VALUE),
    (bool, f"{AWAY}, so no subscriber would receive anything"),
)


def refuse(refused: Refused, option: int, value: Any) -> None:
    """Look whether this value may be set.

    Raises:
        OptionError: it may not.
    """
    wrong, why = refused.get(option, (None, ""))
    if wrong is not None and isinstance(value, int) and wrong(value):
        raise OptionError(f"zmq.{zmq.SocketOption(option).name}={value} {why}")


class Telling(Bridged):
    """Tells the owner when an option of `TOLD` is set, by any method of the socket.

    Attributes:
        refused: the options that the owner does not allow, by any method either.
    """

    refused: Refused = {}

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
        if option in self.refused:
            refuse(self.refused, option, optval)
        tagged = option in TAGS and type(optval) is bytes and not self.closed
        if tagged and self.repeats(optval, option == zmq.SUBSCRIBE):
            return
        super().set(option, optval)
        if option in TOLD:
            self.was_set(self, option, optval)

    setsockopt = set


class ReceivingSocket(Telling, BridgedSocket):
    """The pyzmq socket that receiving and publishing classes have."""
