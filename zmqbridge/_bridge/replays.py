"""Replays: the ROUTER at which a Publisher is asked for its last publications again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar

import zmq

from zmqbridge._bridge.driver import Keeper
from zmqbridge._bridge.link import Link
from zmqbridge._bridge.tally import statistics
from zmqbridge.core._pacing import LOOK, PART, PART_BYTES, SLICE
from zmqbridge.core._prefixes import Prefixes
from zmqbridge.core.framing import Message, split_request
from zmqbridge.core.numbered import END, Asked, AskedList, split_asked
from zmqbridge.core.outgoing import Outgoing
from zmqbridge.core.patterns import NOTHING, Pattern, Told
from zmqbridge.errors import MalformedMessage, PeerUnreachable, QueueFull, SocketClosed

if TYPE_CHECKING:
    from zmqbridge.arguments import Address, Options

PAUSE = 0.01  # seconds until we try again to send to a peer that takes nothing
ANSWER_TIMEOUT = 30.0  # seconds after which the answer to such a peer is given up
MOST = 1000  # answers at a time


class Answer:
    """The answer to one peer, of which parts are still to be sent.

    Attributes:
        asked: the publications that it has asked for.
        place: the place of the next publication to look at.
        since: when the peer last took a part.
        tags: how many tags there were when it asked.
        latest: goes through the last publications of the tags, if it has asked for these.
        look: at how many tags it looks for a part.
    """

    __slots__ = ("asked", "latest", "look", "place", "since", "tags")

    def __init__(self, asked: Asked | AskedList, outgoing: Outgoing, now: float) -> None:
        self.asked = asked
        self.place = 0
        self.since = now
        self.tags = len(outgoing.tags)
        self.latest: Iterator[Any] | None = None
        self.look = LOOK
        if isinstance(asked, Asked) and asked.start < 0 and outgoing.latest is not None:
            prefixes = (asked.tag or b"", *asked.more)
            self.latest = outgoing.latest.matching(prefixes)
            self.look = Prefixes(prefixes).share(LOOK)

    def part(self, outgoing: Outgoing) -> tuple[list[Any], bool]:
        """The next publications, as (tag, number, body), and whether they are the last ones."""
        if isinstance(self.asked, AskedList):
            found, self.place = outgoing.listed(self.asked, self.place, self.tags, 5 * PART)
            return found, self.place >= self.tags
        if self.latest is None:
            narrow = self.asked.tag is None and self.asked.start >= 0
            look = PART if narrow else LOOK  # most publications have other tags
            found, self.place = outgoing.replay(self.asked, self.place, look, PART_BYTES)
            return found, self.place >= outgoing.end
        latest: list[Any] = []
        left, size = self.look, PART_BYTES
        for each in islice(self.latest, left):
            left -= 1
            if each is not None:
                latest.append(each)
                size -= len(each[2])
                if size <= 0 or len(latest) >= PART:
                    return latest, False
        return latest, left > 0


class Replays(Pattern, Keeper):
    """Answers in parts, one peer after the other, so that no answer holds up the publications.

    Args:
        publisher: the link of the socket that publishes.
        outgoing: the publications that it has kept.
        address: the address to bind to.
        security: the security of the publisher.
    """

    kind: ClassVar[int] = zmq.ROUTER
    # With it we notice a peer that does not read; its answer waits here, and not in libzmq.
    defaults: ClassVar[Options] = {zmq.ROUTER_MANDATORY: 1}
    closed_error: ClassVar[type[SocketClosed]] = SocketClosed

    def __init__(
        self, publisher: Link, outgoing: Outgoing, address: Address, security: Any
    ) -> None:
        super().__init__()
        self._outgoing = outgoing
        self._answers: dict[tuple[bytes, ...], Answer] = {}
        self._at = inf
        self._driver = publisher.driver.beside()
        given = {"context": publisher.context, "security": security, "bind": address}
        self.link = Link(type(self), self._driver, self, given=given)
        self.link.said = True  # in a forked child only the publisher reports the fork
        self._driver.keeper = self
        publisher.driver.join(self._driver)

    @property
    def address(self) -> str:
        """The address that it is bound to."""
        return self.link.addresses[0]

    @property
    def busy(self) -> int:
        """How many answers are not complete yet."""
        return len(self._answers)

    def feed(self, burst: list[Message]) -> Told:
        for route, asked in self.split(split_question, burst):
            if len(self._answers) < MOST or tuple(route) in self._answers:
                # A peer that asks again has given up its earlier question.
                self._answers[tuple(route)] = Answer(asked, self._outgoing, self._driver.now())
            else:
                self.malformed += 1
                self.rejected = MalformedMessage(f"more than {MOST} replays at a time", route)
        self._set(0)
        return (), NOTHING

    def alarm(self) -> None:
        self._at = inf
        pump = self.link.pump
        if pump.queues:
            pump.patrol()
        busy, end = False, pump.monotonic() + SLICE / 2
        for route, answer in list(self._answers.items()):
            if pump.queues.get(route[0]):
                if self._driver.now() > answer.since + ANSWER_TIMEOUT:
                    del self._answers[route]
                continue
            if busy and pump.monotonic() > end:
                break  # very many ask, so the loop has its turn before all have a part
            busy = True
            done = self._send_part(route, answer)
            if self._answers.pop(route, None) is not None and not done:
                self._answers[route] = answer  # behind those that wait
        if self._answers or pump.queues:
            self._set(0 if busy and self._answers else PAUSE)

    def _set(self, pause: float) -> None:
        due = self._driver.now() + pause
        if self._answers and due < self._at and not self.link.closed:
            self._at = due
            self._driver.call_at(due)

    def _send_part(self, route: tuple[bytes, ...], answer: Answer) -> bool:
        # Returns whether the answer is complete, or given up.
        send = self.link.pump.send
        answer.since = self._driver.now()
        found, is_all = answer.part(self._outgoing)
        try:
            for tag, number, body in found:
                send((*route, b"", tag, number, body))
            if not is_all:
                return False
            send((*route, b"", self._outgoing.end_mark(answer.asked, answer.tags), END, b""))
        except (PeerUnreachable, QueueFull):
            pass  # the peer has left, or reads nothing: it will ask again
        return True

    def close(self, remains: list[Any]) -> list[Any]:
        self._answers.clear()
        return []

    def counts(self) -> dict[str, int]:
        counts = statistics(self.link.pump, malformed=self.malformed, received=self.malformed)
        return counts._asdict()

    def end(self) -> Iterable[Any]:
        """Close with the publisher, and return the waiters."""
        if self.link.closed:
            return []
        return [*self._driver.stop(), *self.link.close_socket()]


def split_question(message: Message) -> tuple[Message, Asked | AskedList]:
    """The (route, question) of a message that asks for publications again.

    Raises:
        MalformedMessage: the message is not such a question.
    """
    route, parts = split_request(message, may_be_empty=True)
    return route, split_asked(parts)
