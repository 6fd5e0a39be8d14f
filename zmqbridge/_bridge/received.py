"""Received: the core's `Receiving`, which follows options that users set on the libzmq socket."""

from __future__ import annotations

from typing import Any, TypeVar

import zmq

from zmqbridge._bridge.calls import raw
from zmqbridge.core._checks import check_prefetch, check_prefetch_bytes, check_send_queue
from zmqbridge.core.patterns import Receiving
from zmqbridge.core.sendqueue import HIGH

Item = TypeVar("Item")
Waiter = TypeVar("Waiter")

CONFLATING = (zmq.PULL, zmq.DEALER, zmq.SUB)  # on others that receive the option does nothing


class Received(Receiving[Item, Waiter]):
    """The pattern of receiving sockets: RCVHWM and CONFLATE bound how many messages wait."""

    __slots__ = ()

    def option_set(self, socket: zmq.Socket[bytes], option: int, value: Any) -> None:
        """A user has set an option; the socket schedules a turn, as this may silence the FD."""
        if option == zmq.RCVHWM:
            self.high = value
        elif option == zmq.CONFLATE:
            # libzmq keeps the newest message if we hold none.
            self.conflates = bool(value) and raw(socket).get(socket, zmq.TYPE) in CONFLATING
        else:
            return
        self.limit()


def of_receivers(given: Any) -> dict[str, Any]:
    """Take out the arguments of receiving sockets, and check them.

    Raises:
        TypeError, ValueError: as `check_prefetch` and `check_prefetch_bytes`.
    """
    prefetch, most = given.pop("prefetch", None), given.pop("prefetch_bytes", None)
    return {
        "prefetch": None if prefetch is None else check_prefetch(prefetch),
        "prefetch_bytes": None if most is None else check_prefetch_bytes(most),
    }


def high_of(given: Any, default: float = HIGH) -> float:
    """Take out the high water mark of the send queue, and check it.

    Raises:
        TypeError, ValueError: as `check_send_queue`.
    """
    wanted = given.pop("send_queue", None)
    return default if wanted is None else check_send_queue(wanted)
