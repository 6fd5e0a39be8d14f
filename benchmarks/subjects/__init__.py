"""The implementations that are compared, one module for each, and the scale of their runs."""

from __future__ import annotations

from typing import NamedTuple


class Subject(NamedTuple):
    """One column of the results.

    Attributes:
        module: where its roles are, below this package.
        packages: the distributions whose versions belong to a result.
        speed: how its rate compares with blocking pyzmq's, roughly, so that a run of a slow one
            takes as long as that of a fast one.
        only: the workloads that it is for; empty for all.
    """

    module: str
    packages: tuple[str, ...]
    speed: float
    only: tuple[str, ...] = ()


REQUESTS = ("requests-1000", "request-one")
FLOOR = (*REQUESTS, "receive-64k", "receive-1m")

SUBJECTS = {
    "pyzmq": Subject("blocking", ("pyzmq",), 1),
    "zmq.asyncio": Subject("zmq_asyncio", ("pyzmq",), 0.1),
    "aiozmq": Subject("aiozmq_streams", ("aiozmq", "pyzmq"), 0.1),
    "zmq-anyio": Subject("zmq_anyio_sockets", ("zmq-anyio", "anyio", "pyzmq"), 0.025),
    "txZMQ": Subject("txzmq_original", ("txZMQ", "Twisted", "pyzmq"), 0.3),
    "asyncio": Subject("ours_asyncio", ("zmqbridge", "pyzmq"), 1),
    "uvloop": Subject("ours_uvloop", ("zmqbridge", "uvloop", "pyzmq"), 1),
    "twisted": Subject("ours_twisted", ("zmqbridge", "Twisted", "pyzmq"), 1),
    "twisted-asyncio": Subject("ours_twisted_asyncio", ("zmqbridge", "Twisted", "pyzmq"), 1),
    "bare asyncio": Subject("bare_asyncio", ("pyzmq",), 1, FLOOR),
    "asyncio unheld": Subject("ours_asyncio_unheld", ("zmqbridge", "pyzmq"), 1, REQUESTS),
    "twisted unheld": Subject(
        "ours_twisted_unheld", ("zmqbridge", "Twisted", "pyzmq"), 1, REQUESTS
    ),
    "facade": Subject("ours_facade", ("zmqbridge", "Twisted", "pyzmq"), 1),
}
