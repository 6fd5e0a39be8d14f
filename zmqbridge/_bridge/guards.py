"""Guards: a socket stays in the process that made it; and the place where a socket was made.

libzmq's sockets do not survive a fork: the child does not have their I/O threads, and shares their
descriptors with the parent. So the child touches nothing of them, not even to close them.
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
    """An object that belongs to the process in which it was made."""

    @property
    def _pump(self) -> Any:
        """Its pump, if it has a socket."""

    def _disown(self) -> None:
        """Refuse every call from now on: this process is a forked child."""

    def _libzmq(self) -> zmq.Socket[Any] | None:
        """Its libzmq socket while that is open, otherwise None."""

    def _busy(self) -> bool:
        """Whether a thread other than this one may be using that socket now."""


def in_forked_child(call: Callable[[], object]) -> None:
    """Register a function to be called in each forked child; where there is no fork, never."""
    if hasattr(os, "register_at_fork"):  # Windows does not have it
        os.register_at_fork(after_in_child=call)


living: WeakSet[Owned] = WeakSet()
# The parent's contexts. A child keeps them until it ends, because pyzmq would warn when they die.
_contexts: list[zmq.Context[Any]] = []


def snapshot(those: Iterable[Item]) -> list[Item]:
    """The members now, while other threads may add more."""
    while True:
        try:
            return list(those)
        except RuntimeError:  # another thread has changed the set
            pass


def busy(home: int, maker: int, running: bool, over: bool) -> bool:
    """Whether a thread other than this one may be using a socket now.

    Args:
        home: the thread of the socket's loop, 0 before the loop runs.
        maker: the thread that made the socket, 0 if that is not known.
        running: whether the loop says that it runs.
        over: whether the loop will never run again.
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
    """Prevent pyzmq from closing these in this process, and from warning that they are open."""
    if socket is not None:
        object.__setattr__(socket, "_shadow", True)  # tells pyzmq that it does not own the socket
    if context is not None:
        _contexts.append(context)


def calling_place() -> Place:
    """The file and line that called into this library."""
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(HERE):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
