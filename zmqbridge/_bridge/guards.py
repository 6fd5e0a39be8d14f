"""Guards: a socket stays with the process that made it; where a forgotten one was made.

libzmq's sockets do not survive a fork: their I/O threads are not there in the child, and their
descriptors are the parent's too. So nothing of them is touched there, not even to close them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from threading import get_ident
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

import zmq

HERE = os.path.dirname(os.path.dirname(__file__)) + os.sep

Place = tuple[str, int]
Item = TypeVar("Item")


class Owned(Protocol):
    """What belongs to the process in which it was made."""

    @property
    def _pump(self) -> Any:
        """Its pump, if it has a socket."""

    def _disown(self) -> None:
        """This is a child of that process: refuse every call from now on."""

    def _libzmq(self) -> zmq.Socket[Any] | None:
        """Its socket, while that is open."""

    def _busy(self) -> bool:
        """Whether another thread than this may use that socket now."""


def in_forked_child(call: Callable[[], object]) -> None:
    """Have this called in each child that this process forks; where there is no fork, never."""
    if hasattr(os, "register_at_fork"):  # as it is not on Windows
        os.register_at_fork(after_in_child=call)


living: WeakSet[Owned] = WeakSet()
# In a child these live as long as it does, because pyzmq would warn of their end.
_contexts: list[zmq.Context[Any]] = []


def snapshot(those: Iterable[Item]) -> list[Item]:
    """All that live now, though other threads go on making more."""
    while True:
        try:
            return list(those)
        except RuntimeError:  # the set has changed meanwhile
            pass


def busy(home: int, maker: int, running: bool, over: bool) -> bool:
    """Whether another thread than this may use a socket now.

    Args:
        home: the thread of its loop, 0 before that runs.
        maker: the thread that made it, 0 if that is not known.
        running: whether its loop says that it runs.
        over: whether its loop will never run again.
    """
    here, alive = get_ident(), sys._current_frames()
    if home > 0:
        return home != here and home in alive and not over
    return running or (maker != here and maker in alive)


def _in_child() -> None:
    for owned in snapshot(living):
        owned._disown()
    living.clear()


in_forked_child(_in_child)


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
