"""Guards: a socket stays in the process that made it; and the place where a socket was made.

libzmq's sockets do not survive a fork: the child does not have their I/O threads, and shares their
descriptors with the parent. So the child touches nothing of them, not even to close them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar
from weakref import WeakSet

import zmq

from zmqbridge.errors import SocketClosed, UsedAfterFork, WrongThread

if TYPE_CHECKING:
    from zmqbridge._bridge.driver import Driver

HERE = os.path.dirname(os.path.dirname(__file__)) + os.sep

SourceLine = tuple[str, int]
Item = TypeVar("Item")


class Owned(Protocol):
    """An object that belongs to the process in which it was made."""

    @property
    def sent(self) -> int:
        """How many messages its pump has sent."""

    def disown(self) -> None:
        """Refuse every call from now on: this process is a forked child."""

    def libzmq(self) -> zmq.Socket[Any] | None:
        """Its libzmq socket while that is open, otherwise None."""

    def busy(self) -> bool:
        """Whether a thread other than this one may be using that socket now."""


def in_forked_child(call: Callable[[], object]) -> None:
    """Register a function to be called in each forked child; where there is no fork, never."""
    if hasattr(os, "register_at_fork"):  # Windows does not have it
        os.register_at_fork(after_in_child=call)


open_sockets: WeakSet[Owned] = WeakSet()
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
    for owned in snapshot(open_sockets):
        owned.disown()
    open_sockets.clear()


in_forked_child(_in_child)


class Guard:
    """Tells which calls may be made: on an open socket, in its process, in the thread of its loop.

    Args:
        driver: knows the loop.
        closed_error: what is raised when the socket is closed.

    Attributes:
        closed: whether the socket was closed, by the user or because its context was terminated; or
            is not open yet. A subclass sets it.
        forked: whether this process is a forked child of the one that made the socket.
        said: whether a call has raised `UsedAfterFork`, so that it need not be logged.
    """

    __slots__ = ("closed_error", "driver", "forked", "said")

    closed: bool
    ended: ClassVar[str] = ""
    """What an error adds to the `repr` of a closed socket."""

    def __init__(self, driver: Driver, closed_error: type[SocketClosed] = SocketClosed) -> None:
        self.driver: Driver = driver
        self.closed_error: type[SocketClosed] = closed_error
        self.forked: bool = False
        self.said: bool = False

    def check_open(self) -> None:
        """Refuse a call that cannot be served.

        Raises:
            UsedAfterFork: the socket was made in another process.
            SocketClosed: it is closed.
            WrongThread: its loop runs in another thread.
        """
        if self.closed or get_ident() != self.driver.home_thread:
            self.refuse()

    def refuse(self) -> None:
        """Raise the error for a call, if one is due.

        Before the loop runs and after it, any thread may call.
        """
        if self.forked:
            self.said = True
            raise self.of_parent()
        if self.closed:
            raise self.closed_error(f"{self!r}{self.ended}: make a new one")
        driver = self.driver
        driver.come_home()
        if driver.home_thread not in (0, get_ident()) and driver.running():
            raise WrongThread(
                f"{self!r} belongs to the thread of its loop: hand the call over by {driver.way_in}"
            )

    def disown(self) -> None:
        """This process is a forked child: refuse every call from now on."""
        self.forked = True

    def of_parent(self) -> UsedAfterFork:
        """The error of a forked child."""
        return UsedAfterFork(f"{self!r} belongs to the parent process: make a new one here")

    def busy(self) -> bool:
        """Whether a thread other than this one may be using the socket now."""
        return self.driver.busy()


def leave_to_parent(socket: zmq.Socket[Any] | None, context: zmq.Context[Any] | None) -> None:
    """Prevent pyzmq from closing these in this process, and from warning that they are open."""
    if socket is not None:
        object.__setattr__(socket, "_shadow", True)  # tells pyzmq that it does not own the socket
    if context is not None:
        _contexts.append(context)


def calling_line() -> SourceLine:
    """The file and line that called into this library."""
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(HERE):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
