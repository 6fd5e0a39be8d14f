"""Statistics: what ``statistics()`` of every socket returns."""

from __future__ import annotations

from typing import NamedTuple


class Statistics(NamedTuple):
    """Counts since the socket was made, and what it holds at the moment.

    Every message is in exactly one of the counts, at any moment: what was accepted for sending in
    ``sent``, ``queued``, ``withdrawn`` or ``dropped``; what was received in ``unread``,
    ``malformed``, ``late_replies``, ``unclaimed``, ``unwanted`` or ``lost``, or it was `delivered`.
    """

    sent: int
    """Messages given to libzmq."""
    received: int
    """Messages taken from libzmq, malformed ones included."""
    queued: int
    """Messages that wait in our send queue, now."""
    unread: int
    """Messages that wait in our inbox, now."""
    malformed: int
    """Messages of peers that did not have the shape of the pattern; they are not delivered."""
    dropped: int
    """Messages we accepted and could not send: the peer has left, or the socket was closed."""
    open_requests: int
    """Requests that wait for their reply, now."""
    late_replies: int
    """Replies that matched no open request: late, doubled or forged."""
    withdrawn: int = 0
    """Requests that were cancelled, or whose time was over, before they were sent."""
    unreachable: int = 0
    """Those of `dropped` whose peer had left; the others were queued when the socket was closed."""
    unclaimed: int = 0
    """Messages that nobody had taken when the socket was closed."""
    refused: int = 0
    """Messages that were not accepted, as a queue was at its mark (`QueueFull`, `PeerStalled`)."""
    lost: int = 0
    """Messages for whose copy there was no memory (`OutOfMemory`); nothing of them is delivered."""
    unwanted: int = 0
    """Publications that were unsubscribed before you took them; by CONFLATE, those outdated."""

    @property
    def accepted(self) -> int:
        """Messages that were sent or queued: whose sending call did not raise."""
        return self.sent + self.queued + self.withdrawn + self.dropped

    @property
    def delivered(self) -> int:
        """Messages that were handed to you."""
        rest = self.unread + self.malformed + self.late_replies + self.unclaimed
        return self.received - rest - self.unwanted - self.lost
