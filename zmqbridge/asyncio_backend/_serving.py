"""Serving: gives requests to a handler, up to a limit at a time, each in a context of its own."""

from __future__ import annotations

from asyncio import Task, current_task
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import copy_context
from functools import partial
from typing import Any, Generic, TypeVar

import anyio

from zmqbridge._bridge.request import Request as AnyRequest
from zmqbridge._bridge.request import not_awaitable, not_replied

Request = TypeVar("Request", bound=AnyRequest)
NOT_CALLED = object()


class Serving(Generic[Request]):
    """One call of `serve`: awaits ``handler(request)`` for each request, until there are no more.

    A worker takes one request after another, so there is no new task for each request. When no
    worker waits for a request any more, another one is started. So a handler that waits does not
    delay other requests.

    Args:
        requests: any number of tasks may wait for its next request.
        handler: called in a copy of the context in which this object was made.
        limit: how many handlers may run at a time.
        report: called with an error of a handler, unless the error ends the program or this call.
    """

    def __init__(
        self,
        requests: AsyncIterator[Request],
        handler: Callable[[Request], Awaitable[object]],
        limit: int,
        report: Callable[[BaseException], None],
    ) -> None:
        self._requests = requests
        self._handler = handler
        self._limit = limit
        self._report = report
        self._group = anyio.create_task_group()
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self._cut: list[Request] = []  # those whose handlers were cancelled
        self._all = self._idle = 0
        self._workers: set[int] = set()  # the ids of their tasks
        self._context = copy_context()
        self._cancelled = anyio.get_cancelled_exc_class()
        self._is_aimed_here = aim(self._cancelled)

    async def run(self) -> None:
        """Serve until there are no more requests, or `stop` is called and its time is over."""
        try:
            with self._scope:
                async with self._group:
                    self.start()
        finally:
            self._workers.clear()
            self._ended.set()

    def refuse_handlers(self) -> None:
        """Raise a RuntimeError in a handler, which would wait for its own end."""
        if anyio.get_current_task().id in self._workers:
            raise RuntimeError(
                "stop_serving() waits for the handlers, and was called in one: call it in a task "
                "of its own, as by asyncio.create_task or nursery.start_soon"
            )

    async def stop(self, timeout: float) -> list[Request]:
        """Wait for the end, and cancel after `timeout` seconds; returns the requests cut off."""
        self._scope.deadline = min(self._scope.deadline, anyio.current_time() + timeout)
        await self._ended.wait()
        return self._cut

    def start(self) -> None:
        """Start one more worker."""
        self._all += 1
        self._idle += 1
        # By this name asyncio's debug mode tells of a handler that is slow.
        name = f"serve({getattr(self._handler, '__qualname__', self._handler)})"
        # A copy, as this may be nested.
        self._context.copy().run(partial(self._group.start_soon, self._work, name=name))

    async def _work(self) -> None:
        clean, handler, me = copy_context(), self._handler, anyio.get_current_task().id
        self._workers.add(me)
        while True:
            try:
                async for request in self._requests:
                    self._idle -= 1
                    if not self._idle and self._all < self._limit:
                        self.start()
                    answer: Any = NOT_CALLED
                    try:
                        answer = handler(request)
                        result = await answer
                        if result is not None and not request.answered:
                            self._report(not_replied(request, result))
                    except Exception as error:
                        awaitable = answer is NOT_CALLED or hasattr(answer, "__await__")
                        self._report(error if awaitable else not_awaitable(request, answer))
                    except BaseException as error:
                        self._raise_aimed(error, request)
                    self._idle += 1
                    try:
                        differs = copy_context() != clean  # mostly both share their contents
                    except Exception:  # some values cannot be compared, e.g. numpy's
                        differs = True
                    if differs:
                        # The handler has set context variables. The next handler must not see
                        # them, and they cannot be unset. So this worker ends.
                        break
                else:
                    self._workers.discard(me)
                    return
                break
            except self._cancelled as error:
                # This may be meant for the previous handler, which ran in this task and has ended.
                if self._is_aimed_here(error):
                    raise
                self._report(error)
        self._workers.discard(me)
        self._all -= 1
        self._idle -= 1
        if not self._idle:
            self.start()

    def _raise_aimed(self, error: BaseException, request: Request) -> None:
        aimed, other = divide(error, self._is_aimed_here)
        if other is not None:
            self._report(other)
        if aimed is not None:
            self._cut.append(request)
            raise aimed from None


def divide(
    error: BaseException, is_aimed_here: Callable[[BaseException], bool]
) -> tuple[BaseException | None, BaseException | None]:
    """Split an error into the part that is aimed at the server and the rest.

    A handler may run tasks of its own, so an error may be a group that has both parts.
    """
    if isinstance(error, BaseExceptionGroup):
        return error.split(is_aimed_here)
    return (error, None) if is_aimed_here(error) else (None, error)


def aim(cancelled: type[BaseException]) -> Callable[[BaseException], bool]:
    """A function that tells whether an error raised by a handler is meant for the server.

    Two kinds are: errors that end the program, and a cancellation of the server itself. On asyncio
    a handler may also raise a cancellation that was meant for something it awaited, or only for the
    handler.
    """
    server = current_asyncio_task()
    before = server.cancelling() if server else 0

    def is_aimed_here(error: BaseException) -> bool:
        if not isinstance(error, cancelled):
            return isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)
        if server is None or server.cancelling() > before:
            return True
        worker = current_asyncio_task()
        while worker is not None and worker.cancelling():
            worker.uncancel()
        return False

    return is_aimed_here


def current_asyncio_task() -> Task[Any] | None:
    """The running asyncio task; None on another kind of loop."""
    try:
        return current_task()
    except RuntimeError:
        return None
