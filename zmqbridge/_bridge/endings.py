"""The threads in which something ends while its caller goes on, and which exit waits for."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from math import inf
from threading import Thread
from typing import Any

# The threads in which something ends, each with the object that ends: a context, or the copies of
# ipc connections.
endings: dict[Thread, Any] = {}


def started(thread: Thread) -> bool:
    """Start a thread; False if the process is exiting, when Python 3.12 refuses to start one."""
    try:
        thread.start()
    except RuntimeError:
        return False
    return True


def in_child_of_multiprocessing() -> bool:
    """Whether this process is a child of multiprocessing; asked without loading that package."""
    process: Any = sys.modules.get("multiprocessing.process")
    return (
        process is not None
        and process.parent_process() is not None
        and "multiprocessing.util" in sys.modules
    )


def in_thread(work: Callable[[], None], context: Any, name: str) -> Thread | None:
    """Call `work` in a thread of its own; an exiting process waits for that thread.

    Args:
        work: is called without arguments.
        context: the context that ends in the thread, or another object with `lingers_until`.
        name: the name of the thread.

    Returns:
        The thread; None if no thread can be started any more.
    """
    # In a child of multiprocessing other threads may still send after our exit handler has run.
    # Their messages must leave before the process ends. So such a child waits for this thread: it
    # is no daemon. But a linger of -1 must not keep the process for ever: then it is a daemon.
    daemon = not in_child_of_multiprocessing() or getattr(context, "lingers_until", inf) == inf

    def run() -> None:
        try:
            work()
        finally:
            endings.pop(threading.current_thread(), None)

    thread = Thread(target=run, name=name, daemon=daemon)
    endings[thread] = context
    if started(thread):
        return thread
    del endings[thread]
    return None
