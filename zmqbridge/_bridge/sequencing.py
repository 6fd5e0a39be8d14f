"""Sequencing: a SUB of numbered publications, which tells what was missed, or asks for it again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge._bridge.asking import Asking
from zmqbridge._bridge.subscribing import Subscribing
from zmqbridge.core._formats import Format, bytes_of_all, head_of_first
from zmqbridge.core._prefixes import ByTag
from zmqbridge.core.framing import Message
from zmqbridge.core.gaps import Gap
from zmqbridge.core.incoming import Incoming
from zmqbridge.core.joining import Joining
from zmqbridge.core.numbered import split_numbered
from zmqbridge.core.raising import RaisingInbox, WeighedRaisingInbox
from zmqbridge.errors import (
    MalformedMessage,
    OptionError,
    PublicationsMissed,
    PublisherRestarted,
    ZmqBridgeError,
)

if TYPE_CHECKING:
    from zmqbridge._bridge.link import Link
    from zmqbridge.arguments import Address


def weigh(item: Any) -> int:
    """How many bytes a publication has; what is told about missing ones has none."""
    return bytes_of_all(item[:2]) if type(item) is tuple else 0


ALONE = (
    "several publishers behind one socket are told apart by their tags, with numbered_by='tag' "
    "here and Sequence(by='tag') there"
)
NUMBERED = Format(lambda tag, body: (tag, body), split_numbered, head_of_first, weigh)


class Sequencing(Subscribing[Any, Any]):
    """SUB: numbered publications, and between them what is told of missing ones.

    Args:
        by_tag: each tag has numbers of its own.
        replay: where missing ones are asked for; None to tell each gap at once.
        raises: what is told is raised, and not delivered.
        joins: the last publication of each tag is asked for at first; the numbers are by tag.
        numbers: each publication is delivered with its number.
        since: by tag, or under ``b""``, the last number that an earlier process has received.
        security: for that address.
        bounds: those of the inbox.
    """

    __slots__ = (
        "_asking", "_by_tag", "_incoming", "_joining", "_raises", "_replay", "_security", "_since",
        "alone",
    )  # fmt: skip

    def __init__(
        self,
        decode: None = None,
        *,
        by_tag: bool,
        replay: Address | None,
        raises: bool,
        joins: bool,
        numbers: bool,
        since: dict[bytes, int],
        security: Any,
        **bounds: Any,
    ) -> None:
        super().__init__(format=NUMBERED, **bounds)
        self._takes_any = False
        self.alone = "" if by_tag else ALONE
        self._by_tag = by_tag
        self._since = ByTag(since)
        self._joining = Joining(numbers=numbers) if joins else None
        self._incoming = self._joining or Incoming(
            asks=replay is not None, by_tag=by_tag, numbers=numbers
        )
        self._replay = replay
        self._raises = raises
        self._security = security
        self._asking: Asking | None = None
        self.inbox: Any
        if raises:
            most = bounds.get("prefetch_bytes")
            self.inbox = RaisingInbox() if most is None else WeighedRaisingInbox(most, weigh)
            self.room = self.inbox.room
            self.limit()

    def begin(self, link: Link) -> None:
        """The socket is open, and has its driver."""
        if self._replay is not None:
            self._asking = Asking(link, self._incoming, self._replay, self._security, self)

    def option_set(self, socket: zmq.Socket[bytes], option: int, value: Any) -> None:
        super().option_set(socket, option, value)
        if self.conflates:
            self.conflates = False
            self.limit()
            raise OptionError("zmq.CONFLATE drops publications, and numbers are to tell of each")
        joining = self._joining
        if option == zmq.SUBSCRIBE:
            if self._asking is not None and (self._by_tag or self._since):
                self._asking.soon()
            self._incoming.track(value)
            if joining is not None:
                joining.join(value)
            self._resume(value)
        elif option == zmq.UNSUBSCRIBE and value not in self._subscriptions:
            self._incoming.untrack(value)
            if joining is not None:
                joining.leave(value)

    def _resume(self, prefix: bytes) -> None:
        """Begin the counts of these tags where an earlier process has stopped."""
        for tag in self._since.beginning(prefix if self._by_tag else b""):
            self._incoming.resume(tag, self._since.pop(tag))

    def _drop(self, socket: zmq.Socket[bytes], prefix: bytes) -> None:
        super()._drop(socket, prefix)
        if self._given_up:
            self._incoming.drop(self.wants, prefix)

    def _publications(self, burst: list[Message]) -> Iterable[Any]:
        if self.barriers:
            burst = self.barriers.pass_on(burst, self._incoming.begin)
        if self._given_up and burst and not self._subscriptions.wants(burst[0]):
            # As in `Subscribing`; it was fetched before its tag was unsubscribed.
            del burst[0]
            self.inbox.unwanted += 1
        odd = self._incoming.heard(burst)
        if odd:
            self.split(split_fitting, odd)
            self._forgive(odd)
        if self._asking is not None:
            self._asking.ask()
        self._given_up = False
        return self._told()

    def _told(self) -> list[Any]:
        items = self._incoming.take()
        if self._raises and self._incoming.told:
            items = [each if type(each) is tuple else error_of(each) for each in items]
            self._incoming.told = False
            self.inbox.expect()
        return items

    def deliver(self) -> None:
        """Give the receivers what they may have now."""
        items = self._told()
        if items:
            self.inbox.put(items)
            self._link.driver.tell(self.inbox.notify())
        if self.barriers:
            self.barriers.alarm()

    def is_settled(self) -> bool:
        return not self._incoming.unlisted

    def wants(self, tag: bytes) -> bool:
        """Whether this tag is subscribed to."""
        return self._subscriptions.wants((tag, b""))

    def is_full(self) -> bool:
        """Whether the receivers are behind, so that no more is to be asked for."""
        # But a call of `ready` waits for a list, and may come before anything is received.
        return bool(self.inbox.paused) and not (self.barriers and self._incoming.unlisted)

    def _orphaned(self, publication: Any, prefix: bytes) -> bool:
        return type(publication) is tuple and super()._orphaned(publication, prefix)

    def close(self, remains: list[Any]) -> list[Any]:
        unread = self._unread()
        waiters = super().close(remains)
        self.unclaimed = unread
        self._incoming.close(remains)
        if self._asking is not None:
            waiters += self._asking.end()
        return waiters

    def _unread(self) -> int:
        here = sum(type(each) is tuple for each in self.inbox.messages)
        return here + self._incoming.held

    def counts(self) -> dict[str, int]:
        counts, incoming, asking = super().counts(), self._incoming, self._asking
        parts, malformed, unwanted = 0, 0, 0
        if asking is not None:
            parts, malformed, unwanted = asking.parts, asking.malformed, asking.unwanted
        return {
            **counts,
            "received": self._link.pump.received + parts + malformed + incoming.ends,
            "unread": self._unread(),
            "malformed": self.malformed + malformed,
            "missed": incoming.missed,
            "late_replies": incoming.unasked,
            "unwanted": counts["unwanted"] + incoming.doubled + unwanted,
        }


def split_fitting(message: Message) -> Any:
    """Explain why a message is not delivered.

    Raises:
        MalformedMessage: it is no numbered publication, or it is one of another publisher.
    """
    split_numbered(message)
    raise MalformedMessage(f"it is of another publisher: {ALONE}", message)


def error_of(told: Any) -> ZmqBridgeError:
    """What is raised where a gap or a restart would be delivered."""
    return PublicationsMissed(told) if type(told) is Gap else PublisherRestarted(told)
