"""Exhaustion: why there is no room for one more socket, and what to do about it."""

from __future__ import annotations

import errno
import os
from typing import Any

import zmq

from zmqbridge.errors import ResourcesExhausted

NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE})


def why_no_room(context: zmq.Context[Any] | None) -> str:
    """The cause and the remedy when libzmq says EMFILE.

    EMFILE has two possible causes: the process has no descriptor left, or the context has reached
    its largest number of sockets.
    """
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return (
            "no room for one more descriptor: this process has as many open as it may; close what "
            "it does not need, or raise its limit (ulimit -n, LimitNOFILE=)"
        )
    most = "" if context is None else f"={context.get(zmq.MAX_SOCKETS)}"
    return (
        f"no room for one more socket: its context has as many as it may (zmq.MAX_SOCKETS{most}; "
        "one that is monitored counts three times); close some, or give context= one of your own, "
        "whose zmq.MAX_SOCKETS was set before its first socket"
    )


def explained(error: zmq.ZMQError, context: zmq.Context[Any] | None) -> Exception:
    """The error to raise: `ResourcesExhausted` if there is no room, otherwise the same error."""
    if error.errno not in NO_ROOM:
        return error
    return ResourcesExhausted(why_no_room(context), error.errno)
