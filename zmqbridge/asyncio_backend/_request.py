"""Request: what a `Replier` of asyncio receives; its reply is awaited."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, final

from zmqbridge._bridge.request import Request as AnyRequest
from zmqbridge.core.framing import BytesLike


@final
class Request(AnyRequest):
    """A request that came to a `Replier`: `parts`, `peer`, `id`, and `reply`, once."""

    __slots__ = ()

    def reply(self, *parts: BytesLike) -> Coroutine[Any, Any, None]:
        """Answer it; await what this returns. It waits for no peer.

        A peer that does not read must not hold up the replies for other peers. So its replies wait
        in a queue of its own, and are refused when that is full.

        Raises:
            AlreadyReplied: it was answered before.
            PeerUnreachable: the peer has left.
            PeerStalled: the peer is connected and does not read.
            TypeError: a part is not bytes-like, e.g. a str.
            ValueError: there are no parts.
        """
        sent: Coroutine[Any, Any, None] = self._send(self._answer(parts))
        return sent
