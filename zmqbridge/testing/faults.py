"""Faults: what may happen to the nodes of a network, listed by hand or drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import inf
from random import Random
from typing import NamedTuple

from zmqbridge.testing._checks import seconds, several, whole
from zmqbridge.testing._links import LATENCY
from zmqbridge.testing._network import Network

SHORTEST = 0.001  # seconds that a drawn fault lasts
CALM = ("cut", "silence", "one_way", "slow")  # the kinds that are drawn by default


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
    node.require_program()
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


def check(fault: Fault, network: Network) -> None:
    """Check that a fault may be applied.

    Raises:
        TypeError: it is no `Fault`, or its node can never be restarted.
        ValueError: there is no such kind of fault, no such node, or a time is out of range.
    """
    if not isinstance(fault, Fault):
        raise TypeError(f"{fault!r} is no Fault: give a list of them")
    check_kinds([fault.kind])
    for name in (fault.a, fault.b):
        if name not in network.nodes:
            raise ValueError(f"{fault!r}: there is no node {name!r} on this network")
    for what, time in (("at", fault.at), ("lasts", fault.lasts)):
        if isinstance(time, str) or not 0 <= time < inf:
            raise ValueError(f"{fault!r}: {what} is to be 0 or more seconds")
    if fault.kind == "restart" and network.nodes[fault.a].tests:
        raise TypeError(f"{fault!r}: {fault.a} runs the test itself, restart another node")


def check_kinds(kinds: Sequence[str]) -> None:
    """Check the kinds of faults.

    Raises:
        TypeError: they are no list.
        ValueError: there is no such kind, or there are none.
    """
    if not several("kinds", kinds, "kinds of faults", str):
        raise ValueError(f"kinds={kinds!r}: give some of {', '.join(KINDS)}")
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r}: a fault is one of {', '.join(KINDS)}")


def check_plan(
    nodes: Sequence[str], until: float, kinds: Sequence[str], longest: float | None
) -> float:
    """Check the arguments from which faults are drawn, and return how long one lasts at most.

    Raises:
        TypeError: an argument is of another type.
        ValueError: there are not two nodes, there is no such kind, or a number is out of range.
    """
    if isinstance(nodes, str) or len(set(several("nodes", nodes, "names of nodes", str))) < 2:
        raise ValueError(f"nodes={nodes!r}: a fault is between two nodes")
    check_kinds(kinds)
    seconds("until", until, above=True)
    if longest is None:
        return max(until / 2, SHORTEST)
    return seconds("longest", longest, SHORTEST)


def apply(network: Network, faults: Iterable[Fault]) -> None:
    """Schedule faults, whose times count from now.

    Raises:
        TypeError: one is no `Fault`, or it restarts the node of the test itself, or `network` is no
            `Network`.
        ValueError: there is no such kind of fault, no such node, or a time is out of range.
        NotSimulated: the `SimReactor` of the network was closed.
    """
    if isinstance(faults, Fault):
        raise TypeError(f"give a list of faults: [{faults!r}]")
    if not isinstance(network, Network):
        raise TypeError(f"network={network!r}: give a Network(seed)")
    plan = several("faults", faults, "faults")
    for fault in plan:
        check(fault, network)
    network.require_open()
    for fault in plan:
        network.after(fault.at, partial(KINDS[fault.kind], network, fault))


def draw(
    random: Random,
    nodes: Sequence[str],
    until: float,
    most: int = 4,
    kinds: Sequence[str] = CALM,
    longest: float | None = None,
) -> list[Fault]:
    """Draw some faults at random; each is over by `until`.

    The node ``"main"``, which runs the test, is never restarted.

    Args:
        random: the source of random numbers, as `Network.random`.
        nodes: the names of the nodes, at least two.
        until: in seconds from now.
        most: how many faults at most.
        kinds: the kinds to draw from, see `Fault`.
        longest: how many seconds a fault lasts at most, by default half of `until`. Let it be
            longer than the timeouts of your program.

    Raises:
        TypeError: an argument is of another type.
        ValueError: there are not two nodes, there is no such kind, or a number is out of range.
    """
    longest = check_plan(nodes, until, kinds, longest)
    whole("most", most, 0)
    if not isinstance(random, Random):
        raise TypeError(f"random={random!r}: give network.random, or a random.Random")
    names = list(dict.fromkeys(nodes))
    faults = []
    for _ in range(random.randint(0, most)):
        a, b = random.sample(names, 2)
        at = random.uniform(0, until * 0.8)
        lasts = min(random.uniform(SHORTEST, longest), until - at)
        faults.append(spared(Fault(at, random.choice(list(kinds)), a, b, lasts)))
    return sorted(faults)


def spared(fault: Fault) -> Fault:
    """The fault, or one that restarts the other node instead of ``"main"``."""
    if fault.kind == "restart" and fault.a == "main":
        return fault._replace(a=fault.b, b=fault.a)
    return fault
