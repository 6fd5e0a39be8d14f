"""Inproc: how two simulated sockets of one context meet, in either order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge.testing._ends import End, join
from zmqbridge.testing._pipes import ROUTING_ID

if TYPE_CHECKING:
    from zmqbridge.testing._sockets import SimSocket


def bind(socket: SimSocket, name: str) -> None:
    """Bind to a name, and join the ends that have connected to it before.

    Raises:
        zmq.ZMQError: the name is in use.
    """
    context = socket.context
    if name in context.meeting_places:
        raise zmq.ZMQError(zmq.EADDRINUSE)
    context.meeting_places[name] = socket
    for end in context.early.pop(name, []):
        if end.left:
            continue
        near = _meet(socket, end)
        connecting: Any = end.owner
        socket.attach(near)
        if connecting.kind.names:
            if near.outgoing.queue:
                # A probe comes before the routing id here, and libzmq takes it for the routing id.
                end.peer = b"".join(near.outgoing.read())
                near.outgoing.slip(ROUTING_ID)
            end.incoming.wake()
        connecting.spurious()


def connect(socket: SimSocket, name: str) -> None:
    """Connect to a name, which may be bound later."""
    context = socket.context
    end = socket.new_end()
    socket.meetings.setdefault(name, []).append(end)
    bound = context.meeting_places.get(name)
    if bound is None:
        context.early.setdefault(name, []).append(end)
    else:
        bound.attach_later(_meet(bound, end))
    socket.attach(end)


def _meet(bound: SimSocket, end: End) -> End:
    near, connecting = bound.new_end(), end.owner
    near.peer = connecting.options[zmq.ROUTING_ID]  # type: ignore[attr-defined]
    end.peer = bound.options[zmq.ROUTING_ID]
    near.known = end.known = True
    join(end, near)
    return near
