"""Exhaustion: says why there is no room for a socket, and keeps a few descriptors back."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import zmq
from zmq.backend import Socket as BackendSocket

from zmqbridge._bridge.guards import in_forked_child
from zmqbridge.errors import ResourcesExhausted

NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE})

# libzmq needs one descriptor for another monitor. But its I/O thread uses every free descriptor to
# accept connections, about 20 µs for each, and on a busy machine we may have to wait for a lock
# that this thread holds. So one is not enough.
SIZE = 16

# What libzmq opens for a mailbox, and for a thread beside it. Only Linux has a descriptor that one
# thread can wake another by; elsewhere that takes a pair of sockets.
MAILBOX = 1 if sys.platform == "linux" else 2
POLLER = 1
# In the context's `vars`: that it has had a socket, or that we have seen room for its first.
STARTED = "_zmqbridge_started"
# Whether a socket's FD is a descriptor like others.
LOOKS = sys.platform != "win32"


def check_bind(socket: zmq.Socket[Any], address: Any) -> None:
    """Refuse to bind where libzmq would abort the process.

    libzmq looks for the host among the interfaces, and aborts if it has no descriptor to ask the
    kernel for them.

    Raises:
        zmq.ZMQError: EMFILE.
    """
    start = "tcp:" if isinstance(address, str) else b"tcp:"
    if LOOKS and address[:4] == start and address[6:7] not in ("*", b"*"):
        try:  # a third of the time of os.open
            os.close(os.dup(int(BackendSocket.get(socket, zmq.FD))))
        except OSError as error:
            raise zmq.ZMQError(error.errno) from None


def has_room(number: int) -> bool:
    """Whether this process can open as many descriptors."""
    opened: list[int] = []
    try:
        opened.append(os.open(os.devnull, os.O_RDONLY))
        while len(opened) < number:
            opened.append(os.dup(opened[0]))
    except OSError:
        return False
    finally:
        for each in opened:
            os.close(each)
    return True


def check_start(context: Any) -> Any:
    """Refuse the first socket of a context where libzmq would abort the process.

    With its first socket a context starts its threads. libzmq aborts if one of them cannot open its
    descriptors.

    Returns:
        The context.

    Raises:
        zmq.ZMQError: EMFILE; `explained` says what it means.
    """
    # A test may have put in a mock.
    if isinstance(context, zmq.Context) and STARTED not in vars(context):
        if not has_room(_needed(context)):
            raise zmq.ZMQError(errno.EMFILE)
        vars(context)[STARTED] = True
    return context


def _needed(context: Any) -> int:
    """How many descriptors one more socket takes, with the threads that it may start."""
    if not isinstance(context, zmq.Context) or STARTED in vars(context) or context._sockets:
        return MAILBOX
    try:
        threads = context.get(zmq.IO_THREADS) + 1  # the last one closes sockets
    except (zmq.ZMQError, TypeError):  # it has ended, as whoever makes the socket will hear
        return MAILBOX
    return MAILBOX + threads * (MAILBOX + POLLER)


def why_no_room(context: zmq.Context[Any] | None) -> str:
    """The cause and the remedy when libzmq says EMFILE.

    EMFILE has two possible causes: the process has no descriptor left, or the context has reached
    its largest number of sockets.
    """
    needed = _needed(context)
    if not has_room(needed):
        more = "one more descriptor"
        if needed > MAILBOX:
            more = f"the {needed} descriptors that a new context needs"
        return (
            f"no room for {more}: this process has as many open as it may; close what "
            "it does not need, or raise its limit (ulimit -n, LimitNOFILE=)"
        )
    most = "" if context is None else f"={context.get(zmq.MAX_SOCKETS)}"
    return (
        f"no room for one more socket: its context has as many as it may (zmq.MAX_SOCKETS{most}; "
        "a monitored socket counts three times); close some, or give context= a context of your "
        "own, whose zmq.MAX_SOCKETS was set before its first socket"
    )


def explained(error: zmq.ZMQError, context: zmq.Context[Any] | None) -> Exception:
    """The error to raise: `ResourcesExhausted` if there is no room, otherwise the same error."""
    number = error.errno
    # pyzmq reads errno after Python code has run. If the collector comes then, and asks whether a
    # forgotten socket is closed, ENOTSOCK is there, which zmq_socket(3) itself never says.
    if number == zmq.ENOTSOCK:
        number = errno.EMFILE
    if number not in NO_ROOM:
        return error
    return ResourcesExhausted(why_no_room(context), number)


class Reserve:
    """Holds the descriptors while there is at least one user; all methods work in any thread."""

    def __init__(self) -> None:
        self._held: list[int] = []
        self._users: set[int] = set()

    def __len__(self) -> int:
        return len(self._held)

    def join(self, user: object) -> None:
        """Add a user, which may need the descriptors."""
        self._users.add(id(user))
        self.fill()

    def leave(self, user: object) -> None:
        """Remove a user; the last one to leave closes the descriptors."""
        self._users.discard(id(user))
        if not self._users:
            self.empty()

    def fill(self) -> bool:
        """Open the missing descriptors; False if the process cannot have that many."""
        missing = SIZE - len(self._held)
        if missing <= 0:
            return True
        try:
            own = os.open(os.devnull, os.O_RDONLY)
        except OSError:
            return False
        with suppress(OSError):
            for _ in range(missing - 1):
                self._held.append(os.dup(own))  # takes a third of the time of os.open
        self._held.append(own)
        return len(self._held) >= SIZE

    def empty(self) -> None:
        """Close all of them."""
        with suppress(IndexError):  # another thread closes them at the same time
            while True:
                os.close(self._held.pop())

    @contextmanager
    def released(self) -> Iterator[None]:
        """Close the descriptors for the time of a ``with``, so that libzmq can use them."""
        self.empty()
        try:
            yield
        finally:
            self.fill()

    def disown(self) -> None:
        """Forget all users and close the descriptors: this process is a forked child."""
        self._users.clear()
        self.empty()


reserve = Reserve()
in_forked_child(reserve.disown)
