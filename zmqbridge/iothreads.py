"""OwnContext: a libzmq context whose I/O threads can be kept from interrupting the loop (Linux).

A send wakes the I/O thread, and where no core is idle the kernel soon lets it run in place of the
thread that sends. It finds one message or a few, makes a system call or two for them, and sleeps
until the next send: 0.15 times a request, measured with 1,000 outstanding on two cores. While it is
held it waits until a core is free, and then takes all there is at once: 0.02 times a request, half
as many requests again (``python -m benchmarks.threads``).

What holds it is the policy SCHED_BATCH, whose threads interrupt nobody when they wake (sched(7)).
Held for good, a lone message would wait for a core as well, for 8 ms where other programs keep them
all busy. So it is the pump that holds, for as long as it has a crowd of messages on its hands.
"""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import count

import zmq

HOLDABLE = hasattr(os, "SCHED_BATCH") and hasattr(os, "sched_setscheduler")
TASKS = "/proc/self/task"

_numbers = count(1)


class OwnContext(zmq.Context[zmq.Socket[bytes]]):
    """A context that this library made, so that it may say when its I/O threads run.

    Where the system has no such policy or forbids to set it, or the process runs under another
    one, `hold` and `let_go` do nothing.

    Args:
        io_threads: how many of them libzmq uses.
    """

    # Class attributes, because pyzmq takes other names for options of the context.
    _name = ""
    _threads: tuple[int, ...] = ()
    _holdable = False

    def __init__(self, io_threads: int = 1) -> None:
        super().__init__(io_threads)
        if HOLDABLE:
            number = next(_numbers)
            with suppress(zmq.ZMQError):  # a libzmq before 4.2.3 does not name its threads
                self.set(zmq.THREAD_NAME_PREFIX, number)
                self._name = f"{number}/ZMQbg/IO"
                self._holdable = True

    def hold(self) -> None:
        """Have the I/O threads interrupt nobody, until `let_go`; holding twice is fine."""
        if self._holdable:
            self._schedule(os.SCHED_BATCH)

    def let_go(self) -> None:
        """Have the I/O threads run as soon as there is something to do, as they usually do."""
        if self._holdable:
            self._schedule(os.SCHED_OTHER)

    def _schedule(self, policy: int) -> None:
        try:
            for thread in self._threads or self._find():
                os.sched_setscheduler(thread, policy, os.sched_param(0))
        except OSError:  # forbidden, as containers may; or the context was terminated
            self._holdable = False

    def _find(self) -> tuple[int, ...]:
        # They start with the first socket and then name themselves, so it may be too early.
        found = []
        for task in os.listdir(TASKS):
            try:
                with open(f"{TASKS}/{task}/comm") as name:
                    if name.read().startswith(self._name):
                        found.append(int(task))
            except (FileNotFoundError, ProcessLookupError):
                pass  # a thread that has just ended
        if len(found) == self.get(zmq.IO_THREADS):
            self._threads = tuple(found)
            self._holdable = all(
                os.sched_getscheduler(thread) == os.SCHED_OTHER for thread in found
            )
        return self._threads if self._holdable else ()
