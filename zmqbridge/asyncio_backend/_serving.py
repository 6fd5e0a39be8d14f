"""Serving: gives requests to a handler, up to a limit at a time, each in a context of its own."""

from __future__ import annotations

from asyncio import Task, current_task
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import Context, copy_context
from typing import Any, Generic, TypeVar

import anyio

Request = TypeVar("Request")


async def serve(
    requests: AsyncIterator[Request],
    handler: Callable[[Request], Awaitable[object]],
    limit: int,
    report: Callable[[BaseException], None],
    cut: list[Request],
) -> None:
    """Await ``handler(request)`` for each request, until there are no more.

    Args:
        requests: any number of tasks may wait for its next request.
        handler: called in a copy of the context in which `serve` was called.
        limit: how many handlers may run at a time.
        report: called with an error of a handler, unless the error ends the program or this call.
        cut: gets the requests whose handlers were cancelled together with this call.
    """
    # A worker takes one request after another, so there is no new task for each request. When no
    # worker waits for a request any more, another one is started. So a handler that waits does not
    # delay other requests.
    workers = idle = 0
    context = copy_context()
    cancelled = anyio.get_cancelled_exc_class()
    is_aimed_here = aim(cancelled)

    async def work() -> None:
        nonlocal workers, idle
        clean = copy_context()
        while True:
            try:
                async for request in requests:
                    idle -= 1
                    if not idle and workers < limit:
                        start()
                    try:
                        await handler(request)
                    except Exception as error:
                        report(error)
                    except BaseException as error:
                        aimed, other = divide(error, is_aimed_here)
                        if other is not None:
                            report(other)
                        if aimed is not None:
                            cut.append(request)
                            raise aimed from None
                    idle += 1
                    if differs(clean):
                        # The handler has set context variables. The next handler must not see
                        # them, and they cannot be unset. So this worker ends.
                        break
                else:
                    return
                break
            except cancelled as error:
                # This may be meant for the previous handler, which ran in this task and has ended.
                if is_aimed_here(error):
                    raise
                report(error)
        workers -= 1
        idle -= 1
        if not idle:
            start()

    def start() -> None:
        nonlocal workers, idle
        workers += 1
        idle += 1
        context.copy().run(group.start_soon, work)  # a copy, as this may be nested

    async with anyio.create_task_group() as group:
        start()


class Serving(Generic[Request]):
    """One call of `serve`, which can be told to stop."""

    def __init__(self) -> None:
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self._cut: list[Request] = []

    async def run(
        self,
        requests: AsyncIterator[Request],
        handler: Callable[[Request], Awaitable[object]],
        limit: int,
        report: Callable[[BaseException], None],
    ) -> None:
        """Serve; see `serve`."""
        try:
            with self._scope:
                await serve(requests, handler, limit, report, self._cut)
        finally:
            self._ended.set()

    async def stop(self, timeout: float) -> list[Request]:
        """Cancel it after so many seconds; returns the requests that this has cut off."""
        self._scope.deadline = min(self._scope.deadline, anyio.current_time() + timeout)
        await self._ended.wait()
        return self._cut


def differs(clean: Context) -> bool:
    """Whether a context variable was set since the copy `clean` was made."""
    try:
        return copy_context() != clean  # takes 0.1 µs, as mostly both share their contents
    except Exception:  # some values cannot be compared, e.g. numpy's
        return True


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
