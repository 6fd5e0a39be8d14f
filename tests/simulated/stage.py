"""Stage: what a scenario works with, and the list of all scenarios.

A scenario is a coroutine function of a `Stage`: the network, the classes of a backend, and faults
that the seed has drawn. It may use whatever is awaitable on every loop, and no clock but the
stage's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from zmqbridge.testing import Network, faults

ADDRESS = "tcp://server:5555"
UNTIL = 3.0  # seconds; faults are over by then
# The longest that a connection takes to come back: twice RECONNECT_IVL, and the handshake.
BACK = 1.0

BACKENDS = ("asyncio", "trio", "twisted")

Scenario = Callable[["Stage"], Awaitable[None]]
SCENARIOS: dict[Scenario, Sequence[str]] = {}  # with the backends on which each runs


def scenario(function: Scenario, backends: Sequence[str] = BACKENDS) -> Scenario:
    """Have the runner find it."""
    SCENARIOS[function] = backends
    return function


class Attempt(Protocol):
    """A call that another may cancel."""

    async def result(self) -> Any:
        """What it returns; None when it was cancelled."""

    def cancel(self) -> None:
        """Cancel it, now."""


class Stage:
    """What a scenario works with.

    Attributes:
        network, random: the world, and chance.
        classes: the module of the backend.
        spawn: runs a coroutine function beside, on a node.
        sleep, now: of the loop.
        given: what each socket is given.
        within: awaits a call for so many seconds, cancels it then, and returns None.
        attempt: makes an `Attempt` of a call.
    """

    def __init__(
        self,
        network: Network,
        classes: Any,
        sleep: Callable[[float], Awaitable[None]],
        within: Callable[[float, Callable[[], Any]], Awaitable[Any]],
        attempt: Callable[[Callable[[], Any]], Attempt],
        **given: Any,
    ) -> None:
        self.network = network
        self.random = network.random
        self.classes = classes
        self.sleep = sleep
        self.within = within
        self.attempt = attempt
        self._given = given

    def now(self) -> float:
        return self.network.now

    def make(self, kind: str, node: str, *first: Any, **arguments: Any) -> Any:
        """A socket on a node."""
        context = self.network.node(node).context
        return getattr(self.classes, kind)(*first, context=context, **self._given, **arguments)

    def make_plain(self, kind: str, *arguments: Any) -> Any:
        """Something that takes no context, in the program of the node that calls this."""
        return getattr(self.classes, kind)(*arguments, **self._given)

    def spawn(self, node: str, main: Callable[[], Any]) -> None:
        """Run a program on a node; what it raises ends the run."""
        self.network.node(node).start(main)

    def trouble(self, *nodes: str, kinds: Any = ("cut", "silence", "one_way", "slow")) -> None:
        """Have faults happen to these nodes."""
        for name in nodes:
            self.network.node(name)
        faults.apply(self.network, faults.draw(self.random, nodes, UNTIL, kinds=kinds, longest=0.5))

    def lost(self) -> int:
        """How many messages the network has lost so far."""
        return sum(event.what == "lost" for event in self.network.trace)
