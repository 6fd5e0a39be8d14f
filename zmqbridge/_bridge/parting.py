"""Parting: ends a connection of a socket without losing half of a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import zmq

if TYPE_CHECKING:
    from zmqbridge._bridge.pump import Pump

# They take the first part of the next message from its connection when EVENTS are read.
AHEAD = frozenset({zmq.SUB, zmq.XSUB, zmq.ROUTER})


def disconnect(pump: Pump, socket: Any, address: Any, call: Callable[[Any, Any], Any]) -> Any:
    """Disconnect a socket from an address, after taking the message that libzmq has begun to read.

    Otherwise libzmq 4.3.5 would drop its other parts with the connection, and end the process when
    it looks for them.

    Args:
        pump: of the socket; it hands the message over.
        socket: which.
        address: from where.
        call: the method that disconnects, as a function.

    Raises:
        zmq.ZMQError: as by the method.
    """
    message = None
    if socket.type in AHEAD and not socket.closed:
        try:
            message = pump.take()
        except zmq.ZMQError:
            pass  # there is none, or a turn meets the same error and handles it
        except MemoryError:
            pump.schedule()  # a turn reports it
    try:
        return call(socket, address)
    finally:
        if message is not None:
            pump.received += 1
            pump.standing_by(pump.hand_over, [message])
            pump.schedule()
