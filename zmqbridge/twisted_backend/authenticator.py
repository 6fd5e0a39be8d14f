"""Authenticator: decides on a reactor who may come in to the sockets of a context."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any, Unpack, final

from twisted.internet.defer import Deferred

from zmqbridge._bridge.authentication import PATIENCE, Authenticating
from zmqbridge.core.zap import Policy, Question
from zmqbridge.twisted_backend.clocks import steady
from zmqbridge.twisted_backend.reactorsocket import ReactorSocket

if TYPE_CHECKING:
    from zmqbridge.arguments import ReactorContextArguments


@final
class Authenticator(Authenticating, ReactorSocket):
    """Decides by the policies of domains who may come in to the sockets of its context.

    See `Authenticating` for its arguments and what it raises. A `check` may return a Deferred or
    a coroutine.
    """

    def __init__(
        self, policies: Mapping[str, Policy], **arguments: Unpack[ReactorContextArguments]
    ) -> None:
        """The keyword arguments are described in `zmqbridge.arguments`."""
        self._asking: set[Deferred[None]] = set()
        super().__init__(policies, **arguments)

    def _ask(self, question: Question) -> None:
        asking = Deferred.fromCoroutine(self._see(question))
        self._asking.add(asking)
        asking.addBoth(lambda _: self._asking.discard(asking))

    def _comes_from_outside(self, error: BaseException) -> bool:
        return False  # what is raised on would end in a Deferred of ours

    def _in_time(self, answer: Awaitable[object]) -> Awaitable[object]:
        if iscoroutine(answer):
            answer = Deferred.fromCoroutine(answer)
        if isinstance(answer, Deferred):
            answer.addTimeout(PATIENCE, steady(self._reactor))
        return answer

    def _close_socket(self) -> list[Any]:
        waiters = super()._close_socket()
        for asking in list(self._asking):
            asking.cancel()
        return waiters
