"""Addresses that this process has just given up, and when they can be bound again.

libzmq closes a listener in its I/O thread: mostly within a millisecond, later on a busy machine.
Until then a tcp port is in use, and so is an abstract ipc name. The path of an ipc address is not:
whoever binds it takes it, and libzmq does not remove it when it closes.
"""

from __future__ import annotations

import errno
import socket as sockets
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import zmq
from zmq.backend import Socket as CompiledSocket

from zmqbridge._bridge.clock import monotonic
from zmqbridge._bridge.guards import snapshot

LAST_ENDPOINT = int(zmq.LAST_ENDPOINT)

# How long binding, and the end of a factory, wait for an address at the most.
PATIENCE = 1.0  # seconds
# For how long it is remembered that an address was ours, and how many are.
RECENT = 10.0  # seconds
MOST = 1000
STEP = 0.0005  # seconds
# On Windows the other would bind what another listens on.
REUSE = getattr(sockets, "SO_EXCLUSIVEADDRUSE", sockets.SO_REUSEADDR)

IN_USE = ("tcp:", "ipc://@")  # for a while after they were given up
BOUND = "_zmqbridge_bound"  # in the socket's own __dict__, past pyzmq's slow __setattr__
# Where a socket is bound and connected over ipc, likewise; see `zmqbridge._bridge.ipclinger`.
IPC = "_zmqbridge_ipc"
CONNECTED_AT = "_zmqbridge_connected"  # when that was done last, on time.monotonic
SENT = "_zmqbridge_sent"  # there, when something was sent past the pump
HOLDS = sys.platform == "linux" and hasattr(sockets, "AF_UNIX")
# How often a socket is connected to each place, and which were connected to since all were sought.
connects: dict[Place, int] = {}
fresh: set[Place] = set()
# How many connections to each place end of which nothing is held, and when the last one did.
_unheld: dict[Place, tuple[int, float]] = {}
# So long libzmq may take to close one of these.
ENDS = 1.0  # seconds
_left: dict[str, float] = {}  # addresses, and when they were given up


class Place(NamedTuple):
    """An address of ipc and the end of it at which a socket is.

    Attributes:
        name: of a listener as the kernel knows it; to whoever connects, only that of the file, as
            the way there can be written in several ways.
        bound: whether this is the listener's end.
    """

    name: bytes
    bound: bool

    @classmethod
    def of(cls, name: bytes, bound: bool) -> Place:
        """The place of a name as the kernel knows it."""
        if not bound and not name.startswith(b"\0"):
            name = name.rpartition(b"/")[2]
        return cls(name, bound)


def place_of(address: Any, bound: bool) -> Place | None:
    """The place of an address as libzmq takes it; None if it is not of ipc, or nothing is held."""
    if isinstance(address, str):
        address = address.encode(errors="surrogateescape")
    if not HOLDS or not isinstance(address, bytes) or not address.startswith(b"ipc://"):
        return None
    name = address[6:]
    return Place.of(b"\0" + name[1:] if name.startswith(b"@") else name, bound)


def note(socket: Any, address: Any, bound: bool) -> None:
    """A socket was bound or connected there: what it sends over ipc has to be read at its end."""
    place = place_of(address, bound)
    if place is not None:
        vars(socket).setdefault(IPC, []).append(place)
        vars(socket)[CONNECTED_AT] = monotonic()
        if not bound:
            connects[place] = connects.get(place, 0) + 1
            fresh.add(place)


def noted(socket: Any, address: Any, bound: bool) -> Place | None:
    """The place of an address, if it was noted for this socket."""
    place = place_of(address, bound)
    return place if place in vars(socket).get(IPC, ()) else None


def forget(socket: Any, place: Place, held: bool) -> None:
    """A socket has left a place that was noted."""
    vars(socket)[IPC].remove(place)
    _gone(place, held)


def _gone(place: Place, held: bool) -> None:
    if not held and not place.bound:
        while len(_unheld) > MOST:
            with suppress(RuntimeError, StopIteration):  # as another thread's closes as well
                _unheld.pop(next(iter(_unheld)), None)
        _unheld[place] = unheld(place) + 1, monotonic()
    count = connects.get(place, 0) - 1
    if count > 0:
        connects[place] = count
    else:
        connects.pop(place, None)
        fresh.discard(place)


