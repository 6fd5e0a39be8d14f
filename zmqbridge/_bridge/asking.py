"""Asking: the DEALER by which a Subscriber asks a publisher for missed publications."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import zmq

from zmqbridge._bridge.driver import Keeper
from zmqbridge._bridge.link import Link
from zmqbridge.core.framing import Message
from zmqbridge.core.incoming import Incoming
from zmqbridge.core.numbered import pack_asked, split_answer
from zmqbridge.core.patterns import NOTHING, Pattern, Told
from zmqbridge.errors import SocketClosed, ZmqBridgeError

if TYPE_CHECKING:
    from zmqbridge.arguments import Address, Options

PAUSE = 0.1  # seconds until we check again whether the receivers are still behind


class Receivers(Protocol):
    """The receivers of a subscriber, for which missing publications are asked for."""

    def wants(self, tag: bytes) -> bool:
        """Whether a tag is subscribed to."""

    def deliver(self) -> None:
        """Take from the `Incoming` what may be delivered now."""

    def is_full(self) -> bool:
        """Whether so many publications wait for them that we should not ask for more."""


class Asking(Pattern, Keeper):
    """Asks for missing publications, and passes the answers on to the core's `Incoming`.

    Args:
        subscriber: the link of the socket that subscribes.
        incoming: puts publications in order.
        address: the replay address of the publisher.
        security: the security of the subscriber.
        receivers: knows which tags are wanted, delivers, and says whether the receivers are behind.

    Attributes:
        parts: how many publications came in answers.
        unwanted: how many of these the subscriber has not subscribed to.
    """

    kind: ClassVar[int] = zmq.DEALER
    # Without these options, a question would wait for a publisher that is gone for good.
    defaults: ClassVar[Options] = {zmq.IMMEDIATE: 1, zmq.RCVHWM: 0, zmq.LINGER: 0}
    closed_error: ClassVar[type[SocketClosed]] = SocketClosed

    def __init__(
        self,
        subscriber: Link,
        incoming: Incoming,
        address: Address,
        security: Any,
        receivers: Receivers,
    ) -> None:
        super().__init__()
        self._of = subscriber
        self._incoming = incoming
        self._address = address
        self._security = security
        self._receivers = receivers
        self._deaf = False
        self.parts = 0
        self.unwanted = 0
        self._open()

    def _open(self) -> None:
        driver = self._of.driver.beside()
        given = {
            "context": self._of.context,
            "security": self._security,
            "connect": self._address,
        }
        link = Link(type(self), driver, self, given=given)
        link.said = True  # in a forked child only the subscriber reports the fork
        self._driver, self.link = driver, link
        self._at = inf
        driver.keeper = self
        self._of.driver.join(driver)

    def _open_anew(self) -> None:
        # Until the new socket is open, the old one may still receive answers to earlier questions.
        self._deaf = True
        driver, link = self._driver, self.link
        self._open()
        self._deaf = False
        driver.stop()
        link.close_socket()

    def feed(self, burst: list[Message]) -> Told:
        incoming, now = self._incoming, self._driver.now()
        for tag, number, body in self.split(split_answer, burst):
            if self._deaf:
                self.parts += 1
                self.unwanted += 1
                continue
            if number < 0:
                incoming.replay_ended(now, tag or b"")
                continue
            if incoming.lists and tag is not None:
                if self._receivers.wants(tag):
                    incoming.listed(tag, number, now)
                continue
            self.parts += 1
            wanted = tag is None or self._receivers.wants(tag)
            self.unwanted += not wanted
            incoming.replayed(tag, number, body if wanted else None, now)
        self._receivers.deliver()
        self.ask()
        return (), NOTHING

    def soon(self) -> None:
        """Ask when the loop runs next: before it runs, its clock cannot be read."""
        self._at = self._driver.now()
        self._driver.call_at(self._at)

    def ask(self) -> None:
        """Send the next question, if there is one, and set the timer."""
        incoming = self._incoming
        if self._of.closed:
            return
        now = self._driver.now()
        # Otherwise, with slow receivers, each answer would make the inbox longer.
        full = self._receivers.is_full()
        ask = None if full else incoming.ask(now)
        if ask is not None:
            try:
                if ask.afresh:
                    self._open_anew()
                self.link.pump.send(pack_asked(ask.asked))
            except ZmqBridgeError:
                pass  # as if no answer came
        due = max(incoming.next_deadline(), now + PAUSE if full else now)
        if due < self._at:
            self._at = due
            self._driver.call_at(due)

    def alarm(self) -> None:
        self._at = inf
        self.link.catch_up()  # after a busy loop, answers that have come count before the deadline
        self._incoming.due(self._driver.now())
        self._receivers.deliver()
        self.ask()

    def end(self) -> Iterable[Any]:
        """Close, and return the waiters."""
        if self.link.closed:
            return []
        return [*self._driver.stop(), *self.link.close_socket()]
