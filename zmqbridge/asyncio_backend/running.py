"""Whether a socket's loop runs the current call: it does if ``here() == place._thread_id``.

``asyncio._get_running_loop`` tells this, too. But in Python 3.11 it makes a system call each time,
which takes 140 ns, where a whole push takes 450 ns. So on 3.11 we compare the thread of the loop
with the current one, which takes 30 ns.
"""

from __future__ import annotations

import sys
from asyncio import AbstractEventLoop, BaseEventLoop, _get_running_loop
from collections.abc import Callable
from threading import get_ident
from typing import Any

ASK_ASYNCIO = sys.version_info >= (3, 12)

here: Callable[[], object] = _get_running_loop if ASK_ASYNCIO else get_ident


class Place:
    """Where a loop runs, in the attribute in which asyncio's own loops keep their thread id."""

    def __init__(self, where: object) -> None:
        self._thread_id = where


class Asking:
    """The place of a loop that does not show its thread, such as uvloop's."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop

    @property
    def _thread_id(self) -> int | None:
        return get_ident() if _get_running_loop() is self._loop else None


def place(loop: AbstractEventLoop) -> Any:
    """The object whose ``_thread_id`` equals ``here()`` while this loop runs the current call."""
    if ASK_ASYNCIO:
        return Place(loop)
    return loop if isinstance(loop, BaseEventLoop) else Asking(loop)


NOWHERE = Place(-1)  # ``here()`` never returns -1, neither on a loop nor outside one
