"""Which loop runs, and whether it is that of a socket.

A socket's loop runs the current call if ``here() == place._thread_id``. `_get_running_loop` tells
this for every loop. But in Python 3.11 it makes a system call each time:
140 ns, where a push takes 450. So there we ask asyncio's own loops in which thread they run, which
takes 30. uvloop does not tell its thread, so there we ask `_get_running_loop`: a property that
translates would cost two Python frames, three times as much.
"""

from __future__ import annotations

import logging
import sys
from asyncio import AbstractEventLoop, BaseEventLoop, _get_running_loop
from collections.abc import Callable
from threading import get_ident
from typing import Any

log: logging.Logger = logging.getLogger("zmqbridge")

TELL_THREAD: tuple[type, ...] = () if sys.version_info >= (3, 12) else (BaseEventLoop,)

here: Callable[[], object] = get_ident if TELL_THREAD else _get_running_loop
"""What to call for asyncio's own loops."""


class Place:
    """Where a loop runs, in the attribute in which asyncio's own loops keep their thread id."""

    __slots__ = ("_thread_id",)

    def __init__(self, where: object) -> None:
        self._thread_id = where


def place(loop: AbstractEventLoop) -> tuple[Callable[[], object], Any]:
    """What to call, and what has the result for its ``_thread_id`` when this loop runs here."""
    if isinstance(loop, TELL_THREAD):
        return here, loop
    return _get_running_loop, Place(loop)


NOWHERE = Place(-1)  # which neither call returns, on a loop or on none


class NoLoop:
    """Stands for the loop of a socket that has none: it was not used yet, or it is closed."""

    def is_closed(self) -> bool:
        """Return True: no loop is here to call anything."""
        return True


def native_loop() -> Any:
    """The object that stands for the running loop if it is not asyncio's; None if none runs."""
    from anyio.lowlevel import current_token  # takes 2 ms, and is not needed on asyncio

    try:
        token: Any = current_token()
    except RuntimeError:
        return None
    return getattr(token, "native_token", token)  # before anyio 4.11 the token itself was native


def name_of(loop: object) -> str:
    """The name of a loop for an error text."""
    kind = type(loop)
    return f"{kind.__module__.partition('.')[0]}'s {kind.__qualname__}"


def log_error(context: dict[str, Any]) -> None:
    """Log an error as asyncio's exception handler would; for loops that have no such handler."""
    log.error(context["message"], exc_info=context["exception"])
