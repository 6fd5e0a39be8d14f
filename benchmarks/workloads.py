"""What is measured: each workload by name, with the roles at both ends and the targets."""

from __future__ import annotations

from typing import NamedTuple


class Workload(NamedTuple):
    """One row of the results.

    Attributes:
        role: the function of a subject that is measured, see `benchmarks.subject`.
        far: the other end: a role of `benchmarks.far`, or ``"replier"``, which is the subject
            itself in a second process.
        size: bytes of a message's body.
        count: messages in a run, for a subject whose SPEED is 1.
        unit: what the result counts; for ``"µs"`` less is better.
    """

    role: str
    far: str
    size: int
    count: int  # type: ignore[assignment]  # tuples have a method of that name
    unit: str = "/s"


WORKLOADS = {
    "receive": Workload("pull", "push", 64, 400_000),
    "receive-sub": Workload("subscribe", "publish", 64, 400_000),
    "send": Workload("push", "pull", 64, 400_000),
    "send-pub": Workload("publish", "subscribe", 64, 400_000),
    "requests-1000": Workload("ask_many", "replier", 64, 100_000),
    "request-one": Workload("ask_one", "replier", 64, 5_000, "µs"),
    "receive-64k": Workload("pull", "push", 65_536, 20_000),
    "send-64k": Workload("push", "pull", 65_536, 20_000),
    "receive-1m": Workload("pull", "push", 1_048_576, 1_500),
    "send-1m": Workload("push", "pull", 1_048_576, 1_500),
}

ONE_WAY = ("receive", "receive-sub", "send", "send-pub")
LARGE = ("receive-64k", "send-64k", "receive-1m", "send-1m")
NATIVE = ("asyncio", "twisted")


class Target(NamedTuple):
    """A bound on the ratio of two subjects' medians: better by `factor` or more is met."""

    workload: str
    subject: str
    peer: str
    factor: float


TARGETS = [
    *(Target(w, s, "pyzmq", 1.0) for w in ONE_WAY for s in NATIVE),
    *(Target(w, "asyncio", "zmq.asyncio", 8.0) for w in ("receive", "receive-sub")),
    *(Target(w, "asyncio", "zmq.asyncio", 3.0) for w in ("send", "send-pub")),
    *(Target(w, "facade", "txZMQ", 3.0) for w in ("receive", "receive-sub")),
    *(Target(w, "facade", "txZMQ", 1.0) for w in ("send", "send-pub")),
    Target("requests-1000", "asyncio", "zmq.asyncio", 6.0),
    Target("requests-1000", "asyncio", "txZMQ", 3.0),
    Target("requests-1000", "twisted", "txZMQ", 3.0),
    Target("requests-1000", "facade", "txZMQ", 2.5),
    *(Target("request-one", s, "pyzmq", 1 / 1.15) for s in NATIVE),
    Target("request-one", "facade", "txZMQ", 1.0),
    *(Target(w, s, "pyzmq", 0.95) for w in LARGE for s in (*NATIVE, "facade")),
]
