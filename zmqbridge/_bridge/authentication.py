"""Authenticating: the ZAP handler of a context; the same on every loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from inspect import isawaitable
from typing import Any

import zmq
from zmq.auth import load_certificates

from zmqbridge._bridge import mechanisms
from zmqbridge._bridge.link import Link
from zmqbridge.core.framing import Message
from zmqbridge.core.patterns import NOTHING, Pattern, Told
from zmqbridge.core.zap import Policy, Question, Zap
from zmqbridge.errors import AddressError, ContextTerminated, PeerUnreachable

# How long a callback may take. After 30 seconds libzmq itself ends the handshake.
CALLBACK_TIMEOUT = 30.0  # seconds


class Authenticating(Pattern):
    """The pattern of an authenticator: answers the questions of libzmq by the policies.

    Args:
        policies: a `Policy` for each domain; the one of ``"*"`` is for all other domains.
        ask: called with a question; runs `see` for it.
            When that does not settle the question, the caller does, by `failed` or `settle`.
        in_time: waits for the answer of a callback to a question; raises TimeoutError after
            `CALLBACK_TIMEOUT`.
        comes_from_outside: whether an exception ends more than the callback that raised it, e.g.
            the whole loop.
        cancel: ends what `ask` has begun for a question; with None, for all of them.
    """

    __slots__ = ("_ask", "_cancel", "_comes_from_outside", "_in_time", "_link", "_policies", "_zap")

    def __init__(
        self,
        policies: Mapping[str, Policy],
        *,
        ask: Callable[[Question], object],
        in_time: Callable[[Question, Awaitable[object]], Awaitable[object]],
        comes_from_outside: Callable[[BaseException], bool],
        cancel: Callable[[Question | None], object],
    ) -> None:
        super().__init__()
        self._policies = policies
        self._zap = Zap(_read(policies))
        self._ask = ask
        self._in_time = in_time
        self._comes_from_outside = comes_from_outside
        self._cancel = cancel

    def joined(self, link: Link) -> None:
        self._link = link

    def __len__(self) -> int:
        return len(self._zap)

    def reload(self, policies: Mapping[str, Policy] | None) -> None:
        """Decide by other policies from now on, or by the same with their folders read again."""
        policies = self._policies if policies is None else policies
        decided = self._zap.configure(_read(policies))
        self._policies = policies
        for _, answer in decided:
            if not isinstance(answer, Question):
                self._reply(answer)
        for question, _ in decided:
            self._cancel(question)
        for _, answer in decided:
            # What was cancelled may have closed this, or reloaded it.
            if isinstance(answer, Question) and answer in self._zap and not self._link.closed:
                self._ask(answer)

    def feed(self, burst: list[Message]) -> Told:
        for message in burst:
            if self._link.closed:  # by a callback
                break
            for answer in self.split(self._zap.request, [message]):
                if isinstance(answer, Question):
                    self._ask(answer)
                else:
                    self._reply(answer)
        return (), NOTHING

    async def see(self, question: Question) -> None:
        """Call the check of a policy, and send its verdict."""
        if question not in self._zap:  # it was decided before its task has begun
            return
        verdict: bool | None = None
        try:
            answer = question.check(question.peer)
            if isawaitable(answer):
                answer = await self._in_time(question, answer)
            if not isinstance(answer, bool):
                kind = "None" if answer is None else f"a {type(answer).__name__}"
                raise TypeError(f"check returned {kind}: True lets the peer in, False does not")
            verdict = answer
        except GeneratorExit:
            # It may be the callback's own. But it also comes when the loop has ended and this is
            # thrown away, in any thread. Who runs this knows which.
            raise
        except BaseException as error:
            if self._comes_from_outside(error):
                raise  # the question is settled when its task has ended, or when this closes
            self.failed(question, error)
        self.settle(question, verdict)

    def failed(self, question: Question, error: BaseException) -> None:
        """Report the error of a callback and refuse its peer, if the question has no answer yet."""
        if question in self._zap and not self._link.closed:
            self._link.driver.report(error)
        self.settle(question, None)

    def settle(self, question: Question, verdict: bool | None) -> None:
        """Send a verdict, if the question has no answer yet."""
        reply = self._zap.verdict(question, verdict)
        if reply is not None and not self._link.closed:
            self._reply(reply)

    def refuse_all(self) -> None:
        """Answer all open questions, and take no more: the socket is about to be closed."""
        # For each question without an answer libzmq would wait until its time limit, 30 seconds.
        with suppress(zmq.ZMQError):  # the context has ended, or the user has unbound it
            self._link.socket.unbind(mechanisms.ZAP)  # so that no new question comes
        for reply in self._zap.close():
            self._reply(reply)
        self._link.catch_up()

    def close(self, remains: list[Any]) -> list[Any]:
        self._cancel(None)
        return []

    def _reply(self, reply: Message) -> None:
        # The connection or the context may have ended in the meantime.
        with suppress(PeerUnreachable, ContextTerminated):
            self._link.pump.send(reply)


@contextmanager
def the_only_one() -> Iterator[None]:
    """For the time in which the authenticator of a context is opened.

    Raises:
        AddressError: the context has one already.
    """
    try:
        with mechanisms.door:
            mechanisms.make_way()
            yield
    except AddressError as error:
        if error.errno != zmq.EADDRINUSE:
            raise
        text = "this context has an authenticator already: give that one all the policies"
        raise AddressError(text, mechanisms.ZAP, error.errno) from None


# Methods of both authenticators.


def reload(self: Any, policies: Mapping[str, Policy] | None = None) -> None:
    """Decide by other policies from now on, or by the same with their folders read again.

    Peers that wait for a `check` are decided by the new policies, too: the old `check` is cancelled
    and its answer does not count, unless the new policies ask the same `check`. Peers that were
    accepted before stay connected. If this raises, the old policies stay in force.

    Raises:
        TypeError, ValueError, OSError: as in the constructor.
        WrongThread: this is not the thread of its loop.
    """
    if not self.closed:
        self._link.check_open()
    self._zap.reload(policies)


def close(self: Any) -> None:
    """Refuse all peers that wait for a decision, and close. Closing twice is fine.

    Raises:
        WrongThread: this is not the thread of its loop.
    """
    if self.closed:
        return
    self._link.check_open()
    self._zap.refuse_all()
    self._link.close()


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
