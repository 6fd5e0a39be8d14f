"""Joining: a new subscriber gets the last publication of each tag, then the later ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from math import inf
from typing import Any

from zmqbridge.core._lanes import Lane
from zmqbridge.core._ordering import HOLD, HOLD_SIZE
from zmqbridge.core._prefixes import Prefixes
from zmqbridge.core.incoming import Incoming
from zmqbridge.core.numbered import MOST_PREFIXES, Asked, AskedList, is_of_another, run_of

JOIN = ("join",)  # stands in for the tag of a question, and differs from all tags


class Joining(Incoming):
    """Numbered publications by tag; asks for the last publication of each tag with a prefix.

    A publication of an answer is delivered unless one of the same tag that is as new was delivered
    before. The answer and the live publications come over two connections. So a publication that
    is older than the answer can come after it for one of two reasons: it was sent before the
    answer and was slower, or the publisher has begun its numbers again. If the numbers do not name
    a run, we ask once more, and the numbers of the second answer tell which reason it was.

    - inputs, commands and getters: those of `Incoming`, and the commands `join` and `leave`

    Args:
        numbers, hold, timeout, pause, attempts, interval: as of `Incoming`.
    """

    doubled: int
    unasked: int
    failures: int

    def __init__(
        self,
        *,
        numbers: bool = False,
        hold: tuple[int, int] = (HOLD, HOLD_SIZE),
        timeout: float = 5.0,
        pause: float = 1.0,
        attempts: int = 3,
        interval: float = 10.0,
    ) -> None:
        super().__init__(
            asks=True,
            by_tag=True,
            numbers=numbers,
            hold=hold,
            timeout=timeout,
            pause=pause,
            attempts=attempts,
            interval=interval,
        )
        self._prefixes: dict[bytes, None] = {}
        self._joining: OrderedDict[bytes, None] = OrderedDict()  # prefixes to ask for
        # Those whose answer is under way.
        self._asked_for: tuple[bytes, ...] = ()
        self._join = Prefixes(())
        # By tag the newest live publication that is older than that of an answer.
        self._suspects: dict[bytes, tuple[int, bytes]] = {}

    def join(self, prefix: bytes) -> None:
        """The user subscribes to a prefix: ask for the last publications."""
        self._prefixes[prefix] = self._joining[prefix] = None

    def leave(self, prefix: bytes) -> None:
        """The user has unsubscribed from a prefix."""
        self._prefixes.pop(prefix, None)
        self._joining.pop(prefix, None)

    def live(self, tag: bytes, number: int, body: bytes) -> None:
        """Take a publication that came without being asked for."""
        lane = self._lanes.get(tag)
        given = None if lane is None or lane.live >= 0 else lane.given
        if (
            lane is None
            or given is None
            or number > lane.last
            or is_of_another(number, lane.last + 1)
        ):
            super().live(tag, number, body)
        elif run_of(number):
            lane.live = number
            self.doubled += 1
        elif number < lane.last:
            self._suspects[tag] = number, body
            self.doubled += 1  # corrected if it turns out to be new
            self._join_again()
        elif body == given:
            lane.live = number
            self.doubled += 1
        else:
            self._begin_anew(tag, lane, number, body)
            lane.live = number

    def replayed(self, tag: bytes | None, number: int, body: bytes | None, now: float) -> None:
        """Take a part of an answer; see `Incoming.replayed`."""
        if self._asked is not JOIN:
            super().replayed(tag, number, body, now)
            return
        if tag is None or not self._join.begin(tag):
            self.unasked += 1
            return
        self._deadline = now + self._timeout
        if body is None:
            return
        lane = self._lanes.get(tag)
        suspect = self._suspects.pop(tag, None)
        if lane is None:
            self._begin(tag, number, body)
        elif self._is_anew(lane, number, body):
            self._begin_anew(tag, lane, number, body)
        else:
            self.doubled += 1
            if number > lane.last and not is_of_another(number, lane.last + 1):
                self._wanting[tag] = None  # publications in between were missed
        if suspect is not None:
            lane = self._lanes[tag]
            lane.live = max(lane.live, min(suspect[0], lane.last))

    def _is_anew(self, lane: Lane, number: int, body: bytes) -> bool:
        if is_of_another(number, lane.last + 1):
            return run_of(number) not in self._former
        is_other = number < lane.last or (number == lane.last and body != lane.given)
        return lane.live < 0 and is_other and not run_of(number)

    def replay_ended(self, now: float, mark: bytes = b"") -> None:
        """Take the end mark of an answer; see `Incoming.replay_ended`."""
        if self._asked is not JOIN:
            super().replay_ended(now, mark)
            return
        self._asked = None
        self._deadline, self._not_before, self.failures = inf, now, 0
        # The answer had nothing for these tags: the publisher has begun again.
        for tag in [each for each in self._suspects if self._join.begin(each)]:
            number, body = self._suspects.pop(tag)
            self.doubled -= 1
            self._begin_anew(tag, self._lanes[tag], number, body)

    def _is_pending(self) -> bool:
        return bool(self._joining) or super()._is_pending()

    def _next_question(self) -> Asked | AskedList:
        if self._wanting or not self._joining:
            return super()._next_question()
        self._asked_for = tuple(islice(self._joining, MOST_PREFIXES))
        for prefix in self._asked_for:
            del self._joining[prefix]
        self._join, self._asked = Prefixes(self._asked_for), JOIN
        first, *others = self._asked_for
        return Asked(-1, first, tuple(others))

    def drop(self, wanted: Callable[[bytes], bool], prefix: bytes = b"") -> None:
        """Forget tags that are not wanted any more; see `Ordering.drop`."""
        super().drop(wanted, prefix)
        for tag in [each for each in self._suspects if each not in self._lanes]:
            del self._suspects[tag]

    def close(self, remains: list[Any]) -> None:
        """Drop all publications; see `Incoming.close`."""
        super().close(remains)
        self._joining, self._suspects = OrderedDict(), {}

    def _ask_again(self, key: Any) -> None:
        if key is JOIN:
            wanted = (each for each in self._asked_for if each in self._prefixes)
            self._joining.update(dict.fromkeys(wanted))
        else:
            super()._ask_again(key)

    def _join_again(self) -> None:
        self._joining.update(self._prefixes)

    def _begin(self, tag: bytes, number: int, body: bytes) -> None:
        lane = self._lanes[tag] = self._new_lane(tag, number)
        if lane.last + 1 < number:
            self._wanting[tag] = None  # others of it came before, and were missed
            self.doubled += 1
        else:
            self._deliver(lane, (tag, number, body))

    def _begin_anew(self, tag: bytes, lane: Lane, number: int, body: bytes) -> None:
        self._restart(tag, lane, number)
        self._deliver(lane, (tag, number, body))

    def _deliver(self, lane: Lane, publication: tuple[bytes, int, bytes | None]) -> None:
        super()._deliver(lane, publication)
        if lane.live < 0:
            lane.given = publication[2]

    def _renew(self, key: bytes, lane: Lane, number: int) -> None:
        super()._renew(key, lane, number)
        self._join_again()  # other tags of that publisher may be new
