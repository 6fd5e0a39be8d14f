"""Blocking pyzmq, the yardstick: `recv_multipart` and `send_multipart` in a loop, REQ and REP."""

from __future__ import annotations

import time
from time import perf_counter

import zmq

from benchmarks.subjects.common import Result, Stopwatch, told_to_go


def bound(kind: int, address: str) -> zmq.Socket[bytes]:
    socket = zmq.Context().socket(kind)
    socket.set(zmq.LINGER, 0)
    socket.bind(address)
    return socket


def receive(socket: zmq.Socket[bytes], count: int) -> Result:
    socket.recv_multipart()
    watch = Stopwatch(count)
    for _ in range(count):
        socket.recv_multipart()
    return watch.rate()


def pull(address: str, count: int) -> Result:
    return receive(bound(zmq.PULL, address), count)


def subscribe(address: str, count: int) -> Result:
    socket = bound(zmq.SUB, address)
    socket.set(zmq.SUBSCRIBE, b"")
    return receive(socket, count)


def push(address: str, count: int, body: bytes) -> Result:
    socket = bound(zmq.PUSH, address)
    socket.send(b"first")
    watch = Stopwatch(count)
    for _ in range(count):
        socket.send_multipart([body])
    return watch.rate()


def publish(address: str, count: int, body: bytes) -> Result:
    socket = zmq.Context().socket(zmq.PUB)
    socket.set(zmq.SNDHWM, 0)
    socket.bind(address)
    while not told_to_go():
        socket.send(b"first")
        time.sleep(0.001)
    watch = Stopwatch(count)
    for _ in range(count):
        socket.send_multipart([b"tag", body])
    return watch.rate()


def replier(address: str) -> None:
    socket = bound(zmq.REP, address)
    while True:
        socket.send_multipart(socket.recv_multipart())


def ask_one(address: str, count: int, body: bytes) -> Result:
    socket = zmq.Context().socket(zmq.REQ)
    socket.connect(address)
    latencies = []
    watch = Stopwatch(count)
    for _ in range(count):
        start = perf_counter()
        socket.send_multipart([body])
        socket.recv_multipart()
        latencies.append(perf_counter() - start)
    return watch.typical(latencies)
