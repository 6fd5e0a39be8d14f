"""The lingers of sockets: what is noted when one closes, so that what it has sent can leave."""

from __future__ import annotations

from contextlib import suppress
from math import inf
from typing import Any

import zmq
from zmq.backend import Socket as CompiledSocket

from zmqbridge._bridge.addresses import CONNECTED_AT, INPROC, IPC, SENT, Place, forget_all, left
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
TYPE = int(zmq.TYPE)
SEND_NOTHING = frozenset({int(zmq.PULL), int(zmq.SUB)})
# When a socket closes right after it was connected: how long to wait, in the loop, until its
# connection exists. Mostly that takes 0.2 ms; where no peer listens, the wait is for nothing.
RECENT = 0.1  # seconds
COMING = 0.002  # seconds


def is_far(address: str) -> bool:
    """Whether an address is outside this process."""
    return not address.startswith("inproc:")


def close(socket: Any, sent: int) -> None:
    """Close a socket, also a mock: its context lingers for it, and its inproc names are free now.

    Args:
        socket: pyzmq's.
        sent: how many messages were sent on it without its own methods.
    """
    for name in getattr(socket, "__dict__", {}).get(INPROC, ()):
        # libzmq closes in another thread, and only there would the name become free.
        with suppress(zmq.ZMQError):  # it was unbound, or the socket was closed, before
            raw(socket).unbind(socket, name)
    closing(socket, sent)
    left(socket)
    socket.close()


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
    """Over ipc, let the peer read what a socket wrote, when the socket closes or leaves an address.

    If the user has set no linger and there are connections, the `UNREAD_LIMIT` of `ipclinger` is
    the linger of these connections, and becomes that of the socket; a caller whose socket stays
    open sets the old one again. With a linger of 0 nothing is held.

    Returns:
        Whether a connection is held.
    """
    if not isinstance(socket, CompiledSocket):  # simulated peers lose nothing, and a mock has none
        return False
    state = vars(socket)
    # There may be no descriptor left to load the module; or the socket was closed already.
    with suppress(ImportError, OSError, TypeError, zmq.ZMQError):
        if CompiledSocket.get(socket, TYPE) in SEND_NOTHING:
            return False
        from zmqbridge._bridge.ipclinger import UNREAD_LIMIT, copies

        linger: Any = CompiledSocket.get(socket, LINGER_OF)
        wanted = linger
        if linger == LINGER and LINGER_IS_GIVEN not in state:
            wanted = int(UNREAD_LIMIT * 1000)
        until = inf if wanted < 0 else monotonic() + wanted / 1000
        young = monotonic() - state[CONNECTED_AT] < RECENT
        held = bool(wanted) and copies.keep([left] if left else state[IPC], until, COMING * young)
        if held and wanted != linger:
            CompiledSocket.set(socket, LINGER_OF, wanted)
        return held
    return False
