"""Parting: ends a connection of a socket without losing half of a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge._bridge.calls import recv_of

if TYPE_CHECKING:
    from zmqbridge._bridge.pump import Pump
    from zmqbridge.core.framing import Message

DONTWAIT = int(zmq.DONTWAIT)
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
            message = whole(recv_of(socket))
        except (zmq.ZMQError, MemoryError):
            pass  # there is none, or a turn meets the same error and handles it
    try:
        return call(socket, address)
    finally:
        if message is not None:
            pump.received += 1
            pump.standing_by(pump.hand_over, [message])
            pump.schedule()


def whole(recv: Callable[..., Any]) -> Message:
    """The next message.

    Raises:
        zmq.ZMQError: there is none.
        MemoryError: there is no memory for it.
    """
    frame = recv(DONTWAIT, False)
    message = [frame.bytes]
    while frame.more:
        frame = recv(DONTWAIT, False)
        message.append(frame.bytes)
    return message
