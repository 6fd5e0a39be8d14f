"""Whether a socket's loop runs the current call: it does if ``here() == place._thread_id``.

`_get_running_loop` tells this for every loop. But in Python 3.11 it makes a system call each time:
140 ns, where a push takes 450. So there we ask asyncio's own loops in which thread they run, which
takes 30. uvloop does not tell its thread, so there we ask `_get_running_loop`: a property that
translates would cost two Python frames, three times as much.
"""

from __future__ import annotations

import sys
from asyncio import AbstractEventLoop, BaseEventLoop, _get_running_loop
from collections.abc import Callable
from threading import get_ident
from typing import Any

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
