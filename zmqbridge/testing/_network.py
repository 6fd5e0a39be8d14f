"""Network: the simulated network, a pure machine like those of the core: no thread, no clock.

A driver owes it two things: it calls `deliver_until` when the time of `next_delivery` has come, and
it reads the sockets in `rung`, whose FDs are readable. All random numbers come from one seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

from zmqbridge.testing._checks import a_number, whole
from zmqbridge.testing._diagram import diagram
from zmqbridge.testing._fabric import Fabric
from zmqbridge.testing._links import LATENCY, pace_of
from zmqbridge.testing._nodes import Node, named
from zmqbridge.testing._rules import Event, Handle, Rule

# How many turns of its loop a run may take. On asyncio a request takes two of them, and all of
# them less than half a minute.
MAX_TURNS = 500_000


class Network(Fabric):
    """The network of one simulated world.

    - inputs: `deliver_until`, by the loop of a simulation
    - commands: `node`, `cut`, `silence`, `heal`, `slow`, `rule`
    - getters: `now`, `nodes`, `trace`, `trace_hash`, `report`, `next_delivery`

    What it inherits is for the parts of the simulation, and not for tests.

    Args:
        seed: the seed of all random numbers.
        max_turns: how many turns of its loop a run may take, ``math.inf`` for any number. A
            request takes two on asyncio, four on trio and Twisted.

    Attributes:
        seed, max_turns: as given; `max_turns` may be set later.
        now: the time, in seconds since the beginning.
        random: the only source of random numbers.
        nodes: the nodes by name.
        rung: the sockets whose FDs are readable.
        driver: runs the programs of the nodes.
        failure: the error by which a driver must end the run, or None.

    Raises:
        TypeError: the seed is not an int, or `max_turns` no number.
        ValueError: `max_turns` is less than 1.
    """

    def __init__(self, seed: int = 0, max_turns: float = MAX_TURNS) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise TypeError(f"seed={seed!r}: give a whole number")
        if not a_number("max_turns", max_turns, "1 or more") >= 1:
            raise ValueError(f"max_turns={max_turns!r}: give 1 or more")
        super().__init__(seed, max_turns)

    # Nodes.

    def node(self, name: str) -> Node:
        """The node of this name; the first call makes it.

        Raises:
            TypeError: the name is not a str, or is empty.
            ValueError: no address can have this name.
        """
        if named(name) not in self.nodes:
            self.nodes[name] = Node(self, name)
        return self.nodes[name]

    def _found(self, *nodes: Node | str) -> Sequence[Node]:
        found = []
        for each in nodes:
            node = self.nodes.get(each) if isinstance(each, str) else each
            if not isinstance(node, Node) or self.nodes.get(node.name) is not node:
                known = ", ".join(self.nodes) or "none yet"
                raise ValueError(f"there is no node {each!r} on this network; it has {known}")
            found.append(node)
        return found

    # Faults.

    def cut(self, a: Node | str, b: Node | str) -> None:
        """Reset all connections between two nodes; they connect again after RECONNECT_IVL.

        Messages under way are lost, always as a whole.

        Raises:
            ValueError: a node is not of this network.
            NotSimulated: the `SimReactor` of the network was closed.
        """
        one, other = self._found(a, b)
        self.require_open()
        self.fault("cut", one.name, other.name)
        for connection in list(self.connections):
            if {connection.nodes[0], connection.nodes[1]} == {one, other}:
                connection.reset("cut")

    def silence(self, a: Node | str, b: Node | str, one_way: bool = False) -> None:
        """Pull the cable between two nodes: neither is told, and all messages wait for `heal`.

        Args:
            a: a node, or its name.
            b: another one.
            one_way: hold only messages from `a` to `b`.

        Raises:
            TypeError: `one_way` is not a bool.
            ValueError: a node is not of this network.
            NotSimulated: the `SimReactor` of the network was closed.
        """
        one, other = self._found(a, b)
        self.require_open()
        if not isinstance(one_way, bool):
            raise TypeError(f"one_way={one_way!r}: give True or False; a silence is between two")
        self.fault("silence", one.name, other.name)
        self._links.silence(one, other)
        if not one_way:
            self._links.silence(other, one)
        self.blocked_anew()

    def heal(self, a: Node | str, b: Node | str) -> None:
        """Plug the cable between two nodes in again.

        Raises:
            ValueError: a node is not of this network.
            NotSimulated: the `SimReactor` of the network was closed.
        """
        one, other = self._found(a, b)
        self.require_open()
        self.fault("heal", one.name, other.name)
        self._links.heal(one, other)
        self.unblocked()

    def slow(
        self,
        a: Node | str,
        b: Node | str,
        latency: tuple[float, float] = LATENCY,
        per_second: float = inf,
    ) -> None:
        """Set how fast messages go between two nodes, in both directions, from now on.

        Args:
            a: a node, or its name.
            b: another one.
            latency: the least and the most time that a message takes, in seconds.
            per_second: how many bytes go over the line in a second.

        Raises:
            ValueError: a node is not of this network, or a number is out of range.
            NotSimulated: the `SimReactor` of the network was closed.
        """
        one, other = self._found(a, b)
        self.require_open()
        pace = pace_of(latency, per_second)
        self.fault("slow", one.name, other.name)
        self._links.slow(one, other, pace)

    def rule(self, rule: Rule) -> Handle:
        """Apply a function to each message over tcp and ipc that is sent from now on.

        Args:
            rule: called with a `Delivery`, returns None, `Deliver`, `Drop` or `Twice`. The first
                rule that does not return None decides.

        Returns:
            A handle whose `cancel` removes the rule.

        Raises:
            TypeError: the rule cannot be called.
            NotSimulated: the `SimReactor` of the network was closed.
        """
        self.require_open()
        return self._rules.add(rule)

    # What a driver calls; here so that `help` shows it with the others.

    if not TYPE_CHECKING:  # type checkers see those that it inherits
        next_delivery = Fabric.next_delivery
        deliver_until = Fabric.deliver_until

    # The trace.

    @property
    def trace(self) -> list[Event]:
        """The last 10,000 events, oldest first."""
        return list(self._trace.events)

    def report(self, last: int = 20) -> str:
        """The seed, the last events as a sequence diagram in text, and the faults that go on."""
        events = self.trace[-last:] if whole("last", last, 0) else []
        return "\n".join((
            f"seed {self.seed}, at {self.now:.6f} s; the last {len(events)} events:",
            *diagram(events, list(self.nodes)),
            *self.troubles(),
        ))  # fmt: skip

    def trace_hash(self) -> str:
        """A hash of all events so far: equal for two runs that did the same at the same time."""
        return self._trace.hash()

    def __repr__(self) -> str:
        return f"<Network seed={self.seed}, {len(self.nodes)} nodes, at {self.now:.6f} s>"


def checked(network: Network | None) -> Network:
    """The network that was given, or a new one.

    Raises:
        TypeError: it is no `Network`.
    """
    if network is None:
        return Network()
    if not isinstance(network, Network):
        raise TypeError(f"network={network!r}: give a Network(seed)")
    return network
