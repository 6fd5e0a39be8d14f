"""Keepers: the deadlines of requests, and the patrols of a ROUTER; the same on every loop."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from zmqbridge._bridge.catchup import SETTLES
from zmqbridge._bridge.driver import Keeper
from zmqbridge.core._checks import check_timeout
from zmqbridge.core.framing import BytesLike, require_parts
from zmqbridge.core.requests import RequestTable
from zmqbridge.errors import HandshakeFailed, PeerUnreachable, RequestTimeout

if TYPE_CHECKING:
    from zmqbridge._bridge.driver import Driver
    from zmqbridge._bridge.link import Link

BLAMED = 1000  # peers that we remember as reported; with more, all are forgotten


class Deadlines(Keeper):
    """Sends requests, and gives up those that expire and those that no server will get.

    The facade has another way to expire a request, and `pump` may be a stand-in there; so they are
    arguments.

    Args:
        table: the open requests.
        pump: sends them.
        driver: has the timer.
        fail: gives waiters an error.
        expire: called with the id of a request whose time is over; it forgets it.
        why: returns what is known of why a request could not be sent, else "".
    """

    def __init__(
        self,
        table: RequestTable[Any],
        pump: Any,
        driver: Driver,
        fail: Callable[[Sequence[Any], Any], object],
        expire: Callable[[bytes], object] | None = None,
        why: Callable[[], str] = str,
    ) -> None:
        self.table = table
        self.timed: Collection[Any] = table.timed
        self._pump = pump
        self._driver = driver
        self._fail = fail
        self._expire = expire or self._time_out
        self._why = why
        self._reads_for = inf  # the deadline before whose end replies are being read
        self._read_until = -inf
        driver.keeper = self

    def open(self, waiter: Any, parts: Sequence[BytesLike], timeout: float) -> bytes:
        """Send a request for a waiter, and return the id by which it may be given up.

        Args:
            waiter: gets the reply or an error.
            parts: what to send.
            timeout: seconds, ``inf`` for ever.
        """
        if not parts:
            require_parts(parts)
        now = self._driver.now
        deadline = now() + timeout
        table = self.table
        request_id = table.wait(waiter, deadline)
        try:
            # `pack_request`, without its frame.
            self._pump.send([request_id, b"", *parts], request_id)
        except Exception:
            table.forget(request_id)
            raise
        if deadline < table.armed:
            self.set_timer()
        return request_id

    def give_up(self, request_id: bytes, answered: bool = False) -> None:
        """The caller waits no more; if the request was not sent yet, it will not be.

        Args:
            request_id: from `open`.
            answered: whether its waiter has got the reply, for which the caller did not wait.
        """
        self.table.forget(request_id)
        if answered:
            self.missed()
        self._pump.discard(request_id)
        self.disarm_if_unused()

    def missed(self) -> None:
        self.table.late += 1

    def set_timer(self) -> None:
        """Have the timer go off at the earliest deadline."""
        deadline = self.table.next_deadline()
        if deadline < self.table.armed:
            self.table.armed = deadline
            self._driver.call_at(deadline)

    def disarm_if_unused(self) -> None:
        if not self.table.timed and self.table.armed < inf:
            self.table.armed = inf
            self._driver.disarm()

    def timer_cancelled(self) -> bool:
        self.table.armed = inf  # the next request sets it again
        return True

    def alarm(self) -> None:
        now, due = self._driver.now(), self.table.armed
        # A loop that was held up first reads the replies that have come in time. What else was due
        # by the end of that has had as much time.
        if due > self._read_until:
            if not self._pump.caught_up(now - due, again=due == self._reads_for):
                self._reads_for = due
                self._driver.call_at(now + SETTLES)
                return
            self._reads_for, self._read_until = inf, now
        for request_id in self.table.due(now):
            self._expire(request_id)
        self.set_timer()

    def refused(self, error: HandshakeFailed) -> bool:
        table = self.table
        refused = [table.forget(each) for each in table.waiters() if self._pump.discard(each)]
        self.disarm_if_unused()
        self._fail(refused, error)
        return bool(refused)

    def _time_out(self, request_id: bytes) -> None:
        waiter = self.table.forget(request_id)
        if waiter is None:  # a caller that was told before it has closed the socket
            return
        stage = "queued" if self._pump.discard(request_id) else "sent"
        error = RequestTimeout(stage)
        if stage == "queued" and (why := self._why()):
            error.add_note(why)
        self._fail([waiter], error)


def default_timeout(timeout: float | None) -> float:
    """The seconds that a request may take when its call says nothing, ``inf`` for None."""
    if isinstance(timeout, str | bytes):
        raise TypeError(f"timeout={timeout!r}: give seconds; an address by connect= or bind=")
    return inf if timeout is None else check_timeout(timeout)


class Patrols(Keeper):
    """ROUTER: looks after peers for which messages wait, and reports those that do not read."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._at = inf
        self._blamed: set[bytes] = set()
        link.driver.keeper = self
        link.pump.stalled = self.stalled

    def stalled(self, queue: Any) -> None:
        """The first message has to wait for its peer."""
        self._set(self._link.pump.pause_of_patrols())

    def alarm(self) -> None:
        self._at = inf
        pump = self._link.pump
        pause = pump.pause_of_patrols()  # if what shows an error raises
        try:
            pause = pump.patrol()
        finally:
            self._set(pause)

    def _set(self, pause: float) -> None:
        due = self._link.driver.now() + pause
        if due < self._at:
            self._at = due
            self._link.driver.call_at(due)

    def blame(self, error: BaseException) -> None:
        """Report what a handler raised; an unreachable peer is reported once."""
        if self._link.closed:
            return  # which is why the handler could not reply
        if isinstance(error, PeerUnreachable):
            if error.peer in self._blamed:
                return
            if len(self._blamed) >= BLAMED:
                self._blamed.clear()
            self._blamed.add(error.peer)
            error = error.with_traceback(None)  # not a fault of the handler, so one line is enough
        self._link.driver.report(error)
