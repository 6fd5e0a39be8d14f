"""RequestTable: which open request a reply belongs to, and by when the reply must be here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from math import inf
from struct import Struct
from typing import Any, Generic, TypeVar

from zmqbridge.core.deadlines import DeadlineHeap

Waiter = TypeVar("Waiter")

# At most this number of requests expire at once. What each caller does then takes about 10 µs, and
# the loop must not stand still for many thousands of callers.
AT_ONCE = 256


def request_ids(random: Callable[[int], bytes] = os.urandom) -> Iterator[bytes]:
    """Ids of 16 bytes that are never used twice, here or in another process.

    Half random and half counted: 100 ns each, where uuid4 takes 1.5 µs. Because no id comes again,
    a late, doubled or forged reply cannot match another request.

    Args:
        random: returns a number of random bytes.
    """
    return map(random(8).__add__, map(Struct(">Q").pack, count(1)))


class RequestTable(Generic[Waiter]):
    """The open requests of one socket, each with a waiter and a deadline.

    - inputs: `match` (a reply came), `expire` or `due` (time passed)
    - commands: `wait`, `forget`, `close`
    - getters: `next_deadline`, ``len()``, ``in``, `waiters`, `by_id`, `timed`, `armed`, `late`

    There is no `notify`: `match` and `expire` return the waiters that they concern.

    What the driver owes: give the waiter of `match` the reply, and those of `expire` an error.
    Call `expire` (or `due`) when `next_deadline()` has come.

    A driver with a timer can serve all requests by that one, with hardly any call of it. After
    `wait` with a deadline before `armed`, and after each `expire`, it sets the timer to
    `next_deadline()` and writes that to `armed`. A reply leaves the timer alone: when it goes off
    too early, `expire` returns nothing. The driver may stop the timer when `timed` is empty; when
    it was stopped, by the driver or otherwise, the driver sets `armed` to ``inf``.

    Attributes:
        by_id: the waiters by request id. The txZMQ facade shows it to its users, who may change
            it or replace it at any time.
        timed: the deadlines by request id, of those requests that have one; to be read only.
        armed: when the driver's timer goes off, ``inf`` while it has none.
        ids: gives each request its id.
        late: replies so far that matched no open request (late, doubled or forged).
    """

    __slots__ = ("_deadlines", "armed", "by_id", "ids", "late", "timed")

    def __init__(self) -> None:
        self.by_id: dict[bytes, Waiter] = {}
        self._deadlines: DeadlineHeap[bytes] = DeadlineHeap()
        self.timed: dict[bytes, float] = self._deadlines.deadlines
        self.ids: Iterator[bytes] = request_ids()
        self.armed: float = inf
        self.late: int = 0

    def __len__(self) -> int:
        return len(self.by_id)

    def waiters(self) -> dict[bytes, Waiter]:
        """A copy of `by_id`, oldest request first."""
        return dict(self.by_id)

    def __contains__(self, request_id: bytes) -> bool:
        return request_id in self.by_id

    def wait(self, waiter: Waiter, deadline: float = inf, request_id: bytes = b"") -> bytes:
        """Open a request: register a waiter for its reply, and return the id to send with it.

        Args:
            waiter: what `match`, `expire`, `forget` and `close` return.
            deadline: when the request expires, on the driver's clock; ``inf`` means never.
            request_id: an id that the caller has made. The txZMQ facade needs it, because its
                users may choose the ids.

        Raises:
            ValueError: `request_id` belongs to a request that is still open.
        """
        if not request_id:
            request_id = next(self.ids)
        elif request_id in self.by_id:
            raise ValueError(f"the request id {request_id!r} belongs to a request still open")
        self.by_id[request_id] = waiter
        if deadline < inf:
            self._deadlines.add(deadline, request_id)
        else:  # of an earlier request with this id, which a user has taken out of `by_id`
            self._deadlines.remove(request_id, None)
        return request_id

    def match(self, request_id: bytes) -> Waiter | None:
        """Close the request that a reply names and return its waiter, None if there is none."""
        waiter = self.by_id.pop(request_id, None)
        if waiter is None:
            self.late += 1
        self._deadlines.remove(request_id, None)
        return waiter

    def forget(self, request_id: bytes) -> Waiter | None:
        """Close a request whose caller gave up, and return its waiter, None if it was not open.

        A reply that comes later is counted in `late`.
        """
        waiter = self.by_id.pop(request_id, None)
        self._deadlines.remove(request_id, None)
        return waiter

    def next_deadline(self) -> float:
        """The earliest deadline of an open request, ``inf`` if there is none."""
        return self._deadlines.next_deadline()

    def expire(self, now: float) -> list[tuple[bytes, Waiter]]:
        """Close and return the requests that are due, as (id, waiter), earliest deadline first.

        At most `AT_ONCE` of them; while more are due, `next_deadline()` is in the past.
        """
        return [(due, self.by_id.pop(due)) for due in self.due(now)]

    def due(self, now: float) -> list[bytes]:
        """The ids of the requests that are due; how many and in which order, as `expire`.

        The requests stay open, and have no deadline any more.
        """
        if self.armed < inf:
            now = max(now, self.armed)  # a timer may go off a little early, and must not spin then
        self.armed = inf
        return [due for due in self._deadlines.due(now, AT_ONCE) if due in self.by_id]

    def close(self, remains: list[Any] | None = None) -> list[Waiter]:
        """Close all requests, and remove and return their waiters, oldest first.

        Args:
            remains: what held the requests is appended, lists and dicts. Freeing a large one takes
                a while, so the caller chooses the moment.
        """
        waiters = list(self.by_id.values())
        held = [] if remains is None else remains
        held.append(self.by_id)
        self._deadlines.close(held)
        self.by_id = {}
        self.timed = self._deadlines.deadlines
        return waiters
