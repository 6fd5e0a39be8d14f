"""Serving: gives requests to a handler, up to a limit at a time, each in a context of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextvars import copy_context
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred

from zmqbridge.twisted_backend._handlers import follow

Request = TypeVar("Request")


async def serve(
    requests: AsyncIterator[Request],
    handler: Callable[[Request], object],
    limit: int,
    blame: Callable[[BaseException], None],
) -> None:
    """Call ``handler(request)`` for each request, until there are no more.

    Args:
        requests: where they come from.
        handler: called in a copy of the context in which `serve` was called. It may return a
            Deferred or a coroutine.
        limit: how many handlers may be under way at a time.
        blame: called with an error of a handler, unless this call was cancelled.
    """
    running: set[Deferred[object]] = set()
    room: Deferred[None] = Deferred()
    clean = copy_context()
    cancelled = False

    def report(error: BaseException) -> None:
        if not cancelled:
            blame(error)

    def call(request: Request) -> Deferred[object] | None:
        return follow(handler(request), report, ())

    def ended(result: object, handling: Deferred[object]) -> None:
        running.discard(handling)
        if not room.called:
            room.callback(None)

    try:
        async for request in requests:
            try:
                handling = clean.copy().run(call, request)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                report(error)
                continue
            if handling is not None:
                running.add(handling)
                handling.addBoth(ended, handling)
            while len(running) >= limit:
                room = Deferred()
                await room
    except CancelledError:
        cancelled = True
        for handling in list(running):
            handling.cancel()
        raise
