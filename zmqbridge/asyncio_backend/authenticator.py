"""Authenticator: decides, on asyncio or trio, which peers may connect to a context's sockets."""

from __future__ import annotations

from asyncio import CancelledError, Task, _get_running_loop, current_task
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack, final

import anyio

from zmqbridge._bridge.authentication import PATIENCE, Authenticating
from zmqbridge.asyncio_backend.anyio_loop import AnyioLoop
from zmqbridge.asyncio_backend.loopsocket import CannotWatch, LoopSocket
from zmqbridge.core.zap import Policy, Question

if TYPE_CHECKING:
    from zmqbridge.arguments import ContextArguments


@final
class Authenticator(Authenticating, LoopSocket):
    """Decides by the policies of domains which peers may connect to the sockets of its context.

    It starts to answer when it is made inside a coroutine, or otherwise with its ``async with``.
    See `Authenticating` for the arguments and the errors. A `check` may be a coroutine function.
    """

    def __init__(
        self, policies: Mapping[str, Policy], **arguments: Unpack[ContextArguments]
    ) -> None:
        """The keyword arguments are described in `zmqbridge.arguments`."""
        self._tasks: set[Task[None]] = set()
        self._scopes: set[anyio.CancelScope] = set()
        super().__init__(policies, **arguments)
        if _get_running_loop() is not None:
            with suppress(CannotWatch):  # then it starts with its `async with`
                self._enter()

    def _ask(self, question: Question) -> None:
        if isinstance(self._stand_in, AnyioLoop):
            self._stand_in.start(self._see, question)
            return
        task = self._loop.create_task(self._see(question))
        self._tasks.add(task)  # the loop itself keeps only a weak reference to a task
        task.add_done_callback(partial(self._seen, question))

    def _seen(self, question: Question, task: Task[None]) -> None:
        self._tasks.discard(task)
        self._settle(question, None)  # needed if the task was cancelled before it began

    def _comes_from_outside(self, error: BaseException) -> bool:
        if isinstance(error, CancelledError):
            task = current_task()
            return task is not None and task.cancelling() > 0
        cancelled = anyio.get_cancelled_exc_class()
        return isinstance(error, KeyboardInterrupt | SystemExit | cancelled)

    async def _in_time(self, answer: Awaitable[object]) -> object:
        with anyio.fail_after(PATIENCE) as scope:
            self._scopes.add(scope)
            try:
                return await answer
            finally:
                self._scopes.discard(scope)

    def _close_socket(self) -> list[Any]:
        waiters = super()._close_socket()
        for scope in self._scopes:
            scope.cancel()
        return waiters
