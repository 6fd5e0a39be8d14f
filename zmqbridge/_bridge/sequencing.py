"""Sequencing: a SUB of numbered publications, which tells what was missed, or asks for it again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from zmqbridge._bridge.asking import Asking
from zmqbridge._bridge.subscribing import Subscribing
from zmqbridge.core.formats import Format, bytes_of_all, head_of_first
from zmqbridge.core.framing import Message
from zmqbridge.core.incoming import Gap, Incoming
from zmqbridge.core.raising import RaisingInbox
from zmqbridge.core.sequence import split_numbered
from zmqbridge.errors import PublicationsMissed, PublisherRestarted, ZmqBridgeError

if TYPE_CHECKING:
    from zmqbridge._bridge.link import Link
    from zmqbridge.arguments import Address


def weigh(item: Any) -> int:
    """How many bytes a publication has; what is told about missing ones has none."""
    return bytes_of_all(item) if type(item) is tuple else 0


ALONE = (
    "several publishers behind one socket are told apart by their tags, with numbered_by='tag' "
    "here and Sequence(by='tag') there"
)
NUMBERED = Format(lambda tag, body: (tag, body), split_numbered, head_of_first, weigh)


class Sequencing(Subscribing[Any, Any]):
    """SUB: (tag, body) of numbered publications, and between them what is told of missing ones.

    Args:
        by_tag: each tag has numbers of its own.
        replay: where missing ones are asked for; None to tell each gap at once.
        raises: what is told is raised, and not delivered.
        security: for that address.
        bounds: those of the inbox.
    """

    __slots__ = ("_asking", "_incoming", "_raises", "_replay", "_security", "alone")

    def __init__(
        self,
        decode: None = None,
        *,
        by_tag: bool,
        replay: Address | None,
        raises: bool,
        security: Any,
        **bounds: Any,
    ) -> None:
        super().__init__(format=NUMBERED, **bounds)
        self._takes_any = False
        self.alone = "" if by_tag else ALONE
        self._incoming = Incoming(asks=replay is not None, by_tag=by_tag)
        self._replay = replay
        self._raises = raises
        self._security = security
        self._asking: Asking | None = None
        if raises:
            self.inbox = RaisingInbox()
            self.room = self.inbox.room
            self.limit()

    def begin(self, link: Link) -> None:
        """The socket is open, and has its driver."""
        if self._replay is not None:
            self._asking = Asking(
                link, self._incoming, self._replay, self._security, self._wants, self._deliver
            )

    def _publications(self, burst: list[Message]) -> Iterable[Any]:
        if self.barriers:
            burst = self.barriers.pass_on(burst)
        malformed, incoming = self.malformed, self._incoming
        live = incoming.live
        for tag, number, body in self.split(split_numbered, burst):
            live(tag, number, body)
        if self.malformed > malformed:
            self._forgive(burst)
        if self._asking is not None:
            self._asking.ask()
        self._given_up = False
        return self._told()

    def _told(self) -> list[Any]:
        items = self._incoming.take()
        if self._raises and self._incoming.told:
            items = [each if type(each) is tuple else error_of(each) for each in items]
            self._incoming.told = False
        return items

    def _deliver(self) -> None:
        items = self._told()
        if items:
            self.inbox.put(items)
            self._link.driver.tell(self.inbox.notify())

    def _wants(self, publication: tuple[bytes, bytes]) -> bool:
        return self._subscriptions.wants(publication)

    def _orphaned(self, publication: Any, prefix: bytes) -> bool:
        return type(publication) is tuple and super()._orphaned(publication, prefix)

    def disown(self) -> None:
        super().disown()
        if self._asking is not None:
            self._asking.link.disown()

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
            "late_replies": incoming.unasked,
            "unwanted": counts["unwanted"] + incoming.doubled + unwanted,
        }


def error_of(told: Any) -> ZmqBridgeError:
    """What is raised where a gap or a restart would be delivered."""
    return PublicationsMissed(told) if type(told) is Gap else PublisherRestarted(told)
