"""What a command that is a socket tells on standard error, and what it does at Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Coroutine
from typing import Any

from zmqbridge._cli.ending import complain

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# After this time an interrupted command says what it waits for.
SILENT = 0.5  # seconds


async def until_told(work: Coroutine[Any, Any, int], pattern: str, linger: float) -> int:
    """Do the work of a command until it is done, or until Ctrl-C or SIGTERM.

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
    status = 0

    def interrupt(number: int, _: object) -> None:
        nonlocal status
        status = 128 + number
        for each in SIGNALS:  # the next one ends the process at once
            signal.signal(each, lambda number, _: os._exit(128 + number))
        saying = threading.Timer(SILENT, say_what_it_waits_for, [pattern, linger])
        saying.daemon = True
        saying.start()
        loop.call_soon_threadsafe(working.cancel)

    # Not by the loop's own method: the loop stands still while the output is not read.
    for each in SIGNALS:
        signal.signal(each, interrupt)
    try:
        return await working
    except asyncio.CancelledError:
        if not status:
            raise
        return status


def say_what_it_waits_for(pattern: str, linger: float) -> None:
    """Say why a command that was interrupted is still there."""
    complain(pattern, f"what was sent has {linger:g} s to leave; Ctrl-C once more drops it")


def report(pattern: str, context: dict[str, Any]) -> None:
    """Print what a socket reports, e.g. a malformed message, as one line."""
    complain(pattern, context.get("exception") or context["message"])
