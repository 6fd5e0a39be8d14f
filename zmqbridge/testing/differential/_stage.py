"""Stage: the calls that fixed programs are made of, the same on the model and on libzmq."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from zmqbridge.testing.differential._playing import name_of
from zmqbridge.testing.differential._worlds import Model, Real

PEER = """
import sys, time, zmq
socket = zmq.Context().socket(zmq.DEALER)
socket.set(zmq.ROUTING_ID, b"peer")
socket.connect(sys.argv[1])
time.sleep(30)
"""
ENOUGH = 1.0  # seconds; the longest wait for a condition, times `Stage.wait_factor`
STARTING = 25.0  # seconds that a process has to come, and an address to be free
ROUNDS = 60  # of reading, as a socket that tries to connect again makes events for ever


class Stage:
    """A world with one address, which the sockets of a program bind and connect to.

    Args:
        world: the world.
        transport: the transport of the address.
    """

    def __init__(self, world: Model | Real, transport: str) -> None:
        self._world = world
        self._transport = transport
        self.address: str = world.address(transport, "stage")
        self._number = 0
        self.wait_factor: float = world.wait_factor if isinstance(world, Real) else 1.0

    def socket(self, kind: int) -> Any:
        """Make a socket."""
        socket = self._world.socket(kind)
        socket.set(zmq.RECONNECT_IVL, 10)
        socket.set(zmq.LINGER, 0)
        return socket

    def bind(self, socket: Any) -> None:
        """Bind a socket to the address, which libzmq frees a while after another has closed."""
        if not self.until(lambda: self._binds(socket), STARTING):
            raise AssertionError(f"{self.address} is still in use")

    def _binds(self, socket: Any) -> bool:
        try:
            socket.bind(self.address)
        except zmq.ZMQError as error:
            if error.errno != zmq.EADDRINUSE:
                raise
            return False
        return True

    def connect(self, socket: Any) -> None:
        """Connect a socket to the address, and settle."""
        socket.connect(self.address)
        self.settle()

    def tie(self, server: Any, *clients: Any) -> None:
        """Bind the server, and connect the clients."""
        self.bind(server)
        for client in clients:
            self.connect(client)

    def settle(self) -> None:
        """Let the time go on until nothing happens any more."""
        self._world.settle(True)

    def received(self, socket: Any, most: int = ROUNDS) -> list[Any]:
        """Receive all messages, also those that come while it receives."""
        came: list[Any] = []
        idle = rounds = 0
        while idle < 2 and rounds < most:
            rounds += 1
            before = len(came)
            while True:
                try:
                    came.append(socket.recv_multipart(zmq.DONTWAIT))
                except zmq.Again:
                    break
            idle = 0 if len(came) > before else idle + 1
            self.settle()
        return came

    def sent(self, socket: Any, *parts: bytes) -> str:
        """Send a message, and return ``"ok"`` or the name of the errno."""
        try:
            socket.send_multipart(parts, zmq.DONTWAIT)
        except zmq.ZMQError as error:
            return name_of(error)
        return "ok"

    def until(self, holds: Callable[[], bool], enough: float | None = None) -> bool:
        """Whether a condition becomes true within `enough` seconds."""
        world = self._world
        end = self._now() + (ENOUGH * self.wait_factor if enough is None else enough)
        while not (held := holds()) and self._now() < end:
            if isinstance(world, Model):
                world.network.deliver_until(world.network.now + 0.01)
            else:
                time.sleep(0.01)
        return held

    def _now(self) -> float:
        world = self._world
        return world.network.now if isinstance(world, Model) else time.monotonic()

    def process(self) -> Any:
        """Start a process with a connected DEALER of the routing id ``peer``."""
        if isinstance(self._world, Real):
            return RealProcess(self.address)
        return SimulatedProcess(self._world, self.address)

    def monitor(self, socket: Any) -> Any:
        """Monitor a socket, and return the PAIR socket that receives its events."""
        self._number += 1
        name = f"inproc://monitor.{self._number}"
        socket.monitor(name, zmq.EVENT_ALL)
        pair = self._world.socket(zmq.PAIR)
        pair.connect(name)
        return pair

    def events(self, monitor: Any) -> list[str]:
        """The names of the events so far; those of a failed handshake have their value."""
        told = []
        for message in self.received(monitor, 2):
            event = parse_monitor_message(message)
            name = zmq.Event(event["event"]).name or ""
            if name in ("HANDSHAKE_FAILED_AUTH", "HANDSHAKE_FAILED_PROTOCOL"):
                name += f" {event['value']}"
            told.append(name)
        return told

    def authenticated(self, server: Any, client: Any, status: bytes | None) -> object:
        """Connect two sockets, play the ZAP handler, and return what the server receives."""
        handler = None
        if status is not None:
            handler = self.socket(zmq.ROUTER)
            handler.bind("inproc://zeromq.zap.01")
        self.tie(server, client)
        self.sent(client, b"message")
        asked: list[Any] = []
        for _ in range(4):
            if handler is not None and status is not None:
                for request in self.received(handler):
                    asked.append(request[3:5] + request[7:8])
                    answer = [*request[:2], b"1.0", request[3], status, b"", b"", b""]
                    self.sent(handler, *answer)
            self.settle()
        return self.received(server), asked[:1]


class RealProcess:
    """A real process, which is ended by signals."""

    def __init__(self, address: str) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", PEER, address])

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Send SIGSTOP."""
        self._process.send_signal(signal.SIGSTOP)


class SimulatedProcess:
    """A node of the simulated network."""

    def __init__(self, world: Model, address: str) -> None:
        self._node = world.network.node("peer")
        socket: Any = self._node.context.socket(zmq.DEALER)
        socket.set(zmq.ROUTING_ID, b"peer")
        socket.connect(address)

    def kill(self) -> None:
        """End the node as by SIGKILL."""
        self._node.kill()

    def stop(self) -> None:
        """Stop the node as by SIGSTOP."""
        self._node.pause()


def model(transport: str) -> Stage:
    """A stage on the simulated network."""
    return Stage(Model(), transport)


def real(transport: str, wait_factor: float = 1.0) -> Stage:
    """A stage on libzmq; for the factor see `Real`."""
    return Stage(Real(wait_factor), transport)
