"""Parting: ends a connection of a socket without losing half of a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import zmq

if TYPE_CHECKING:
    from zmqbridge._bridge.pump import Pump

# When EVENTS of a socket of these types are read, libzmq takes the first part of the next message
# from its connection.
AHEAD = frozenset({zmq.SUB, zmq.XSUB, zmq.ROUTER})


def disconnect(pump: Pump, socket: Any, address: Any, call: Callable[[Any, Any], Any]) -> Any:
    """Disconnect a socket from an address, after taking the message that libzmq has begun to read.

    Otherwise libzmq 4.3.5 would drop its other parts with the connection, and end the process when
    it looks for them.

    Args:
        pump: the pump of the socket; it hands the message over.
        socket: the socket to disconnect.
        address: the address that it leaves.
        call: the method that disconnects, as a function.

    Raises:
        zmq.ZMQError: the method has raised it.
    """
    message = None
    if socket.type in AHEAD and not socket.closed:
        try:
            message = pump.take()
        except zmq.ZMQError:
            pass  # there is no message, or a turn meets the same error and handles it
        except MemoryError:
            pump.schedule()  # a turn reports it
    try:
        return call(socket, address)
    finally:
        if message is not None:
            pump.received += 1
            pump.standing_by(pump.hand_over, [message])
            pump.schedule()
