"""Patterns: what the messages of a socket mean, and which waiters they concern."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence, Sized
from itertools import repeat
from typing import Any, Generic, TypeVar

from zmqbridge.core._pacing import BURST
from zmqbridge.core.framing import Message, split_all, split_reply
from zmqbridge.core.inbox import HIGH, Inbox, WeighedInbox
from zmqbridge.core.requests import RequestTable, request_ids
from zmqbridge.errors import MalformedMessage

Item = TypeVar("Item")
Split = TypeVar("Split")
Waiter = TypeVar("Waiter", bound=Hashable)

NOTHING: Iterable[Any] = repeat(None)
"""The results of waiters that are only woken: None for any number of them."""

Told = tuple[Sequence[Any], Iterable[Any]]
"""Waiters, and the result of each of them, in the same order."""


def bytes_in(parts: Iterable[Sized]) -> int:
    """How many bytes a message of these parts has."""
    return sum(map(len, parts))


def bytes_from_peer(item: tuple[bytes, Message]) -> int:
    """How many bytes a (peer, parts) has, without the peer."""
    return bytes_in(item[1])


class Pattern:
    """What all patterns have in common; by itself, the pattern of sockets that receive nothing.

    - inputs: `feed` (a burst was received)
    - commands: `joined`, `close`, `disown`
    - getters: `room`, `counts`, `malformed`, `rejected`

    What the driver owes: feed no more messages than `room()`, and give the waiters of `feed` their
    results. Report `rejected` once for a burst, and set it to None.

    Attributes:
        room: returns how many messages it would take now.
        malformed: how many messages did not have the shape of the pattern.
        rejected: the error of the last one that was not reported yet.
        alone: it makes sense of one address only; why, or "".
        socket_type: the type of the socket that it needs; 0 for that of its class.
    """

    __slots__ = ("malformed", "rejected", "room")

    alone: str = ""
    socket_type: int = 0

    def __init__(self, room: Callable[[], float] = lambda: BURST) -> None:
        self.room: Callable[[], float] = room
        self.malformed: int = 0
        self.rejected: MalformedMessage | None = None

    def joined(self, link: Any) -> None:
        """The pattern has a socket now; a pattern that uses the link keeps it."""

    def feed(self, burst: list[Message]) -> Told:
        """Take a burst of received messages; returns the waiters to tell, and their results."""
        return (), NOTHING

    def split(self, split: Callable[[Message], Split], burst: Iterable[Message]) -> list[Split]:
        """Split each message by a function; count those for which it raises `MalformedMessage`."""
        items, malformed = split_all(split, burst)
        if malformed:
            self.malformed += len(malformed)
            self.rejected = malformed[-1]
        return items

    def why_silent(self) -> str:
        """Why no message will come, if the user has forgotten something; else ""."""
        return ""

    def close(self, remains: list[Any]) -> list[Any]:
        """Drop what is held, and return all waiters: the socket is closing.

        Args:
            remains: the lists and dicts that held it are appended: to free them takes a while.
        """
        return []

    def disown(self) -> None:
        """Drop received messages: this process is a forked child, and they are the parent's."""

    def counts(self) -> dict[str, int]:
        """What belongs into the `Statistics`, by name."""
        return {"malformed": self.malformed}


class Receiving(Pattern, Generic[Item, Waiter]):
    """The pattern of receiving sockets: messages wait in an inbox until a receiver takes them.

    A waiter of `feed` gets the result None: it may `take` its message from the inbox now.

    Args:
        decode: makes of a burst what the receivers get; by default they get the messages.
        prefetch: how many messages may wait that no receiver has asked for; by default as many as
            `high`, but at most 1,000.
        prefetch_bytes: at how many bytes in the inbox reading pauses, too.
        weigh: how many bytes an item has.

    Attributes:
        inbox: where they wait.
        high: the high water mark of the libzmq socket, 0 for none.
        conflates: only the newest message counts, and libzmq keeps it.
        unclaimed: how many messages were in the inbox when it was closed.
    """

    __slots__ = ("_decode", "_prefetch", "conflates", "high", "inbox", "unclaimed")

    def __init__(
        self,
        decode: Callable[[list[Message]], Iterable[Item]] | None = None,
        *,
        prefetch: int | None = None,
        prefetch_bytes: int | None = None,
        weigh: Callable[[Any], int] = bytes_in,
    ) -> None:
        self.inbox: Inbox[Item, Waiter] = (
            Inbox() if prefetch_bytes is None else WeighedInbox(prefetch_bytes, weigh)
        )
        super().__init__(self.inbox.room)
        self._decode = decode
        self._prefetch = prefetch
        self.high: int = HIGH  # which is libzmq's default, too
        self.conflates: bool = False
        self.unclaimed: int = 0
        if prefetch is not None:
            self.limit()

    def limit(self) -> None:
        """Set the inbox's water mark again, because `high` or `conflates` has changed."""
        prefetch = min(self.high or HIGH, HIGH) if self._prefetch is None else self._prefetch
        self.inbox.limit(0 if self.conflates else prefetch)

    def feed(self, burst: list[Message]) -> Told:
        """Put a burst into the inbox; returns the receivers that may take a message."""
        inbox = self.inbox
        inbox.put(burst if self._decode is None else self._decode(burst))  # type: ignore[arg-type]
        return inbox.notify(), NOTHING

    def close(self, remains: list[Any]) -> list[Any]:
        """Drop the messages, and return the receivers that wait."""
        self.unclaimed = len(self.inbox)
        return self.inbox.close()

    def disown(self) -> None:
        """Drop the messages."""
        self.inbox.close()

    def counts(self) -> dict[str, int]:
        """What belongs into the `Statistics`, by name."""
        inbox = self.inbox
        return {
            "malformed": self.malformed,
            "unread": len(inbox),
            "unclaimed": self.unclaimed,
            "unwanted": inbox.unwanted,
        }


class Requests(Pattern, Generic[Waiter]):
    """The pattern of requests: each reply is for the waiter of its request.

    Attributes:
        table: the open requests.
    """

    __slots__ = ("table",)

    malformed: int
    rejected: MalformedMessage | None

    def __init__(self) -> None:
        super().__init__()
        self.table: RequestTable[Waiter] = RequestTable()

    def joined(self, link: Any) -> None:
        """Take the ids of requests from the random numbers of the link's world."""
        self.table.ids = request_ids(link.random())

    def feed(self, burst: list[Message]) -> Told:
        """Match a burst of replies; returns the waiters whose reply is among them."""
        # Two lists, because a list of pairs would be one more object for each reply.
        waiters, replies = [], []
        match = self.table.match
        for message in burst:
            try:
                request_id, parts = split_reply(message)
            except MalformedMessage as error:
                self.malformed += 1
                self.rejected = error
                continue
            waiter = match(request_id)
            if waiter is not None:
                waiters.append(waiter)
                replies.append(parts)
        return waiters, replies

    def close(self, remains: list[Any]) -> list[Any]:
        """Forget the open requests, and return their waiters."""
        return self.table.close(remains)

    def counts(self) -> dict[str, int]:
        """What belongs into the `Statistics`, by name."""
        table = self.table
        return {
            "malformed": self.malformed,
            "open_requests": len(table),
            "late_replies": table.late,
        }
