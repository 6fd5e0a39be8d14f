"""Waiter: what a task awaits until its socket tells it to go on, which it then does at once.

Whether tasks can be stepped so is tried when this is imported; where not, they await a Future.
"""

from __future__ import annotations

import sys
from asyncio import (
    AbstractEventLoop,
    CancelledError,
    Handle,
    Task,
    _get_running_loop,
    _set_running_loop,
    tasks,
)
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import Context
from operator import attrgetter, methodcaller
from typing import Any


def waiter_for(loop: AbstractEventLoop) -> type[Waiter | FutureWaiter]:
    """What a task of this loop is to wait for."""
    if not STEPS:
        return FutureWaiter
    if getattr(Handle._run, "__module__", None) != Handle.__module__:
        return MeasuredWaiter  # somebody has replaced what runs a callback
    return Waiter if hasattr(loop, "_debug") else UvloopWaiter


class Waiter:
    """As much of a Future as a socket and one task need, in the protocol that tasks await.

    A Future asks the loop to go on with its task some time soon: that is a Handle and, for a lone
    message, one more round of the loop. When a socket tells its waiters, it is the loop that runs
    it, so the task can as well be stepped right there: 14 % less CPU for one request at a time,
    and it stays what it was for the task, since only the loop's own order of things is shorter.

    The names are those of a Future, except that `done` is an attribute.

    - commands: `set_result`, `set_exception`
    - for the task: ``await``, `add_done_callback`, `cancel`, `result`

    Attributes:
        done: the task may go on.
    """

    __slots__ = (
        "_asyncio_future_blocking", "_context", "_error", "_go_on", "_loop", "_result", "done",
    )  # fmt: skip

    # Whether a loop measures how long each callback takes, and names it: in asyncio's debug mode. A
    # task is then to be a callback of its own, or what takes long would be named after the socket
    # that told it. Compiled, so it costs no frame.
    names_callbacks: Callable[[Any], object] = attrgetter("_debug")

    # A task asks for it in order to be thrown the error, which ``await`` raises as well. So this
    # only has to be something that can be called, and what is compiled costs no frame. Likewise,
    # without `get_loop` a task looks at `_loop`.
    result = bool

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self.done = False
        self._result: Any = None
        self._error: BaseException | None = None
        self._go_on: Callable[[Waiter], object] | None = None

    def set_result(self, result: Any) -> None:
        """Let the task go on with this, before the call returns unless another task runs now.

        Where callbacks are named it goes on soon.
        """
        self.done = True
        self._result = result
        if self._go_on is not None:
            if not self.names_callbacks(self._loop):
                try:
                    self._context.run(self._go_on, self)
                    return
                except RuntimeError:  # within a task, or its context: asyncio steps one at a time
                    pass
            self._loop.call_soon(self._go_on, self, context=self._context)

    def set_exception(self, error: BaseException) -> None:
        """Let the task go on with this error, soon."""
        self.done = True
        self._error = error
        if self._go_on is not None:
            self._loop.call_soon(self._go_on, self, context=self._context)

    def __await__(self) -> Generator[Any, None, Any]:
        if not self.done:
            self._asyncio_future_blocking = True  # so a task knows that it may wait for this
            yield self
        if self._error is not None:
            error, self._error = self._error, None
            try:
                raise error
            finally:
                del error  # which holds this frame: only the garbage collector would find the two
        return self._result

    def add_done_callback(self, go_on: Callable[[Waiter], object], *, context: Context) -> None:
        """The task waits now; this is how it goes on."""
        self._go_on = go_on
        self._context = context

    def cancel(self, msg: Any = None) -> bool:
        """The task is cancelled while it waits; False when it goes on already."""
        if self.done:
            return False
        self.set_exception(CancelledError() if msg is None else CancelledError(msg))
        return True


class UvloopWaiter(Waiter):
    """The same for a loop whose debug mode only a compiled method tells."""

    __slots__ = ()

    names_callbacks = methodcaller("get_debug")


class MeasuredWaiter(Waiter):
    """The same for a loop whose callbacks are measured whatever its mode."""

    __slots__ = ()

    names_callbacks = bool  # of a loop that is there


class FutureWaiter:
    """The same by a Future, where tasks wait for nothing else; they go on soon."""

    __slots__ = ("_future",)

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._future = loop.create_future()

    @property
    def done(self) -> bool:
        """The task may go on."""
        return self._future.done()

    def set_result(self, result: Any) -> None:
        """Let the task go on with this, soon."""
        self._future.set_result(result)

    def set_exception(self, error: BaseException) -> None:
        """Let the task go on with this error, soon."""
        self._future.set_exception(error)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._future.__await__()


class Trial:
    """As much of a loop as a task asks for."""

    _debug = False

    def __init__(self) -> None:
        self._ready: list[tuple[Callable[..., object], tuple[Any, ...], Context | None]] = []

    def call_soon(
        self, call: Callable[..., object], *args: Any, context: Context | None = None
    ) -> None:
        self._ready.append((call, args, context))

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, what: object) -> None:
        """It is known what does not work."""

    def run(self) -> None:
        """Make the calls that are due."""
        while self._ready:
            call, args, context = self._ready.pop(0)
            if context is None:
                call(*args)
            else:
                context.run(call, *args)


@contextmanager
def running(loop: Any) -> Iterator[None]:
    """Have a loop run here, in whatever task this is called."""
    before = _get_running_loop()
    # A task of another loop is in the way since 3.14.
    swap: Any = tasks._swap_current_task if sys.version_info >= (3, 14) else None  # type: ignore[attr-defined,unused-ignore]
    task = swap(before, None) if swap and before else None
    _set_running_loop(loop)
    try:
        yield
    finally:
        _set_running_loop(before)
        if task is not None:
            swap(before, task)


def can_be_stepped(kind: Callable[..., Task[None]]) -> bool:
    """Whether tasks of this kind wait for a `Waiter`, get what it is told, and can be cancelled.

    What they need of it is written down nowhere: so it is tried.
    """
    loop: Any = Trial()
    first, second, third = (Waiter(loop) for _ in range(3))
    got: list[object] = []

    async def wait() -> None:
        got.append(await first)
        try:
            await second
        except LookupError:
            got.append("error")
        await third

    waiting, task = wait(), None
    try:
        with running(loop):
            task = kind(waiting, loop=loop)
            for tell in (
                lambda: first.set_result("result"),
                lambda: second.set_exception(LookupError()),
                task.cancel,
            ):
                loop.run()
                tell()
            loop.run()
        return got == ["result", "error"] and task.cancelled()
    except Exception:
        return False
    finally:
        if task is not None and not task.done():
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        waiting.close()


STEPS = can_be_stepped(Task)
