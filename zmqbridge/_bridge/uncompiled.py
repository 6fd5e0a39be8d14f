"""What the pump calls on a libzmq socket where pyzmq is not compiled, as on PyPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zmq
from zmq.backend import Frame
from zmq.backend import Socket as BackendSocket

# The frames of pyzmq's CFFI backend never tell whether more of their message follows.
COMPILED = getattr(Frame, "more", False) is not False

RCVMORE = int(zmq.RCVMORE)


class Part:
    """One frame of a message, as far as the pump asks."""

    __slots__ = ("bytes", "more")

    def __init__(self, content: bytes, more: int) -> None:
        self.bytes = content
        self.more = more


def plain_send(socket: zmq.Socket[bytes]) -> Callable[..., Any]:
    """`send` as pyzmq's compiled one does it, by what every backend has."""
    raw: Any = BackendSocket

    def send(part: bytes, flags: int, copy: bool = True) -> None:
        raw.send(socket, part, flags, copy)  # uncopied, a large part is shared

    return send


def plain_recv(socket: zmq.Socket[bytes]) -> Callable[..., Any]:
    """`recv` as pyzmq's compiled one does it, by what every backend has."""
    raw: Any = BackendSocket

    def recv(flags: int, copy: bool = True) -> bytes | Part:
        content = raw.recv(socket, flags)
        return content if copy else Part(content, raw.get(socket, RCVMORE))

    return recv
