"""Faults: what may happen to the nodes of a network, listed by hand or drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from random import Random
from typing import NamedTuple

from zmqbridge.testing.network import LATENCY, Network

# How long a fault lasts. After a cut, libzmq connects again within this time.
SOON = (0.001, 0.5)  # seconds


class Fault(NamedTuple):
    """A fault that begins at a time.

    Attributes:
        at: when, in seconds since the fault was applied.
        kind: ``"cut"``, ``"silence"``, ``"one_way"``, ``"slow"``, ``"pause"`` or ``"restart"``.
        a, b: the names of the nodes; ``"pause"`` and ``"restart"`` concern only `a`.
        lasts: how many seconds it lasts.
    """

    at: float
    kind: str
    a: str
    b: str
    lasts: float


def _cut(network: Network, fault: Fault) -> None:
    network.cut(fault.a, fault.b)


def _silence(network: Network, fault: Fault) -> None:
    network.silence(fault.a, fault.b, one_way=fault.kind == "one_way")
    network.after(fault.lasts, lambda: network.heal(fault.a, fault.b))


def _slow(network: Network, fault: Fault) -> None:
    network.slow(fault.a, fault.b, (fault.lasts / 20, fault.lasts / 10), 100_000)
    network.after(fault.lasts, lambda: network.slow(fault.a, fault.b, LATENCY))


def _pause(network: Network, fault: Fault) -> None:
    node = network.node(fault.a)
    node.pause()
    network.after(fault.lasts, node.resume)


def _restart(network: Network, fault: Fault) -> None:
    node = network.node(fault.a)
    node.kill()
    network.after(fault.lasts, node.restart)


KINDS: dict[str, Callable[[Network, Fault], None]] = {
    "cut": _cut,
    "silence": _silence,
    "one_way": _silence,
    "slow": _slow,
    "pause": _pause,
    "restart": _restart,
}


def apply(network: Network, faults: Iterable[Fault]) -> None:
    """Schedule faults, whose times count from now.

    Raises:
        ValueError: there is no such kind of fault, or no such node.
    """
    for fault in faults:
        if fault.kind not in KINDS:
            raise ValueError(f"{fault!r}: a fault is one of {', '.join(KINDS)}")
        for name in (fault.a, fault.b):
            if name not in network.nodes:
                raise ValueError(f"{fault!r}: there is no node {name!r} on this network")
        network.after(fault.at, partial(KINDS[fault.kind], network, fault))


def draw(
    random: Random,
    nodes: Sequence[str],
    until: float,
    most: int = 4,
    kinds: Sequence[str] = ("cut", "silence", "one_way", "slow"),
) -> list[Fault]:
    """Draw some faults at random; each is over before `until`.

    Args:
        random: the source of random numbers, as `Network.random`.
        nodes: the names of the nodes, at least two.
        until: in seconds from now.
        most: how many faults at most.
        kinds: the kinds to draw from, see `Fault`.
    """
    faults = []
    for _ in range(random.randint(0, most)):
        a, b = random.sample(list(nodes), 2)
        at = random.uniform(0, until * 0.8)
        lasts = min(random.uniform(*SOON), until - at)
        faults.append(Fault(at, random.choice(list(kinds)), a, b, lasts))
    return sorted(faults)
