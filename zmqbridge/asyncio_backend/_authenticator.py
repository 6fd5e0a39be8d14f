"""Authenticator: decides, on asyncio or trio, which peers may connect to a context's sockets."""

from __future__ import annotations

from asyncio import CancelledError, Task, _get_running_loop, current_task
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final, Unpack, final

import anyio
import zmq

from zmqbridge._bridge.authentication import (
    CALLBACK_TIMEOUT,
    Authenticating,
    close,
    reload,
    the_only_one,
)
from zmqbridge._bridge.linked import DEFAULTS
from zmqbridge._bridge.mechanisms import ZAP
from zmqbridge._bridge.signatures import only_known
from zmqbridge.asyncio_backend._anyio_loop import AnyioLoop
from zmqbridge.asyncio_backend._base import Socket
from zmqbridge.asyncio_backend._driver import CannotWatch
from zmqbridge.asyncio_backend._running import native_loop
from zmqbridge.core.zap import Policy, Question

if TYPE_CHECKING:
    from zmqbridge.arguments import ContextArguments, Options


@final
class Authenticator(Socket):
    """Decides by the policies of domains which peers may connect to the sockets of its context.

    It must exist before a socket binds that needs its decisions. It starts to answer when it is
    made inside a coroutine, or otherwise with its ``async with``, and answers as long as its loop
    runs. After it is closed, no new peer is accepted, and a peer that waits for a decision is
    refused at once. Peers that were accepted before stay connected.

    Args:
        policies: a `Policy` for each domain; the one of ``"*"`` is for all other domains. A
            `check` may be a coroutine function.
        arguments: `zmqbridge.arguments.ContextArguments`: the context is that of the sockets.

    Raises:
        TypeError, ValueError: the policies are not valid.
        OSError: a folder of certificates does not exist.
        AddressError: the context has an authenticator already.
        ResourcesExhausted: there is no room for one more socket.
    """

    kind: ClassVar[int] = zmq.ROUTER
    defaults: ClassVar[Options] = {zmq.ROUTER_MANDATORY: 1}

    def __init__(
        self, policies: Mapping[str, Policy], **arguments: Unpack[ContextArguments]
    ) -> None:
        """The keyword arguments are described in `zmqbridge.arguments`."""
        only_known(type(self), arguments, DEFAULTS)
        self._tasks: set[Task[None]] = set()
        self._scopes: dict[int, anyio.CancelScope] = {}
        self._zap = Authenticating(
            policies,
            ask=self._ask,
            in_time=self._in_time,
            comes_from_outside=self._comes_from_outside,
            cancel=self._cancel,
        )
        with the_only_one():
            super().__init__(self._zap, {"bind": ZAP, **arguments})
        if _get_running_loop() is not None:
            with suppress(CannotWatch):  # then it starts with its `async with`
                self._driver.enter()

    reload: Final = reload
    close: Final = close  # type: ignore[misc]

    def _ask(self, question: Question) -> None:
        driver = self._driver
        if isinstance(driver.stand_in, AnyioLoop):
            driver.stand_in.start(self._see, question)
            return
        task = driver.loop.create_task(self._zap.see(question))
        self._tasks.add(task)  # the loop itself keeps only a weak reference to a task
        task.add_done_callback(partial(self._seen, question))

    async def _see(self, question: Question) -> None:
        try:
            await self._zap.see(question)
        except GeneratorExit as error:
            if native_loop() is None:  # it was thrown away
                raise
            self._zap.failed(question, error)

    def _seen(self, question: Question, task: Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, GeneratorExit):
            self._zap.failed(question, error)
        self._zap.settle(question, None)  # needed if the task was cancelled before it began

    def _comes_from_outside(self, error: BaseException) -> bool:
        if isinstance(error, BaseExceptionGroup):
            return error.subgroup((KeyboardInterrupt, SystemExit)) is not None
        if isinstance(error, CancelledError) and _get_running_loop() is not None:
            task = current_task()
            return task is not None and task.cancelling() > 0
        cancelled = anyio.get_cancelled_exc_class()
        return isinstance(error, KeyboardInterrupt | SystemExit | cancelled)

    async def _in_time(self, question: Question, answer: Awaitable[object]) -> object:
        with anyio.fail_after(CALLBACK_TIMEOUT) as scope:
            self._scopes[id(question)] = scope
            try:
                return await answer
            finally:
                del self._scopes[id(question)]

    def _cancel(self, question: Question | None) -> None:
        for each, scope in self._scopes.items():
            if question is None or each == id(question):
                scope.cancel()
