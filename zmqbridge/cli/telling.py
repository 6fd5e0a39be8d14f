"""What a command that is a socket tells on standard error, and what it does at Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

INTERRUPTED = 128 + signal.SIGINT
# After this time an interrupted command says what it waits for.
SILENT = 0.5  # seconds


async def until_told(work: Coroutine[Any, Any, int], pattern: str, linger: float) -> int:
    """Do the work of a command until it is done, or until Ctrl-C.

    Args:
        work: returns an exit status.
        pattern: the name of the command.
        linger: seconds that messages have to leave after Ctrl-C.

    Returns:
        The exit status.
    """
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: report(pattern, context))
    working = asyncio.ensure_future(work)
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        # The next one ends the process at once.
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
        saying = threading.Timer(SILENT, say_what_it_waits_for, [pattern, linger])
        saying.daemon = True
        saying.start()
        loop.call_soon_threadsafe(working.cancel)

    # Not by the loop's own method: the loop stands still while the output is not read.
    signal.signal(signal.SIGINT, interrupt)
    try:
        return await working
    except asyncio.CancelledError:
        if not interrupted:
            raise
        return INTERRUPTED


def say_what_it_waits_for(pattern: str, linger: float) -> None:
    """Say why a command that was interrupted is still there."""
    complain(pattern, f"what was sent has {linger:g} s to leave; Ctrl-C once more drops it")


def report(pattern: str, context: dict[str, Any]) -> None:
    """Print what a socket reports, e.g. a malformed message, as one line."""
    complain(pattern, context.get("exception") or context["message"])


def complain(pattern: str, what: object) -> None:
    """Print a line on standard error, which may be closed."""
    with suppress(OSError, ValueError):
        print(f"zmqbridge {pattern}: {what}", file=sys.stderr, flush=True)
