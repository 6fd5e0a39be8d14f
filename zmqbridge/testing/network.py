"""Network: the simulated network, a pure machine like those of the core: no thread, no clock.

A driver owes it two things: it calls `deliver_until` when the time of `next_delivery` has come, and
it reads the sockets in `rung`, whose FDs are readable. All random numbers come from one seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

from zmqbridge.testing._diagram import diagram
from zmqbridge.testing._links import LATENCY, Links, pace_of
from zmqbridge.testing.errors import Stalled
from zmqbridge.testing.nodes import ByHand, Node, named
from zmqbridge.testing.rules import Event, Handle, Rule, Rules, Trace

if TYPE_CHECKING:
    from zmqbridge.testing._connecters import Connecter, Listener
    from zmqbridge.testing._connections import Connection
    from zmqbridge.testing._context import SimContext

# How many turns of its loop a run may take. On asyncio a request takes two of them, and all of
# them less than half a minute.
MAX_TURNS = 500_000
# The probability that a message which may arrive in the middle of a task does so.
AHEAD = 0.2
# Higher than any real descriptor of a process, so that the two cannot be confused.
FIRST_FD = 1 << 24


class Network:
    """The network of one simulated world.

    - inputs: `deliver_until`
    - commands: `node`, `cut`, `silence`, `heal`, `slow`, `rule`
    - getters: `now`, `nodes`, `trace`, `trace_hash`, `report`

    All other methods are for the parts of the simulation, and not for tests.

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
        TypeError: the seed is not an int.
        ValueError: `max_turns` is less than 1.
    """

    def __init__(self, seed: int = 0, max_turns: float = MAX_TURNS) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise TypeError(f"seed={seed!r}: give a whole number")
        if not max_turns >= 1:
            raise ValueError(f"max_turns={max_turns!r}: give 1 or more")
        self.seed = seed
        self.max_turns = max_turns
        self.now: float = 0.0
        self.random: Random = Random(seed)
        self.nodes: dict[str, Node] = {}
        self.rung: dict[Any, None] = {}
        self.driver: Any = ByHand()
        self.sockets: dict[int, Any] = {}  # by FD
        self.listeners: dict[tuple[str, str], Listener] = {}
        self.connections: dict[Connection, None] = {}
        self.waiting: dict[Connecter, None] = {}
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self._ports = count(49152)
        self._links = Links(self.random)
        self._rules = Rules(self)
        self._trace = Trace()
        # Each message asks these, so they are the methods themselves.
        self.blocked = self._links.blocked
        self.pace = self._links.pace
        self.verdict = self._rules.verdict
        self.failure: BaseException | None = None

    # Nodes.

    def node(self, name: str) -> Node:
        """The node of this name; the first call makes it.

        Raises:
            TypeError: the name is not a str, or is empty.
            ValueError: no address can have this name.
        """
        if name not in self.nodes:
            self.nodes[named(name)] = Node(self, name)
        return self.nodes[name]

    def new_context(self, node: Node) -> SimContext:
        """Make a context for a node."""
        from zmqbridge.testing._context import SimContext  # late: it imports all of the simulation

        return SimContext(node)

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
        """
        one, other = self._found(a, b)
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
            ValueError: a node is not of this network.
        """
        one, other = self._found(a, b)
        self.fault("silence", one.name, other.name)
        self._links.silence(one, other)
        if not one_way:
            self._links.silence(other, one)
        self.blocked_anew()

    def heal(self, a: Node | str, b: Node | str) -> None:
        """Plug the cable between two nodes in again.

        Raises:
            ValueError: a node is not of this network.
        """
        one, other = self._found(a, b)
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
        """
        one, other = self._found(a, b)
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
        """
        return self._rules.add(rule)

    # Methods that the parts of the simulation call.

    def blocked_anew(self) -> None:
        """Tell all connections that one may be blocked now: heartbeats are missed there."""
        for connection in list(self.connections):
            connection.blocked_anew()

    def unblocked(self) -> None:
        """Tell all connections and connecters that one may be free again."""
        for connection in list(self.connections):
            connection.unblocked()
        for connecter in list(self.waiting):
            connecter.unblocked()

    def port(self) -> int:
        """A port that is free."""
        return next(self._ports)

    def know(self, socket: Any) -> None:
        """Add a new socket."""
        self.sockets[FIRST_FD + socket.number] = socket

    def forget(self, socket: Any) -> None:
        """Remove a closed socket."""
        self.sockets.pop(FIRST_FD + socket.number, None)
        if socket.bell is not None:
            socket.bell.close()
            socket.bell = None

    def descriptor(self, socket: Any) -> int:
        """The FD of a socket: a number that only drivers understand, or a real descriptor."""
        fd: int | None = self.driver.descriptor(socket)
        return FIRST_FD + socket.number if fd is None else fd

    def number(self) -> int:
        """A number that is unique on this network."""
        return next(self._numbers)

    def at(self, when: float, call: Callable[[], object]) -> None:
        """Call a function at a time, in seconds."""
        heappush(self._events, (when, next(self._numbers), call))

    def after(self, delay: float, call: Callable[[], object]) -> None:
        """Call a function after a delay, in seconds."""
        self.at(self.now + delay, call)

    # Methods that a driver calls.

    def next_delivery(self) -> float:
        """The time at which `deliver_until` has something to do next, ``inf`` for never."""
        return self._events[0][0] if self._events else inf

    def deliver_until(self, now: float) -> None:
        """Set the time to `now`, in seconds, and do all that is due until then."""
        events = self._events
        while events and events[0][0] <= now:
            when, _, call = heappop(events)
            self.now = max(self.now, when)
            call()
        self.now = max(self.now, float(now))

    def fail(self, error: BaseException) -> None:
        """Have the driver end the run with an error; the first one counts."""
        self.failure = self.failure or error

    def failed(self) -> BaseException:
        """Take the error with which the run ends now."""
        failure, self.failure = self.failure, None
        return failure or Stalled("the run has ended already")

    def run_ahead(self) -> None:
        """Perhaps do the next event now, while a task runs, not between two turns of the loop."""
        if self.random.random() < AHEAD:
            self.deliver_until(self.next_delivery())

    # The trace.

    def fault(
        self,
        what: str,
        source: str,
        target: str,
        parts: Sequence[bytes] = (),
        detail: str = "",
        sent: float = -1.0,
    ) -> None:
        """Add an event to the trace."""
        event = Event(
            self.now, what, source, target, tuple(parts), self.now if sent < 0 else sent, detail
        )
        self._trace.note(event)

    @property
    def trace(self) -> list[Event]:
        """The last 10,000 events, oldest first."""
        return list(self._trace.events)

    def report(self, last: int = 20) -> str:
        """The seed, the last events as a sequence diagram in text, and the faults that go on."""
        events = self.trace[-last:]
        return "\n".join((
            f"seed {self.seed}, at {self.now:.6f} s; the last {len(events)} events:",
            *diagram(events, list(self.nodes)),
            *self.troubles(),
        ))  # fmt: skip

    def troubles(self) -> list[str]:
        """What keeps messages from coming through now, in words."""
        found = [repr(node) for node in self.nodes.values() if node.paused or not node.alive]
        silent = self._links.silent()
        if silent:
            found.append(f"silent: {', '.join(silent)}")
        hosts = {host for each in self.sockets.values() for host in each.hosts()}
        known = {host for host, _ in self.listeners} | self.nodes.keys()
        found += [f"there is no node {host!r}" for host in sorted(hosts - known - {""})]
        return found

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
