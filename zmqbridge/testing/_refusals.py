"""Refusals: refuses threads, processes, real sockets and real sleeps in programs of nodes.

Python's audit events tell of most calls before they take place, from any caller. An audit hook
stays for the rest of the process. So it is added at the first run, and asks first whether the code
belongs to a program of a node. What has no event is replaced while a network runs.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import zmq

from zmqbridge.testing._current import current
from zmqbridge.testing._errors import NotSimulated

PROCESS = "another process is not simulated: let a node play it, by node.start(main) or a Script"
THREAD = "threads are not simulated, their time is real: call the function itself, or replace it"
TCP = "the network beside ØMQ is not simulated: let the test replace what connects there"
SLEEP = "time.sleep() holds up all nodes, and virtual time stands still: await a sleep of the loop"
CONTEXT = "a real socket has no virtual time: make it with context=node.context"
SOCKET = "this class is that of real sockets: make it by node.context.socket(kind)"

SIGNAL = "signals are those of the real process: call what the handler would do"

# The calls of an asyncio loop that a simulated one does not have, and why.
LOOP_CALLS: dict[str, str] = {
    **dict.fromkeys(("subprocess_exec", "subprocess_shell"), PROCESS),
    "add_signal_handler": SIGNAL,
    **dict.fromkeys(
        (
            "connect_accepted_socket", "connect_read_pipe", "connect_write_pipe",
            "create_connection", "create_datagram_endpoint", "create_server",
            "create_unix_connection", "create_unix_server", "getaddrinfo", "getnameinfo",
            "sendfile", "sock_accept", "sock_connect", "sock_recv", "sock_recv_into",
            "sock_recvfrom", "sock_recvfrom_into", "sock_sendall", "sock_sendfile", "sock_sendto",
            "start_tls", "add_writer",
        ),
        TCP,
    ),
}  # fmt: skip

IP = (socket.AF_INET, socket.AF_INET6)


def _is_local(it: Any, *_: object) -> bool:
    return getattr(it, "family", None) not in IP  # logging to the system, for one


def _never(*_: object) -> bool:
    return False


def _is_no_sleep(seconds: Any) -> bool:
    return not seconds


# For each refused audit event: the reason, and a function that tells which calls are allowed.
# `socket.bind` is not here, because the library uses it to ask whether a port is free.
REFUSED: dict[str, tuple[str, Callable[..., bool]]] = {
    "time.sleep": (SLEEP, _is_no_sleep),
    "socket.connect": (TCP, _is_local),
    "socket.sendto": (TCP, _is_local),
    "socket.getaddrinfo": (TCP, _never),
    **dict.fromkeys(
        ("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "subprocess.Popen"),
        (PROCESS, _never),
    ),
}


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if (found := REFUSED.get(event)) is not None:
        why, fine = found
        if not fine(*arguments):
            _refuse(event, why)


@cache
def _begin_to_audit() -> None:
    sys.addaudithook(_audit)


def _refuse(what: str, why: str) -> None:
    if (node := current.get()) is not None:
        raise NotSimulated(f"{what} in a program of {node!r}: {why}")


def _sleep(real: Any) -> Any:
    def sleep(seconds: float) -> None:
        if seconds:  # Python has an event for it since 3.13
            _refuse("time.sleep", SLEEP)
        real(seconds)

    return sleep


def _start(real: Any) -> Any:
    def start(self: threading.Thread) -> None:
        # The library ends the real contexts of earlier tests in threads; the garbage collector may
        # have it do so at any time.
        if not self.name.startswith("zmqbridge-"):
            _refuse(f"{self!r}.start()", THREAD)
        real(self)

    return start


def _process(name: str, real: Any) -> Any:
    def process(*args: Any, **kwargs: Any) -> Any:
        _refuse(f"os.{name}", PROCESS)
        return real(*args, **kwargs)

    return process


def _socket(real: Any) -> Any:
    def socket(self: Any, *args: Any, **kwargs: Any) -> Any:
        _refuse(f"{self!r}.socket()", CONTEXT)
        return real(self, *args, **kwargs)

    return socket


def _made(real: Any) -> Any:
    def init(self: Any, context: Any = None, *args: Any, **kwargs: Any) -> None:
        _refuse(f"zmq.Socket({context!r})", SOCKET)
        real(self, context, *args, **kwargs)

    return init


# What has no audit event, in some versions of Python or in all.
REPLACED: list[tuple[Any, str, Callable[[Any], Any]]] = [
    (time, "sleep", _sleep),
    (threading.Thread, "start", _start),
    (zmq.Context, "socket", _socket),
    (zmq.Socket, "__init__", _made),
]
if sys.implementation.name != "cpython":  # PyPy has an event for subprocess.Popen only
    REPLACED += [
        (os, name, partial(_process, name))
        for name in ("execv", "execve", "fork", "forkpty", "system")
        if hasattr(os, name)
    ]


class Refusing:
    """Refuses real things in the programs of nodes; other code is not concerned.

    - commands: `begin`, `end`; the calls may be nested in any order
    """

    def __init__(self) -> None:
        self._runs = 0
        self._before: list[Any] = []

    def begin(self) -> None:
        """Refuse from now on."""
        if not self._runs:
            _begin_to_audit()
            self._before = [getattr(owner, name) for owner, name, _ in REPLACED]
            for (owner, name, instead), real in zip(REPLACED, self._before, strict=True):
                setattr(owner, name, instead(real))
        self._runs += 1

    def end(self) -> None:
        """Refuse no more, if as many runs have ended as have begun."""
        self._runs -= 1
        if not self._runs:
            for (owner, name, _), real in zip(REPLACED, self._before, strict=True):
                setattr(owner, name, real)


refusing = Refusing()
