"""Inproc: how two simulated sockets of one context meet, in either order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge.testing._ends import End, join

if TYPE_CHECKING:
    from zmqbridge.testing._sockets import SimSocket


def bind(socket: SimSocket, name: str) -> None:
    """Bind to a name, and meet those who have connected to it already.

    Raises:
        zmq.ZMQError: it is in use.
    """
    context = socket.context
    if name in context.meeting_places:
        raise zmq.ZMQError(zmq.EADDRINUSE)
    context.meeting_places[name] = socket
    for end in context.early.pop(name, []):
        _meet(socket, end, name)


def connect(socket: SimSocket, name: str) -> None:
    """Connect to a name, whether or not it is bound."""
    context = socket.context
    end = socket.new_end()
    socket.meetings.setdefault(name, []).append(end)
    socket.attach(end)
    bound = context.meeting_places.get(name)
    if bound is None:
        context.early.setdefault(name, []).append(end)
    else:
        _meet(bound, end, name)


def _meet(bound: SimSocket, end: End, name: str) -> None:
    near, owner = bound.new_end(), end.owner
    connecting: Any = owner
    near.peer = connecting.options[zmq.ROUTING_ID]
    end.peer = bound.options[zmq.ROUTING_ID]
    join(end, near)
    bound.meetings.setdefault(name, []).append(near)
    bound.attach(near)
    connecting.meet(end)
    # Both look at what there is, as libzmq's commands have them do.
    for each in (near, end):
        if each.incoming.queue:
            each.owner.comes(each)
        each.owner.drains(each)
