"""NetworkMachine: a state machine of Hypothesis whose rules are what happens on a network."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

from hypothesis import currently_in_test_context, note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from zmqbridge._bridge.guards import open_sockets, snapshot
from zmqbridge._bridge.link import Link
from zmqbridge.testing import faults
from zmqbridge.testing._asyncio_world import Session
from zmqbridge.testing._links import LATENCY
from zmqbridge.testing._network import Network
from zmqbridge.testing._nodes import Node, check
from zmqbridge.testing.faults import CALM, Fault

Result = TypeVar("Result")

# In how many seconds a fault begins that is to fall into what comes next.
AHEAD = [0.001, 0.01, 0.1]
SECONDS: st.SearchStrategy[float] = st.sampled_from([0.0, 0.0001, 0.001, 0.01, 0.1, 0.2, 1.0])


class NetworkMachine(RuleBasedStateMachine):
    """A state machine whose own rules are faults: cut, silence, heal, slow, restart, time passes.

    One of them, `ahead`, lets a fault begin later, in the middle of what the next rules do.

    A subclass names its `nodes`, starts programs on them by `start` in `begin`, adds rules for the
    actions of its application, and checks what must hold. It calls coroutine functions by `do`,
    which lets virtual time pass until they return. At the end all faults are healed, and `check`
    is called. A failure shows the network's last events.

    Attributes:
        nodes: the names of the nodes, at least two; a subclass sets it.
        restarts: whether nodes that `start` was called for may be killed and started again.
        network: the simulated network.
    """

    nodes: ClassVar[tuple[str, ...]] = ("server", "client")
    restarts: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        if isinstance(self.nodes, str) or len(set(self.nodes)) < 2:
            raise ValueError(f"{type(self).__name__}.nodes={self.nodes!r}: name two or more nodes")
        self.network: Network = Network()
        self._session = Session(self.network)
        self._started: set[str] = set()
        for name in self.nodes:
            self.network.node(name)
        try:
            self.begin()
        except BaseException:
            self._session.close()
            raise

    def begin(self) -> None:
        """Set up; called when a machine is made. A subclass overrides it."""

    @initialize(seed=st.integers(0, 2**32 - 1))
    def _by_a_seed(self, seed: int) -> None:
        self.network.random.seed(seed)

    def start(self, node: str, main: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Run a coroutine function beside the rules, as a program of a node.

        Raises:
            ValueError: the node is not one of `nodes`.
        """
        self._node(node).start(main)
        self._started.add(node)

    def _node(self, name: str) -> Node:
        if name not in self.nodes:
            raise ValueError(f"{name!r} is not one of nodes={self.nodes!r}")
        return self.network.node(name)

    def do(self, node: str, call: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Call a coroutine function on a node, and return its result.

        A socket that one `do` has made may be used by later ones; it is closed at the end.

        Raises:
            Stalled: it waits for something that will never happen.
            TypeError: it is no coroutine function.
            ValueError: the node is not one of `nodes`.
        """
        on = self._node(node)
        check(on, call)
        result: Result = self._session.run(on, call)
        return result

    def check(self) -> None:
        """Check what must hold at the end, when all is healed. A subclass overrides it."""

    def _pair(self, first: int, second: int) -> tuple[str, str]:
        count = len(self.nodes)
        a = first % count
        return self.nodes[a], self.nodes[(a + 1 + second % (count - 1)) % count]

    numbers: ClassVar[st.SearchStrategy[int]] = st.integers(0, 11)

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        """Let time pass without a new fault."""
        self._session.sleep(seconds)

    @rule(a=numbers, b=numbers)
    def cut(self, a: int, b: int) -> None:
        """Break the connections between two nodes."""
        self.network.cut(*self._pair(a, b))

    @rule(a=numbers, b=numbers, one_way=st.booleans())
    def silence(self, a: int, b: int, one_way: bool) -> None:
        """Pull the cable between two nodes."""
        self.network.silence(*self._pair(a, b), one_way=one_way)

    @rule(
        kind=st.sampled_from(CALM),
        a=numbers,
        b=numbers,
        at=st.sampled_from(AHEAD),
        lasts=st.sampled_from([0.1, 3.0]),
    )
    def ahead(self, kind: str, a: int, b: int, at: float, lasts: float) -> None:
        """Have a fault begin in a while, so that it falls into what the next rules do."""
        faults.apply(self.network, [Fault(at, kind, *self._pair(a, b), lasts)])

    @rule(a=numbers, b=numbers)
    def heal(self, a: int, b: int) -> None:
        """Plug the cable in again."""
        self.network.heal(*self._pair(a, b))

    @rule(a=numbers, b=numbers, latency=st.sampled_from([0.001, 0.05, 0.5]))
    def slow(self, a: int, b: int, latency: float) -> None:
        """Raise the latency between two nodes."""
        self.network.slow(*self._pair(a, b), latency=(latency / 2, latency))

    @precondition(lambda self: self.restarts and self._started)
    @rule(which=numbers)
    def restart(self, which: int) -> None:
        """Kill a node, and start its program again."""
        names = sorted(self._started)
        self.network.node(names[which % len(names)]).restart()

    def heal_all(self) -> None:
        """End all faults: no direction is blocked or slow, no node is paused."""
        for node in self.network.nodes.values():
            node.resume()
        names = list(self.nodes)
        for index, a in enumerate(names):
            for b in names[index + 1 :]:
                self.network.heal(a, b)
                self.network.slow(a, b, LATENCY)

    def _close_sockets(self) -> None:
        for owned in snapshot(open_sockets):
            socket: Any = owned.libzmq()
            if isinstance(owned, Link) and getattr(socket, "network", None) is self.network:
                owned.close()

    def teardown(self) -> None:
        """Heal, let time pass, check, and end all programs."""
        # Hypothesis calls this also while the error of a rule is on its way.
        shown = self.network.report() if sys.exc_info()[1] is not None else ""
        try:
            self._session.sleep(max(AHEAD))  # until the last fault has begun
            self.heal_all()
            self._session.sleep(5)
            self.check()
        finally:
            self._close_sockets()
            if currently_in_test_context():
                note(f"simulated network: {shown or self.network.report()}")
            self._session.close()
