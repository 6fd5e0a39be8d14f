"""Whether a socket's loop runs in this very call: it does if ``here() == place._thread_id``.

asyncio's own question tells that, too. But in Python 3.11 it makes a system call each time: 140 ns,
where a push takes 450. So there the question is in which thread the loop runs, which takes 30.
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
    """Where a loop runs, under the name by which asyncio's own loops tell their thread."""

    def __init__(self, where: object) -> None:
        self._thread_id = where


class Asking:
    """The place of a loop that does not tell its thread, such as uvloop's."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop

    @property
    def _thread_id(self) -> int | None:
        return get_ident() if _get_running_loop() is self._loop else None


def place(loop: AbstractEventLoop) -> Any:
    """What has ``here()`` for its ``_thread_id`` when this loop runs here."""
    if ASK_ASYNCIO:
        return Place(loop)
    return loop if isinstance(loop, BaseEventLoop) else Asking(loop)


NOWHERE = Place(-1)  # which ``here()`` never is, on a loop or on none
