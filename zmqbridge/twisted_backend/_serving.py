"""Serving: gives requests to a handler, up to a limit at a time, each in a context of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextvars import copy_context
from inspect import iscoroutine
from math import inf
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from zmqbridge._bridge.request import Request as AnyRequest
from zmqbridge._bridge.request import not_replied
from zmqbridge.core.inbox import Inbox
from zmqbridge.twisted_backend._handlers import follow
from zmqbridge.twisted_backend._reactors import revoke
from zmqbridge.twisted_backend._waiters import Sent

Request = TypeVar("Request", bound=AnyRequest)

STEP = 0.005  # seconds between two looks whether a handler has ended that `serve` did not call


class Serving(Generic[Request]):
    """One call of `serve`: calls ``handler(request)`` for each request, until there are no more.

    Args:
        requests: where they come from.
        handler: called in a copy of the context in which this object was made. It may return a
            Deferred or a coroutine.
        limit: how many handlers may be under way at a time.
        blame: called with an error of a handler, unless this call was cancelled.
        clock: makes delayed calls.

    Attributes:
        stopping: whether `run` waits for the handlers when there are no more requests.
    """

    def __init__(
        self,
        requests: AsyncIterator[Request],
        handler: Callable[[Request], object],
        limit: int,
        blame: Callable[[BaseException], None],
        clock: Any,
    ) -> None:
        self._requests = requests
        self._handler = handler
        self._limit = limit
        self._blame = blame
        self._clock = clock
        self._context = copy_context()
        self._running: dict[Deferred[object], Request] = {}
        self._room: Deferred[None] = Deferred()
        self._cancelled = False
        self.stopping: bool = False
        self._ended: Deferred[None] = Deferred()
        self._cut: list[Request] = []  # those whose handlers were cancelled

    async def run(self) -> None:
        """Serve until there are no more requests; when told to stop, until the handlers end."""
        try:
            async for request in self._requests:
                try:
                    handling = self._context.copy().run(self._call, request)
                except KeyboardInterrupt:
                    raise
                except BaseException as error:
                    self._report(error)
                    continue
                if handling is not None:
                    self._running[handling] = request
                    handling.addBoth(self._end, handling)
                await self._until_fewer_than(self._limit)
                if self._cancelled:
                    break
            if self.stopping:
                await self._until_fewer_than(1)
        except CancelledError:
            self.cancel()
            raise
        finally:
            self._ended.callback(None)

    async def stop(self, timeout: float) -> list[Request]:
        """Wait for the end, and cancel after `timeout` seconds; returns the requests cut off."""
        timer = self._clock.callLater(timeout, self.cancel) if timeout < inf else None
        if not self._ended.called:
            ended: Deferred[None] = Deferred()
            self._ended.addCallback(ended.callback)
            await ended
        revoke(timer)
        return self._cut

    def cancel(self) -> None:
        """Cancel the handlers, and call no more."""
        self._cancelled = True
        self._cut += self._running.values()
        for handling in list(self._running):
            handling.cancel()
        if not self._room.called:  # a handler may ignore its cancellation
            self._room.callback(None)

    async def _until_fewer_than(self, limit: int) -> None:
        while len(self._running) >= limit and not self._cancelled:
            self._room = Deferred()
            await self._room

    def _report(self, error: BaseException) -> None:
        if not self._cancelled:
            self._blame(error)

    def _call(self, request: Request) -> Deferred[object] | None:
        result = self._handler(request)
        if iscoroutine(result):
            result = Deferred.fromCoroutine(result)
        handling = follow(result, self._report)
        if handling is None:  # it is done already
            self._check(request, result.result if isinstance(result, Deferred) else result)
        return handling

    def _check(self, request: Request, result: object) -> None:
        if result is not None and not request.answered:
            self._report(not_replied(request, result))

    def _end(self, result: object, handling: Deferred[object]) -> None:
        request = self._running.pop(handling, None)
        if request is not None:
            self._check(request, result)
        if not self._room.called:
            self._room.callback(None)


# What looks like a reply. Anything else that a handler returns may have a purpose of its own.
REPLIES = (bytes, bytearray, memoryview, str, list, tuple)


class Handling(Generic[Request]):
    """The requests that a Replier has given to its ``handler=``, until their Deferreds have fired.

    Args:
        inbox: where further requests wait.
        halted: not empty while the handler is not called.
        blame: called with an error in which a handler ends.
        clock: makes delayed calls.
    """

    stopping: bool = False

    def __init__(
        self,
        inbox: Inbox[Request, Any],
        halted: list[bool],
        blame: Callable[[BaseException], None],
        clock: Any,
    ) -> None:
        self._inbox = inbox
        self._halted = halted
        self._blame = blame
        self._clock = clock
        self._running: dict[Deferred[Any], Request] = {}
        self._cut = False  # whether `stop` has cancelled the handlers

    def follow(
        self, result: object, report: Callable[[BaseException], None], request: Request
    ) -> None:
        """Follow what the handler returned for a request."""
        if type(result) is Sent:  # of `Request.reply`; there is nothing to wait for
            return
        if iscoroutine(result):
            result = Deferred.fromCoroutine(result)
        handling = follow(result, self._report)
        if handling is not None:
            self._running[handling] = request
            handling.addBoth(self._end, handling, report, request)
        else:
            self._check(result.result if isinstance(result, Deferred) else result, report, request)

    def _report(self, error: BaseException) -> None:
        if not (self._cut and isinstance(error, CancelledError)):
            self._blame(error)

    def _end(self, result: object, handling: Deferred[Any], *whose: Any) -> object:
        self._running.pop(handling, None)
        self._check(result, *whose)
        return result

    def _check(
        self, result: object, report: Callable[[BaseException], None], request: Request
    ) -> None:
        if isinstance(result, REPLIES) and not request.answered:
            report(not_replied(request, result))

    async def stop(self, timeout: float) -> list[Request]:
        """Wait for the handlers, cancel after `timeout` seconds, return the requests cut off."""
        timer = Deferred[None]()
        late = self._clock.callLater(timeout, timer.callback, None) if timeout < inf else None
        while not timer.called and (self._running or (self._inbox.messages and not self._halted)):
            await deferLater(self._clock, STEP)
        revoke(late)
        cut, self._cut = list(self._running.values()), True
        for handling in list(self._running):
            handling.cancel()
        return cut
