"""Asking: the DEALER by which a Subscriber asks a publisher for what it has missed."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar

import zmq

from zmqbridge._bridge.driver import Keeper
from zmqbridge._bridge.link import Link
from zmqbridge.core.framing import Message
from zmqbridge.core.incoming import Incoming
from zmqbridge.core.patterns import NOTHING, Pattern, Told
from zmqbridge.core.sequence import pack_asked, split_answer
from zmqbridge.errors import SocketClosed, ZmqBridgeError

if TYPE_CHECKING:
    from zmqbridge._bridge.sequencing import Sequencing
    from zmqbridge.arguments import Address, Options

PAUSE = 0.1  # seconds until it is looked again whether the receivers are still behind


class Asking(Pattern, Keeper):
    """Asks when publications are missing, and gives what comes to the one who puts it in order.

    Args:
        subscriber: the link of the socket that subscribes.
        incoming: puts publications in order.
        address: where to ask.
        security: that of the subscriber.
        receivers: knows which tags are wanted, delivers, and says whether the receivers are behind.

    Attributes:
        parts: publications that came in answers.
        unwanted: those of them that nobody wants.
    """

    kind: ClassVar[int] = zmq.DEALER
    # Else a question to a publisher that is gone for good would wait for it.
    defaults: ClassVar[Options] = {zmq.IMMEDIATE: 1, zmq.RCVHWM: 0, zmq.LINGER: 0}
    closed_error: ClassVar[type[SocketClosed]] = SocketClosed

    def __init__(
        self,
        subscriber: Link,
        incoming: Incoming,
        address: Address,
        security: Any,
        receivers: Sequencing,
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
        link.said = True  # in a forked child the subscriber alone reports it
        self._driver, self.link = driver, link
        self._at = inf
        driver.keeper = self
        self._of.driver.join(driver)

    def _open_anew(self) -> None:
        # Until there is another socket, the old one may give what was asked for before.
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
                incoming.replay_ended(now)
                continue
            self.parts += 1
            wanted = tag is None or self._receivers.wants(tag)
            self.unwanted += not wanted
            incoming.replayed(tag, number, body if wanted else None, now)
        self._receivers.deliver()
        self.ask()
        return (), NOTHING

    def soon(self) -> None:
        """Ask when the loop runs next: until there is one, the time is not known."""
        self._at = self._driver.now()
        self._driver.call_at(self._at)

    def ask(self) -> None:
        """Send what there is to ask, and set the timer."""
        incoming = self._incoming
        if self._of.closed:
            return
        now = self._driver.now()
        # Else what receivers that are too slow have to take would grow with each answer.
        full = self._receivers.is_full()
        ask = None if full else incoming.ask(now)
        if ask is not None:
            try:
                if ask.afresh:
                    self._open_anew()
                self.link.pump.send(pack_asked(ask.asked))
            except ZmqBridgeError:
                pass  # it is as if there came no answer
        due = max(incoming.next_deadline(), now + PAUSE if full else now)
        if due < self._at:
            self._at = due
            self._driver.call_at(due)

    def alarm(self) -> None:
        self._at = inf
        self.link.catch_up()  # an answer that has come must not lose against a loop held up
        self._incoming.due(self._driver.now())
        self._receivers.deliver()
        self.ask()

    def end(self) -> Iterable[Any]:
        """Close; who waits here is returned."""
        if self.link.closed:
            return []
        return [*self._driver.stop(), *self.link.close_socket()]
