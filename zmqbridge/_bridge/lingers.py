"""The lingers of sockets: what is noted when one closes, so that what it has sent can leave."""

from __future__ import annotations

from contextlib import suppress
from math import inf
from typing import Any

import zmq

from zmqbridge._bridge.addresses import IPC, SENT, Place, forget_all
from zmqbridge._bridge.calls import raw
from zmqbridge._bridge.clock import monotonic
from zmqbridge._bridge.iothreads import OwnContext

# Enough for what was just sent to leave the process. Not zero: closing a TCP socket without
# linger while a large message is half on the wire can abort the process in libzmq 4.3.5.
LINGER = 100  # milliseconds
# Over ipc the default is longer. If the user has set a linger, this name is in the socket's
# __dict__, and the user's value holds.
LINGER_IS_GIVEN = "_zmqbridge_linger"
LINGER_OF = int(zmq.LINGER)


def is_far(address: str) -> bool:
    """Whether an address is outside this process."""
    return not address.startswith("inproc:")


def closing(socket: Any, sent: int) -> int:
    """Note, when a socket closes, how long its context lingers for it, if the context is ours.

    Args:
        socket: pyzmq's.
        sent: how many messages were sent on it without its own methods.

    Returns:
        The linger of the socket, in milliseconds; 0 if there is nothing to wait for.
    """
    state = getattr(socket, "__dict__", ())
    if IPC in state:
        forget_all(socket, (sent > 0 or SENT in state) and hold(socket))
    context = socket.context
    if not isinstance(context, OwnContext):
        return 0
    try:
        linger: int = raw(socket).get(socket, LINGER_OF)
    except (TypeError, zmq.ZMQError):  # no socket of pyzmq's; or it is closed already
        return 0
    until = inf if linger < 0 else monotonic() + linger / 1000
    if until > context.lingers_until:
        # This avoids pyzmq's own __setattr__, which first looks for an option of that name.
        vars(context)["lingers_until"] = until
    return linger


def hold(socket: Any, left: Place | None = None) -> bool:
    """Over ipc: let the peer read what a socket wrote, though it closes or leaves an address.

    See `zmqbridge._bridge.ipclinger`, which is loaded by this.

    Returns:
        Whether there is anything to hold.
    """
    with suppress(ImportError, OSError):  # e.g. there is no descriptor left to load the module
        from zmqbridge._bridge import ipclinger

        return ipclinger.hold(socket, left)
    return False
