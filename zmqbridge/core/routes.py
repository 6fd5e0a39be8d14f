"""ReplyRoutes: where the answer to each unanswered request must go, bounded."""

from __future__ import annotations

from zmqbridge.core.framing import Message

# Without a bound, requests that are never answered would be kept for ever. This is enough for 65
# clients that each have a full queue of 1,000 requests under way, and is about 20 MB of routes.
LIMIT = 65_536


class ReplyRoutes:
    """The routes of unanswered requests, each under the id that the application answers with.

    That id is the peer's own, unless an unanswered request has the same (two clients that number
    their requests alike, or one client that sends a request again). Then the newer request gets
    an id of ours, so that no answer can go to the wrong client.

    - inputs: `open` (a request came)
    - commands: `take`, `put_back`, `close`
    - getters: ``len()``, ``in``, `routes`, `unanswered`, `dropped`

    What the driver owes: call `put_back` when the reply to a route that it took was not sent.

    Args:
        limit: how many routes are kept; a newer one replaces the oldest.

    Attributes:
        unanswered: the part of each route before the peer's id, by the id to answer with. The
            txZMQ facade shows it to its users, who may change it or replace it at any time.
        dropped: how many routes were replaced by newer ones.
    """

    __slots__ = ("_count", "_limit", "_own", "dropped", "unanswered")

    def __init__(self, limit: int = LIMIT) -> None:
        self.unanswered: dict[bytes, Message] = {}
        self._own: dict[bytes, bytes] = {}  # the peer's id, where the id to answer with is ours
        self._limit = limit
        self._count = 0
        self.dropped: int = 0

    def __len__(self) -> int:
        return len(self.unanswered)

    def routes(self) -> dict[bytes, Message]:
        """A copy of the whole routes, by the id to answer with, oldest first."""
        return {key: [*route, self._own.get(key, key)] for key, route in self.unanswered.items()}

    def __contains__(self, request_id: bytes) -> bool:
        return request_id in self.unanswered

    def open(self, route: Message) -> bytes:
        """Keep a route, whose last part is the peer's id, and return the id to answer with.

        The last part is removed from the list that was given.
        """
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
            KeyError: the request was answered already, never came, or its route was dropped.
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
        """Undo a `take`, because the reply could not be sent."""
        self.unanswered[request_id] = route[:-1]
        if request_id != route[-1]:
            self._remember(request_id, route[-1])

    def _remember(self, request_id: bytes, own: bytes) -> None:
        if len(self._own) >= self._limit:  # users have taken requests out of `unanswered`
            self._own = {key: self._own[key] for key in self._own if key in self.unanswered}
        self._own[request_id] = own

    def close(self) -> None:
        """Drop all routes: the socket is closing."""
        self.unanswered.clear()
        self._own.clear()
