"""Resting: a server that has replied stays open for a moment, so that its clients read the replies.

When a server hangs up, a client with IMMEDIATE, as a Requester, loses the messages that libzmq has
received and the client has not yet read (libzmq 4.3.5: socket_base_t::hiccuped terminates the
pipe). If a server closes right after a reply, half of such replies are lost
(docs/what-can-be-lost.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import zmq

from zmqbridge._bridge.addresses import BOUND, IPC
from zmqbridge._bridge.calls import raw

if TYPE_CHECKING:
    from zmqbridge._bridge.link import Link

# A client whose loop is free reads within a millisecond. A shorter linger bounds this, too.
REST = 0.1  # seconds
STEP = 0.01  # seconds


def pauses(link: Link) -> Iterator[float]:
    """The pauses, in seconds, that a socket makes before it closes.

    Only a bound ROUTER that has sent messages and has a peer makes pauses. If the ROUTER has
    connected, its peer is the bound side, which loses nothing.
    """
    if link.closed or link.owner.kind != zmq.ROUTER or not link.pump.sent or not _is_bound(link):
        return
    now = link.pump.monotonic
    end = now() + min(REST, link.linger())
    # With ROUTER_MANDATORY a ROUTER is writable as long as it has a peer.
    while not link.closed and now() < end and _events(link) & zmq.POLLOUT:
        yield STEP


def _is_bound(link: Link) -> bool:
    state = vars(link.socket)
    return BOUND in state or any(place.bound for place in state.get(IPC, ()))


def _events(link: Link) -> int:
    events = int(raw(link.socket).get(link.socket, zmq.EVENTS))
    link.pump.schedule()  # reading EVENTS may have taken back the signal of the FD
    return events
