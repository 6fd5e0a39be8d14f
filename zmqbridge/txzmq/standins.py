"""Stand-ins: how a connection works with the sockets and reactors that tests of programs make up.

What is sent and received goes through the socket's own methods there, as txZMQ would call them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from zmq import constants

from zmqbridge._bridge.clock import monotonic
from zmqbridge.twisted_backend.clocks import real
from zmqbridge.twisted_backend.reader import global_reactor


def send_by_socket(socket: Any, parts: Sequence[Any]) -> None:
    """Send a message by a socket's own method, and raise what that raises."""
    for part in parts[:-1]:
        socket.send(part, constants.NOBLOCK | constants.SNDMORE)
    socket.send(parts[-1], constants.NOBLOCK)


def readable(socket: Any) -> bool:
    """Whether a socket says that there is a message."""
    there: bool = socket.get(constants.EVENTS) & constants.POLLIN == constants.POLLIN
    return there


class NoPump:
    """What a connection has for a pump whose socket is no libzmq socket."""

    def __init__(self) -> None:
        self.queues: dict[bytes, Any] = {}
        self.queued = self.sent = self.received = 0
        self.dropped = self.unreachable = self.withdrawn = self.refused = self.lost = 0
        self.closed = self.due = False

    def schedule(self) -> None:
        """There is nothing to do soon."""

    ring = turn = schedule

    def backlog(self) -> None:
        """Nothing is queued."""

    def caught_up(self, late: float) -> bool:
        """There is nothing to read."""
        return True

    def discard(self, key: object) -> bool:
        """Nothing is queued."""
        return False

    def close(self, remains: list[Any] | None = None) -> list[Any]:
        """Nobody waits."""
        self.closed = True
        return []


class ReactorOf:
    """The reactor of a connection whose factory may come later, until then the global one."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        reactor = getattr(self._connection.factory, "reactor", None)
        return getattr(reactor or global_reactor(), name)


def clock_of(reactor: Any) -> tuple[Callable[[], float], bool]:
    """A clock to measure delays by, and whether it is the reactor's own."""
    seconds = getattr(reactor, "seconds", None)
    if seconds is not None and real(reactor) is not None:
        return monotonic, True
    if seconds is not None and isinstance(seconds(), int | float):
        return seconds, True
    return monotonic, False


def keeps_time(reactor: Any) -> bool:
    """Whether delayed calls can be left to a factory's reactor; a mock would forget them."""
    return hasattr(reactor, "callLater") and (
        not hasattr(reactor, "seconds") or clock_of(reactor)[1]
    )


def timekeeper(driver: Any, module: dict[str, Any]) -> Any:
    """Who makes delayed calls: what was put in a module's place for `reactor`, or the reactor."""
    if "reactor" in module:
        return module["reactor"]
    return driver._reactor if driver.keeps_time else global_reactor()
