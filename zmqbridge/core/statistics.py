"""Statistics: what ``statistics()`` of every socket returns."""

from __future__ import annotations

from typing import NamedTuple


class Statistics(NamedTuple):
    """Counts since the socket was made, and what it holds at the moment.

    Every message is in exactly one of the counts, at any moment. A message that was accepted for
    sending is in ``sent``, ``queued``, ``withdrawn`` or ``dropped``; one for which the call raised
    a `QueueFull` or `PeerUnreachable` is in ``refused`` or ``unroutable``. A message that was
    received is in ``unread``, ``malformed``, ``late_replies``, ``unclaimed``, ``unwanted``,
    ``lost`` or `delivered`.
    """

    sent: int
    """Messages given to libzmq."""
    received: int
    """Messages taken from libzmq, malformed ones included."""
    queued: int
    """Messages that wait in the send queue now."""
    unread: int
    """Messages that wait in the inbox now."""
    malformed: int
    """Messages received without the shape of the pattern; they are not delivered."""
    dropped: int
    """Messages accepted that could not be sent: the peer left, or the socket was closed."""
    open_requests: int
    """Requests that wait for their reply now."""
    late_replies: int
    """Replies that matched no open request: late, doubled or forged."""
    withdrawn: int = 0
    """Requests that were cancelled or expired before they were sent."""
    unreachable: int = 0
    """How many of `dropped` had a peer that left; the others were queued when the socket closed."""
    unclaimed: int = 0
    """Messages that were in the inbox when the socket was closed."""
    refused: int = 0
    """Messages that were not accepted: a queue was at its mark (`QueueFull`, `PeerStalled`)."""
    lost: int = 0
    """Messages received that no memory was left to copy (`OutOfMemory`); they are not delivered."""
    unwanted: int = 0
    """Publications unsubscribed before you took them; with CONFLATE, outdated messages."""
    missed: int = 0
    """Numbered publications that were told to be missing, as a `Gap` or by `PublicationsMissed`."""
    unroutable: int = 0
    """Messages not accepted, as no such peer is there (`PeerUnreachable`), e.g. for a reply."""

    @property
    def accepted(self) -> int:
        """Messages whose sending call did not raise: they were sent or queued."""
        return self.sent + self.queued + self.withdrawn + self.dropped

    @property
    def delivered(self) -> int:
        """Messages that you have received."""
        rest = self.unread + self.malformed + self.late_replies + self.unclaimed
        return self.received - rest - self.unwanted - self.lost


# Editors and Sphinx read the texts above, and ``help()`` those of the fields: a test compares them.
for _name, _text in {
    "sent": "Messages given to libzmq.",
    "received": "Messages taken from libzmq, malformed ones included.",
    "queued": "Messages that wait in the send queue now.",
    "unread": "Messages that wait in the inbox now.",
    "malformed": "Messages received without the shape of the pattern; they are not delivered.",
    "dropped": "Messages accepted that could not be sent: the peer left, or the socket was closed.",
    "open_requests": "Requests that wait for their reply now.",
    "late_replies": "Replies that matched no open request: late, doubled or forged.",
    "withdrawn": "Requests that were cancelled or expired before they were sent.",
    "unreachable": "How many of `dropped` had a peer that left; the others were queued "
    "when the socket closed.",
    "unclaimed": "Messages that were in the inbox when the socket was closed.",
    "refused": "Messages that were not accepted: a queue was at its mark "
    "(`QueueFull`, `PeerStalled`).",
    "lost": "Messages received that no memory was left to copy (`OutOfMemory`); "
    "they are not delivered.",
    "unwanted": "Publications unsubscribed before you took them; with CONFLATE, outdated messages.",
    "missed": "Numbered publications that were told to be missing, as a `Gap` or by "
    "`PublicationsMissed`.",
    "unroutable": "Messages not accepted, as no such peer is there (`PeerUnreachable`), "
    "e.g. for a reply.",
}.items():
    getattr(Statistics, _name).__doc__ = _text
