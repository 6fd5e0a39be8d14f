"""Fabric: what a network is to the parts of the simulation: time, events, connections, trace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from itertools import count
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

from zmqbridge.testing._errors import NotSimulated, Stalled
from zmqbridge.testing._links import Links
from zmqbridge.testing._nodes import ByHand, Ended, Node
from zmqbridge.testing._rules import Event, Rules, Trace

if TYPE_CHECKING:
    from zmqbridge.testing._connecters import Connecter, Listener
    from zmqbridge.testing._connections import Connection
    from zmqbridge.testing._context import SimContext

# The probability that a message which may arrive in the middle of a task does so.
AHEAD = 0.2
Verdict = Callable[[Node, Node, tuple[str, str], Sequence[bytes]], Iterable[float]]
"""What the rules say of a message, see `Rules.verdict`."""

# Higher than any real descriptor of a process, so that the two cannot be confused.
FIRST_FD = 1 << 24


class Fabric:
    """The half of a `Network` that tests do not call; its attributes are described there."""

    def __init__(self, seed: int, max_turns: float) -> None:
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
        self.blocked: Callable[[Node, Node], bool] = self._links.blocked
        self.pace: Callable[[Node, Node], tuple[float, float]] = self._links.pace
        self.verdict: Verdict = self._rules.verdict
        self.failure: BaseException | None = None

    def new_context(self, node: Node) -> SimContext:
        """Make a context for a node."""
        from zmqbridge.testing._context import SimContext  # late: it imports all of the simulation

        return SimContext(node)

    def require_open(self) -> None:
        """Check that a fault can still happen.

        Raises:
            NotSimulated: the `SimReactor` was closed.
        """
        if isinstance(self.driver, Ended):
            raise NotSimulated(
                f"the reactor of {self!r} was closed, so no fault can happen there: order it "
                "before, or make another SimReactor first"
            )

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
