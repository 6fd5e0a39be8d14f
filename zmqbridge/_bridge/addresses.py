"""Addresses that this process has just given up, and when they can be bound again.

libzmq closes a listener in its I/O thread: mostly within a millisecond, later on a busy machine.
Until then a tcp port is in use, and so is an abstract ipc name. The path of an ipc address is not:
the next socket that binds it takes it over, and libzmq does not remove it when it closes.
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

from zmqbridge._bridge.calls import is_real, is_socket, raw
from zmqbridge._bridge.clock import monotonic
from zmqbridge._bridge.exhaustion import check_bind
from zmqbridge._bridge.guards import snapshot

LAST_ENDPOINT = int(zmq.LAST_ENDPOINT)

# The longest time that binding, and the end of a factory, wait for an address.
RELEASE_TIMEOUT = 1.0  # seconds
# For how long we remember that an address was ours, and how many addresses we remember.
RECENT = 10.0  # seconds
MOST = 1000
STEP = 0.0005  # seconds
# On Windows SO_REUSEADDR would let the probe bind an address on which another socket listens.
REUSE = getattr(sockets, "SO_EXCLUSIVEADDRUSE", sockets.SO_REUSEADDR)

# Addresses that stay in use for a while after the socket gave them up.
IN_USE = ("tcp:", "ipc://@")
# The next five are keys in the socket's own __dict__, because pyzmq's __setattr__ is slow.
BOUND = "_zmqbridge_bound"
INPROC = "_zmqbridge_inproc"  # the inproc names that a socket has bound
# The places where a socket is bound or connected over ipc; see `zmqbridge._bridge.ipclinger`.
IPC = "_zmqbridge_ipc"
CONNECTED_AT = "_zmqbridge_connected"  # when it last bound or connected over ipc, on time.monotonic
SENT = "_zmqbridge_sent"  # present if a message was sent without the pump
HOLDS = sys.platform == "linux" and hasattr(sockets, "AF_UNIX")
# How many connections there are to each place, and the places that were connected to since
# ipclinger last searched all descriptors.
connects: dict[Place, int] = {}
fresh: set[Place] = set()
# For each place: how many connections end of which we hold no copy, and when the last one ended.
_unheld: dict[Place, tuple[int, float]] = {}
# How long libzmq may take to close one of these.
ENDS = 1.0  # seconds
_left: dict[str, float] = {}  # addresses, and when they were given up


class Place(NamedTuple):
    """An address of ipc, and at which end of it a socket is.

    Attributes:
        name: at the listener's end, the name as the kernel knows it; at the connecting end only
            the name of the file, because one path can be written in several ways.
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
    """The place of an address as libzmq takes it.

    Returns:
        None if the address is not of ipc, or if nothing is held on this system.
    """
    if isinstance(address, str):
        address = address.encode(errors="surrogateescape")
    if not HOLDS or not isinstance(address, bytes) or not address.startswith(b"ipc://"):
        return None
    name = address[6:]
    return Place.of(b"\0" + name[1:] if name.startswith(b"@") else name, bound)


def note(socket: Any, address: Any, bound: bool) -> None:
    """Note that a socket was bound or connected, for `ipclinger`, and for `lingers.close`."""
    if bound and address.startswith("inproc:" if isinstance(address, str) else b"inproc:"):
        vars(socket).setdefault(INPROC, {})[address] = None
        return
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
            with suppress(RuntimeError, StopIteration):  # another thread does this, too
                _unheld.pop(next(iter(_unheld)), None)
        _unheld[place] = unheld(place) + 1, monotonic()
    count = connects.get(place, 0) - 1
    if count > 0:
        connects[place] = count
    else:
        connects.pop(place, None)
        fresh.discard(place)


def unheld(place: Place) -> int:
    """How many connections to a place end now of which we hold no copy; each is counted once."""
    count, then = _unheld.pop(place, (0, 0.0))
    return count if then > monotonic() - ENDS else 0


def still_unheld(place: Place) -> int:
    """The same, and they will be counted again."""
    count, then = _unheld.get(place, (0, 0.0))
    return count if then > monotonic() - ENDS else 0


