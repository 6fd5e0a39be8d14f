"""Subscribing: the half of SUB that is the same on every loop."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import zmq
from zmq.backend import Socket as CompiledSocket

from zmqbridge._bridge.patterns import Receiving
from zmqbridge._bridge.receivingsocket import ReceivingSocket
from zmqbridge.core.checks import several
from zmqbridge.core.framing import Address, Message, as_name, split_topic
from zmqbridge.core.inbox import HIGH
from zmqbridge.core.statistics import Statistics
from zmqbridge.core.subscriptions import Subscriptions

if TYPE_CHECKING:
    from zmqbridge.arguments import Addresses

Publication = tuple[bytes, bytes]

# Where a feed is faster than we can read, so that there is always a newer one, the newest of so
# many has to do.
PASSED = 4 * HIGH


class Subscribing(Receiving[Publication]):
    """SUB: publications as (tag, body)."""

    kind: ClassVar[int] = zmq.SUB

    def __init__(self, tags: Addresses = (), **others: Any) -> None:
        wanted = [as_name(tag, "a tag") for tag in several(tags, "tags")]
        if not (others.get("bind") or others.get("connect")):
            for tag in wanted:
                if re.match(rb"(tcp|ipc|inproc)://", tag):
                    raise ValueError(f"the tag {tag!r} is an address: give it as connect= or bind=")
        super().__init__(**others)
        for tag in wanted:
            self.subscribe(tag)

    def subscribe(self, tag: Address = b"") -> None:
        """Take publications whose tag starts with `tag`, from now on; ``""`` means all.

        Raises:
            TypeError: the tag is neither str nor bytes-like.
            SocketClosed: the socket is closed.
        """
        self._check_open()
        self._socket.setsockopt(zmq.SUBSCRIBE, as_name(tag, "a tag"))

    def unsubscribe(self, tag: Address = b"") -> None:
        """Undo one `subscribe`; a tag that was never subscribed is fine.

        After the last of a tag nothing is delivered that came for it alone, also if it was here.

        Raises:
            TypeError: the tag is neither str nor bytes-like.
            SocketClosed: the socket is closed.
        """
        self._check_open()
        self._socket.setsockopt(zmq.UNSUBSCRIBE, as_name(tag, "a tag"))

    def _prepare(self) -> None:
        super()._prepare()
        self._subscriptions = Subscriptions()
        self._given_up = False  # a subscription, since the last message was read
        self._newest: list[Publication] = []  # while there may be a newer one
        self._passed = 0

    def _new_socket(self, context: zmq.Context[Any], kind: int) -> ReceivingSocket:
        socket = super()._new_socket(context, kind)
        # Subscriptions are messages to the publisher, and those above this mark libzmq drops.
        CompiledSocket.set(socket, zmq.SNDHWM, 0)
        return socket

    def _option_set(self, socket: zmq.Socket[bytes], option: int, value: Any) -> None:
        if option == zmq.SUBSCRIBE:
            self._subscriptions.add(value)
        elif option == zmq.UNSUBSCRIBE:
            if self._subscriptions.remove(value):
                self._drop(value)
        elif option == zmq.SNDHWM and value:
            CompiledSocket.set(socket, option, 0)
        elif option == zmq.CONFLATE:
            # libzmq would keep only the newest of our subscriptions, too. So it is done here.
            CompiledSocket.set(socket, option, 0)
        super()._option_set(socket, option, value)

    def _set_limit(self) -> None:
        if self._conflates:
            self._inbox.limit(1, newest=True)
        else:
            super()._set_limit()

    def _drop(self, prefix: bytes) -> None:
        """Drop what is here for the sake of a subscription that is no more."""
        if self._closed or CompiledSocket.get(self._socket, zmq.INVERT_MATCHING):
            return
        orphaned = self._subscriptions.orphaned
        inbox = self._inbox
        inbox.sift(lambda publication: not orphaned(publication, prefix))
        if self._newest and orphaned(self._newest[0], prefix):
            self._newest.clear()
            inbox.unwanted += 1
        self._given_up = True

    def _decode(self, burst: list[Message]) -> Iterable[Publication]:
        publications = self._decode_each(burst, split_topic)
        if self._given_up and publications:
            # libzmq fetches one in advance when EVENTS are read, and does not look at it again.
            if self._subscriptions.orphaned(publications[0], b""):
                del publications[0]
                self._inbox.unwanted += 1
            self._given_up = False
        return self._newest_of(publications) if self._conflates else publications

    def _newest_of(self, publications: list[Publication]) -> list[Publication]:
        """Nothing, while libzmq has a newer one."""
        held = [*self._newest, *publications]
        self._newest = held[-1:]
        self._inbox.unwanted += len(held) - len(self._newest)
        self._passed += len(publications)
        events: Any = CompiledSocket.get(self._socket, zmq.EVENTS)
        if events & zmq.POLLIN and self._passed < PASSED:
            self._pump.schedule()
            return []
        newest, self._newest, self._passed = self._newest, [], 0
        return newest

    def _disown(self) -> None:
        super()._disown()
        self._newest.clear()

    def _close_socket(self) -> list[Any]:
        waiters = super()._close_socket()
        self._unclaimed += len(self._newest)
        self._newest.clear()
        return waiters

    def statistics(self) -> Statistics:
        statistics = super().statistics()
        return statistics._replace(unread=statistics.unread + len(self._newest))
