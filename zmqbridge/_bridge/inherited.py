"""A loop that a forked child has inherited: it gets a poller of the child's own.

Parent and child share one epoll object (epoll(7)): when the child unregisters a descriptor, the
parent gets no more events of it. So before the child uses the epoll object, we replace it by a new
one, if we know the attributes in which the loop keeps what it watches; the new one watches the
same. With poll and select each process has its own list; kqueue is not inherited.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Epoll: Any = getattr(select, "epoll", None)
IN, OUT = 1, 4  # EPOLLIN and EPOLLOUT; the module selectors has the same two with other values


class Renewed:
    """Stands in for an inherited epoll object, and makes a new one at its first use.

    Most children run another program or another loop, and never need the new one.

    Args:
        put: puts the new epoll object in the place of this stand-in.
        watched: returns what the loop watches at that time, by FD.
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
        """Like epoll's. asyncio has already noted the FD, so the new object may watch it by now."""
        fresh = self._renew()
        try:
            fresh.register(fd, events)
        except FileExistsError:
            fresh.modify(fd, events)

    def unregister(self, fd: int) -> None:
        """Do nothing: the loop removes the FD from its list, of which the new object is made."""

    def close(self) -> None:
        """Do nothing: the stand-in holds no descriptor."""


def own_selector(loop: Any) -> bool:
    """Give an asyncio loop a poller of its own.

    Returns:
        False if we do not know where the loop keeps what it watches, as with uvloop.
    """
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
    """Give a reactor of Twisted a poller of its own; False as in `own_selector`."""
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
