"""ReplyRoutes: where the answer to each unanswered request must go, bounded."""

from __future__ import annotations

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
        unanswered: what is in front of the peer's id in each route, by the id to answer with. The
            txZMQ facade shows it to its users, who may change it or give another one at any time.
        dropped: routes given up because `limit` newer ones came.
    """

    __slots__ = ("_count", "_limit", "_own", "dropped", "unanswered")

    def __init__(self, limit: int = LIMIT) -> None:
        self.unanswered: dict[bytes, Message] = {}
        self._own: dict[bytes, bytes] = {}  # the peer's id, where that is not the one of ours
        self._limit = limit
        self._count = 0
        self.dropped: int = 0

    def __len__(self) -> int:
        return len(self.unanswered)

    def routes(self) -> dict[bytes, Message]:
        """A copy of what is open: routes by request id, oldest first."""
        return {key: [*route, self._own.get(key, key)] for key, route in self.unanswered.items()}

    def __contains__(self, request_id: bytes) -> bool:
        return request_id in self.unanswered

    def open(self, route: Message) -> bytes:
        """Take over a route (its last part is the peer's id) and return the id to answer with."""
        request_id = own = route.pop()
        unanswered = self.unanswered
        while request_id in unanswered:
            self._count += 1
            request_id = b"%b#%d" % (own, self._count)
        unanswered[request_id] = route
        if request_id is not own:
            self._remember(request_id, own)
        if len(unanswered) > self._limit:
            self.take(next(iter(unanswered)))
            self.dropped += 1
        return request_id

    def take(self, request_id: bytes) -> Message:
        """Remove and return the route of a request that is being answered.

        Raises:
            KeyError: it was answered already, never came, or was dropped.
        """
        try:
            route = self.unanswered.pop(request_id)
        except KeyError:
            raise KeyError(
                f"{request_id!r} is no request that waits for a reply: it was answered already, "
                f"never came, or {self._limit:,} newer ones have come since"
            ) from None
        return [*route, self._own.pop(request_id, request_id) if self._own else request_id]

    def put_back(self, request_id: bytes, route: Message) -> None:
        """Undo a `take` whose reply could not be sent."""
        self.unanswered[request_id] = route[:-1]
        if request_id != route[-1]:
            self._remember(request_id, route[-1])

    def _remember(self, request_id: bytes, own: bytes) -> None:
        if len(self._own) >= self._limit:  # users have taken requests out of `unanswered`
            self._own = {key: self._own[key] for key in self._own if key in self.unanswered}
        self._own[request_id] = own

    def clear(self) -> None:
        """Forget all routes."""
        self.unanswered.clear()
        self._own.clear()
