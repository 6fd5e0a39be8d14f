"""Handling: what the handler of a Replier has begun and not ended, and how it comes to its end."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutine
from math import inf
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from zmqbridge._bridge.request import Request, not_replied
from zmqbridge.core.inbox import Inbox
from zmqbridge.twisted_backend._handlers import follow
from zmqbridge.twisted_backend._reactors import revoke

# What looks like a reply. Anything else that a handler returns may have a purpose of its own.
REPLIES = (bytes, bytearray, memoryview, str, list, tuple)


class Handling:
    """The requests for which a handler has returned a Deferred that has not fired yet.

    Args:
        inbox: where requests wait for the handler.
        clock: makes delayed calls.
    """

    __slots__ = ("_clock", "_inbox", "_pending", "_rest")

    def __init__(self, inbox: Inbox[Any, Any], clock: Any) -> None:
        self._inbox = inbox
        self._clock = clock
        self._pending: dict[Deferred[Any], Request] = {}
        self._rest: Deferred[None] | None = None

    def see(
        self, result: object, report: Callable[[BaseException], None], request: Request
    ) -> None:
        """Follow what the handler has returned for a request."""
        if iscoroutine(result):
            result = Deferred.fromCoroutine(result)
        handling = follow(result, report)
        if handling is not None:
            self._pending[handling] = request
            handling.addBoth(self._end, handling, report, request)
        else:
            self._check(result.result if isinstance(result, Deferred) else result, report, request)

    def _end(self, result: object, handling: Deferred[Any], *whose: Any) -> None:
        self._pending.pop(handling, None)
        self._check(result, *whose)
        if self._rest is not None and not self._pending:
            rest, self._rest = self._rest, None
            rest.callback(None)

    def _check(
        self, result: object, report: Callable[[BaseException], None], request: Request
    ) -> None:
        if isinstance(result, REPLIES) and not request.answered:
            report(not_replied(request, result))

    async def stop(self, timeout: float) -> list[Request]:
        """Wait until all that is in the inbox is handled, and cancel what takes longer.

        Returns:
            The requests of the handlers that were cancelled.
        """
        left: list[Request] = []
        over: list[bool] = []

        def cut() -> None:
            over.append(True)
            left.extend(self._pending.values())
            for handling in list(self._pending):
                handling.cancel()
            if self._rest is not None:  # a handler may ignore its cancellation
                rest, self._rest = self._rest, None
                rest.callback(None)

        timer = self._clock.callLater(timeout, cut) if timeout < inf else None
        while self._inbox.messages and self._inbox.standing and not over:
            await deferLater(self._clock, 0)
        if self._pending and not over:
            self._rest = Deferred()
            await self._rest
        revoke(timer)
        return left
