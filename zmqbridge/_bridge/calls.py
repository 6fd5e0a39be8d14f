"""Calls: finds the low-level calls of a socket, pyzmq's own or those of a simulated socket.

This is the only place where something can stand in for libzmq. A socket class with an attribute
`raw` brings its own calls, clock and random numbers. So all other code runs unchanged on the
simulated sockets of `zmqbridge.testing`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import zmq
from zmq.backend import Frame
from zmq.backend import Socket as BackendSocket

from zmqbridge._bridge.clock import monotonic

# The frames of pyzmq's CFFI backend never tell whether another part follows.
COMPILED = getattr(Frame, "more", False) is not False

RCVMORE = int(zmq.RCVMORE)


def raw(socket: Any) -> Any:
    """The class with the low-level methods of this socket: pyzmq's compiled class, or another.

    Raises:
        TypeError: it is no socket, but e.g. a mock. The compiled methods do not look at what they
            are called with, and take any memory for a socket of libzmq.
    """
    if isinstance(socket, BackendSocket):
        return BackendSocket
    calls = getattr(type(socket), "raw", None)
    if calls is None:
        raise TypeError(f"{socket!r} is no socket")
    return calls


def is_socket(it: object) -> bool:
    """Whether an object is a socket, and not a mock that a test uses in its place."""
    return isinstance(it, BackendSocket) or hasattr(type(it), "raw")


def is_real(it: object) -> bool:
    """Whether an object is a socket of libzmq, and no simulated one."""
    return isinstance(it, BackendSocket)


def clock_of(socket: Any) -> Callable[[], float]:
    """The monotonic clock for a socket: the real one, or that of its simulated network."""
    clock: Callable[[], float] = getattr(type(socket), "monotonic", monotonic)
    return clock if clock is monotonic else clock.__get__(socket)


def random_of(socket: Any) -> Callable[[int], bytes]:
    """The source of random bytes for a socket: the system's, or that of its simulated network."""
    draw: Callable[[int], bytes] | None = getattr(type(socket), "urandom", None)
    return os.urandom if draw is None else draw.__get__(socket)


def facade_socket(context: Any, usual: Callable[[Any, int], Any]) -> Callable[[Any, int], Any]:
    """The function that makes a socket for the facade; a context may have sockets of its own.

    Args:
        context: whose socket it is to be.
        usual: the class of such sockets, or what a program has put in its place, which is called.
    """
    if not str(getattr(usual, "__module__", "")).startswith("zmqbridge."):
        return usual
    make: Callable[[Any, int], Any] = getattr(type(context), "socket_of_facade", usual)
    return make


def send_of(socket: Any) -> Callable[..., Any]:
    """The ``send`` of a socket, without a Python frame where pyzmq is compiled."""
    calls = raw(socket)
    plain = calls is BackendSocket and not COMPILED
    send: Callable[..., Any] = plain_send(socket) if plain else calls.send.__get__(socket)
    return send


def recv_of(socket: Any) -> Callable[..., Any]:
    """The ``recv`` of a socket, without a Python frame where pyzmq is compiled."""
    calls = raw(socket)
    plain = calls is BackendSocket and not COMPILED
    recv: Callable[..., Any] = plain_recv(socket) if plain else calls.recv.__get__(socket)
    return recv


class Part:
    """One frame of a message, with the two attributes that the pump reads."""

    __slots__ = ("bytes", "more")

    def __init__(self, content: bytes, more: int) -> None:
        self.bytes = content
        self.more = more


def plain_send(socket: zmq.Socket[bytes]) -> Callable[..., Any]:
    """A `send` like that of pyzmq's compiled class, made of calls that every pyzmq backend has."""
    backend: Any = BackendSocket

    def send(part: bytes, flags: int, copy: bool = True) -> None:
        backend.send(socket, part, flags, copy)  # without a copy, a large part is shared

    return send


def plain_recv(socket: zmq.Socket[bytes]) -> Callable[..., Any]:
    """A `recv` like that of pyzmq's compiled class, made of calls that every pyzmq backend has."""
    backend: Any = BackendSocket

    def recv(flags: int, copy: bool = True) -> bytes | Part:
        content = backend.recv(socket, flags)
        return content if copy else Part(content, backend.get(socket, RCVMORE))

    return recv
