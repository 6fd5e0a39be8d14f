"""Worlds: the simulated network and libzmq, with the calls that playing a program needs."""

from __future__ import annotations

import os
import select
import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import zmq

from zmqbridge.testing._network import Network
from zmqbridge.testing._nodes import Node

DIRECTORY = Path(tempfile.gettempdir()) / f"differential-{os.getpid()}"  # of the paths of ipc
TASKS = Path("/proc/self/task")
# How much virtual time passes while the model settles: more than any wait of a program but LINGER.
PASSES = 0.1  # seconds


class World(Protocol):
    """What a player needs of a world."""

    def socket(self, kind: int) -> Any:
        """Make a socket with pyzmq's methods."""

    def address(self, transport: str, name: str) -> str:
        """The address for a name; a world gives the same name the same address."""

    def settle(self, ties: bool) -> None:
        """Let time pass until nothing happens any more.

        Args:
            ties: whether connections may begin or end in this time.
        """

    def rings(self, socket: Any) -> bool:
        """Whether the FD of a socket is readable now."""


class Model:
    """The simulated network."""

    def __init__(self, seed: int = 0) -> None:
        self.network: Network = Network(seed)
        self.node: Node = self.network.node("main")

    def socket(self, kind: int) -> Any:
        """A simulated socket."""
        return self.node.context.socket(kind)

    def address(self, transport: str, name: str) -> str:
        """A port, a path or a name on a network of its own."""
        if transport == "tcp":
            return f"tcp://127.0.0.1:{5000 + sum(name.encode())}"
        return f"{transport}://{name}"

    def settle(self, ties: bool) -> None:
        """Let virtual time pass."""
        self.network.deliver_until(self.network.now + PASSES)

    def rings(self, socket: Any) -> bool:
        """Whether the FD of a socket would be readable."""
        return bool(socket.rings)


class Real:
    """Libzmq, over the loopback, paths in a directory of its own, or inproc.

    It frees nothing: its process ends when all programs were played.

    Args:
        wait_factor: how many times longer than usual it waits before it takes libzmq to be idle.
    """

    def __init__(self, wait_factor: float = 1.0) -> None:
        self.wait_factor = wait_factor
        self.context: zmq.Context[Any] = zmq.Context()
        self.context.max_sockets = 100_000
        self._reserved: dict[str, socket.socket] = {}

    def socket(self, kind: int) -> Any:
        """Make a socket of plain pyzmq."""
        return self.context.socket(kind)

    def address(self, transport: str, name: str) -> str:
        """A reserved port, a path in our directory, or a name in our context."""
        if transport == "ipc":
            DIRECTORY.mkdir(exist_ok=True)
            return f"ipc://{DIRECTORY}/{name}"
        if transport == "inproc":
            return f"inproc://{name}"
        if name not in self._reserved:
            # Bound and not listening, with SO_REUSEADDR: libzmq can bind it as well.
            holder = socket.socket()
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", 0))
            self._reserved[name] = holder
        return f"tcp://127.0.0.1:{self._reserved[name].getsockname()[1]}"

    def settle(self, ties: bool) -> None:
        """Wait until libzmq's threads have been idle for a while, with a limit."""
        quiet = (0.03 if ties else 0.004) * self.wait_factor
        latest = time.monotonic() + (0.08 if ties else 0.05) * self.wait_factor
        seen, since = _activity(), time.monotonic()
        while time.monotonic() < latest:
            time.sleep(0.001)
            now = _activity()
            if now is None or now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since >= quiet:
                return

    def rings(self, socket: Any) -> bool:
        """Whether the FD of a socket is readable."""
        poll = select.poll()
        poll.register(socket.get(zmq.FD), select.POLLIN)
        return bool(poll.poll(0))


def _activity() -> Sequence[str] | None:
    """How often each thread of libzmq has gone to sleep; None if one runs, or if it is unknown."""
    found = []
    try:
        for task in TASKS.iterdir():
            status = (task / "status").read_text()
            if status.startswith("Name:\tZMQbg"):
                fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
                if not fields["State"].startswith("S"):
                    return None
                found.append(f"{task.name} {fields['voluntary_ctxt_switches']}")
    except OSError:  # no /proc, or a thread has ended in between
        return None
    return sorted(found)
