"""Authenticator: decides on a reactor which peers may connect to the sockets of a context."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from functools import partial
from inspect import iscoroutine
from typing import TYPE_CHECKING, ClassVar, Final, Unpack, final

import zmq
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

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
from zmqbridge.core.zap import Policy, Question
from zmqbridge.twisted_backend._base import Socket
from zmqbridge.twisted_backend._clocks import steady

if TYPE_CHECKING:
    from zmqbridge.arguments import Options, ReactorContextArguments


@final
class Authenticator(Socket):
    """Decides by the policies of domains which peers may connect to the sockets of its context.

    It must exist before a socket binds that needs its decisions. It answers as long as its reactor
    runs. After it is closed, no new peer is accepted, and a peer that waits for a decision is
    refused at once. Peers that were accepted before stay connected.

    Args:
        policies: a `Policy` for each domain; the one of ``"*"`` is for all other domains. A
            `check` may return a Deferred or a coroutine.
        arguments: `zmqbridge.arguments.ReactorContextArguments`; its context is the sockets'.

    Raises:
        TypeError, ValueError: the policies are not valid.
        OSError: a folder of certificates does not exist.
        AddressError: the context has an authenticator already.
        ResourcesExhausted: there is no room for one more socket.
    """

    kind: ClassVar[int] = zmq.ROUTER
    defaults: ClassVar[Options] = {zmq.ROUTER_MANDATORY: 1}

    def __init__(
        self, policies: Mapping[str, Policy], **arguments: Unpack[ReactorContextArguments]
    ) -> None:
        """The keyword arguments are described in `zmqbridge.arguments`."""
        only_known(type(self), arguments, DEFAULTS)
        self._asking: dict[int, Deferred[None]] = {}
        self._zap = Authenticating(
            policies,
            ask=self._ask,
            in_time=self._in_time,
            # An error that is raised again would only end in a Deferred of ours.
            comes_from_outside=lambda error: False,
            cancel=self._cancel,
        )
        with the_only_one():
            super().__init__(self._zap, {"bind": ZAP, **arguments})

    reload: Final = reload
    close: Final = close  # type: ignore[misc]

    def _ask(self, question: Question) -> None:
        asking = Deferred.fromCoroutine(self._zap.see(question))
        self._asking[id(question)] = asking
        asking.addBoth(partial(self._seen, question))

    def _seen(self, question: Question, outcome: Failure | None) -> None:
        del self._asking[id(question)]
        if outcome is not None and outcome.value is not None:
            self._zap.failed(question, outcome.value)

    def _in_time(self, question: Question, answer: Awaitable[object]) -> Awaitable[object]:
        if iscoroutine(answer):
            answer = Deferred.fromCoroutine(answer)
        if isinstance(answer, Deferred):
            answer.addTimeout(CALLBACK_TIMEOUT, steady(self._driver.reactor))
        return answer

    def _cancel(self, question: Question | None) -> None:
        for each, asking in list(self._asking.items()):
            if question is None or each == id(question):
                asking.cancel()
