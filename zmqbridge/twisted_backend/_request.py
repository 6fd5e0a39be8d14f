"""Request: what a `Replier` on Twisted receives; its reply is a Deferred."""

from __future__ import annotations

from typing import final

from twisted.internet.defer import Deferred

from zmqbridge._bridge.request import Request as AnyRequest
from zmqbridge.core.framing import BytesLike


@final
class Request(AnyRequest):
    """A request that came to a `Replier`: `parts`, `peer`, `id`, and `reply`, once."""

    __slots__ = ()

    def reply(self, *parts: BytesLike) -> Deferred[None]:
        """Answer it. It waits for no peer.

        A peer that does not read must not hold up the replies for other peers. So its replies wait
        in a queue of its own, and are refused when that is full.

        Raises:
            AlreadyReplied: it was answered before.
            PeerUnreachable: the peer has left.
            PeerStalled: the peer is connected and does not read.
            TypeError: a part is not bytes-like, e.g. a str.
            ValueError: there are no parts.
        """
        sent: Deferred[None] = self._send(self._answer(parts))
        return sent
