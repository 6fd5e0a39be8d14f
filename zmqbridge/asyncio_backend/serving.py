"""Serving: requests go to a handler, so many at a time, each in a context of its own."""

from __future__ import annotations

from asyncio import Task, current_task
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import Context, copy_context
from typing import Any, TypeVar

import anyio

Request = TypeVar("Request")


async def serve(
    requests: AsyncIterator[Request],
    handler: Callable[[Request], Awaitable[object]],
    limit: int,
    report: Callable[[BaseException], None],
) -> None:
    """Await ``handler(request)`` for each request, until there are no more.

    Args:
        requests: any number of tasks may wait for the next one.
        handler: called in a copy of the context in which this was called.
        limit: how many handlers may be under way.
        report: told of what a handler raises, but for what ends the program or this call.
    """
    # Workers take turns at the requests, so no task is made for a request. One more is started
    # whenever none is left that waits, so a handler that waits holds up no other request.
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
                            raise aimed from None
                    idle += 1
                    if differs(clean):
                        # What this handler has set is not the next one's, and cannot be unset.
                        break
                else:
                    return
                break
            except cancelled as error:
                # Meant for the handler before, whose task this was, and which has ended.
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


def differs(clean: Context) -> bool:
    """Whether a context variable was set since."""
    try:
        return copy_context() != clean  # mostly they are one and the same inside: 0.1 µs
    except Exception:  # values that cannot be compared, as of numpy
        return True


def divide(
    error: BaseException, is_aimed_here: Callable[[BaseException], bool]
) -> tuple[BaseException | None, BaseException | None]:
    """What of an error is aimed at the server, and what is not; a handler may have tasks."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(is_aimed_here)
    return (error, None) if is_aimed_here(error) else (None, error)


def aim(cancelled: type[BaseException]) -> Callable[[BaseException], bool]:
    """A function that tells whether an error that a handler let out is meant for the server.

    Those are what ends the program, and a cancellation of the server itself. On asyncio a handler
    may let out one that was meant for what it awaited, or for nothing else but itself.
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
    """The running task, None on another kind of loop."""
    try:
        return current_task()
    except RuntimeError:
        return None
