"""TrioWorld: runs trio by the network's clock, and its tasks in an order drawn from the seed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from math import inf
from operator import attrgetter
from typing import Any, NoReturn

import trio
from trio.lowlevel import Task

from zmqbridge.testing._bells import Bell
from zmqbridge.testing._current import current, enter, lives
from zmqbridge.testing._errors import NotSimulated, Stalled
from zmqbridge.testing._network import Network
from zmqbridge.testing._nodes import ByHand, Node
from zmqbridge.testing._refusals import THREAD, refusing
from zmqbridge.testing._stalled import StallCheck, Waiting, killed, of_user, stalled

# How much time passes in each turn of the loop in which tasks run. So messages arrive also while a
# task only yields, as by ``sleep(0)``.
TICK = 1e-6  # seconds
# Before a longer leap of time we check whether a task waits for a real descriptor.
LEAP = 0.01  # seconds
A_DAY = 86400.0  # seconds
# How often tasks that shield themselves from cancellation are ended by an error.
MOST = 100

# Two names in trio that pytest-trio sets for Hypothesis: run in order, and the random numbers.
ORDERLY, RANDOM = "_ALLOW_DETERMINISTIC_SCHEDULING", "_r"

effective_deadline = attrgetter("_cancel_status.effective_deadline")
number = attrgetter("_counter")
abort_function = attrgetter("_abort_func")
attempt_abort = attrgetter("_attempt_abort")


class Order:
    """Stands in for trio's random numbers, which decide in what order tasks run."""

    def __init__(self, world: TrioWorld) -> None:
        self._world = world

    def shuffle(self, batch: list[Task]) -> None:
        """Order the tasks of a turn, which are given oldest first; trio runs the last one first."""
        self._world.turn(batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world.network.random, name)


