"""RequestTable: whose reply is this, and by when must it be here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from math import inf
from struct import Struct
from typing import Any, Generic, TypeVar

from zmqbridge.core.deadlines import DeadlineHeap

Waiter = TypeVar("Waiter")

# So many requests expire in one go. What their callers do then takes some 10 µs each, for which the
# loop must not stand still when there are many thousands.
AT_ONCE = 256


def request_ids() -> Iterator[bytes]:
    """Ids of 16 bytes that are never used twice, here or in another process.

    Half random and half counted: 100 ns each, where uuid4 takes 1.5 µs. Because none comes again,
    a late, doubled or forged reply can match nobody.
    """
    return map(os.urandom(8).__add__, map(Struct(">Q").pack, count(1)))


class RequestTable(Generic[Waiter]):
    """The open requests of one socket; a waiter is a token that is stored and handed back.

    - commands: `open`, `cancel`, `arm`, `close`
    - inputs: `match` (a reply came), `expire` or `due` (time passed)
    - getters: ``len()``, ``in``, `waiters`, `by_id`, `timed`, `armed`, `late`

    What the driver owes is one timer: after `open` with a deadline before `armed`, and after
    `expire`, it sets the timer for what `arm()` says, unless that is ``inf``; when the timer goes
    off it calls `expire`. A timer that goes off too early is just armed again, so a steady stream
    of requests makes no timer call at all. He may stop it where `timed` is empty, and sets `armed`
    to ``inf`` when it is stopped, by him or by somebody else.

    Attributes:
        by_id: the waiters by request id. The txZMQ facade shows it to its users, who may change
            it or give another one at any time.
        timed: the deadlines by request id, of those that have one; to be looked at.
        armed: when the timer is due to go off.
        late: replies so far that matched no open request (late, doubled or forged).
    """

    __slots__ = ("_deadlines", "_ids", "armed", "by_id", "late", "timed")

    def __init__(self) -> None:
        self.by_id: dict[bytes, Waiter] = {}
        self._deadlines: DeadlineHeap[bytes] = DeadlineHeap()
        self.timed: dict[bytes, float] = self._deadlines.deadlines
        self._ids = request_ids()
        self.armed: float = inf
        self.late: int = 0

    def __len__(self) -> int:
        return len(self.by_id)

    def waiters(self) -> dict[bytes, Waiter]:
        """A copy of what is open: waiters by request id, oldest first."""
        return dict(self.by_id)

    def __contains__(self, request_id: bytes) -> bool:
        return request_id in self.by_id

    def open(self, waiter: Waiter, deadline: float = inf, request_id: bytes = b"") -> bytes:
        """Enter a request and return the id to send with it.

        Args:
            waiter: what `match`, `expire` and `close` shall hand back.
            deadline: when it expires, on the caller's clock; ``inf`` is never.
            request_id: an id of the caller's own making, for the txZMQ facade whose users may
                choose theirs.

        Raises:
            ValueError: `request_id` belongs to a request that is still open.
        """
        if not request_id:
            request_id = next(self._ids)
        elif request_id in self.by_id:
            raise ValueError(f"the request id {request_id!r} belongs to a request still open")
        self.by_id[request_id] = waiter
        if deadline < inf:
            self._deadlines.add(deadline, request_id)
        else:  # an earlier one's, which its user has taken out of `by_id`
            self._deadlines.remove(request_id, None)
        return request_id

    def match(self, request_id: bytes) -> Waiter | None:
        """Close the request that a reply names and return its waiter, None if there is none."""
        waiter = self.by_id.pop(request_id, None)
        if waiter is None:
            self.late += 1
        self._deadlines.remove(request_id, None)
        return waiter

    def cancel(self, request_id: bytes) -> Waiter | None:
        """Close a request whose caller gave up; its reply will count as late."""
        waiter = self.by_id.pop(request_id, None)
        self._deadlines.remove(request_id, None)
        return waiter

    def arm(self) -> float:
        """When the timer must go off, if that is earlier than it would; else ``inf``."""
        deadline = self._deadlines.next()
        if deadline < self.armed:
            self.armed = deadline
            return deadline
        return inf

    def expire(self, now: float) -> list[tuple[bytes, Waiter]]:
        """The timer went off: close and return the requests that are due, earliest first."""
        return [(due, self.by_id.pop(due)) for due in self.due(now)]

    def due(self, now: float) -> list[bytes]:
        """The timer went off: the ids that are due, earliest first; they stay open, for good.

        Of a crowd it is some hundred; for the others `arm` has the timer go off at once.
        """
        if self.armed < inf:
            now = max(now, self.armed)  # timers may be a hair early, and must not spin then
        self.armed = inf
        return [due for due in self._deadlines.pop_due(now, AT_ONCE) if due in self.by_id]

    def close(self, remains: list[Any] | None = None) -> list[Waiter]:
        """Close all requests and return their waiters, oldest first.

        Args:
            remains: what held them is appended, lists and dicts: to free it takes a while.
        """
        waiters = list(self.by_id.values())
        held = [self.by_id, *self._deadlines.clear()]
        if remains is not None:
            remains += held
        self.by_id = {}
        self.timed = self._deadlines.deadlines
        return waiters
