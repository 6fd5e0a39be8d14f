"""Refusals: what is real is refused where a simulated program does it: threads, sleeps, sockets.

Python's audit events tell it before it happens, whoever calls. An audit hook stays for the rest of
the process, so it is added at the first run, and asks first whether the code is a program's.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import zmq

from zmqbridge.testing._current import current
from zmqbridge.testing.errors import NotSimulated

PROCESS = "another process is not simulated: let a node play it, by node.start(main) or a Script"
THREAD = "threads are not simulated, their time is real: call the function itself, or replace it"
TCP = "the network beside ØMQ is not simulated: let the test replace what connects there"
SLEEP = "time.sleep() holds up all nodes, and virtual time stands still: await a sleep of the loop"
CONTEXT = "a real socket has no virtual time: make it with context=node.context"

IP = (socket.AF_INET, socket.AF_INET6)


def _is_ours(function: Any, *_: object) -> bool:
    # The library ends the real contexts of earlier tests in threads; the garbage collector may
    # have it do so at any time.
    name: Any = getattr(getattr(function, "__self__", None), "name", "")
    return isinstance(name, str) and name.startswith("zmqbridge-")


def _is_local(it: Any, *_: object) -> bool:
    return getattr(it, "family", None) not in IP  # logging to the system, for one


def _never(*_: object) -> bool:
    return False


def _is_no_sleep(seconds: Any) -> bool:
    return not seconds


# A server's `socket.bind` is not here: the library asks by it whether a port is free.
# What is refused by its audit event: why, and in which cases it is not.
REFUSED: dict[str, tuple[str, Callable[..., bool]]] = {
    "_thread.start_new_thread": (THREAD, _is_ours),
    "_thread.start_joinable_thread": (THREAD, _is_ours),
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
    if (found := REFUSED.get(event)) is not None and (node := current.get()) is not None:
        why, fine = found
        if not fine(*arguments):
            raise NotSimulated(f"{event} in a program of {node!r}: {why}")


@cache
def _begin_to_audit() -> None:
    sys.addaudithook(_audit)


def _sleep(real: Callable[[float], None]) -> Callable[[float], None]:
    def sleep(seconds: float) -> None:
        # Python tells of this itself since 3.13.
        _audit("time.sleep", (seconds,))
        real(seconds)

    return sleep


def _socket(real: Callable[..., Any]) -> Callable[..., Any]:
    def make(self: Any, *args: Any, **kwargs: Any) -> Any:
        if (node := current.get()) is not None:
            raise NotSimulated(f"{self!r}.socket() in a program of {node!r}: {CONTEXT}")
        return real(self, *args, **kwargs)

    return make


@contextmanager
def refusing() -> Iterator[None]:
    """Refuse what is real in the programs of nodes; outside of them nothing changes."""
    _begin_to_audit()
    before = time.sleep, zmq.Context.socket
    time.sleep, zmq.Context.socket = _sleep(before[0]), _socket(before[1])  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        time.sleep, zmq.Context.socket = before  # type: ignore[method-assign]
