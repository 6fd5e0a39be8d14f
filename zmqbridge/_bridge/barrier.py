"""Barrier: how a subscriber learns that it will miss nothing from now on, through proxies, too.

The subscriber subscribes to a topic of its own, after all its other subscriptions. A connection
keeps their order, so a publisher that has received this one has received the others. The publisher
answers on that topic, so its later publications come after the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import zmq

from zmqbridge._bridge.calls import random_of, raw
from zmqbridge._bridge.driver import Keeper
from zmqbridge.core._pacing import SHORTEST
from zmqbridge.core.framing import Message
from zmqbridge.core.topics import PRIVATE, is_answer, is_answer_to_any
from zmqbridge.errors import NotAnswered

if TYPE_CHECKING:
    from zmqbridge._bridge.link import Link
    from zmqbridge.core.inbox import Inbox


# Seconds after which we ask again, because a full queue loses an answer; they double each time.
AGAIN = 1.0


class Ready(Protocol):
    """The pattern of a subscriber whose calls of `ready` wait here."""

    room: Callable[[], float]

    @property
    def inbox(self) -> Inbox[Any, Any]:
        """Where publications wait for a receiver."""

    def is_settled(self) -> bool:
        """Whether all is known from which publications can be missed."""


class Barriers(Keeper):
    """The barriers that a subscriber waits for, each with the answers that have come.

    While there is one, the socket reads also when its inbox is full: the answer may be behind
    publications that no call of ``receive`` takes. libzmq's high water marks bound these.
    """

    __slots__ = ("_answers", "_link", "_pattern", "_waiters")

    def __init__(self, pattern: Ready, link: Link) -> None:
        self._pattern = pattern
        self._link = link
        self._answers: dict[bytes, set[bytes]] = {}
        self._waiters: dict[Any, None] = {}

    def __bool__(self) -> bool:
        return bool(self._answers)

    async def passed(self, answers: set[bytes]) -> None:
        """Wait until every publisher has answered.

        Args:
            answers: is filled with the answers to one question as they come.
        """
        driver = self._link.driver
        driver.keeper = self
        again, pause, topics = driver.now(), AGAIN, list[bytes]()
        try:
            while len(answers) < self.wanted() or not self._pattern.is_settled():
                if (now := driver.now()) >= again:
                    again, pause = now + pause, 2 * pause
                    topics.append(self._ask())
                driver.call_at(again)
                await driver.room_in(self)
                # The answers to one question: the same publishers answer the next question, too.
                most = max((self._answers[topic] for topic in topics), key=len)
                answers.clear()
                answers.update(most)
        finally:
            self._end(topics)

    def _ask(self) -> bytes:
        topic = PRIVATE + random_of(self._link.socket)(8)
        self._answers[topic] = set()
        self._pattern.room = self._room
        self._set(zmq.SUBSCRIBE, topic)
        return topic

    def _end(self, topics: list[bytes]) -> None:
        for topic in topics:
            del self._answers[topic]
        if not self._answers:
            self._pattern.room = self._pattern.inbox.room
            self._link.driver.disarm()
        if not self._link.closed:
            for topic in topics:
                self._set(zmq.UNSUBSCRIBE, topic)

    def alarm(self) -> None:
        """It is time to ask again."""
        self._tell()

    def not_answered(self, answers: set[bytes], timeout: float) -> NotAnswered:
        """The error when the time is over, with what is known of the connections."""
        error = NotAnswered(len(answers), self.wanted(), timeout)
        if not self._pattern.is_settled():
            error.add_note("the replay address has not said which tags there are")
        if why := self._link.why_unsent():
            error.add_note(why)
        return error

    def wanted(self) -> int:
        """How many have to answer: one for each address at which the socket is connected."""
        return max(1, self._link.servers)

    def _set(self, option: int, topic: bytes) -> None:
        # Not by `Subscriptions`: no publication and no user has this tag.
        socket = self._link.socket
        raw(socket).set(socket, option, topic)
        self._link.pump.schedule()

    def _room(self) -> float:
        return max(SHORTEST, self._pattern.inbox.room())

    def pass_on(
        self, burst: list[Message], begin: Callable[[int], object] | None = None
    ) -> list[Message]:
        """Take the answers out of a burst, and wake the calls that wait for them.

        Args:
            burst: publications and answers.
            begin: called with the number of the next publication, if an answer has it and no
                publication came before it.
        """
        rest: list[Message] = []
        for message in burst:
            answers = self._answers.get(message[0])
            ours = is_answer_to_any(message) if answers is None else is_answer(message)
            if not ours:
                rest.append(message)
                continue
            self._pattern.inbox.unwanted += 1
            if answers is not None:
                answers.add(message[1])
                if begin is not None and message[2] and not rest:
                    begin(int.from_bytes(message[2], "big"))
        # Wake them later: publications of this burst must be in the inbox before.
        if self._waiters and len(rest) < len(burst) and not self._link.driver.soon(self._tell):
            self._tell()
        return rest

    def _tell(self) -> None:
        self._link.driver.tell(self.close())

    def wait(self, waiter: Any) -> None:
        """Register a waiter, which an answer wakes."""
        self._waiters[waiter] = None

    def forget(self, waiter: Any) -> None:
        """Remove a waiter that does not wait any more."""
        self._waiters.pop(waiter, None)

    def close(self) -> list[Any]:
        """Remove and return all waiters."""
        waiters = list(self._waiters)
        self._waiters.clear()
        return waiters
