"""Incoming: puts numbered publications in order, asks for those that are missing, tells of gaps."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

from zmqbridge.core.sequence import Asked, Numbered

HOLD = 10_000  # publications that wait for older ones
HOLD_SIZE = 64 * 1024 * 1024  # bytes of them
SLOWEST = 30.0  # seconds; the pause before one more attempt grows up to this
CHECKED = 64  # tags whose end is looked at in an interval


@dataclass(frozen=True, slots=True)
class Gap:
    """Publications that were missed for good, in their place among those that came.

    Attributes:
        first: the number of the first of them.
        last: the number of the last of them.
        tag: their tag, where each tag has numbers of its own; else ``b""``.
    """

    first: int
    last: int
    tag: bytes = b""

    def __len__(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Restarted:
    """The publisher began anew with its numbers: what is known of its state holds no more.

    How many of its last publications before that were missed, nothing tells.

    Attributes:
        tag: the tag, where each tag has numbers of its own; else ``b""``.
    """

    tag: bytes = b""


class Ask(NamedTuple):
    """What to ask for."""

    asked: Asked
    """Which publications."""
    afresh: bool
    """On a new connection, as an answer to an earlier one may still be under way."""


class Lane:
    """What has come under one count: of a publisher, or of one of its tags.

    Attributes:
        last: the number of the last one that was delivered, or told to be missing.
        live: the number of the last one that came without being asked for; -1 for none.
        checked: what `live` was when it was last looked whether anything comes.
        held: those that came, and wait for older ones.
        tag: the tag of what is missing, where the answer leaves it out.
    """

    __slots__ = ("checked", "held", "last", "live", "tag")

    def __init__(self, last: int, tag: bytes) -> None:
        self.last: int = last
        self.live: int = -1
        self.checked: int = -1
        self.held: deque[Numbered] = deque()
        self.tag: bytes = tag


class Incoming:
    """Numbered publications of one publisher, or of several whose tags tell them apart.

    Nothing is delivered while an older one is missing that may still come; what comes meanwhile is
    held, up to a bound. With the first one that comes the count begins.

    - inputs: `live` (a publication came), `replayed`, `replay_ended` (parts of an answer came),
      `due` (time passed)
    - commands: `take`, `ask`, `abandon`, `close`
    - getters: `next_deadline`, `held`, and the counts below

    What the driver owes: after each input give the receivers what `take` returns, and send what
    `ask` returns until that is None. Set a timer to `next_deadline()` and call `due` then.

    Args:
        asks: whether missing ones can be asked for; else each is told at once.
        by_tag: each tag has numbers of its own.
        hold: how many may be held, and of how many bytes.
        timeout: seconds without a part of the answer after which an attempt has failed.
        pause: seconds before the next attempt; twice as long each time.
        attempts: how many may fail before what is held is delivered nevertheless.
        interval: seconds after which it is asked whether the last ones were missed.

    Attributes:
        missed: how many publications were told to be missing.
        doubled: how many came that had come already.
        unasked: parts of an answer that nobody has asked for; `ends` of them are end marks.
        told: there was a `Gap` or `Restarted` since the driver has set this to False.
        failures: attempts that have failed since one succeeded.
    """

    def __init__(
        self,
        *,
        asks: bool,
        by_tag: bool = False,
        hold: tuple[int, int] = (HOLD, HOLD_SIZE),
        timeout: float = 5.0,
        pause: float = 1.0,
        attempts: int = 3,
        interval: float = 10.0,
    ) -> None:
        self._asks = asks
        self._by_tag = by_tag
        self._hold, self._hold_size = hold
        self._timeout = timeout
        self._pause = pause
        self._attempts = attempts
        self._interval = interval
        self._lanes: OrderedDict[bytes, Lane] = OrderedDict()
        self._ready: list[Any] = []
        self._wanting: dict[bytes, None] = {}  # lanes of which something is to be asked for
        self._size = 0  # bytes that are held
        # The lane of the answer that is under way: what was live when it was asked for, whether
        # a part has come, and whether one is missing between them.
        self._asked: bytes | None = None
        self._live_then = -1
        self._begun = self._holed = False
        self._afresh = False
        self._deadline = inf  # of that answer
        self._not_before = 0.0  # the next attempt
        self._check_at = inf
        self.held: int = 0
        self.missed: int = 0
        self.doubled: int = 0
        self.unasked: int = 0
        self.ends: int = 0
        self.told: bool = False
        self.failures: int = 0

    def take(self) -> list[Any]:
        """What may be delivered: (tag, body) of publications, `Gap` and `Restarted`, in order."""
        ready, self._ready = self._ready, []
        return ready

    def live(self, tag: bytes, number: int, body: bytes) -> None:
        """A publication came."""
        key = tag if self._by_tag else b""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(number - 1, tag)
        if number == lane.last + 1:
            lane.last = lane.live = number
            self._ready.append((tag, body))
            return
        if number <= lane.live:
            self._restart(key, lane)
        lane.live = number
        if number <= lane.last:
            self.doubled += 1
        elif self._asks and number > lane.last + 1:
            self._keep(key, lane, (tag, number, body))
        else:
            self._advance(key, lane, number)
            self._deliver(lane, (tag, number, body))

    def replayed(self, tag: bytes | None, number: int, body: bytes | None, now: float) -> None:
        """A part of an answer came.

        Args:
            tag: None where the publisher leaves it out.
            number: the number of the publication.
            body: None if it is not wanted, so that only its number counts.
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
        # What it does not begin with, nobody has any more.
        self._advance(key, lane, number)
        self._deliver(lane, (lane.tag if tag is None else tag, number, body))
        self._drain(lane)

    def replay_ended(self, now: float) -> None:
        """The end mark of an answer came."""
        key, self._asked = self._asked, None
        if key is None:
            self.unasked += 1
            self.ends += 1
            return
        self._deadline, self._not_before, self.failures = inf, now, 0
        lane = self._lanes[key]
        if not self._begun:
            # What was published before the question would be in the answer.
            self._advance(key, lane, self._live_then)
            self._drain(lane)
        if lane.held or self._holed:
            self._wanting[key] = None

    def due(self, now: float) -> None:
        """Time passed: an attempt may have failed, or it may be time to look for the last ones."""
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
        """What to ask for now, if there is anything; that is under way then."""
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
        """When `due`, or `ask` again, has something to do; ``inf`` for never."""
        again = self._not_before if self._wanting and self._asked is None else inf
        return min(self._deadline, self._check_at, again)

    def abandon(self) -> None:
        """Wait for nothing any more: deliver what is held, with the gaps before it."""
        self._wanting.clear()
        for key, lane in self._lanes.items():
            if lane.held:
                self._advance(key, lane, lane.live)
                self._drain(lane)

    def close(self, remains: list[Any]) -> None:
        """Drop all.

        Args:
            remains: what held it is appended. To free it takes a while, so the caller chooses when.
        """
        remains += [self._lanes, self._ready]
        self._lanes, self._ready = OrderedDict(), []
        self._wanting = {}
        self._asked = None
        self._deadline = self._check_at = inf
        self.held = self._size = 0

    def _restart(self, key: bytes, lane: Lane) -> None:
        self._advance(key, lane, lane.live)
        self._drain(lane)
        self._ready.append(Restarted(key))
        self.told = True
        lane.last = lane.live = -1
        self._wanting.pop(key, None)
        if self._asked == key:  # the answer is about what is no more
            self._asked, self._deadline, self._afresh = None, inf, True

    def _keep(self, key: bytes, lane: Lane, publication: Numbered) -> None:
        if not lane.held:
            lane.tag = publication[0]
        lane.held.append(publication)
        self.held += 1
        self._size += len(publication[2])
        if self._asked != key:
            self._wanting[key] = None
        if self.held > self._hold or self._size > self._hold_size:
            self.abandon()

    def _fail(self, now: float) -> None:
        key: Any = self._asked
        self._wanting[key] = None
        self._asked, self._deadline, self._afresh = None, inf, True
        self._not_before = now + min(self._pause * 2 ** min(self.failures, 30), SLOWEST)
        self.failures += 1
        if self.failures >= self._attempts:
            self.abandon()

    def _advance(self, key: bytes, lane: Lane, number: int) -> None:
        # What is missing before this number is so for good.
        while lane.last + 1 < number:
            held = lane.held
            until = min(number, held[0][1]) if held else number
            if until > lane.last + 1:
                self._ready.append(Gap(lane.last + 1, until - 1, key))
                self.told = True
                self.missed += until - 1 - lane.last
                lane.last = until - 1
            if held and held[0][1] == until < number:
                self._release(lane)

    def _drain(self, lane: Lane) -> None:
        while lane.held and lane.held[0][1] <= lane.last + 1:
            self._release(lane)

    def _release(self, lane: Lane) -> None:
        publication = lane.held.popleft()
        self.held -= 1
        self._size -= len(publication[2])
        if publication[1] > lane.last:
            self._deliver(lane, publication)
        else:
            self.doubled += 1

    def _deliver(self, lane: Lane, publication: tuple[bytes, int, bytes | None]) -> None:
        tag, lane.last, body = publication
        if body is not None:
            self._ready.append((tag, body))
