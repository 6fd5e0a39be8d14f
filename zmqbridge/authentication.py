"""Authenticating: the ZAP handler of a context as an endpoint, on no loop in particular."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import replace
from inspect import isawaitable
from typing import Any

import zmq
from zmq.auth import load_certificates

from zmqbridge.core.framing import Message
from zmqbridge.core.zap import Policy, Question, Zap
from zmqbridge.endpoint import Endpoint
from zmqbridge.errors import AddressError, MalformedMessage, PeerUnreachable
from zmqbridge.mechanisms import ZAP

# How long a callback may take. After 30 seconds libzmq gives the handshake up itself.
PATIENCE = 30.0  # seconds


class Authenticating(Endpoint):
    """Decides by policies who may come in to the sockets of its context.

    It must be there before a socket binds that wants its decisions, and answers as long as its
    loop runs; after it was closed, nobody comes in any more. Who is in stays in.

    Args:
        policies: a `Policy` for each domain; the one of ``"*"`` is for all other domains.
        context: the context of the sockets, if it is not the one that the library owns.

    Raises:
        TypeError, ValueError: these are no policies.
        OSError: a folder of certificates is not there.
        AddressError: the context has an authenticator already.
        ResourcesExhausted: there is no room for one more socket.
    """

    kind = zmq.ROUTER
    defaults = {zmq.ROUTER_MANDATORY: 1}

    def __init__(
        self,
        policies: Mapping[str, Policy],
        *,
        context: zmq.Context[Any] | None = None,
        **backend: Any,
    ) -> None:
        self._policies = policies
        self._zap = Zap(_read(policies))
        try:
            super().__init__(bind=ZAP, context=context, **backend)
        except AddressError as error:
            if error.errno != zmq.EADDRINUSE:
                raise
            text = "this context has an authenticator already: give that one all the policies"
            raise AddressError(text, ZAP, zmq.EADDRINUSE) from None

    @abstractmethod
    def _ask(self, question: Question) -> None:
        """Run `_see` for this question."""

    @abstractmethod
    def _in_time(self, answer: Awaitable[object]) -> Awaitable[object]:
        """The answer of a callback, or a TimeoutError when it takes longer than `PATIENCE`."""

    def reload(self, policies: Mapping[str, Policy] | None = None) -> None:
        """Decide by other policies from now on, or by the same with their folders read again.

        When it raises, everything is as it was. Who is in stays in.

        Raises:
            TypeError, ValueError, OSError: as when it is made.
        """
        policies = self._policies if policies is None else policies
        self._zap.configure(_read(policies))
        self._policies = policies

    def _deliver(self, burst: list[Message]) -> None:
        malformed = []
        for message in burst:
            try:
                answer = self._zap.request(message)
            except MalformedMessage as error:
                malformed.append(error)
                continue
            if isinstance(answer, Question):
                self._ask(answer)
            else:
                self._reply(answer)
        self._reject(malformed)

    async def _see(self, question: Question) -> None:
        """Ask the callback, and pass its verdict on."""
        verdict: bool | None = None
        try:
            answer = question.check(question.peer)
            if isawaitable(answer):
                answer = await self._in_time(answer)
            if answer is not None and not isinstance(answer, bool):
                raise TypeError(f"check returned a {type(answer).__name__}: True lets the peer in")
            verdict = bool(answer)
        except Exception as error:
            if not self._closed:
                self._report(error)
        reply = self._zap.verdict(question, verdict)
        if not self._closed:
            self._reply(reply)

    def _reply(self, reply: Message) -> None:
        with suppress(PeerUnreachable):  # its connection has ended in the meantime
            self._pump.send(reply)


def _read(policies: Mapping[str, Policy]) -> dict[str, Policy]:
    """The policies with the keys of their folders."""
    if not isinstance(policies, Mapping):
        kind = type(policies).__name__
        raise TypeError(f"policies is given as {kind}: give a Policy for each domain, in a dict")
    read = {}
    for domain, policy in policies.items():
        if not isinstance(domain, str) or not isinstance(policy, Policy):
            kind = type(policy).__name__
            raise TypeError(f"policies: {domain!r} has a {kind}; give each str a Policy")
        if policy.certificates is not None:
            policy = replace(policy, keys={*policy.keys, *load_certificates(policy.certificates)})
        read[domain] = policy
    return read
