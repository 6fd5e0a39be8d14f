"""OwnContext: a libzmq context whose I/O threads can be kept from interrupting the loop (Linux).

A send wakes the I/O thread, and where no core is idle the kernel soon lets it run in place of the
thread that sends. The I/O thread finds one message or a few, makes a system call or two for them,
and sleeps until the next send: 0.15 times a request, measured with 1,000 outstanding on two cores.
While it is *held*, it waits until a core is free, and then takes all messages at once: 0.03 times a
request (``python -m benchmarks.threads``).

To hold a thread is to give it the scheduling policy SCHED_BATCH: then it does not interrupt a
running thread when it wakes (sched(7)). If it were always held, a single message would wait for a
core, too, for 8 ms where other programs keep all cores busy. So it is held only while a large burst
is handled, and only while large bursts follow each other closely.
"""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import count
from threading import RLock
from typing import Any
from weakref import ref

import zmq

from zmqbridge._bridge.clock import monotonic

HOLDABLE = hasattr(os, "SCHED_BATCH") and hasattr(os, "sched_setscheduler")
TASKS = "/proc/self/task"
# The threads cannot be seen; or the context has ended, for which pyzmq raises one error or another,
# and a TypeError where it is not compiled.
HIDDEN = (OSError, RuntimeError, zmq.ZMQError, TypeError)

# A burst of this number of messages is large. To hold the I/O thread and let it go takes 1.2 µs,
# and the answers to fewer messages would gain little by leaving together.
LARGE_BURST = 16
# A thread is held after this number of large bursts, each of which came within MAX_GAP seconds
# after the last. Where other programs keep all cores busy, a held thread may wait for the end of
# their time slice, 4 ms, even after it was let go. Then the next burst comes late, and the thread
# is not held for that one.
IN_A_ROW = 4
MAX_GAP = 0.003  # seconds

_numbers = count(1)


class Permission:
    """Whether I/O threads may be held in this process, as `zmqbridge.hold_io_threads` was told."""

    given = True


class Holding:
    """The I/O threads of one context, which wait while large bursts are handled.

    Several loops may use it at once: the first of them that has its next turn lets the threads go.

    - commands: `hold`, `let_run`
    - inputs: `before` and `after` (a burst is handled)

    Attributes:
        held: they are held now; a socket that sees this calls `let_run` at its next turn, and when
            it closes.
    """

    __slots__ = ("_context", "_handled_at", "_holdable", "_large_bursts", "_looking", "_name",
                 "_threads", "held")  # fmt: skip

    def __init__(self, context: zmq.Context[Any], name: bytes) -> None:
        self._context = ref(context)
        self._name = name
        self._threads: tuple[int, ...] = ()
        self._holdable = True
        # For sockets of several loops. It may be taken twice, as a forgotten socket ends anywhere.
        self._looking = RLock()
        # How many large bursts came close upon each other, and when the last one was handled.
        self._large_bursts = 0
        self._handled_at = 0.0
        self.held: bool = False

    def before(self, burst_size: int) -> bool:
        """A burst will be handled now; True if the threads are held until it was."""
        if burst_size < LARGE_BURST or not Permission.given:
            return False
        if monotonic() - self._handled_at > MAX_GAP:
            self._large_bursts = 0
        if self._large_bursts < IN_A_ROW:
            return False
        self.held = self.hold()
        return self.held

    def after(self, burst_size: int) -> None:
        """The burst was handled."""
        if burst_size >= LARGE_BURST:
            self._large_bursts += 1
            self._handled_at = monotonic()

    def hold(self) -> bool:
        """Have the threads interrupt no running thread until `let_run`; False where that cannot be.

        Holding twice is fine.
        """
        return (
            self._holdable and (bool(self._threads) or self._find()) and self._set(os.SCHED_BATCH)
        )

    def let_run(self) -> None:
        """Have the threads run as soon as there is something to do, as they usually do."""
        self.held = False
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
        # The threads start with the first socket and then name themselves, so it may be too early.
        with self._looking:
            context = self._context()
            try:
                found = threads_named(self._name)
                wanted = 0 if context is None else context.get(zmq.IO_THREADS)
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


class OwnContext(zmq.Context[zmq.Socket[bytes]]):
    """A context that this library made, so that it may say when its I/O threads run.

    No thread is held where the system has no such policy or forbids to set it, or where the process
    runs under another policy.

    Args:
        io_threads: how many I/O threads libzmq uses.
        shadow: the address of a context that this object shares; its threads are not held.
    """

    # Class attributes, because pyzmq takes other names for options of the context.
    holding: Holding | None = None
    # When the linger of all its closed sockets is over, on time.monotonic; see `context.py`.
    lingers_until: float = 0.0

    def __init__(self, io_threads: int = 1, shadow: Any = 0) -> None:
        super().__init__(io_threads, shadow)  # type: ignore[call-overload]
        if HOLDABLE and not self._shadow:
            number = next(_numbers)
            with suppress(zmq.ZMQError):  # a libzmq before 4.2.3 does not name its threads
                self.set(zmq.THREAD_NAME_PREFIX, number)
                self.holding = Holding(self, b"%d/ZMQbg/IO" % number)


def holding_of(context: object) -> Holding | None:
    """What holds the I/O threads of a context; None where they must be left alone.

    They are left alone while `Permission` is not given, and in the contexts of users, because
    users set the policies of those.
    """
    if Permission.given and isinstance(context, OwnContext):
        return context.holding
    return None


def threads_named(start: bytes) -> list[int]:
    """The threads of this process whose names start like this.

    The names are bytes, because some are not UTF-8, or were cut in the middle of a character.

    Raises:
        OSError: the system does not show them.
    """
    found = []
    for task in os.listdir(TASKS):
        # A thread may have ended since it was listed.
        with (
            suppress(FileNotFoundError, ProcessLookupError),
            open(f"{TASKS}/{task}/comm", "rb") as it,
        ):
            if it.read().startswith(start):
                found.append(int(task))
    return found
