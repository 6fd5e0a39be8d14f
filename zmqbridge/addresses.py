"""Addresses that this process has just given up, and when they can be bound again.

libzmq closes a listener in its I/O thread: mostly within a millisecond, later on a busy machine.
Until then a tcp port is in use, and so is an abstract ipc name. The path of an ipc address is not:
whoever binds it takes it, and libzmq does not remove it when it closes.
"""

from __future__ import annotations

import errno
import socket as sockets
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import zmq
from zmq.backend import Socket as CompiledSocket

from zmqbridge.guards import snapshot

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
_left: dict[str, float] = {}  # addresses, and when they were given up


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
    return name


def _bind_when_free(socket: Any, address: Any, call: Callable[[Any, Any], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        time.sleep(STEP)
        try:
            call(socket, address)
            return
        except zmq.ZMQError as error:
            if error.errno != zmq.EADDRINUSE or time.monotonic() > deadline:
                raise


def _was_ours(address: Any) -> bool:
    name = address.decode() if isinstance(address, bytes) else address
    since = time.monotonic() - RECENT
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
        now = time.monotonic()
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
    deadline = time.monotonic() + PATIENCE
    for name in names:
        while not done() and not is_free(name) and time.monotonic() < deadline:
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
