"""A loop that a forked child has inherited: it gets a poller that is the child's own.

An epoll object is one for parent and child (epoll(7)): of what the child takes out of it, the
parent hears no more. So before the child uses it, a loop whose books we know gets another, with
what they say. What poll and select watch, each process keeps for itself; kqueue is not inherited.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Epoll: Any = getattr(select, "epoll", None)
IN, OUT = 1, 4  # EPOLLIN and EPOLLOUT, which are selectors' two events as well, but for the value


class Renewed:
    """Stands in for an inherited epoll object, and makes another when that is first used.

    Most children run another program or another loop, and need none.

    Args:
        put: puts the new one in its place.
        watched: what the loop watches then, by FD.
    """

    def __init__(self, put: Callable[[Any], None], watched: Callable[[], dict[int, int]]) -> None:
        self._put = put
        self._watched = watched

    def __getattr__(self, name: str) -> Any:
        return getattr(self._renew(), name)

    def _renew(self) -> Any:
        fresh = Epoll()
        for fd, events in self._watched().items():
            with suppress(OSError):  # closed, or a file, which cannot be watched
                fresh.register(fd, events)
        self._put(fresh)
        return fresh

    def register(self, fd: int, events: int) -> None:
        """As epoll's; asyncio has it in its books already."""
        fresh = self._renew()
        try:
            fresh.register(fd, events)
        except FileExistsError:
            fresh.modify(fd, events)

    def unregister(self, fd: int) -> None:
        """The loop takes it out of its books, and that is enough."""

    def close(self) -> None:
        """There is nothing to close."""


def own_selector(loop: Any) -> bool:
    """Give an asyncio loop a poller of its own; False if its books are not known, as uvloop's."""
    selector: Any = getattr(loop, "_selector", None)
    keys = getattr(selector, "_fd_to_key", None)
    if keys is None:
        return False
    if Epoll and isinstance(getattr(selector, "_selector", None), Epoll):

        def watched() -> dict[int, int]:
            return {
                key.fd: (key.events & 1) * IN | (key.events >> 1) * OUT for key in keys.values()
            }

        selector._selector = Renewed(lambda fresh: setattr(selector, "_selector", fresh), watched)
    return True


def own_poller(reactor: Any) -> bool:
    """The same for a reactor of Twisted."""
    loop = getattr(reactor, "_asyncioEventloop", None)
    if loop is not None:
        return own_selector(loop)
    if Epoll and isinstance(getattr(reactor, "_poller", None), Epoll):
        if not (hasattr(reactor, "_reads") and hasattr(reactor, "_writes")):
            return False

        def watched() -> dict[int, int]:
            both = reactor._reads | reactor._writes
            return {fd: (fd in reactor._reads) * IN | (fd in reactor._writes) * OUT for fd in both}

        reactor._poller = Renewed(lambda fresh: setattr(reactor, "_poller", fresh), watched)
    return True