def unheld(place: Place) -> int:
    """How many connections to a place end now of which nothing is held; each is told of once."""
    count, then = _unheld.pop(place, (0, 0.0))
    return count if then > monotonic() - ENDS else 0


def still_unheld(place: Place) -> int:
    """The same, and they are told of again."""
    count, then = _unheld.get(place, (0, 0.0))
    return count if then > monotonic() - ENDS else 0


def forget_all(socket: Any, held: bool) -> None:
    """A socket with such addresses closes."""
    for place in vars(socket).pop(IPC):
        _gone(place, held)


def plain_bind(socket: Any, address: Any) -> None:
    """Bind by whatever the socket has for that, which users may have replaced."""
    socket.bind(address)


def bind(
    socket: Any, address: Any, call: Callable[[Any, Any], object] = CompiledSocket.bind
) -> str:
    """Bind a socket, and where this process has just given that address up, wait until it is free.

    It blocks, mostly for less than a millisecond, and for a second at the most.

    Args:
        socket: pyzmq's own way of binding goes on to ask where that was, for use in ``with``: 2 µs.
        address: as libzmq takes it.
        call: what binds it.

    Returns:
        Where it is bound, a wildcard port as the real one.

    Raises:
        zmq.ZMQError: as libzmq says.
    """
    try:
        call(socket, address)
    except zmq.ZMQError as error:
        if error.errno != zmq.EADDRINUSE or not _was_ours(address):
            raise
        _bind_when_free(socket, address, call)
    if not isinstance(socket, CompiledSocket):  # but what tests put in its place
        return ""
    last: Any = CompiledSocket.get(socket, LAST_ENDPOINT)
    name: str = last.rstrip(b"\0").decode()
    if name.startswith(IN_USE):
        vars(socket).setdefault(BOUND, []).append(name)
    note(socket, name, True)
    return name


def _bind_when_free(socket: Any, address: Any, call: Callable[[Any, Any], object]) -> None:
    deadline = monotonic() + PATIENCE
    while True:
        time.sleep(STEP)
        try:
            call(socket, address)
            return
        except zmq.ZMQError as error:
            if error.errno != zmq.EADDRINUSE or monotonic() > deadline:
                raise


def _was_ours(address: Any) -> bool:
    name = address.decode() if isinstance(address, bytes) else address
    since = monotonic() - RECENT
    return any(_key(each) == _key(name) and then > since for each, then in snapshot(_left.items()))


def _key(name: str) -> str:
    # A port is in use whatever interface was named.
    transport, _, place = name.partition("://")
    return "tcp:" + place.rpartition(":")[2] if transport == "tcp" else name


def of(socket: Any) -> list[str]:
    """Where a socket is bound, as far as that may be in use for a while when it has closed."""
    return list(getattr(socket, "__dict__", {}).get(BOUND, ()))


def left(socket: Any, name: str | None = None) -> None:
    """A socket gives up one address, or all as it closes."""
    names = getattr(socket, "__dict__", {}).get(BOUND)
    if names:
        now = monotonic()
        for each in list(names):
            if name is None or each == name:
                names.remove(each)
                _left.pop(each, None)  # the newest is the last
                _left[each] = now
        while len(_left) > MOST:
            with suppress(RuntimeError, StopIteration):  # another thread's socket closes as well
                _left.pop(next(iter(_left)), None)


def wait_until_free(names: Iterable[str], done: Callable[[], bool] = bool) -> None:
    """Block until these addresses are free or it is `done`, for `PATIENCE` at the most."""
    deadline = monotonic() + PATIENCE
    for name in names:
        while not done() and not is_free(name) and monotonic() < deadline:
            time.sleep(STEP)


def is_free(name: str) -> bool:
    """Whether an address, as `bind` returned it, can be bound."""
    where: Any
    transport, _, place = name.partition("://")
    if transport == "ipc":
        if not place.startswith("@"):
            return True
        family, where = sockets.AF_UNIX, "\0" + place[1:]
    else:
        host, _, port = place.rpartition(":")
        family = sockets.AF_INET6 if host.startswith("[") else sockets.AF_INET
        where = (host.strip("[]"), int(port))
    with sockets.socket(family, sockets.SOCK_STREAM) as probe:
        # As libzmq does it: then only one that listens is in the way, not a connection.
        probe.setsockopt(sockets.SOL_SOCKET, REUSE, 1)
        try:
            probe.bind(where)
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True
