"""Statistics: what ``statistics()`` of every socket returns."""

from __future__ import annotations

from typing import NamedTuple


class Statistics(NamedTuple):
    """Counts since the socket was made, and what it holds at the moment.

    ``sent + queued + dropped`` is what the socket has accepted, less what it was asked to forget
    (requests that were cancelled or timed out in the queue).
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
