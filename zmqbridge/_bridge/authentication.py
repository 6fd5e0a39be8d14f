"""Authenticating: the ZAP handler of a context, as an endpoint; the same on every loop."""

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

# How long a callback may take. After 30 seconds libzmq itself ends the handshake.
PATIENCE = 30.0  # seconds


class Authenticating(Endpoint):
    """Decides by policies which peers may connect to the sockets of its context.

    The authenticator must exist before a socket binds that needs its decisions. It answers as long
    as its loop runs. After it is closed, no new peer is accepted, and a peer that waits for a
    decision is refused at once. Peers that were accepted before stay connected.

    Args:
        policies: a `Policy` for each domain; the one of ``"*"`` is for all other domains.
        arguments: `zmqbridge.arguments.ContextArguments`: the context is that of the sockets. On
            Twisted also `zmqbridge.arguments.ReactorArguments`.

    Raises:
        TypeError, ValueError: the policies are not valid.
        OSError: a folder of certificates does not exist.
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
        """The answer of a callback, or a TimeoutError if that takes longer than `PATIENCE`."""

    @abstractmethod
    def _comes_from_outside(self, error: BaseException) -> bool:
        """Whether an exception ends more than the callback that raised it, e.g. the whole loop."""

    def reload(self, policies: Mapping[str, Policy] | None = None) -> None:
        """Decide by other policies from now on, or by the same with their folders read again.

        If this raises, the old policies stay in force. Peers that were accepted before stay
        connected.

        Raises:
            TypeError, ValueError, OSError: as in the constructor.
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
        """Call the check of a policy, and send its verdict."""
        verdict: bool | None = None
        try:
            answer = question.check(question.peer)
            if isawaitable(answer):
                answer = await self._in_time(answer)
            if answer is not None and not isinstance(answer, bool):
                raise TypeError(f"check returned a {type(answer).__name__}: True lets the peer in")
            verdict = bool(answer)
        except GeneratorExit:  # the loop has ended, and this may be any thread
            raise
        except BaseException as error:
            if self._comes_from_outside(error):
                raise  # the question is settled when its task has ended, or when this closes
            if not self._closed:
                self._report(error)
        self._settle(question, verdict)

    def _settle(self, question: Question, verdict: bool | None) -> None:
        reply = self._zap.verdict(question, verdict)
        if reply is not None and not self._closed:
            self._reply(reply)

    def close(self) -> None:
        # For each question without an answer libzmq would wait until its time limit, 30 seconds.
        if not self._closed:
            self._check_open()
            with suppress(zmq.ZMQError):  # the context has ended, or the user has unbound it
                self._socket.unbind(mechanisms.ZAP)  # so that no new question comes
            for reply in self._zap.close():
                self._reply(reply)
            self._catch_up()
        super().close()

    def _reply(self, reply: Message) -> None:
        # The connection or the context may have ended in the meantime.
        with suppress(PeerUnreachable, ContextTerminated):
            self._pump.send(reply)


def _read(policies: Mapping[str, Policy]) -> dict[str, Policy]:
    """The policies, each with the keys from its folder of certificates added."""
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
