"""NetworkMachine: a state machine of Hypothesis whose rules are what happens on a network."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from zmqbridge.testing._asyncio_world import Session
from zmqbridge.testing.network import LATENCY, Network

Result = TypeVar("Result")

SECONDS: st.SearchStrategy[float] = st.sampled_from([0.0, 0.0001, 0.001, 0.01, 0.1, 0.2, 1.0])


class NetworkMachine(RuleBasedStateMachine):
    """Cuts, silences, slows, pauses and lets time pass, between the rules of a subclass.

    A subclass names its `nodes`, starts programs on them by `start` in `begin`, adds rules for what
    its application does, and checks what must hold. It calls coroutines by `do`, which lets the
    simulated time pass until they return. At the end all faults are healed before `check` is
    called.

    Attributes:
        nodes: the names; a subclass sets it, at least two.
        restarts: nodes may be killed and started anew; only those that `start` was called for.
        network: the simulated network.
    """

    nodes: ClassVar[tuple[str, ...]] = ("server", "client")
    restarts: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.network: Network = Network()
        self._session = Session(self.network)
        self._started: set[str] = set()
        for name in self.nodes:
            self.network.node(name)
        self.begin()

    def begin(self) -> None:
        """Called when a machine is made; a subclass overrides it."""

    @initialize(seed=st.integers(0, 2**32 - 1))
    def _by_a_seed(self, seed: int) -> None:
        self.network.random.seed(seed)

    def start(self, node: str, main: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Run a coroutine function beside the rules, as a program of a node."""
        self._started.add(node)
        self.network.node(node).start(main)

    def do(self, node: str, call: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Call a coroutine function on a node, and return what it returns.

        Raises:
            Stalled: it waits for what will never come.
        """
        result: Result = self._session.run(self.network.node(node), call)
        return result

    def check(self) -> None:
        """Called when all is healed and some time has passed; a subclass overrides it."""

    def _pair(self, first: int, second: int) -> tuple[str, str]:
        count = len(self.nodes)
        a = first % count
        return self.nodes[a], self.nodes[(a + 1 + second % (count - 1)) % count]

    numbers: ClassVar[st.SearchStrategy[int]] = st.integers(0, 11)

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        """Nothing happens for a while."""
        self._session.sleep(seconds)

    @rule(a=numbers, b=numbers)
    def cut(self, a: int, b: int) -> None:
        """Two nodes lose their connections."""
        self.network.cut(*self._pair(a, b))

    @rule(a=numbers, b=numbers, one_way=st.booleans())
    def silence(self, a: int, b: int, one_way: bool) -> None:
        """The cable between two nodes is out."""
        self.network.silence(*self._pair(a, b), one_way=one_way)

    @rule(a=numbers, b=numbers)
    def heal(self, a: int, b: int) -> None:
        """It is in again."""
        self.network.heal(*self._pair(a, b))

    @rule(a=numbers, b=numbers, latency=st.sampled_from([0.001, 0.05, 0.5]))
    def slow(self, a: int, b: int, latency: float) -> None:
        """The way between two nodes takes longer."""
        self.network.slow(*self._pair(a, b), latency=(latency / 2, latency))

    @precondition(lambda self: self.restarts and self._started)
    @rule(which=numbers)
    def restart(self, which: int) -> None:
        """A node is killed, and its program started anew."""
        names = sorted(self._started)
        self.network.node(names[which % len(names)]).restart()

    def heal_all(self) -> None:
        """All ways are free and fast, all nodes go on."""
        for node in self.network.nodes.values():
            node.resume()
        names = list(self.nodes)
        for index, a in enumerate(names):
            for b in names[index + 1 :]:
                self.network.heal(a, b)
                self.network.slow(a, b, LATENCY)

    def teardown(self) -> None:
        """Heal, let things settle, check, and end what runs."""
        try:
            self.heal_all()
            self._session.sleep(5)
            self.check()
        finally:
            self._session.close()
