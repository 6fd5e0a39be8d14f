"""The one libzmq context that all sockets of a process share, and how it ends."""

from __future__ import annotations

import atexit
import os
import threading
import time
from typing import Any

import zmq

from zmqbridge.iothreads import OwnContext

# How long a context without sockets is kept for the next one: programs that open one socket after
# another would otherwise start and stop libzmq's I/O thread each time.
GRACE = 0.1  # seconds
# Lingering is bounded per socket (the default is 100 ms), so ending takes no longer than the
# largest linger in use; this bounds how long an exiting process waits for it.
EXIT_PATIENCE = 5.0  # seconds


def started(thread: threading.Thread) -> bool:
    """Start a thread, unless the process is ending and its Python (3.12) starts none any more."""
    try:
        thread.start()
    except RuntimeError:
        return False
    return True


class SharedContext:
    """Hands out one context per process and ends it, off every loop's thread, when it is unused.

    ``Context.term()`` blocks until the last message has lingered out, so it runs in a thread of
    its own. After a fork the child gets a new context: libzmq's must not be touched there.
    """

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)
        atexit.register(self._at_exit)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._context: zmq.Context[Any] | None = None
        self._users = 0
        self._reaper: threading.Thread | None = None

    def acquire(self) -> zmq.Context[Any]:
        """The context, for one more socket; pair it with `release`."""
        with self._lock:
            if self._context is None:
                self._context = OwnContext()
            self._users += 1
            return self._context

    def release(self, context: zmq.Context[Any]) -> None:
        """One socket of `context` has closed."""
        with self._lock:
            if context is not self._context:  # a parent's, from before a fork
                return
            self._users -= 1
            if self._users == 0 and self._reaper is None:
                reaper = threading.Thread(
                    target=self._end_when_unused, name="zmqbridge-context", daemon=True
                )
                if started(reaper):  # else it is time for `_at_exit`
                    self._reaper = reaper

    def _end_when_unused(self) -> None:
        time.sleep(GRACE)
        with self._lock:
            self._reaper = None
            if self._users:
                return
            context, self._context = self._context, None
        if context is not None:
            context.term()

    def _at_exit(self) -> None:
        # What was sent just before the end must still go out; daemon threads would be cut off.
        with self._lock:
            context, self._context = self._context, None
        if context is not None:
            ending = threading.Thread(target=context.destroy, daemon=True)
            if started(ending):
                ending.join(EXIT_PATIENCE)
            else:
                context.destroy()


shared = SharedContext()
