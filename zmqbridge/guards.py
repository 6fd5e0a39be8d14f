"""Guards: a socket stays with the process that made it; where a forgotten one was made.

libzmq's sockets do not survive a fork: their I/O threads are not there in the child, and their
descriptors are the parent's too. So nothing of them is touched there, not even to close them.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Protocol
from weakref import WeakSet

import zmq

HERE = os.path.dirname(__file__) + os.sep

Place = tuple[str, int]


class Owned(Protocol):
    """What belongs to the process in which it was made."""

    def _disown(self) -> None:
        """This is a child of that process: refuse every call from now on."""


living: WeakSet[Owned] = WeakSet()
# In a child these live as long as it does, because pyzmq would warn of their end.
_contexts: list[zmq.Context[Any]] = []


def _in_child() -> None:
    for owned in list(living):
        owned._disown()
    living.clear()


os.register_at_fork(after_in_child=_in_child)


def leave_to_parent(socket: zmq.Socket[Any] | None, context: zmq.Context[Any] | None) -> None:
    """Have pyzmq neither close these in this process nor complain that nobody did."""
    if socket is not None:
        object.__setattr__(socket, "_shadow", True)  # to pyzmq: the socket is somebody else's
    if context is not None:
        _contexts.append(context)


def calling_place() -> Place:
    """The file and line that called into this library."""
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(HERE):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
