"""SimReactor: a Twisted reactor with the time and the sockets of a simulated network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Context
from functools import partial
from itertools import count
from math import inf
from types import TracebackType
from typing import Any, Self

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorAlreadyRunning
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorCore,
    IReactorFDSet,
    IReactorFromThreads,
    IReactorTime,
)
from twisted.internet.testing import MemoryReactor
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer

from zmqbridge.testing._checks import called, seconds, several
from zmqbridge.testing._current import current, lives
from zmqbridge.testing._delayed import Delayed
from zmqbridge.testing._errors import NotSimulated, Stalled
from zmqbridge.testing._network import Network, checked
from zmqbridge.testing._nodes import ByHand, Ended, Node
from zmqbridge.testing._readers import Readers
from zmqbridge.testing._refusals import refusing
from zmqbridge.testing._refusing_reactor import RefusingReactor
from zmqbridge.testing._stalled import StallCheck, Waiting, stalled
from zmqbridge.testing._triggers import Trigger, Triggers
from zmqbridge.testing._twisted_world import TwistedWorld, context_of

# How much time passes in each turn with calls, so that messages arrive while call follows on call.
TICK = 1e-6  # seconds
# How many turns `advance` makes at the end of its time, where calls may make calls for ever.
MANY = 1000


@implementer(IReactorCore, IReactorFDSet, IReactorFromThreads, IReactorTime)
class SimReactor(RefusingReactor, MemoryReactor):
    """Twisted's reactor for a simulated network: pass it as ``reactor=``.

    Time passes only in `run_until`, `advance` and `run`. TCP and the like are those of Twisted's
    `MemoryReactor`, which only records the calls. What a call or a reader raises is logged, as by
    any reactor. The program of a node (`Node.start`) is a function or a coroutine function; its
    sockets have this reactor and its node's context by default. Use it by ``with``, or `close` it.

    Args:
        network: the simulated network, by default a new one with seed 0.

    Attributes:
        network: as given.

    Raises:
        TypeError: it is no `Network`.
        ValueError: the network has a reactor or a loop already.
    """

    def __init__(self, network: Network | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.network: Network = checked(network)
        if not isinstance(self.network.driver, ByHand):
            raise ValueError(f"{self.network!r} has a loop already: make a network for each")
        self.network.driver = self._world = TwistedWorld(self)
        refusing.begin()
        self.running = self.hasRun = True
        self.threadpool: None = None
        self._calls = Delayed(self.seconds)
        self._soon: list[tuple[Context, Callable[[], object]]] = []
        self._held: dict[Node, list[tuple[Context, Callable[[], object]]]] = {}
        self._readers = Readers(self.network)
        self._turning = False
        self._stall_check = StallCheck(self.network)
        self._triggers = Triggers()
        self._waiter: list[Waiting] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all programs and sockets as by SIGKILL, and leave the network."""
        if self.network.driver is self._world:
            for node in self.network.nodes.values():
                alive, node.alive = node.alive, False
                self._world.kill(node)
                node.alive, node.context = alive, self.network.new_context(node)
            self.network.driver = Ended()
            refusing.end()

    # IReactorTime.

    def seconds(self) -> float:
        """The time of the network, in seconds."""
        return self.network.now

    def callLater(
        self, delay: float, callable: Callable[..., object], *args: object, **kw: object
    ) -> IDelayedCall:
        """Call a function after a delay in seconds, as a part of the node that asks for it."""
        seconds("delay", delay)
        called("callable", callable)
        return self._calls.add(delay, context_of(self._owner(callable)), callable, args, kw)

    def _owner(self, callable: Any) -> Node | None:
        # A method of a socket runs as a part of its node, also if the test itself asked for it.
        fileno = getattr(getattr(callable, "__self__", None), "fileno", None)
        socket = None if fileno is None else self.network.sockets.get(fileno())
        return None if socket is None else socket.node

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """The delayed calls that are still to be made."""
        return self._calls.pending()

    # IReactorFDSet.

    def addReader(self, reader: Any) -> None:
        """Call ``doRead`` of a reader while the FD of its simulated socket is readable.

        Raises:
            NotSimulated: the reader has a real descriptor.
        """
        self._readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        """Remove a reader."""
        self._readers.remove(reader)

    def getReaders(self) -> list[Any]:
        """All readers."""
        return self._readers.all()

    def removeAll(self) -> list[Any]:
        """Remove all readers, and return them."""
        for each in (readers := self.getReaders()):
            self.removeReader(each)
        return readers

    # IReactorCore and IReactorFromThreads.

    def callWhenRunning(self, callable: Callable[..., object], *args: object, **kw: object) -> None:
        """Call a function at once, as this reactor is always running."""
        callable(*args, **kw)

    def callFromThread(self, callable: Callable[..., object], *args: object, **kw: object) -> None:
        """Call a function in the next turn."""
        context = context_of(self._owner(callable))
        if lives(context):
            self._soon.append((context, partial(callable, *args, **kw)))

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., object], *args: Any, **kw: Any
    ) -> Any:
        """Call a function at an event; the result goes to `removeSystemEventTrigger`."""
        call = partial(callable, *args, **kw)
        return self._triggers.add(Trigger(phase, eventType, context_of(None), call))

    def removeSystemEventTrigger(self, triggerID: Any) -> None:
        """Take back an `addSystemEventTrigger`."""
        self._triggers.remove(triggerID)

    def fireSystemEvent(self, eventType: str) -> None:
        """Call the functions that were added for an event."""
        self._triggers.fire(eventType)

    def stop(self) -> None:
        """Stop, for all nodes: the shutdown event is fired, and `run` returns."""
        self.running = False
        self.hasStopped: bool = True
        self.fireSystemEvent("shutdown")

    def crash(self) -> None:
        """Stop without the shutdown event."""
        self.running = False
        self.hasCrashed: bool = True

    def run(self, installSignalHandlers: bool = False) -> None:
        """Let time pass until `stop` is called.

        Raises:
            Stalled: nothing can go on any more.
            Exception: a program of a node raised it.
        """
        self.running: bool = True
        self._go_on_until(self._over, Waiting("run", self))

    def _over(self) -> bool:
        return not self.running and not self._triggers.waiting

    # Letting time pass.

    def run_until(self, what: Deferred[Any] | Callable[[], object]) -> Any:
        """Let time pass until a Deferred has fired, or until a condition is true.

        Args:
            what: a Deferred, whose result is returned, or a function without arguments that is
                called after each turn.

        Raises:
            Stalled: nothing can go on any more.
            TypeError: it is neither.
            Exception: the Deferred failed with it, or a program of a node raised it.
        """
        if not isinstance(what, Deferred):
            called("what", what, "a Deferred, or a function without arguments")
            self._go_on_until(what, Waiting("run_until", what))
            return None
        results: list[Any] = []

        def keep(result: Any) -> Any:
            results.append(result)
            return None if isinstance(result, Failure) else result

        what.addBoth(keep)
        self._go_on_until(results.__len__, Waiting("run_until", what))
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    def advance(self, amount: float) -> None:
        """Let a number of seconds pass, with all calls that are due in them.

        Raises:
            TypeError, ValueError: it is no number of seconds.
            Exception: a program of a node raised it.
        """
        self._check()
        seconds("amount", amount)
        end = self.network.now + amount
        last = count()
        self._stall_check.begin()
        self._waiter = [Waiting(f"advance({amount!r})", self)]
        while self._turn(end) and (self.network.now < end or next(last) < MANY):
            self._check()
        self._check()

    def pump(self, timings: Sequence[float]) -> None:
        """Let time pass in steps of these lengths, in seconds."""
        for amount in several("timings", timings, "seconds"):
            self.advance(amount)

    def _go_on_until(self, condition: Callable[[], object], waiting: Waiting) -> None:
        self._stall_check.begin()
        self._check()
        self._waiter = [waiting]
        while not condition():
            if self._over():
                raise Stalled(f"the reactor was stopped before {waiting.coro!r}")
            if not self._turn(inf):
                raise stalled(self.network, self._waiting())
            self._check()

    def _check(self) -> None:
        if self.network.driver is not self._world:
            raise NotSimulated(f"this reactor of {self.network!r} was closed")
        if self.network.failure is not None:
            raise self.network.failed()

    def _waiting(self) -> list[Waiting]:
        return [program.shown for program in self._world.programs] + self._waiter

    def _timers(self) -> bool:
        return any(
            not type(getattr(call.func, "__self__", None)).__module__.startswith("zmqbridge.")
            for call in self._calls.pending()
        )

    def _turn(self, end: float) -> bool:
        """Make the calls that are due, or let time pass; False if nothing is due before `end`."""
        if self._turning:
            raise ReactorAlreadyRunning("what it calls cannot wait for it: return a Deferred")
        network = self.network
        self._stall_check.count(self._waiting)
        self._turning = True
        try:
            made = self._make_calls() + self._readers.read()
        finally:
            self._turning = False
        if made:
            network.deliver_until(min(network.now + TICK, end))
            return True
        when = min(self._calls.next_time(), network.next_delivery())
        if when > end or when == inf:
            if end < inf:
                network.deliver_until(end)
            return False
        self._stall_check.look(when, self._waiting, self._timers)
        network.deliver_until(max(when, network.now))
        return True

    def _make_calls(self) -> int:
        # Calls that these calls ask for are made in the next turn.
        soon, self._soon = self._soon, []
        made = sum(self._make(context, call) for context, call in soon)
        return made + sum(self._make(each.context, each.make) for each in self._calls.due())

    def _make(self, context: Context, call: Callable[[], object]) -> bool:
        if not lives(context):
            return False
        node = context.get(current)
        if node is not None and node.paused:
            self._held.setdefault(node, []).append((context, call))
            return False
        try:
            context.run(call)
        except Exception:
            log.err()
        return True

    # Methods that `TwistedWorld` calls.

    def forget(self, node: Node) -> None:
        """Remove the held calls and the readers of a node whose process was killed."""
        self._held.pop(node, None)
        self._readers.forget_dead()

    def go_on(self, node: Node) -> None:
        """Make the calls that were held while a node was paused."""
        self._soon += self._held.pop(node, [])
