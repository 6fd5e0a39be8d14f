"""Authenticating: the ZAP handler of a context as an endpoint, on no loop in particular."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import replace
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, ClassVar

import zmq
from zmq.auth import load_certificates

from zmqbridge._bridge import mechanisms
from zmqbridge._bridge.endpoint import Endpoint
from zmqbridge._bridge.signatures import only_known
from zmqbridge.core.framing import Message
from zmqbridge.core.zap import Policy, Question, Zap
from zmqbridge.errors import AddressError, ContextTerminated, MalformedMessage, PeerUnreachable

if TYPE_CHECKING:
    from zmqbridge.arguments import Options

# How long a callback may take. After 30 seconds libzmq gives the handshake up itself.
PATIENCE = 30.0  # seconds


class Authenticating(Endpoint):
    """Decides by policies who may come in to the sockets of its context.

    It must be there before a socket binds that wants its decisions, and answers as long as its
    loop runs; after it was closed, nobody comes in any more, and whoever waits for a decision is
    refused at once. Who is in stays in.

    Args:
        policies: a `Policy` for each domain; the one of ``"*"`` is for all other domains.
        arguments: `zmqbridge.arguments.ContextArguments`: the context is that of the sockets. On
            Twisted also `zmqbridge.arguments.ReactorArguments`.

    Raises:
        TypeError, ValueError: these are no policies.
        OSError: a folder of certificates is not there.
        AddressError: the context has an authenticator already.
        ResourcesExhausted: there is no room for one more socket.
    """

    kind: ClassVar[int] = zmq.ROUTER
    defaults: ClassVar[Options] = {zmq.ROUTER_MANDATORY: 1}

    def __init__(self, policies: Mapping[str, Policy], **arguments: Any) -> None:
        only_known(type(self), arguments)
        self._policies = policies
        self._zap = Zap(_read(policies))
        try:
            with mechanisms.door:
                super().__init__(bind=mechanisms.ZAP, **arguments)
        except AddressError as error:
            if error.errno != zmq.EADDRINUSE:
                raise
            text = "this context has an authenticator already: give that one all the policies"
            raise AddressError(text, mechanisms.ZAP, error.errno) from None

    @abstractmethod
    def _ask(self, question: Question) -> None:
        """Run `_see` for this question."""

    @abstractmethod
    def _in_time(self, answer: Awaitable[object]) -> Awaitable[object]:
        """The answer of a callback, or a TimeoutError when it takes longer than `PATIENCE`."""

    @abstractmethod
    def _comes_from_outside(self, error: BaseException) -> bool:
        """Whether this ends more than the callback that it came out of, e.g. the whole loop."""

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
            if self._closed:  # by a callback
                break
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
        except GeneratorExit:  # nothing runs any more, and this may be any thread
            raise
        except BaseException as error:
            if self._comes_from_outside(error):
                self._settle(question, None)
                raise
            if not self._closed:
                self._report(error)
        self._settle(question, verdict)

    def _settle(self, question: Question, verdict: bool | None) -> None:
        reply = self._zap.verdict(question, verdict)
        if reply is not None and not self._closed:
            self._reply(reply)

    def close(self) -> None:
        # libzmq would wait for what is not answered now until its time is up, 30 seconds.
        if not self._closed:
            self._check_open()
            with suppress(zmq.ZMQError):  # the context has ended, or it was unbound by hand
                self._socket.unbind(mechanisms.ZAP)  # so that nobody else asks
            for reply in self._zap.close():
                self._reply(reply)
            self._catch_up()
        super().close()

    def _reply(self, reply: Message) -> None:
        # Its connection has ended in the meantime, or the context has.
        with suppress(PeerUnreachable, ContextTerminated):
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
