"""The far side of a one-way workload: blocking pyzmq in its own process, the same for all."""

from __future__ import annotations

import signal
import sys

import zmq


def push(address: str, count: int, size: int) -> None:
    """Push `count` messages and one more, as fast as they are taken."""
    socket = zmq.Context().socket(zmq.PUSH)
    socket.connect(address)
    body = b"x" * size
    for _ in range(count + 1):
        socket.send(body)
    signal.pause()


def publish(address: str, count: int, size: int) -> None:
    """Publish `count` messages and one more, once there is a subscriber; blocks, so drops none."""
    socket = zmq.Context().socket(zmq.XPUB)
    socket.set(zmq.XPUB_NODROP, 1)
    socket.connect(address)
    socket.recv()
    message = b"tag\0" + b"x" * (size - 4)
    for _ in range(count + 1):
        socket.send(message)
    signal.pause()


def pull(address: str, count: int, size: int) -> None:
    """Receive messages as fast as they come."""
    socket = zmq.Context().socket(zmq.PULL)
    socket.connect(address)
    while True:
        socket.recv()


def subscribe(address: str, count: int, size: int) -> None:
    """Receive publications as fast as they come, and report the first one."""
    socket = zmq.Context().socket(zmq.SUB)
    socket.set(zmq.RCVHWM, 0)
    socket.set(zmq.SUBSCRIBE, b"")
    socket.connect(address)
    socket.recv()
    print("subscribed", flush=True)
    while True:
        socket.recv()


if __name__ == "__main__":
    role, address, count, size = sys.argv[1:]
    roles = {"push": push, "publish": publish, "pull": pull, "subscribe": subscribe}
    roles[role](address, int(count), int(size))
