"""AnyioLoop: the loop methods that a socket uses, on trio or another loop that anyio supports."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Generator
from math import inf
from typing import Any, Final, Generic, Self, TypeVar

import anyio

from zmqbridge._bridge.pump import Pump
from zmqbridge.asyncio_backend._running import log_error, native_loop

Result = TypeVar("Result")


def defer_interrupts(*functions: Callable[..., object]) -> None:
    """Make trio raise KeyboardInterrupt after these functions, and not inside them.

    Inside them it would leave half a message in libzmq, or be lost in a destructor of pyzmq.
    """
    if trio := sys.modules.get("trio"):
        for function in functions:
            trio.lowlevel.enable_ki_protection(function)


class AnyioWaiter(Generic[Result]):
    """The part of a Future that a socket uses: one task awaits it, and the socket sets its result.

    Tasks that get the result None go on in the order in which their waiters were set. Without this,
    trio would run them in random order.

    Attributes:
        done: whether the result or the error is set.
    """

    __slots__ = ("_error", "_loop", "_previous", "_result", "_set", "done", "resumed")

    def __init__(self, loop: AnyioLoop) -> None:
        self._loop = loop
        self.done: bool = False
        self._set = anyio.Event()
        self.resumed = anyio.Event()
        self._previous: AnyioWaiter[Any] | None = None
        self._error: BaseException | None = None
        self._result: Any = None

    @property
    def answered(self) -> bool:
        """Whether it has got a result other than None."""
        return self._result is not None

    def set_result(self, result: Result) -> None:
        """Give the waiting task a result."""
        if result is None:
            self._previous, self._loop.last_set = self._loop.last_set, self
        self._result = result
        self.done = True
        self._set.set()

    def set_exception(self, error: BaseException) -> None:
        """Give the waiting task an error."""
        self._error = error
        self.done = True
        self._set.set()

    def __await__(self) -> Generator[Any, None, Result]:
        try:
            yield from self._set.wait().__await__()
            if self._previous is not None and not self._previous.resumed.is_set():
                yield from self._previous.resumed.wait().__await__()
        finally:
            self._previous = None
            self.resumed.set()
        if self._error is not None:
            error, self._error = self._error, None
            try:
                raise error
            finally:
                del error  # for the same reason as in Waiter
        result: Result = self._result
        return result


class Call:
    """A call that is made at its time, unless it is cancelled."""

    __slots__ = ("callback", "when")

    def __init__(self, callback: Callable[[], object], when: float) -> None:
        self.callback: Callable[[], object] = callback
        self.when: float = when

    def cancel(self) -> None:
        """Cancel the call."""
        self.when = inf


class AnyioLoop:
    """Watches one FD and makes calls, in two tasks that live as long as its ``async with``.

    On a loop without ``add_reader`` only a task can wait. So one task waits for the FD and one for
    calls that are due. Both are shielded, because the socket must still work while a cancelled
    block uses it to clean up. So they do not end with the block but with `remove_reader`, which is
    called before the block is left.

    Methods without a docstring are those of asyncio's loop.

    Args:
        native: the loop that runs here.

    Attributes:
        waiter: the class of what its tasks await.
        sleep: that of this loop.
    """

    waiter = AnyioWaiter
    sleep: Final = staticmethod(anyio.sleep)

    def __init__(self, native: Any) -> None:
        defer_interrupts(Pump.send, AnyioLoop._make)
        self._native = native
        self.group = anyio.create_task_group()
        self._changed = anyio.Event()
        self._calls: list[Call] = []
        self.last_set: AnyioWaiter[Any] | None = None
        self._watching = False
        self._fd = -1

    @property
    def loop(self) -> AnyioLoop:
        """The object that calls the socket."""
        return self

    def beside(self) -> AnyioLoop:
        """A second AnyioLoop, for another FD; its tasks live in the same ``async with``."""
        other = AnyioLoop(self._native)
        other.group = self.group
        return other

    async def __aenter__(self) -> Self:
        await self.group.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        # The exception is not passed on to the task group: it would come back in an ExceptionGroup.
        await self.group.__aexit__(None, None, None)

    def add_reader(self, fd: int, ring: Callable[[], None]) -> None:
        self._watching = True
        self._fd = fd
        self.group.start_soon(self._watch, fd, ring)
        self.group.start_soon(self._call_what_is_due)

    def remove_reader(self, fd: int) -> None:
        self._watching = False
        if native_loop() is self._native:  # false in a plain callback, where anyio sees no loop
            self._release_fd()
        self._changed.set()

    def is_closed(self) -> bool:
        return not self._watching

    def start(self, function: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        """Run a coroutine function in a task of its own."""
        self.group.start_soon(function, *args)

    def make_soon(self, callback: Callable[[], object]) -> None:
        """Make a call in a task of its own, even when no FD is watched any more."""
        self.group.start_soon(self._make_in_a_moment, callback)

    async def _make_in_a_moment(self, callback: Callable[[], object]) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0)
        callback()

    def time(self) -> float:
        return anyio.current_time()

    def call_soon(self, callback: Callable[[], object]) -> Call:
        return self.call_at(-inf, callback)

    def call_at(self, when: float, callback: Callable[[], object]) -> Call:
        call = Call(callback, when)
        self._calls.append(call)
        self._changed.set()
        return call

    async def _watch(self, fd: int, ring: Callable[[], None]) -> None:
        with anyio.CancelScope(shield=True):
            while self._watching:
                try:
                    await anyio.wait_readable(fd)
                except anyio.ClosedResourceError:
                    break
                self._make(ring)

    async def _call_what_is_due(self) -> None:
        with anyio.CancelScope(shield=True):
            while self._watching:
                self._changed = anyio.Event()
                self._make_what_is_due()
                next_call = min((call.when for call in self._calls), default=inf)
                with anyio.CancelScope(deadline=next_call):
                    await self._changed.wait()
            self._release_fd()

    def _release_fd(self) -> None:
        # Only once: after the FD is closed, its number may belong to another file.
        fd, self._fd = self._fd, -1
        if fd >= 0:
            anyio.notify_closing(fd)

    def _make_what_is_due(self) -> None:
        now = self.time()
        calls, self._calls = self._calls, []
        for call in calls:
            if call.when <= now:
                self._make(call.callback)
            elif call.when < inf:
                self._calls.append(call)

    def _make(self, callback: Callable[[], object]) -> None:
        if not self._watching:  # the previous call may have closed the socket
            return
        try:
            callback()
        except Exception as error:  # as in asyncio, it is reported and the loop goes on
            message = f"Exception in callback {callback!r}"
            log_error({"message": message, "exception": error})
