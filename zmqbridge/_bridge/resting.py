"""Resting: a server that has replied stays open for a moment, so that its clients read the replies.

A client with IMMEDIATE, which a Requester is, loses what it has received and not yet read when its
server hangs up (libzmq 4.3.5: socket_base_t::hiccuped terminates the pipe). A server that closes
right after a reply loses it so in one case of two (docs/what-can-be-lost.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import zmq

from zmqbridge._bridge.addresses import BOUND, IPC
from zmqbridge._bridge.calls import raw

if TYPE_CHECKING:
    from zmqbridge._bridge.link import Link

# A client whose loop is free reads within a millisecond. The linger is a bound, too.
REST = 0.1  # seconds
STEP = 0.01  # seconds


def rests(link: Link) -> Iterator[float]:
    """The pauses, in seconds, that a socket makes before it closes.

    There are none unless it is a ROUTER that is bound, has sent, and has a peer. A socket that has
    connected makes none: its peer has not, and so loses nothing.
    """
    if link.closed or link.owner.kind != zmq.ROUTER or not link.pump.sent or not _is_bound(link):
        return
    now = link.pump.monotonic
    end = now() + min(REST, link.linger())
    # With ROUTER_MANDATORY it is writable as long as there is a peer.
    while not link.closed and now() < end and _events(link) & zmq.POLLOUT:
        yield STEP


def _is_bound(link: Link) -> bool:
    state = vars(link.socket)
    return BOUND in state or any(place.bound for place in state.get(IPC, ()))


def _events(link: Link) -> int:
    events = int(raw(link.socket).get(link.socket, zmq.EVENTS))
    link.pump.schedule()  # reading EVENTS may have taken back the signal of the FD
    return events
