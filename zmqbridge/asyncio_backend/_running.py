"""Which loop runs, and whether it is that of a socket.

Each driver has two things for this. ``driver.current()`` says what runs now, and ``driver.token``
says, in its attribute `_thread_id`, what that is when the socket's loop runs. Both are of one of
two kinds:

- a loop: `_get_running_loop` serves for every loop. But in Python 3.11 it makes a system call each
  time: 140 ns, where a push takes 450.
- the ident of a thread: so in 3.11 we call `get_ident`, which takes 30 ns, for asyncio's own loops.
  They keep the ident of their thread in `_thread_id`, and are tokens themselves.

uvloop does not tell its thread, so its token is a `Token` that holds the loop. The attribute has
asyncio's name there, too: a property that translates would cost two Python frames, three times as
much.
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

current: Callable[[], object] = get_ident if TELL_THREAD else _get_running_loop
"""Says what runs now, for asyncio's own loops."""


class Token:
    """Holds what `_get_running_loop` returns when the loop of a socket runs."""

    __slots__ = ("_thread_id",)

    def __init__(self, running: object) -> None:
        self._thread_id = running


def token_of(loop: AbstractEventLoop) -> tuple[Callable[[], object], Any]:
    """What says what runs now, and the token that holds the same when this loop runs."""
    if isinstance(loop, TELL_THREAD):
        return current, loop
    return _get_running_loop, Token(loop)


NO_TOKEN = Token(-1)  # neither call returns -1, so no loop seems to run the socket


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
