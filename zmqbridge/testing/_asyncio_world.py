"""SimLoop: an asyncio loop whose time is the network's, and whose FDs are simulated sockets'."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Handle, Task, TimerHandle
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from functools import partial
from heapq import heapify, heappop
from math import inf
from typing import Any
from weakref import ref

from zmqbridge.testing._current import current, enter, lives
from zmqbridge.testing._errors import NotSimulated
from zmqbridge.testing._network import Network
from zmqbridge.testing._nodes import ByHand, Node
from zmqbridge.testing._refusals import LOOP_CALLS, THREAD, refusing
from zmqbridge.testing._stalled import StallCheck, Waiting, killed, stalled

# How much time passes in each turn of the loop in which tasks run. So messages arrive also while a
# task only yields, as by ``sleep(0)``.
TICK = 1e-6  # seconds
# Lists of cancelled timers and of finished tasks are cleaned up when they are longer than this.
MANY = 100


class SimLoop(asyncio.BaseEventLoop):
    """An asyncio loop without a selector: when no task can run, virtual time passes.

    Args:
        network: the simulated network, which has the time and the sockets.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.readers: dict[int, Handle] = {}
        self.held: dict[Node, list[Handle]] = {}  # of paused nodes
        self._tasks: dict[Node, list[ref[Task[Any]]]] = {}
        self.stall_check = StallCheck(network)
        self._timer_cancelled_count = 0
        self._selector: Any = None
        self.set_task_factory(self._new_task)  # type: ignore[arg-type]

    def time(self) -> float:
        """The time of the network, in seconds."""
        return self.network.now

    def add_reader(  # type: ignore[override]
        self, fd: Any, callback: Callable[..., object], *args: Any
    ) -> None:
        """Call a function in each turn in which the FD of a simulated socket is readable.

        Raises:
            NotSimulated: the FD is a real descriptor.
        """
        self.remove_reader(fd)
        self.readers[self._fd(fd)] = Handle(callback, args, self, None)

    def remove_reader(self, fd: Any) -> bool:
        """Remove the callback of an FD; False if it has none."""
        handle = self.readers.pop(fd if isinstance(fd, int) else fd.fileno(), None)
        if handle is not None:
            handle.cancel()
        return handle is not None

    def _fd(self, fd: Any) -> int:
        number: int = fd if isinstance(fd, int) else fd.fileno()
        if number not in self.network.sockets:
            raise NotSimulated(
                f"descriptor {number} is real: make every socket with context=node.context"
            )
        return number

    def _write_to_self(self) -> None:
        """Do nothing: no other thread can wake this loop."""

    def run_in_executor(self, *args: Any) -> Any:  # type: ignore[override]
        """Refuse to start a thread.

        Raises:
            NotSimulated: always.
        """
        raise NotSimulated(THREAD)

    def _process_events(self, event_list: Any) -> None:
        """Do nothing: there is no selector."""

    def _run_once(self) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]
        network = self.network
        self.stall_check.count(self._waiting)
        if network.failure is not None:
            raise network.failed()
        if ready:
            network.deliver_until(network.now + TICK)
        else:
            self._let_time_pass()
        if network.rung:
            rung = list(network.rung)
            if len(rung) > 1:
                network.random.shuffle(rung)
            for socket in rung:
                handle = self.readers.get(network.descriptor(socket))
                if handle is not None:
                    ready.append(handle)
        scheduled: list[TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        now = network.now
        while scheduled and scheduled[0].when() <= now:
            timer: Any = heappop(scheduled)
            timer._scheduled = False
            ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle.cancelled():
                continue
            if self.held and (node := handle._context.get(current)) in self.held:
                self.held[node].append(handle)
            else:
                handle._run()

    def _let_time_pass(self) -> None:
        network = self.network
        scheduled: list[Any] = self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0].cancelled():
            self._timer_cancelled_count -= 1
            heappop(scheduled)._scheduled = False
        if any(network.descriptor(each) in self.readers for each in network.rung):
            return
        when = min(scheduled[0].when() if scheduled else inf, network.next_delivery())
        if when == inf:
            raise stalled(network, self._waiting())
        self.stall_check.look(when, self._waiting, self._timers)
        network.deliver_until(max(when, network.now))

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        if handle._scheduled:  # type: ignore[attr-defined]
            self._timer_cancelled_count += 1
            scheduled: list[Any] = self._scheduled  # type: ignore[attr-defined]
            if self._timer_cancelled_count > max(MANY, len(scheduled) // 2):
                for each in scheduled:
                    each._scheduled = not each.cancelled()
                scheduled[:] = [each for each in scheduled if not each.cancelled()]
                heapify(scheduled)
                self._timer_cancelled_count = 0

    def _waiting(self) -> list[Waiting]:
        return [Waiting(task.get_name(), task.get_coro()) for task in self.tasks()]

    def _timers(self) -> bool:
        return any(map(_of_user, self._scheduled))  # type: ignore[attr-defined]

    # Which task and which callback belongs to which node.

    def hold(self, node: Node) -> None:
        """Run no callback of a node until `let_go`."""
        self.held[node] = []

    def let_go(self, node: Node) -> None:
        """Run the callbacks of a node again, those that were held first."""
        self._ready.extend(self.held.pop(node, ()))  # type: ignore[attr-defined]

    def _new_task(
        self, loop: AbstractEventLoop, coro: Coroutine[Any, Any, Any], **kwargs: Any
    ) -> Task[Any]:
        task = Task(coro, loop=loop, **kwargs)
        context: Context | None = kwargs.get("context")
        node: Any = context.get(current) if context is not None else current.get()
        those = self._tasks.setdefault(node, [])
        those.append(ref(task))
        if len(those) % MANY == 0:
            those[:] = [each for each in those if (it := each()) is not None and not it.done()]
        return task

    def tasks(self, node: Node | None = None) -> list[Task[Any]]:
        """The tasks of one node, or of all nodes, that are not done, oldest first."""
        those = self._tasks.values() if node is None else [self._tasks.get(node, [])]
        found = [each() for some in those for each in some]
        return [task for task in found if task is not None and not task.done()]


def _refused(name: str, why: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise NotSimulated(f"{name}(): {why}")

    return refuse


for _name, _why in LOOP_CALLS.items():
    setattr(SimLoop, _name, _refused(_name, _why))


def _of_user(timer: TimerHandle) -> bool:
    if timer.cancelled():
        return False
    callback: Any = timer._callback  # type: ignore[attr-defined]
    return not type(getattr(callback, "__self__", None)).__module__.startswith("zmqbridge.")


class AsyncioWorld:
    """Runs the programs of nodes on a `SimLoop`: the asyncio driver of a network."""

    def __init__(self, network: Network, loop: SimLoop) -> None:
        self.network = network
        self.loop = loop

    def start(self, node: Node, main: Callable[[], Any]) -> None:
        """Run a program as a task of a node."""
        context = copy_context()
        context.run(enter, node)
        made = context.run(main)
        if asyncio.iscoroutine(made):
            task = self.loop.create_task(made, name=node.name, context=context)
            task.add_done_callback(partial(self._has_ended, context))

    def _has_ended(self, context: Context, task: Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and lives(context):
            self.network.fail(error)

    def kill(self, node: Node) -> None:
        """Cancel the tasks of a node; what they send in ``finally`` reaches no peer."""
        self.loop.let_go(node)
        for task in self.loop.tasks(node):
            task.cancel()

    def pause(self, node: Node) -> None:
        """Hold the callbacks of a node."""
        self.loop.hold(node)

    def resume(self, node: Node) -> None:
        """Run the callbacks of a node again, those that were held first."""
        self.loop.let_go(node)

    def descriptor(self, socket: Any) -> int | None:
        """None: the loop understands the numbers of the network, so no real FD is needed."""
        return None


class Session:
    """A `SimLoop` that is run several times, and closed by `close`.

    Args:
        network: the simulated network.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.loop = SimLoop(network)
        network.driver = AsyncioWorld(network, self.loop)
        refusing.begin()

    def run(self, node: Node, main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run a coroutine function as a program of a node, and return its result."""
        context = copy_context()
        context.run(enter, node)
        self.loop.stall_check.begin()
        asyncio.set_event_loop(self.loop)
        try:
            made = context.run(main)
            if not asyncio.iscoroutine(made):
                raise TypeError(f"{main!r} returned {made!r}: give a coroutine function")
            task = self.loop.create_task(made, name=node.name, context=context)
            result = self.loop.run_until_complete(task)
            if self.network.failure is not None:
                raise self.network.failed()
            return result
        except BaseException as error:
            if lives(context):
                raise
            raise killed(node) from error
        finally:
            asyncio.set_event_loop(None)

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def close(self) -> None:
        """Cancel the tasks, in the order in which they were made, and close the loop."""
        loop = self.loop
        for node in self.network.nodes.values():
            node.resume()
        asyncio.set_event_loop(loop)
        try:
            rest = loop.tasks()
            for task in rest:
                task.cancel()
            if rest:
                loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            refusing.end()
            self.network.driver = ByHand()
            asyncio.set_event_loop(None)
            loop.close()


def run_on_asyncio(main: Callable[[], Coroutine[Any, Any, Any]], network: Network) -> Any:
    """Run a coroutine function on a new loop until it returns, and return its result."""
    session = Session(network)
    try:
        return session.run(network.node("main"), main)
    finally:
        session.close()