def forget_all(socket: Any, held: bool) -> None:
    """A socket with such addresses closes."""
    for place in vars(socket).pop(IPC):
        _gone(place, held)


def plain_bind(socket: Any, address: Any) -> None:
    """Bind by the socket's own method, which a user may have replaced."""
    socket.bind(address)


def bind(socket: Any, address: Any, call: Callable[[Any, Any], object] | None = None) -> str:
    """Bind a socket; if this process has just given up that address, wait until it is free.

    The wait blocks, mostly for less than a millisecond, and for one second at the most. A simulated
    address is free at once.

    Args:
        socket: pyzmq's.
        address: as libzmq takes it.
        call: binds the socket. The default is not pyzmq's own ``bind``, which also asks for the
            bound address, for use in ``with``, and takes 2 µs for that.

    Returns:
        The address that is bound, with the real port in place of a wildcard.

    Raises:
        zmq.ZMQError: libzmq's own error.
    """
    call = call or raw(socket).bind
    if is_real(socket):
        check_bind(socket, address)
    try:
        _bind(socket, address, call)
    except zmq.ZMQError as error:
        if error.errno != zmq.EADDRINUSE or not (is_real(socket) and _was_ours(address)):
            raise
        _bind_when_free(socket, address, call)
    if not is_socket(socket):  # a test has put a mock in its place
        return ""
    last: Any = raw(socket).get(socket, LAST_ENDPOINT)
    name: str = last.rstrip(b"\0").decode()
    if name.startswith(IN_USE):
        vars(socket).setdefault(BOUND, []).append(name)
    if name.startswith(("ipc:", "inproc:")):
        note(socket, name, True)
    return name


def _bind(socket: Any, address: Any, call: Callable[[Any, Any], object]) -> None:
    try:
        call(socket, address)
    except zmq.ZMQError as error:
        if error.errno != zmq.EAGAIN:
            raise
        # zmq_bind(3) never says that. It was seen where libzmq had a monitor to tell, so errno may
        # be of what it did for that. The next call says what is wrong.
        call(socket, address)


def _bind_when_free(socket: Any, address: Any, call: Callable[[Any, Any], object]) -> None:
    deadline = monotonic() + RELEASE_TIMEOUT
    while True:
        time.sleep(STEP)
        try:
            _bind(socket, address, call)
            return
        except zmq.ZMQError as error:
            if error.errno != zmq.EADDRINUSE or monotonic() > deadline:
                raise


def _was_ours(address: Any) -> bool:
    name = address.decode() if isinstance(address, bytes) else address
    since = monotonic() - RECENT
    return any(_key(each) == _key(name) and then > since for each, then in snapshot(_left.items()))


def _key(name: str) -> str:
    # A port counts as in use on every interface.
    transport, _, place = name.partition("://")
    return "tcp:" + place.rpartition(":")[2] if transport == "tcp" else name


def of(socket: Any) -> list[str]:
    """The bound addresses of a socket that may stay in use for a while after it closes."""
    # A simulated address is free at once.
    return list(getattr(socket, "__dict__", {}).get(BOUND, ())) if is_real(socket) else []


def left(socket: Any, name: str | None = None) -> None:
    """Note that a socket gives up one address, or all of them as it closes."""
    names = getattr(socket, "__dict__", {}).get(BOUND)
    if names:
        now = monotonic()
        for each in list(names):
            if name is None or each == name:
                names.remove(each)
                if is_real(socket):
                    _left.pop(each, None)  # the newest is the last
                    _left[each] = now
        while len(_left) > MOST:
            with suppress(RuntimeError, StopIteration):  # another thread does this, too
                _left.pop(next(iter(_left)), None)


def wait_until_free(names: Iterable[str], done: Callable[[], bool] = bool) -> None:
    """Block until these addresses are free or it is `done`, for `RELEASE_TIMEOUT` at the most."""
    deadline = monotonic() + RELEASE_TIMEOUT
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
        # libzmq sets the same option. With it, listeners block an address and connections do not.
        probe.setsockopt(sockets.SOL_SOCKET, REUSE, 1)
        try:
            probe.bind(where)
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True
