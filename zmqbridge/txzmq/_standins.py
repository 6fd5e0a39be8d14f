"""Stand-ins: how a connection works with mock sockets and reactors, which programs' tests use.

With these, a connection sends and receives by the socket's own methods, and calls them as txZMQ
does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from zmq import constants

from zmqbridge._bridge.clock import monotonic
from zmqbridge.twisted_backend._clocks import real
from zmqbridge.twisted_backend._reactors import global_reactor


def send_by_socket(socket: Any, parts: Sequence[Any]) -> None:
    """Send a message by a socket's own method; errors of that method are passed on."""
    for part in parts[:-1]:
        socket.send(part, constants.NOBLOCK | constants.SNDMORE)
    socket.send(parts[-1], constants.NOBLOCK)


def readable(socket: Any) -> bool:
    """Whether a socket reports that a message can be received."""
    there: bool = socket.get(constants.EVENTS) & constants.POLLIN == constants.POLLIN
    return there


class NoPump:
    """Stands for the pump of a connection whose socket is no libzmq socket."""

    def __init__(self) -> None:
        self.queues: dict[bytes, Any] = {}
        self.queued = self.sent = self.received = 0
        self.dropped = self.unreachable = self.withdrawn = self.refused = self.lost = 0
        self.unroutable: int = 0
        self.closed: bool = False
        self.turn_wanted: bool = False
        self.monotonic = monotonic

    def schedule(self) -> None:
        """Do nothing: there is nothing to send or read later."""

    ring: Final = schedule
    turn: Final = schedule

    def backlog(self) -> None:
        """Return None: no message is queued."""

    def caught_up(self, late: float, again: bool = True) -> bool:
        """Return True: there is nothing to read."""
        return True

    def discard(self, key: object) -> bool:
        """Return False: no message is queued."""
        return False

    def close(self, remains: list[Any] | None = None) -> list[Any]:
        """Return no waiters, as there are none."""
        self.closed = True
        return []


class NoFactory:
    """Stands for the factory of a connection whose constructor was not called."""

    def __init__(self) -> None:
        self.connections: set[Any] = set()


class ReactorOf:
    """The reactor of a connection that may get its factory later; until then the global one."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        reactor = getattr(self._connection.factory, "reactor", None)
        return getattr(reactor or global_reactor(), name)


def clock_of(reactor: Any) -> tuple[Callable[[], float], bool]:
    """A clock for delays, and whether the reactor's timers can be used with it."""
    seconds = getattr(reactor, "seconds", None)
    if seconds is not None and real(reactor) is not None:
        return monotonic, True
    if seconds is not None and isinstance(seconds(), int | float):
        return seconds, True
    return monotonic, False


def keeps_time(reactor: Any) -> bool:
    """Whether a factory's reactor makes delayed calls; a mock would forget them."""
    return hasattr(reactor, "callLater") and (
        not hasattr(reactor, "seconds") or clock_of(reactor)[1]
    )


def timekeeper(driver: Any, module: dict[str, Any]) -> Any:
    """The object that makes delayed calls: the module's `reactor` if a program has set one.

    Otherwise it is the driver's reactor, or the global one if that keeps no time.
    """
    if "reactor" in module:
        return module["reactor"]
    return driver.reactor if driver.keeps_time else global_reactor()
