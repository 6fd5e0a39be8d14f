"""Addresses of the simulated network: which listener an address leads to.

A node stands for a process, and its name stands for a host's name: ``tcp://server:5555``. All nodes
share one loopback, so that programs written for one host run unchanged. A socket that is bound to
all interfaces is found by the name of its node, and on the loopback if no other socket has bound
that port there before.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import zmq

from zmqbridge.testing._errors import NotSimulated

if TYPE_CHECKING:
    from zmqbridge.testing._sockets import SimSocket

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]", "::1", "lo"})
EVERYWHERE = frozenset({"*", "0.0.0.0", "[::]", "::"})
TRANSPORTS = frozenset({"tcp", "ipc"})
TCP = re.compile(r"(?:[^;]*;)?(.+):(\d+|\*)$")

Key = tuple[str, str]


def split(name: str) -> tuple[str, str]:
    """Split an address into its transport and the rest.

    Raises:
        zmq.ZMQError: libzmq refuses this address with the same error.
        NotSimulated: libzmq has this transport, and the simulation does not.
    """
    transport, colon, rest = name.partition("://")
    if not colon or not rest:
        raise zmq.ZMQError(zmq.EINVAL)
    if transport not in TRANSPORTS:
        if transport in ("udp", "pgm", "epgm", "vmci", "ws", "wss", "tipc", "vsock"):
            raise NotSimulated(f"{name}: of the transports tcp, ipc and inproc are simulated")
        raise zmq.ZMQError(zmq.EPROTONOSUPPORT)
    return transport, rest


def _tcp(rest: str) -> tuple[str, str]:
    found = TCP.match(rest)
    if found is None:
        raise zmq.ZMQError(zmq.EINVAL)
    return found[1], found[2]


def listening(socket: SimSocket, name: str) -> tuple[str, Sequence[Key]]:
    """The full name of an address that a socket binds to, and the keys by which peers find it.

    Raises:
        zmq.ZMQError: the address is in use, or malformed.
    """
    transport, rest = split(name)
    network = socket.network
    if transport == "ipc":
        if rest == "*":
            rest = f"/tmp/simulated-{network.number()}"
        # As in libzmq, a second socket takes over a bound path silently, but no abstract name.
        if rest.startswith("@") and ("ipc", rest) in network.listeners:
            raise zmq.ZMQError(zmq.EADDRINUSE)
        return f"ipc://{rest}", [("ipc", rest)]
    host, port = _tcp(rest)
    if ":" in host and not socket.options[zmq.IPV6]:
        raise zmq.ZMQError(errno.ENODEV)
    if port in ("*", "0"):
        port = str(network.port())
    if host in LOOPBACK:
        return f"tcp://127.0.0.1:{port}", _free(socket, [("", port)])
    if host in EVERYWHERE:
        keys = _free(socket, [(socket.node.name, port)])
        if ("", port) not in network.listeners:
            keys.append(("", port))
        return f"tcp://0.0.0.0:{port}", keys
    if host in network.nodes and network.nodes[host] is not socket.node:
        raise zmq.ZMQError(zmq.EADDRNOTAVAIL)
    return f"tcp://{host}:{port}", _free(socket, [(host, port)])


def _free(socket: SimSocket, keys: list[Key]) -> list[Key]:
    for key in keys:
        if key in socket.network.listeners:
            raise zmq.ZMQError(zmq.EADDRINUSE)
    return keys


def far(socket: SimSocket, name: str) -> Key:
    """The key of the listener that a socket finds when it connects to an address.

    Raises:
        zmq.ZMQError: the address is malformed.
    """
    transport, rest = split(name)
    if transport == "ipc":
        return "ipc", rest
    host, port = _tcp(rest)
    if host in EVERYWHERE or port == "*":
        raise zmq.ZMQError(zmq.EINVAL)
    if host in LOOPBACK:
        own = (socket.node.name, port)
        return own if own in socket.network.listeners else ("", port)
    return host, port