class TrioWorld(trio.abc.Clock):
    """Runs the programs of nodes on trio: trio's clock, and the driver of a network.

    Trio asks its clock how long to sleep exactly when no task can run: that is when time passes.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.result: Any = None
        self.error: BaseException | None = None
        self.held: dict[Node, list[Task]] = {}  # of paused nodes
        self._nursery: trio.Nursery
        self._runner: Any = None
        self._scopes: dict[trio.CancelScope, Node] = {}
        self._ending = False
        self._asked = False
        self._insisted = 0
        self._stall_check = StallCheck(network)

    # The clock.

    def start_clock(self) -> None:
        """Remember trio's runner, whose tasks use this clock."""
        self._runner = _inside().GLOBAL_RUN_CONTEXT.runner

    def current_time(self) -> float:
        """The time of the network, in seconds."""
        return self.network.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Let time pass until a task can run, at `deadline` at the latest, and return 0."""
        if self._runner.waiting_for_idle:
            return A_DAY  # trio serves `wait_all_tasks_blocked` before it sleeps
        try:
            self._let_time_pass(deadline)
        except BaseException as error:
            if self._ending and isinstance(error, Stalled):
                self._insist(error)
            self.end(error)
        return 0

    def _insist(self, error: Stalled) -> None:
        # The programs are cancelled, and wait for ever in shielded code: end that by the error.
        self._insisted += 1
        if self._insisted > MOST:
            raise error

        def stop() -> NoReturn:
            raise error

        for task in self._tasks():
            if of_user(task.coro) and abort_function(task) is not None:
                attempt_abort(task)(stop)

    def _let_time_pass(self, deadline: float) -> None:
        network = self.network
        while not self._runner.runq:
            self._stall_check.count(self._waiting)
            when = min(deadline, network.next_delivery())
            leaps = when > network.now + LEAP
            if (network.rung or leaps) and not self._asked:
                self._asked = True  # let trio look at the descriptors once: maybe no task waits
                return
            if network.failure is not None:
                raise network.failed()
            if leaps:
                self._refuse_descriptors()
            if when == inf:
                raise stalled(network, self._waiting())
            self._stall_check.look(when, self._waiting, self._timers)
            network.deliver_until(max(when, network.now))
            self._asked = False
            if when >= deadline or network.rung:
                return

    def turn(self, batch: list[Task]) -> None:
        """Let time pass, then take out the tasks of paused nodes and shuffle the others."""
        if not batch:
            return
        self._asked = False
        try:
            self._stall_check.count(self._waiting)
            self.network.deliver_until(self.network.now + TICK)
            if self.network.failure is not None:
                raise self.network.failed()
        except BaseException as error:
            if self._ending and isinstance(error, Stalled):
                raise  # the programs are cancelled, and do not end
            self.end(error)
        for task in list(batch) if self.held else ():
            node = task.context.get(current)
            if node in self.held:
                batch.remove(task)
                self.held[node].append(task)
        if len(batch) > 1:
            self.network.random.shuffle(batch)

    # The driver of the network.

    def start(self, node: Node, main: Callable[[], Any]) -> None:
        """Run a program as a task of a node."""
        self._start(node, main, of_main=False)

    def _start(self, node: Node, main: Callable[[], Any], *, of_main: bool) -> None:
        context = copy_context()
        context.run(enter, node)
        made = context.run(main)
        if hasattr(made, "__await__"):
            scope = trio.CancelScope()
            self._scopes[scope] = node
            if self._ending:
                scope.cancel()
            begin = partial(self._run, made, scope, of_main)
            context.run(partial(self._nursery.start_soon, begin, name=node.name))
        elif of_main:
            raise TypeError(f"{main!r} returned {made!r}: give a coroutine function")

    async def _run(self, made: Any, scope: trio.CancelScope, of_main: bool) -> None:
        try:
            with scope:
                result = await made
                if of_main:
                    self.result = result
            if of_main:
                was_killed = scope.cancelled_caught and not self._ending
                self.end(killed(self.network.node("main")) if was_killed else None)
        except BaseException as error:
            if lives(copy_context()) or not isinstance(error, Exception):
                self.end(error)
            elif of_main:
                end = killed(self.network.node("main"))
                end.__cause__ = error
                self.end(end)
        finally:
            del self._scopes[scope]

    def kill(self, node: Node) -> None:
        """Cancel the tasks of a node; what they send in ``finally`` reaches no peer."""
        self.resume(node)
        for scope in [scope for scope, whose in self._scopes.items() if whose is node]:
            scope.cancel()

    def pause(self, node: Node) -> None:
        """Hold the tasks of a node."""
        self.held[node] = []

    def resume(self, node: Node) -> None:
        """Let trio run the held tasks of a node."""
        self._runner.runq.extend(self.held.pop(node, ()))

    def descriptor(self, socket: Any) -> int:
        """A real FD, as trio can wait for no other."""
        if socket.bell is None:
            socket.bell = Bell()
            if socket.rings:
                socket.bell.set()
        fd: int = socket.bell.descriptor
        return fd

    # The beginning and the end.

    async def main(self, main: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Run the program of the node ``"main"``, and end all others when it ends."""
        limiter: Any = trio.to_thread.current_default_thread_limiter()
        limiter.acquire_on_behalf_of = _refuse_thread
        async with trio.open_nursery() as self._nursery:
            try:
                self._start(self.network.node("main"), main, of_main=True)
            except BaseException as error:
                self.end(error)

    def end(self, error: BaseException | None = None) -> None:
        """Cancel all programs; the run ends by this error unless there was another one before."""
        self._ending = True
        self.error = self.error or error
        for node in list(self.held):
            self.resume(node)
        for scope in list(self._scopes):
            scope.cancel()

    def _tasks(self) -> list[Task]:
        found: list[Task] = []
        nurseries = [self._nursery]
        for nursery in nurseries:  # the list grows while we go through it
            for task in nursery.child_tasks:
                found.append(task)
                nurseries += task.child_nurseries
        return sorted(found, key=number)

    def _waiting(self) -> list[Waiting]:
        return [Waiting(_name(task), task.coro) for task in self._tasks()]

    def _timers(self) -> bool:
        # The library's own tasks have deadlines as well, for patrols; these do not count.
        users = (task for task in self._tasks() if of_user(task.coro))
        return any(effective_deadline(task)() < inf for task in users)

    def _refuse_descriptors(self) -> None:
        waiting = trio.lowlevel.current_statistics().io_statistics
        reads = getattr(waiting, "tasks_waiting_read", 1) - 1  # trio's own, for signals
        bells = sum(isinstance(each.bell, Bell) for each in self.network.sockets.values())
        if reads + getattr(waiting, "tasks_waiting_write", 0) > bells:
            raise NotSimulated("a task waits for a real descriptor: its time is real")


def _name(task: Task) -> str:
    node = task.context.get(current)
    return task.name if node is None or task.name == node.name else f"{node.name}, {task.name}"


async def _refuse_thread(*_: object) -> None:
    raise NotSimulated(THREAD)


def _inside() -> Any:
    return sys.modules["trio._core._run"]


@contextmanager
def _in_order(world: TrioWorld) -> Iterator[None]:
    inside = vars(_inside())
    if not {ORDERLY, RANDOM} <= inside.keys():
        raise NotSimulated(f"trio {trio.__version__} does not let its order be decided")
    before = {name: inside[name] for name in (ORDERLY, RANDOM)}
    inside.update({ORDERLY: True, RANDOM: Order(world)})
    try:
        yield
    finally:
        inside.update(before)


def run_on_trio(main: Callable[[], Coroutine[Any, Any, Any]], network: Network) -> Any:
    """Run a coroutine function on trio until it returns, and return its result."""
    if hasattr(_inside().GLOBAL_RUN_CONTEXT, "runner"):
        raise NotSimulated(
            "trio runs already in this thread: give run() to a plain function, and give no async "
            "fixture a wider scope than the test"
        )
    world = TrioWorld(network)
    network.driver = world
    refusing.begin()
    try:
        with _in_order(world):
            trio.run(world.main, main, clock=world)
    except trio.TrioInternalError:
        if world.error is None:
            raise
    finally:
        refusing.end()
        network.driver = ByHand()
        for socket in network.sockets.values():
            if isinstance(socket.bell, Bell):
                socket.bell.close()
                socket.bell = None
    if world.error is not None:
        raise world.error
    return world.result
