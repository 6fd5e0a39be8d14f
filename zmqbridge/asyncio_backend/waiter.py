"""Waiter: what a task awaits until its socket tells it to go on, which it then does at once."""

from __future__ import annotations

from asyncio import AbstractEventLoop, CancelledError, Handle
from collections.abc import Callable, Generator
from contextvars import Context
from operator import attrgetter, methodcaller
from typing import Any


def waiter_for(loop: AbstractEventLoop) -> type[Waiter]:
    """What a task of this loop is to wait for."""
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
        self.done: bool = False
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

    names_callbacks: Callable[[Any], object] = methodcaller("get_debug")


class MeasuredWaiter(Waiter):
    """The same for a loop whose callbacks are measured whatever its mode."""

    __slots__ = ()

    names_callbacks: Callable[[Any], object] = bool  # of a loop that is there
