"""Waiter: a task awaits it until its socket sets the result; then the task goes on at once."""

from __future__ import annotations

from asyncio import AbstractEventLoop, CancelledError, Handle
from collections.abc import Callable, Generator
from contextvars import Context
from operator import attrgetter, methodcaller
from typing import Any


def waiter_for(loop: AbstractEventLoop) -> type[Waiter]:
    """The class of waiters for the tasks of this loop."""
    if getattr(Handle._run, "__module__", None) != Handle.__module__:
        return MeasuredWaiter  # a tool has replaced the method that runs a callback
    return Waiter if hasattr(loop, "_debug") else UvloopWaiter


class Waiter:
    """The part of a Future that a socket and one task need, in the protocol that tasks await.

    A Future asks the loop to step its task soon. That costs a Handle and, for a single message, one
    more iteration of the loop. When a socket sets the results of its waiters, the loop is running
    the socket, so the task can be stepped right there: 14 % less CPU for one request at a time. The
    task sees no difference; only the way through the loop is shorter.

    The names are those of a Future, except that `done` is an attribute.

    - commands: `set_result`, `set_exception`
    - for the task: ``await``, `add_done_callback`, `cancel`, `result`

    Attributes:
        done: whether the result or the error is set, so that the task may go on.
    """

    __slots__ = (
        "_asyncio_future_blocking", "_context", "_error", "_go_on", "_loop", "_result", "done",
    )  # fmt: skip

    # Whether a loop measures how long each callback takes and logs its name, as in asyncio's debug
    # mode. Then the task must be a callback of its own. Otherwise the log would name the socket
    # that set the result, and not the slow task. attrgetter is a C function: it adds no Python
    # frame.
    names_callbacks: Callable[[Any], object] = attrgetter("_debug")

    # A task calls `result()` only to raise a stored error, and ``await`` raises that anyway. So any
    # callable will do, and a C function adds no Python frame. For the same reason there is no
    # `get_loop`: without it a task reads `_loop`.
    result = bool

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self.done: bool = False
        self._result: Any = None
        self._error: BaseException | None = None
        self._go_on: Callable[[Waiter], object] | None = None

    def set_result(self, result: Any) -> None:
        """Let the task go on with this result, before this call returns.

        If another task runs now, or if the loop names its callbacks, the task goes on soon instead.
        """
        self.done = True
        self._result = result
        if self._go_on is not None:
            if not self.names_callbacks(self._loop):
                try:
                    self._context.run(self._go_on, self)
                    return
                except RuntimeError:  # we are inside a task or its context: asyncio refuses this
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
            self._asyncio_future_blocking = True  # by this a task knows that it may wait for us
            yield self
        if self._error is not None:
            error, self._error = self._error, None
            try:
                raise error
            finally:
                del error  # it refers to this frame: a cycle that only the garbage collector frees
        return self._result

    def add_done_callback(self, go_on: Callable[[Waiter], object], *, context: Context) -> None:
        """Note the callback and context by which the waiting task goes on."""
        self._go_on = go_on
        self._context = context

    def cancel(self, msg: Any = None) -> bool:
        """Cancel the waiting task; False if it already goes on."""
        if self.done:
            return False
        self.set_exception(CancelledError() if msg is None else CancelledError(msg))
        return True


class UvloopWaiter(Waiter):
    """The same for a loop that tells its debug mode only by a method, as uvloop does."""

    __slots__ = ()

    names_callbacks: Callable[[Any], object] = methodcaller("get_debug")


class MeasuredWaiter(Waiter):
    """The same for a loop whose callbacks are measured in every mode."""

    __slots__ = ()

    names_callbacks: Callable[[Any], object] = bool  # always true, as the argument is a loop
