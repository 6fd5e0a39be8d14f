"""OwnContext: a libzmq context whose I/O threads can be kept from interrupting the loop (Linux).

A send wakes the I/O thread, and where no core is idle the kernel soon lets it run in place of the
thread that sends. It finds one message or a few, makes a system call or two for them, and sleeps
until the next send: 0.15 times a request, measured with 1,000 outstanding on two cores. While it is
held it waits until a core is free, and then takes all there is at once: 0.03 times a request, and a
third more requests a second (``python -m benchmarks.threads``).

What holds it is the policy SCHED_BATCH, whose threads interrupt nobody when they wake (sched(7)).
Held for good, a lone message would wait for a core as well, for 8 ms where other programs keep them
all busy. So it is the pump that holds, for as long as it has a crowd of messages on its hands, and
only while crowds come one upon the other.
"""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import count
from threading import RLock
from typing import Any

import zmq

HOLDABLE = hasattr(os, "SCHED_BATCH") and hasattr(os, "sched_setscheduler")
TASKS = "/proc/self/task"
# They are not to be seen; or the context has ended, which pyzmq says by one or the other, and where
# it is not compiled by handing None to libzmq.
HIDDEN = (OSError, RuntimeError, zmq.ZMQError, TypeError)

_numbers = count(1)


class OwnContext(zmq.Context[zmq.Socket[bytes]]):
    """A context that this library made, so that it may say when its I/O threads run.

    Where the system has no such policy or forbids to set it, or the process runs under another
    one, `hold` and `let_go` do nothing.

    Args:
        io_threads: how many of them libzmq uses.
        shadow: the address of a context of which this is another face; its threads are not held.
    """

    # Class attributes, because pyzmq takes other names for options of the context.
    _name = b""
    _threads: tuple[int, ...] = ()
    _holdable = False
    # For sockets of several loops. It may be taken twice, as a forgotten socket ends anywhere.
    _looking: Any = None
    # When the linger of all its closed sockets is over, on time.monotonic; see `context.py`.
    lingers_until: float = 0.0

    def __init__(self, io_threads: int = 1, shadow: Any = 0) -> None:
        super().__init__(io_threads, shadow)  # type: ignore[call-overload]
        if HOLDABLE and not self._shadow:
            number = next(_numbers)
            with suppress(zmq.ZMQError):  # a libzmq before 4.2.3 does not name its threads
                self.set(zmq.THREAD_NAME_PREFIX, number)
                self._name = b"%d/ZMQbg/IO" % number
                self._looking = RLock()
                self._holdable = True

    def hold(self) -> bool:
        """Have the I/O threads interrupt nobody, until `let_go`; False where that cannot be.

        Holding twice is fine.
        """
        return (
            self._holdable and (bool(self._threads) or self._find()) and self._set(os.SCHED_BATCH)
        )

    def let_go(self) -> None:
        """Have the I/O threads run as soon as there is something to do, as they usually do."""
        if self._threads:
            self._set(os.SCHED_OTHER)

    def _set(self, policy: int) -> bool:
        try:
            for thread in self._threads:
                os.sched_setscheduler(thread, policy, os.sched_param(0))
        except OSError:  # forbidden, as containers may; or the context was terminated
            self._holdable = False
        return self._holdable

    def _find(self) -> bool:
        # They start with the first socket and then name themselves, so it may be too early.
        with self._looking:
            try:
                found = threads_named(self._name)
                wanted = self.get(zmq.IO_THREADS)
                usual = all(os.sched_getscheduler(thread) == os.SCHED_OTHER for thread in found)
            except HIDDEN:
                wanted, usual = 0, False
            if self._threads:  # another loop was faster, and may hold them already
                return True
            if not wanted or not usual:
                self._holdable = False
            elif len(found) == wanted:
                self._threads = tuple(found)
            return bool(self._threads)


def threads_named(start: bytes) -> list[int]:
    """The threads of this process whose names start like this.

    In bytes, for others may have names that are no UTF-8, or were cut amid a character.

    Raises:
        OSError: the system does not show them.
    """
    found = []
    for task in os.listdir(TASKS):
        # A thread may have ended meanwhile.
        with (
            suppress(FileNotFoundError, ProcessLookupError),
            open(f"{TASKS}/{task}/comm", "rb") as it,
        ):
            if it.read().startswith(start):
                found.append(int(task))
    return found
