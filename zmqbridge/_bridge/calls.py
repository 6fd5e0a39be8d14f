"""Calls: what the library calls on a libzmq socket, past the methods that users see.

This is the one place where something else can stand in for libzmq. A class of sockets that has an
attribute `raw` brings its own calls, and its own clock and random numbers: so the simulated sockets
of `zmqbridge.testing` run below everything else unchanged.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import zmq
from zmq.backend import Frame
from zmq.backend import Socket as BackendSocket

from zmqbridge._bridge.clock import monotonic

# The frames of pyzmq's CFFI backend never tell whether more of their message follows.
COMPILED = getattr(Frame, "more", False) is not False

RCVMORE = int(zmq.RCVMORE)


def raw(socket: Any) -> Any:
    """The class whose methods do for this socket what pyzmq's compiled ones do."""
    return getattr(type(socket), "raw", BackendSocket)


def is_socket(it: object) -> bool:
    """Whether it is a socket, and not a mock that a test has put in its place."""
    return isinstance(it, BackendSocket) or hasattr(type(it), "raw")


def clock_of(socket: Any) -> Callable[[], float]:
    """The monotonic clock of the world that a socket is in."""
    clock: Callable[[], float] = getattr(type(socket), "monotonic", monotonic)
    return clock if clock is monotonic else clock.__get__(socket)


def random_of(socket: Any) -> Callable[[int], bytes]:
    """What gives random bytes in the world that a socket is in."""
    draw: Callable[[int], bytes] | None = getattr(type(socket), "urandom", None)
    return os.urandom if draw is None else draw.__get__(socket)


def facade_socket(context: Any, usual: Callable[[Any, int], Any]) -> Callable[[Any, int], Any]:
    """What makes a socket for the facade in a context: a context may have sockets of its own."""
    make: Callable[[Any, int], Any] = getattr(type(context), "socket_of_facade", usual)
    return make


def send_of(socket: Any) -> Callable[..., Any]:
    """``send`` of a socket, at the price of a call into pyzmq."""
    calls = raw(socket)
    plain = calls is BackendSocket and not COMPILED
    send: Callable[..., Any] = plain_send(socket) if plain else calls.send.__get__(socket)
    return send


def recv_of(socket: Any) -> Callable[..., Any]:
    """``recv`` of a socket, at the price of a call into pyzmq."""
    calls = raw(socket)
    plain = calls is BackendSocket and not COMPILED
    recv: Callable[..., Any] = plain_recv(socket) if plain else calls.recv.__get__(socket)
    return recv


class Part:
    """One frame of a message, as far as the pump asks."""

    __slots__ = ("bytes", "more")

    def __init__(self, content: bytes, more: int) -> None:
        self.bytes = content
        self.more = more


def plain_send(socket: zmq.Socket[bytes]) -> Callable[..., Any]:
    """`send` as pyzmq's compiled one does it, by what every backend has."""
    backend: Any = BackendSocket

    def send(part: bytes, flags: int, copy: bool = True) -> None:
        backend.send(socket, part, flags, copy)  # uncopied, a large part is shared

    return send


def plain_recv(socket: zmq.Socket[bytes]) -> Callable[..., Any]:
    """`recv` as pyzmq's compiled one does it, by what every backend has."""
    backend: Any = BackendSocket

    def recv(flags: int, copy: bool = True) -> bytes | Part:
        content = backend.recv(socket, flags)
        return content if copy else Part(content, backend.get(socket, RCVMORE))

    return recv
