"""Network: the simulated network as a machine of the core's kind: no thread, and a clock given.

A driver owes it two things: calls of `deliver_until` when the time of `next_delivery` has come, and
a look at `rung`, the sockets whose FD is readable. All that is random comes from one seed, in an
order that depends on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from itertools import count
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from zmqbridge.testing._diagram import diagram
from zmqbridge.testing.errors import Stalled
from zmqbridge.testing.nodes import ByHand, Node
from zmqbridge.testing.rules import Deliver, Delivery, Drop, Event, Handle, Rule, Trace, Twice

if TYPE_CHECKING:
    from zmqbridge.testing._connecters import Connecter, Listener
    from zmqbridge.testing._connections import Connection
    from zmqbridge.testing._context import SimContext

# How long a message is on its way where `Network.slow` has said nothing else: about as long as on a
# host or a local network.
LATENCY = (0.00005, 0.0002)  # seconds
# How often, of the times when that could be, the network goes on in the middle of a task.
AHEAD = 0.2
# Beyond what any process has, so that a real descriptor is not taken for one of these.
FIRST_FD = 1 << 24


class Pace(NamedTuple):
    """How fast messages go from one node to another."""

    latency: tuple[float, float] = LATENCY
    per_second: float = inf


class Network:
    """The network of one simulated world.

    - inputs: `deliver_until`
    - commands: `node`, `cut`, `silence`, `heal`, `slow`, `rule`
    - getters: `next_delivery`, `now`, `rung`, `trace`, `trace_hash`, `nodes`

    Args:
        seed: all that is random follows from it.

    Attributes:
        seed: as given.
        now: the time, in seconds since the beginning.
        random: the one source of chance.
        nodes: by name.
        rung: the sockets whose FD is readable.
        driver: what runs the programs of the nodes.
        failure: with what a driver is to end the run.

    Raises:
        TypeError: the seed is not an int.
    """

    def __init__(self, seed: int = 0) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise TypeError(f"seed={seed!r}: give a whole number")
        self.seed = seed
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
        self._silent: set[tuple[Node, Node]] = set()
        self._paces: dict[tuple[Node, Node], Pace] = {}
        self._pace = Pace()
        self._rules: dict[Handle, Rule] = {}
        self._trace = Trace()
        self.failure: BaseException | None = None

    # What the world is made of.

    def node(self, name: str) -> Node:
        """The node of this name; the first time it is made.

        Raises:
            TypeError: the name is no str.
        """
        if not isinstance(name, str) or not name:
            raise TypeError(f"a node has a name, not {name!r}")
        if name not in self.nodes:
            self.nodes[name] = Node(self, name)
        return self.nodes[name]

    def new_context(self, node: Node) -> SimContext:
        """A context for a node."""
        from zmqbridge.testing._context import SimContext  # the one room that needs pyzmq

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

        What was under way is lost, in whole messages.

        Raises:
            ValueError: a node is not of this network.
        """
        one, other = self._found(a, b)
        self.fault("cut", one.name, other.name)
        for connection in list(self.connections):
            if {connection.nodes[0], connection.nodes[1]} == {one, other}:
                connection.reset("cut")

    def silence(self, a: Node | str, b: Node | str, one_way: bool = False) -> None:
        """Pull the cable between two nodes: nobody is told, and what is sent waits for `heal`.

        Args:
            a: a node, or its name.
            b: another.
            one_way: only what goes from `a` to `b`.

        Raises:
            ValueError: a node is not of this network.
        """
        one, other = self._found(a, b)
        self.fault("silence", one.name, other.name)
        self._silent.add((one, other))
        if not one_way:
            self._silent.add((other, one))
        self.blocked_anew()

    def heal(self, a: Node | str, b: Node | str) -> None:
        """Put the cable in again.

        Raises:
            ValueError: a node is not of this network.
        """
        one, other = self._found(a, b)
        self.fault("heal", one.name, other.name)
        self._silent -= {(one, other), (other, one)}
        self.unblocked()

    def slow(
        self,
        a: Node | str,
        b: Node | str,
        latency: tuple[float, float] = LATENCY,
        per_second: float = inf,
    ) -> None:
        """Set how fast messages go between two nodes, both ways, from now on.

        Args:
            a: a node, or its name.
            b: another.
            latency: each message takes a time between these two, in seconds.
            per_second: how many bytes go over the line in a second.

        Raises:
            ValueError: a node is not of this network, or a figure is not positive.
        """
        one, other = self._found(a, b)
        low, high = latency
        if not 0 <= low <= high < inf:
            raise ValueError(f"latency={latency!r}: give the least and the most seconds")
        if not per_second > 0:
            raise ValueError(f"per_second={per_second!r}: give bytes a second, more than 0")
        self.fault("slow", one.name, other.name)
        self._paces[one, other] = self._paces[other, one] = Pace((low, high), per_second)

    def rule(self, rule: Rule) -> Handle:
        """Apply a function to each message over tcp and ipc that is sent from now on.

        Args:
            rule: called with a `Delivery`, returns None, `Deliver`, `Drop` or `Twice`. The first
                rule that returns something else than None decides.

        Returns:
            What takes the rule back by `cancel`.
        """
        handle = Handle(self._rules)
        self._rules[handle] = rule
        return handle

    # What the parts of the simulation ask.

    def blocked(self, source: Node, target: Node) -> bool:
        """Whether nothing gets from one node to another now."""
        return source.paused or target.paused or (source, target) in self._silent

    def blocked_anew(self) -> None:
        """Something is blocked that was not before: heartbeats begin to be missed."""
        for connection in list(self.connections):
            connection.blocked_anew()

    def unblocked(self) -> None:
        """Something may go on."""
        for connection in list(self.connections):
            connection.unblocked()
        for connecter in list(self.waiting):
            connecter.unblocked()

    def pace(self, source: Node, target: Node) -> tuple[float, float]:
        """How long the next message takes, and how many bytes go in a second."""
        (low, high), per_second = self._paces.get((source, target), self._pace)
        return low + (high - low) * self.random.random(), per_second

    def verdict(
        self, source: Node, target: Node, kinds: tuple[str, str], parts: Sequence[bytes]
    ) -> Iterable[float]:
        """The delays after which a message is to be delivered, one for each time."""
        if not self._rules:
            return (0.0,)
        delivery = Delivery(source, target, kinds, tuple(parts), self.now)
        for rule in list(self._rules.values()):
            verdict = rule(delivery)
            if verdict is None:
                continue
            if isinstance(verdict, Deliver):
                return (verdict.delay,)
            self.fault("rule", source.name, target.name, parts, type(verdict).__name__)
            if isinstance(verdict, Drop):
                return ()
            if isinstance(verdict, Twice):
                return (0.0, 0.0)
            raise TypeError(f"a rule returned {verdict!r}: return None, Deliver, Drop or Twice")
        return (0.0,)

    def port(self) -> int:
        """A free port."""
        return next(self._ports)

    def know(self, socket: Any) -> None:
        """A socket was made."""
        self.sockets[FIRST_FD + socket.number] = socket

    def forget(self, socket: Any) -> None:
        """A socket was closed."""
        self.sockets.pop(FIRST_FD + socket.number, None)
        if socket.bell is not None:
            socket.bell.close()
            socket.bell = None

    def descriptor(self, socket: Any) -> int:
        """The FD of a socket: a number that only drivers understand, or a real one."""
        fd: int | None = self.driver.descriptor(socket)
        return FIRST_FD + socket.number if fd is None else fd

    def number(self) -> int:
        """A number that nothing else on this network has."""
        return next(self._numbers)

    def at(self, when: float, call: Callable[[], object]) -> None:
        """Make a call when the time has come."""
        heappush(self._events, (when, next(self._numbers), call))

    def after(self, delay: float, call: Callable[[], object]) -> None:
        """Make a call after so many seconds."""
        self.at(self.now + delay, call)

    # What a driver asks.

    def next_delivery(self) -> float:
        """When `deliver_until` has something to do next, ``inf`` for never."""
        return self._events[0][0] if self._events else inf

    def deliver_until(self, now: float) -> None:
        """Let the time go on until `now`, in seconds."""
        events = self._events
        while events and events[0][0] <= now:
            when, _, call = heappop(events)
            self.now = max(self.now, when)
            call()
        self.now = max(self.now, float(now))

    def fail(self, error: BaseException) -> None:
        """End the run with an error, as what the test expects has not happened."""
        self.failure = self.failure or error

    def failed(self) -> BaseException:
        """The error with which the run ends now."""
        failure, self.failure = self.failure, None
        return failure or Stalled("the run has ended already")

    def run_ahead(self) -> None:
        """The next event may happen while a task runs, and not between two turns of the loop."""
        if self.random.random() < AHEAD:
            self.deliver_until(self.next_delivery())

    # What has happened.

    def fault(
        self,
        what: str,
        source: str,
        target: str,
        parts: Sequence[bytes] = (),
        detail: str = "",
        sent: float = -1.0,
    ) -> None:
        """Write down that something happened."""
        event = Event(
            self.now, what, source, target, tuple(parts), self.now if sent < 0 else sent, detail
        )
        self._trace.note(event)

    @property
    def trace(self) -> list[Event]:
        """The last 10,000 events, oldest first."""
        return list(self._trace.events)

    def report(self, last: int = 20) -> str:
        """The seed, and the last events as a sequence diagram in text."""
        events = self.trace[-last:]
        return "\n".join((
            f"seed {self.seed}, at {self.now:.6f} s; the last {len(events)} events:",
            *diagram(events, list(self.nodes)),
        ))  # fmt: skip

    def trace_hash(self) -> str:
        """A hash of all events so far: equal for two runs that did the same at the same time."""
        return self._trace.hash()

    def __repr__(self) -> str:
        return f"<Network seed={self.seed}, {len(self.nodes)} nodes, at {self.now:.6f} s>"
