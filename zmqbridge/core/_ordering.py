"""Ordering: puts numbered publications in order, and tells of gaps and restarts among them."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from math import inf
from typing import Any, Literal

from zmqbridge.core._lanes import Lane
from zmqbridge.core._prefixes import ByTag
from zmqbridge.core.framing import Message
from zmqbridge.core.gaps import Gap, Restarted
from zmqbridge.core.numbered import COPY, END, LENGTH, begins_at, is_of_another, run_of

HOLD = 10_000  # publications that may wait for older ones
HOLD_SIZE = 64 * 1024 * 1024  # bytes of these
FORMER = 64  # runs that are remembered
from_bytes: Callable[[bytes, Literal["big"]], int] = int.from_bytes


class Ordering:
    """The half of `Incoming` that knows which publications may be delivered.

    The other half asks for missing publications. One class has both halves, because a call between
    two objects would cost a frame for each publication.
    """

    def __init__(self, *, asks: bool, by_tag: bool, numbers: bool, hold: tuple[int, int]) -> None:
        self._asks = asks
        self._by_tag = by_tag
        self._numbers = numbers
        self._hold, self._hold_size = hold
        self._lanes: ByTag[Lane] = ByTag()
        self._ready: list[Any] = []
        # Lanes of which something is to be asked for; see `NewestByTag` for why it is no dict.
        self._wanting: OrderedDict[bytes, None] = OrderedDict()
        self._size = 0  # bytes that are held
        # The lane whose answer is under way, None for none.
        self._asked: Any = None
        self._deadline = inf  # of that answer
        self._not_before = 0.0  # the next attempt
        self._afresh = False  # the next question goes over a new connection
        # Runs that others followed. They do not come again, unless there are two publishers.
        self._former: dict[int, None] = {}
        self.held: int = 0
        self.missed: int = 0
        self.doubled: int = 0
        self.strange: int = 0
        self.told: bool = False

    def take(self) -> list[Any]:
        """Take what is ready: publications, `Gap` and `Restarted`, in order."""
        ready, self._ready = self._ready, []
        return ready

    def begin(self, number: int) -> None:
        """The next publication has this number: begin the count with it, if none has begun.

        Else it may show that some are missing, or that the publisher has begun again.
        """
        if self._by_tag:
            return
        lane = self._lanes.get(b"")
        if lane is None:
            lane = self._lanes[b""] = Lane(number - 1, b"")
            lane.live = lane.checked = number - 1
            return
        if number <= lane.live or is_of_another(number, lane.last + 1):
            if run_of(number) in self._former:
                return
            self._restart(b"", lane, number)
            if not self._asks:
                self._advance(b"", lane, number)
        self._want_until(b"", lane, number)

    def resume(self, tag: bytes, number: int) -> None:
        """Begin a count where an earlier process has stopped.

        Args:
            tag: whose count it is; ``b""`` for that of the publisher.
            number: the last number of which that process was told; -1 for none.
        """
        if tag in self._lanes:
            return
        lane = self._lanes[tag] = Lane(number, tag)
        lane.live = lane.checked = number
        self._want_until(tag, lane, inf)

    def live(self, tag: bytes, number: int, body: bytes) -> None:
        """Take a publication that came without being asked for."""
        key = tag if self._by_tag else b""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = self._new_lane(tag, number)
        if number == lane.last + 1 and number > lane.live:
            lane.last = lane.live = number
            self._ready.append((tag, body, number) if self._numbers else (tag, body))
            return
        if not self._goes_on(key, lane, number):
            return
        lane.live = number
        if number <= lane.last:
            self.doubled += 1
        elif self._asks and number > lane.last + 1:
            self._keep(key, lane, (tag, number, body))
        else:
            self._advance(key, lane, number)
            self._deliver(lane, (tag, number, body))

    def _new_lane(self, tag: bytes, number: int) -> Lane:
        return Lane(number - 1, tag)

    def _goes_on(self, key: bytes, lane: Lane, number: int) -> bool:
        # A number that does not follow the last one: whether it is to be minded.
        if is_of_another(number, lane.last + 1):
            if run_of(number) in self._former:
                self.strange += 1
                return False
            self._restart(key, lane, number)
        elif number <= lane.live:
            if run_of(number):
                self.doubled += 1  # it came by two ways
                return False
            self._restart(key, lane, number)
        elif number <= lane.last and lane.live < 0 and lane.unheard:
            lane.last, lane.start = number - 1, -2  # it was on its way when the list was made
        return True

    def copied(self, tag: bytes, number: int, body: bytes) -> None:
        """Take the last publication of a tag, sent again because another peer has subscribed."""
        lane = self._lanes.get(tag)
        if lane is not None and number == lane.live:
            self.doubled += 1
        else:
            self.live(tag, number, body)

    def heard(self, burst: list[Message]) -> list[Message]:
        """Numbered publications came, as they are on the wire; returns what is no such publication.

        It is `live` for each, without its frame for one that comes in order. What another publisher
        has published is returned, too.
        """
        odd: list[Message] = []
        lanes, append, by_tag, number_of = self._lanes, self._ready.append, self._by_tag, from_bytes
        numbers = self._numbers
        lane = None if by_tag else lanes.get(b"")
        for message in burst:
            try:
                tag, raw, body = message
            except ValueError:
                raw = END
            if len(raw) != LENGTH or raw == END:
                odd.append(message)
                continue
            number = number_of(raw, "big")
            if by_tag:
                lane = lanes.get(tag)
            if lane is not None and number == lane.last + 1 and number > lane.live:
                lane.last = lane.live = number
                append((tag, body, number) if numbers else (tag, body))
                continue
            strange = self.strange
            if by_tag and number >= COPY:
                self.copied(tag, number - COPY, body)
            else:
                self.live(tag, number, body)
                lane = lanes.get(b"")
            if self.strange > strange:
                odd.append(message)
        return odd

    def abandon(self) -> None:
        """Stop waiting: deliver all held publications, with the gaps before them."""
        for key, lane in self._lanes.items():
            if lane.held:
                self._wanting.pop(key, None)
                self._advance(key, lane, lane.live)
                self._drain(lane)

    def drop(self, wanted: Callable[[bytes], bool], prefix: bytes = b"") -> None:
        """Drop held publications, and the counts, of tags that are not wanted any more.

        Args:
            wanted: whether a tag is still wanted.
            prefix: what these tags begin with.
        """
        if self._by_tag:
            for tag in self._lanes.beginning(prefix):
                if not wanted(tag):
                    self._forget(tag, self._lanes[tag])
            return
        for lane in self._lanes.values():
            lane.held = deque(
                (tag, number, body if wanted(tag) else None) for tag, number, body in lane.held
            )
            self._size = sum(len(body or b"") for _, _, body in lane.held)

    def close(self, remains: list[Any]) -> None:
        """Drop all publications.

        Args:
            remains: gets the objects that held them. To free these takes a while, so the caller
                decides when.
        """
        remains += [self._lanes, self._ready]
        self._lanes, self._ready = ByTag(), []
        self._wanting = OrderedDict()
        self._asked = None
        self._deadline = inf
        self.held = self._size = 0

    def _restart(self, key: bytes, lane: Lane, number: int) -> None:
        self._renew(key, lane, number)
        self._unask(key)

    def _renew(self, key: bytes, lane: Lane, number: int) -> None:
        # The publisher has begun its numbers again, with numbers as this one.
        self._advance(key, lane, lane.live)
        self._drain(lane)
        if not lane.unheard and (lane.last >= 0 or lane.live >= 0):
            self._ready.append(Restarted(key))
            self.told = True
        if former := run_of(lane.last + 1):
            self._former[former] = None
            if len(self._former) > FORMER:
                del self._former[next(iter(self._former))]
        lane.last, lane.live, lane.start = begins_at(number) - 1, -1, -2

    def _forget(self, key: bytes, lane: Lane) -> None:
        self.doubled += len(lane.held)
        self.held -= len(lane.held)
        self._size -= sum(len(body or b"") for _, _, body in lane.held)
        del self._lanes[key]
        self._unask(key)

    def _unask(self, key: bytes) -> None:
        self._wanting.pop(key, None)
        if self._asked == key:  # the answer is about numbers that do not count any more
            self._asked, self._deadline, self._afresh = None, inf, True

    def _want_until(self, key: bytes, lane: Lane, number: float) -> None:
        if self._asks and number > lane.last + 1 and self._asked != key:
            self._wanting[key] = None

    def _keep(self, key: bytes, lane: Lane, publication: tuple[bytes, int, bytes]) -> None:
        if not lane.held:
            lane.tag = publication[0]
        if not self.held:
            # Attempts may have failed while the publisher was away. It is there now.
            self._not_before = 0.0
        lane.held.append(publication)
        self.held += 1
        self._size += len(publication[2])
        self._want_until(key, lane, inf)
        if self.held > self._hold or self._size > self._hold_size:
            self.abandon()

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
            self._ready.append((tag, body, lane.last) if self._numbers else (tag, body))
