"""ReplyRoutes: where the answer to each unanswered request must go, bounded."""

from __future__ import annotations

from collections import OrderedDict

from zmqbridge.core.framing import Message

# Requests that nobody answers would be kept for ever otherwise. Enough for 65 clients that each
# have a full queue of 1,000 requests under way; about 20 MB of routes.
LIMIT = 65_536


class ReplyRoutes:
    """Routes under the id that the application answers with.

    The id is the peer's own as long as that is unambiguous. Where an open request has it already
    (two clients that number their requests alike, or one that sends a request again), the newer
    one gets an id of ours, so that no answer can go to the wrong client.

    - inputs: `open`
    - commands: `take`, `put_back`, `clear`
    - getters: ``len()``, ``in``, `routes`, `dropped`

    Attributes:
        dropped: routes given up because `limit` newer ones came.
    """

    __slots__ = ("_count", "_limit", "_routes", "dropped")

    def __init__(self, limit: int = LIMIT) -> None:
        self._routes: OrderedDict[bytes, Message] = OrderedDict()
        self._limit = limit
        self._count = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._routes)

    def routes(self) -> dict[bytes, Message]:
        """A copy of what is open: routes by request id, oldest first."""
        return dict(self._routes)

    def __contains__(self, request_id: bytes) -> bool:
        return request_id in self._routes

    def open(self, route: Message) -> bytes:
        """Remember a route (its last part is the peer's id) and return the id to answer with."""
        request_id = route[-1]
        while request_id in self._routes:
            self._count += 1
            request_id = b"%b#%d" % (route[-1], self._count)
        self._routes[request_id] = route
        if len(self._routes) > self._limit:
            self._routes.popitem(last=False)
            self.dropped += 1
        return request_id

    def take(self, request_id: bytes) -> Message:
        """Remove and return the route of a request that is being answered.

        Raises:
            KeyError: it was answered already, never came, or was dropped.
        """
        try:
            return self._routes.pop(request_id)
        except KeyError:
            raise KeyError(
                f"{request_id!r} is no request that waits for a reply: it was answered already, "
                f"never came, or {self._limit:,} newer ones have come since"
            ) from None

    def put_back(self, request_id: bytes, route: Message) -> None:
        """Undo a `take` whose reply could not be sent."""
        self._routes[request_id] = route

    def clear(self) -> None:
        """Forget all routes."""
        self._routes.clear()
