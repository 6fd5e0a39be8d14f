"""Tools: `offer`, by which a running program lets ``zmqbridge top`` see its statistics."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable
from weakref import WeakValueDictionary

from zmqbridge.core.statistics import Statistics

__all__ = ["Counting", "offer"]


@runtime_checkable
class Counting(Protocol):
    """What has statistics: a socket of either backend, or a connection of the facade."""

    def statistics(self) -> Statistics:
        """Its counts."""


def offer(sockets: Mapping[str, Counting]) -> Callable[[Any], Any]:
    """A handler for ``serve`` that answers every request with the statistics of these sockets.

    The reply has one part, JSON in UTF-8: an object with ``program``, the name of the program's
    file, ``pid``, and ``sockets``, an object for each name, with ``pattern``, the name of the
    class, and all fields of `zmqbridge.core.Statistics`. What is asked does not matter. It costs a
    message nothing: the counts are read when a request comes.

    The sockets are held weakly; one that is gone is no longer in the reply. Every program that
    reaches the replier's address reads the names and counts, so bind it to ``ipc`` or give it
    ``security``.

    Args:
        sockets: sockets and connections by the names that ``top`` shows.

    Raises:
        TypeError: what is given has no ``statistics``, or has it only for its own loop, as a proxy.
    """
    if not isinstance(sockets, Mapping):
        raise TypeError(f'sockets is a {type(sockets).__name__}: give names, as {{"jobs": puller}}')
    for name, socket in sockets.items():
        if not isinstance(name, str):
            raise TypeError(f"{name!r} is a {type(name).__name__}: a name is a str")
        # A class has the method, too, and a proxy's answers later, on its own loop.
        if isinstance(socket, type) or not isinstance(socket, Counting) or _is_proxy(socket):
            given = type(socket).__name__
            raise TypeError(f"{name!r} is a {given}: give a socket or a connection")
    held = WeakValueDictionary(sockets)

    def answer(request: Any) -> Any:
        """Reply with what the sockets count now."""
        counts = {name: _counts_of(socket) for name, socket in list(held.items())}
        program = os.path.basename(sys.argv[0]) if sys.argv else ""
        told = {"program": program, "pid": os.getpid(), "sockets": counts}
        return request.reply(json.dumps(told).encode())

    return answer


def _is_proxy(socket: object) -> bool:
    return hasattr(socket, "ask_statistics")


def _counts_of(socket: Counting) -> dict[str, Any]:
    return {"pattern": type(socket).__name__, **socket.statistics()._asdict()}
