"""Incoming: puts numbered publications in order, asks for missing ones, and tells of gaps."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

from zmqbridge.core.framing import Message
from zmqbridge.core.gaps import Gap, Restarted
from zmqbridge.core.lanes import Lane
from zmqbridge.core.sequence import COPY, END, LENGTH, Asked

HOLD = 10_000  # publications that may wait for older ones
HOLD_SIZE = 64 * 1024 * 1024  # bytes of these
SLOWEST = 30.0  # seconds; the longest pause before the next attempt
CHECKED = 64  # tags for whose last publications we ask in an interval
from_bytes = int.from_bytes


class Ask(NamedTuple):
    """A question to the publisher."""

    asked: Asked
    """The wanted publications."""
    afresh: bool
    """Whether to ask on a new connection, as the answer to an earlier question may still come."""


class Incoming:
    """Numbered publications of one publisher, or of several whose tags tell them apart.

    While an older publication is missing that may still come, newer ones are held, up to a bound.
    The count begins with the first publication that comes.

    - inputs: `live`, `copied`, `heard` (publications came), `replayed`, `replay_ended` (parts of an
      answer came), `due` (time passed)
    - commands: `begin`, `take`, `ask`, `abandon`, `drop`, `close`
    - getters: `next_deadline`, `held`, and the counts below

    What the driver owes: after each input give the receivers what `take` returns, and send what
    `ask` returns until that is None. Set a timer to `next_deadline()` and call `due` then.

    Args:
        asks: whether missing publications can be asked for; if not, each gap is told at once.
        by_tag: whether each tag has numbers of its own.
        hold: how many publications may be held, and how many bytes.
        timeout: seconds without a part of the answer after which an attempt has failed.
        pause: seconds before the next attempt; it doubles each time.
        attempts: after how many failed attempts the held publications are delivered with gaps.
        interval: after how many seconds without a publication we ask for missed ones.

    Attributes:
        missed: how many publications were told to be missing.
        doubled: how many came that had come already, or were not wanted any more.
        unasked: parts of answers to no open question; `ends` of them are end marks.
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
        self._asked: Any = None
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
        """Take what is ready: (tag, body) of publications, `Gap` and `Restarted`, in order."""
        ready, self._ready = self._ready, []
        return ready

    def begin(self, number: int) -> None:
        """Begin the count at a number, if no publication has come: older ones are not missed."""
        if not self._by_tag and not self._lanes:
            lane = self._lanes[b""] = Lane(number - 1, b"")
            lane.live = lane.checked = number - 1

    def live(self, tag: bytes, number: int, body: bytes) -> None:
        """Take a publication that came without being asked for."""
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

    def copied(self, tag: bytes, number: int, body: bytes) -> None:
        """Take the last publication of a tag, sent again because another peer has subscribed."""
        lane = self._lanes.get(tag)
        if lane is not None and number == lane.live:
            self.doubled += 1
        else:
            self.live(tag, number, body)

    def heard(self, burst: list[Message]) -> list[Message]:
        """Numbered publications came, as they are on the wire; returns what is none.

        It is `live` for each, without its frame for one that comes in order.
        """
        odd: list[Message] = []
        lanes, append, by_tag, number_of = self._lanes, self._ready.append, self._by_tag, from_bytes
        lane = None if by_tag else lanes.get(b"")
        for message in burst:
            if len(message) != 3 or len(message[1]) != LENGTH or message[1] == END:
                odd.append(message)
                continue
            tag, raw, body = message
            number = number_of(raw, "big")
            if by_tag:
                lane = lanes.get(tag)
            if lane is not None and number == lane.last + 1:
                lane.last = lane.live = number
                append((tag, body))
            elif by_tag and number >= COPY:
                self.copied(tag, number - COPY, body)
            else:
                self.live(tag, number, body)
                lane = lanes.get(b"")
        return odd

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

    def abandon(self) -> None:
        """Stop waiting: deliver all held publications, with the gaps before them."""
        self._wanting.clear()
        for key, lane in self._lanes.items():
            if lane.held:
                self._advance(key, lane, lane.live)
                self._drain(lane)

    def drop(self, wanted: Callable[[bytes], bool]) -> None:
        """Drop held publications, and the counts, of tags that are not wanted any more."""
        for key, lane in list(self._lanes.items()):
            if self._by_tag and not wanted(key):
                self._forget(key, lane)
            else:
                lane.held = deque(
                    (tag, number, body if wanted(tag) else None) for tag, number, body in lane.held
                )
        held = [each for lane in self._lanes.values() for each in lane.held]
        self.held, self._size = len(held), sum(len(body or b"") for _, _, body in held)

    def close(self, remains: list[Any]) -> None:
        """Drop all publications.

        Args:
            remains: gets the objects that held them. To free these takes a while, so the caller
                decides when.
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
        self._unask(key)

    def _forget(self, key: bytes, lane: Lane) -> None:
        self.doubled += len(lane.held)
        del self._lanes[key]
        self._unask(key)

    def _unask(self, key: bytes) -> None:
        self._wanting.pop(key, None)
        if self._asked == key:  # the answer is about what is no more
            self._asked, self._deadline, self._afresh = None, inf, True

    def _keep(self, key: bytes, lane: Lane, publication: tuple[bytes, int, bytes]) -> None:
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
        self._ask_again(self._asked)
        self._asked, self._deadline, self._afresh = None, inf, True
        self._not_before = now + min(self._pause * 2 ** min(self.failures, 30), SLOWEST)
        self.failures += 1
        if self.failures >= self._attempts:
            self.abandon()

    def _ask_again(self, key: Any) -> None:
        self._wanting[key] = None

    def _advance(self, key: bytes, lane: Lane, number: int) -> None:
        # Publications before this number that are missing now will not come any more.
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
        self._size -= len(publication[2] or b"")
        if publication[1] > lane.last:
            self._deliver(lane, publication)
            self.doubled += publication[2] is None
        else:
            self.doubled += 1

    def _deliver(self, lane: Lane, publication: tuple[bytes, int, bytes | None]) -> None:
        tag, lane.last, body = publication
        if body is not None:
            self._ready.append((tag, body))
