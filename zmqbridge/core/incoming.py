"""Incoming: puts numbered publications in order, asks for missing ones, and tells of gaps."""

from __future__ import annotations

from math import inf
from typing import Any

from zmqbridge.core.numbered import Ask, Asked
from zmqbridge.core.ordering import HOLD, HOLD_SIZE, Ordering

SLOWEST = 30.0  # seconds; the longest pause before the next attempt
CHECKED = 64  # tags for whose last publications we ask in an interval


class Incoming(Ordering):
    """Numbered publications of one publisher, or of several whose tags tell them apart.

    While an older publication is missing that may still come, newer ones are held, up to a bound.
    The count begins with the first publication that comes, or where `resume` says.

    - inputs: `live`, `copied`, `heard` (publications came), `replayed`, `replay_ended` (parts of an
      answer came), `due` (time passed)
    - commands: `begin`, `resume`, `take`, `ask`, `abandon`, `drop`, `close`
    - getters: `next_deadline`, `held`, and the counts below

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
        missed: how many publications were told to be missing.
        doubled: how many came that had come already, or were not wanted any more.
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
        self.unasked: int = 0
        self.ends: int = 0
        self.failures: int = 0

    def replayed(self, tag: bytes | None, number: int, body: bytes | None, now: float) -> None:
        """Take a part of an answer.

        Args:
            tag: the tag, or None if the publisher leaves it out.
            number: the number of the publication.
            body: the body, or None if it is not wanted, so that only its number counts.
            now: the time.
        """
        key = self._asked
        if key is None or (self._by_tag and tag not in (None, key)):
            self.unasked += 1
            return
        lane = self._lanes[key]
        self._deadline = now + self._timeout
        begun, self._begun = self._begun, True
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

    def replay_ended(self, now: float) -> None:
        """Take the end mark of an answer."""
        key, self._asked = self._asked, None
        if key is None:
            self.unasked += 1
            self.ends += 1
            return
        self._deadline, self._not_before, self.failures = inf, now, 0
        lane = self._lanes[key]
        if not self._begun:
            # The answer is empty, so all publications before the question are gone for good.
            self._advance(key, lane, self._live_then)
            self._drain(lane)
        if lane.held or self._holed:
            self._wanting[key] = None

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

    def ask(self, now: float) -> Ask | None:
        """The question to ask now, if any; from now on it counts as asked."""
        if not self._asks:
            return None
        if self._check_at == inf and self._lanes:
            self._check_at = now + self._interval
        if not self._wanting or self._asked is not None or now < self._not_before:
            return None
        key = self._asked = next(iter(self._wanting))
        del self._wanting[key]
        lane = self._lanes[key]
        self._live_then, self._begun, self._holed = lane.live, False, False
        self._deadline = now + self._timeout
        afresh, self._afresh = self._afresh, False
        return Ask(Asked(lane.last + 1, key if self._by_tag else None), afresh)

    def next_deadline(self) -> float:
        """The time at which `due` or `ask` has something to do, ``inf`` for never."""
        again = self._not_before if self._wanting and self._asked is None else inf
        return min(self._deadline, self._check_at, again)

    def close(self, remains: list[Any]) -> None:
        """Drop all publications; see `Ordering.close`."""
        super().close(remains)
        self._check_at = inf

    def _fail(self, now: float) -> None:
        self._ask_again(self._asked)
        self._asked, self._deadline, self._afresh = None, inf, True
        self._not_before = now + min(self._pause * 2 ** min(self.failures, 30), SLOWEST)
        self.failures += 1
        if self.failures >= self._attempts:
            self.abandon()

    def _ask_again(self, key: Any) -> None:
        self._wanting[key] = None
