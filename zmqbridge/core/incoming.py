"""Incoming: puts numbered publications in order, asks for missing ones, and tells of gaps."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from zmqbridge.core._baseline import Baseline
from zmqbridge.core._lanes import Lane
from zmqbridge.core._ordering import HOLD, HOLD_SIZE, Ordering
from zmqbridge.core.numbered import LENGTH, Ask, Asked, AskedList, is_of_another, run_of

SLOWEST = 30.0  # seconds; the longest pause before the next attempt
LIST = ("list",)  # stands in for the tag of a question, and differs from all tags
CHECKED = 64  # tags for whose last publications we ask in an interval


class Incoming(Ordering):
    """Numbered publications of one publisher, or of several whose tags tell them apart.

    While an older publication is missing that may still come, newer ones are held, up to a bound.
    The count begins with the first publication that comes, or where `resume` says; with `track`,
    that of a tag begins where it was when the publisher was asked.

    - inputs: `live`, `copied`, `heard` (publications came), `replayed`, `listed`, `replay_ended`
      (parts of an answer came), `due` (time passed)
    - commands: `begin`, `resume`, `track`, `untrack`, `take`, `ask`, `abandon`, `drop`, `close`
    - getters: `next_deadline`, `held`, `lists`, `unlisted`, and the counts below

    What the driver owes: after each input give the receivers what `take` returns, and send what
    `ask` returns until that is None. Set a timer to `next_deadline()` and call `due` then.

    Args:
        asks: whether missing publications can be asked for; if not, each gap is told at once.
        by_tag: whether each tag has numbers of its own.
        numbers: whether a publication is taken as (tag, body, number), and not as (tag, body).
        hold: how many publications may be held, and how many bytes.
        timeout: seconds without a part of the answer after which an attempt has failed.
        pause: seconds before the next attempt; it doubles each time. But when publications are
            held again, the next attempt is made at once.
        attempts: after how many failed attempts the held publications are delivered with gaps.
        interval: after how many seconds without a publication we ask for missed ones.

    Attributes:
        missed: how many publications the receivers were told are missing.
        doubled: how many publications came twice, or were not wanted any more.
        strange: how many came from a publisher that another one had followed under the same count.
        unasked: parts of answers to no open question; `ends` of them are end marks.
        told: there was a `Gap` or `Restarted` since the driver has set this to False.
        failures: attempts that have failed since one succeeded.
    """

    doubled: int

    def __init__(
        self,
        *,
        asks: bool,
        by_tag: bool = False,
        numbers: bool = False,
        hold: tuple[int, int] = (HOLD, HOLD_SIZE),
        timeout: float = 5.0,
        pause: float = 1.0,
        attempts: int = 3,
        interval: float = 10.0,
    ) -> None:
        super().__init__(asks=asks, by_tag=by_tag, numbers=numbers, hold=hold)
        self._timeout = timeout
        self._pause = pause
        self._attempts = attempts
        self._interval = interval
        # Of the answer that is under way: what was live when it was asked for, whether a part has
        # come, and whether one is missing between them.
        self._live_then = -1
        self._begun = self._holed = False
        self._check_at = inf
        self._baseline = Baseline() if asks and by_tag else None
        self.unasked: int = 0
        self.ends: int = 0
        self.failures: int = 0

    def track(self, prefix: bytes) -> None:
        """The user subscribes to a prefix: ask which tags there are, and their last numbers."""
        if self._baseline is not None:
            self._baseline.want(prefix)

    def untrack(self, prefix: bytes) -> None:
        """The user has unsubscribed from a prefix."""
        if self._baseline is not None:
            self._baseline.leave(prefix)

    @property
    def lists(self) -> bool:
        """Whether the answer that is under way is a list, whose parts are for `listed`."""
        return self._asked is LIST

    @property
    def unlisted(self) -> bool:
        """Whether it is not yet known which tags there are; False after an attempt in vain."""
        return self._baseline is not None and self._baseline.unlisted

    def listed(self, tag: bytes, number: int, now: float) -> None:
        """Take a part of a list: a tag that is wanted, and its last number."""
        self._deadline = now + self._timeout
        lane = self._lanes.get(tag)
        if lane is not None:
            if is_of_another(number, lane.last + 1):
                self._wanting[tag] = None  # the answer will show it
            elif number == lane.last:
                self._wanting.pop(tag, None)  # there was nothing that could be missed
        elif self._baseline is not None:
            before = self._baseline.note(tag, number)
            if before is not None:
                self._expect(tag, before)

    def replayed(self, tag: bytes | None, number: int, body: bytes | None, now: float) -> None:
        """Take a part of an answer.

        Args:
            tag: the tag, or None if the publisher leaves it out.
            number: the number of the publication.
            body: the body, or None if it is not wanted, so that only its number counts.
            now: the time.
        """
        key = self._asked
        if key is None or key is LIST or (self._by_tag and tag not in (None, key)):
            self.unasked += 1
            return
        lane = self._lanes[key]
        self._deadline = now + self._timeout
        begun, self._begun = self._begun, True
        if is_of_another(number, lane.last + 1):
            if run_of(number) in self._former:
                self.doubled += 1
                return
            self._renew(key, lane, number)
            begun = False
        if number <= lane.last:
            self.doubled += 1
            return
        if number > lane.last + 1 and begun:
            self._holed = True  # the peer has it, but it was lost on the way
            self.doubled += 1
            return
        # An answer begins with the oldest publication that is left: older ones are gone for good.
        self._advance(key, lane, number)
        self._deliver(lane, (lane.tag if tag is None else tag, number, body))
        self._drain(lane)

    def replay_ended(self, now: float, mark: bytes = b"") -> None:
        """Take the end mark of an answer.

        Args:
            now: the time.
            mark: what it has in the place of a tag.
        """
        key, self._asked = self._asked, None
        if key is None:
            self.unasked += 1
            self.ends += 1
            return
        self._deadline, self._not_before, self.failures = inf, now, 0
        if key is LIST and self._baseline is not None:
            self._baseline.ended(mark)
            return
        lane = self._lanes[key]
        if not self._begun:
            self._find_nothing(key, lane, mark)
        if lane.held or self._holed:
            self._wanting[key] = None

    def _find_nothing(self, key: bytes, lane: Lane, mark: bytes) -> None:
        # The answer is empty, so all publications before the question are gone for good.
        until, baseline = self._live_then, self._baseline
        mark = mark if len(mark) == LENGTH else b""
        if baseline is not None and lane.held:
            number = lane.held[0][1]
            if lane.unheard and baseline.is_of_other(number, mark):
                lane.last = number - 1  # nobody can be asked
        elif baseline is not None and mark:
            following = int.from_bytes(mark, "big")
            if baseline.knows(following):
                until = following
                if is_of_another(until, lane.last + 1) and run_of(until) not in self._former:
                    self._renew(key, lane, until)
        self._advance(key, lane, until)
        self._drain(lane)

    def due(self, now: float) -> None:
        """Let time pass: an attempt may have failed, or it may be time to ask for the last ones."""
        if now >= self._deadline:
            self._fail(now)
        if now >= self._check_at:
            self._check_at = now + self._interval
            for _ in range(min(CHECKED, len(self._lanes))):
                key = next(iter(self._lanes))
                self._lanes.move_to_end(key)
                lane = self._lanes[key]
                if lane.live == lane.checked and key != self._asked:
                    self._wanting[key] = None
                lane.checked = lane.live
            if self._baseline is not None:
                self._baseline.again()
                for tag, number in self._baseline.take(CHECKED):
                    self._expect(tag, number)

    def _expect(self, tag: bytes, last: int) -> None:
        # Nothing of it has come, and what follows this number is missed.
        lane = self._lanes[tag] = Lane(last, tag)
        lane.start = last
        self._wanting[tag] = None

    def ask(self, now: float) -> Ask | None:
        """Return the question to ask now, None if there is none; the driver must send it."""
        if not self._asks:
            return None
        if self._check_at == inf and (self._lanes or self.unlisted):
            self._check_at = now + self._interval
        if self._asked is not None or now < self._not_before or not self._is_pending():
            return None
        asked = self._next_question()
        self._deadline = now + self._timeout
        afresh, self._afresh = self._afresh, False
        return Ask(asked, afresh)

    def _is_pending(self) -> bool:
        return bool(self._wanting) or (self._baseline is not None and self._baseline.pending)

    def _next_question(self) -> Asked | AskedList:
        baseline = self._baseline
        # A list shows of which tags nothing was missed, so it comes first, unless some are held.
        if baseline is not None and (not self._wanting or (baseline.unlisted and not self.held)):
            self._asked = LIST
            return baseline.ask()
        key = self._asked = next(iter(self._wanting))
        del self._wanting[key]
        lane = self._lanes[key]
        self._live_then, self._begun, self._holed = lane.live, False, False
        return Asked(lane.last + 1, key if self._by_tag else None)

    def next_deadline(self) -> float:
        """The time at which `due` or `ask` has something to do, ``inf`` for never."""
        again = self._not_before if self._asked is None and self._is_pending() else inf
        return min(self._deadline, self._check_at, again)

    def drop(self, wanted: Callable[[bytes], bool], prefix: bytes = b"") -> None:
        """Drop what is not wanted any more; see `Ordering.drop`."""
        super().drop(wanted, prefix)
        if self._baseline is not None:
            self._baseline.drop(wanted, prefix)

    def _new_lane(self, tag: bytes, number: int) -> Lane:
        lane = super()._new_lane(tag, number)
        if self._baseline is not None:
            before = self._baseline.before(tag, number)
            if before < lane.last:
                lane.last = lane.start = before
        return lane

    def close(self, remains: list[Any]) -> None:
        """Drop all publications; see `Ordering.close`."""
        super().close(remains)
        self._check_at = inf
        if self._baseline is not None:
            remains.append(self._baseline.numbers)
            self._baseline = None

    def _fail(self, now: float) -> None:
        key = self._asked
        self._ask_again(key)
        self._asked, self._deadline, self._afresh = None, inf, True
        self._not_before = now + min(self._pause * 2 ** min(self.failures, 30), SLOWEST)
        self.failures += 1
        if self.failures >= self._attempts and key is not LIST:
            self.abandon()

    def _ask_again(self, key: Any) -> None:
        if key is LIST and self._baseline is not None:
            self._baseline.failed()
        else:
            self._wanting[key] = None
