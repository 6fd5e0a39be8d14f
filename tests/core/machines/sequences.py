"""Numbered publications on a bad network: what is delivered and the gaps are what was published."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from zmqbridge.core.gaps import Gap, Restarted
from zmqbridge.core.incoming import Incoming
from zmqbridge.core.numbered import Asked
from zmqbridge.core.outgoing import Outgoing

TAGS = [b"a", b"b"]
BURST = 2  # publications that the server looks at, at a time


class Ledger:
    """What a subscriber was told under one count, which must be without a hole or a double."""

    def __init__(self) -> None:
        self.run = 0
        self.next: int | None = None  # the number that must come next
        self.gaps = 0

    def enter(self, item: Any) -> None:
        if isinstance(item, Restarted):
            self.next = 0
            self.run += 1
        elif isinstance(item, Gap):
            assert item.first == self.next
            assert item.last >= item.first
            assert len(item) == item.last + 1 - item.first
            self.next = item.last + 1
            self.gaps += len(item)
        else:
            run, number = map(int, item[1].split())
            self.next = number if self.next is None else self.next
            assert number == self.next
            assert run >= self.run
            self.run = run
            self.next = number + 1


class SequenceMachine(RuleBasedStateMachine):
    """A publisher that restarts, a subscriber, and between them what loses messages both ways.

    A publisher whose numbers begin with 0 again is noticed by numbers that go back; so such a one
    is heard from its first publication on. One that goes on with higher numbers needs no such luck.
    """

    def make(self, **settings: Any) -> Incoming:
        """The machine under test: one of your own, or the one in a driver."""
        return Incoming(**settings)

    @initialize(
        asks=st.sampled_from([True, True, False]),
        by_tag=st.booleans(),
        rising=st.booleans(),
        keep=st.sampled_from([2, 5, 1000]),
        queue=st.sampled_from([2, 4, 100]),
        hold=st.sampled_from([6, 1000]),
    )
    def start(
        self, asks: bool, by_tag: bool, rising: bool, keep: int, queue: int, hold: int
    ) -> None:
        self.asks, self.by_tag, self.rising = asks, by_tag, rising
        self.keep, self.queue, self.hold = keep, queue, hold
        self.now = 0.0
        self.run = 0
        self.outgoing = Outgoing(keep, 10_000, by_tag=by_tag)
        self.incoming = self.make(asks=asks, by_tag=by_tag, hold=(hold, 10_000))
        self.ledgers: dict[bytes, Ledger] = defaultdict(Ledger)
        self.last: dict[bytes, int] = {}  # the number published last, by count
        self.told_before = 0  # as missed, by earlier subscribers
        self.wire: deque[tuple[bytes, int, bytes | None]] = deque()
        self.asked: tuple[Asked, int] | None = (
            None  # what the server is answering, and from which place on
        )
        self.answers: deque[tuple[bytes, int, bytes] | None] = deque()
        self.is_asked = False
        self.harmed = False  # something was lost for good

    def key_of(self, tag: bytes) -> bytes:
        return tag if self.by_tag else b""

    def settle(self) -> None:
        """Enter what may be delivered, and send what is asked for."""
        for item in self.incoming.take():
            key = item[0] if isinstance(item, tuple) else item.tag
            self.ledgers[self.key_of(key)].enter(item)
        assert self.incoming.held <= self.hold
        while (ask := self.incoming.ask(self.now)) is not None:
            assert self.asks
            assert not self.is_asked or ask.afresh
            if ask.afresh:
                self.answers.clear()
            self.is_asked = True
            assert isinstance(ask.asked, Asked)
            self.asked = (ask.asked, 0)
        assert self.incoming.next_deadline() > self.now

    @rule(tag=st.sampled_from(TAGS), arrives=st.lists(st.booleans(), min_size=1, max_size=5))
    def publish(self, tag: bytes, arrives: list[bool]) -> None:
        for there in arrives:
            raw = self.outgoing.number(tag, b"%d %d" % (self.run, self.next_number(tag)))
            number = int.from_bytes(raw, "big")
            self.last[self.key_of(tag)] = number
            first = number == 0 and self.run
            if (there and len(self.wire) < self.queue) or first:
                self.wire.append((tag, number, b"%d %d" % (self.run, number)))

    def next_number(self, tag: bytes) -> int:
        before = self.last.get(self.key_of(tag))
        return self.first_of_run() if before is None else before + 1

    def first_of_run(self) -> int:
        return self.run * 1000 if self.rising else 0

    @rule(times=st.integers(1, 4))
    def hear(self, times: int) -> None:
        for _ in range(min(times, len(self.wire))):
            tag, number, body = self.wire.popleft()
            if body is None:
                ledger = self.ledgers[tag]
                ledger.next = number if ledger.next is None else ledger.next
                self.incoming.begin(number)
            else:
                self.incoming.live(tag, number, body)
            self.settle()

    @precondition(lambda self: not self.by_tag)
    @rule()
    def the_publisher_tells_what_comes_next(self) -> None:
        if len(self.wire) < self.queue:
            number = int.from_bytes(self.outgoing.next_number(), "big")
            self.wire.append((b"", number, None))

    @rule()
    def the_subscriber_restarts(self) -> None:
        """Another process goes on where this one has stopped; what was under way is lost."""
        self.told_before += self.incoming.missed
        self.incoming = self.make(asks=self.asks, by_tag=self.by_tag, hold=(self.hold, 10_000))
        for key, ledger in self.ledgers.items():
            if ledger.next is not None:
                self.incoming.resume(key, ledger.next - 1)
        self.wire.clear()
        self.answers.clear()
        self.asked, self.is_asked = None, False
        self.settle()

    @precondition(lambda self: self.last)
    @rule()
    def the_publisher_restarts(self) -> None:
        if not self.rising:
            self.hear(len(self.wire))
        self.run += 1
        self.harmed = True
        self.outgoing = Outgoing(
            self.keep, 10_000, by_tag=self.by_tag, first=self.first_of_run() if self.rising else 0
        )
        self.last = {}
        self.asked = None
        self.answers.clear()
        if not self.rising:
            for tag in TAGS:
                self.publish(tag, [True])
            self.hear(len(self.wire))

    @precondition(lambda self: self.asked)
    @rule()
    def the_server_answers(self) -> None:
        assert self.asked
        asked, place = self.asked
        found, place = self.outgoing.replay(asked, place, BURST, 30)
        self.answers += [
            (each.tag, int.from_bytes(each.number, "big"), each.body) for each in found
        ]
        if place < self.outgoing.end:
            self.asked = (asked, place)
        else:
            self.asked = None
            self.answers.append(None)

    @precondition(lambda self: self.answers)
    @rule(times=st.integers(1, 4), old=st.booleans())
    def answers_come(self, times: int, old: bool) -> None:
        for _ in range(min(times, len(self.answers))):
            self.one_answer(old and self.by_tag)

    def one_answer(self, without_tag: bool = False) -> None:
        part = self.answers.popleft()
        if part is None:
            self.is_asked = False
            self.incoming.replay_ended(self.now)
        else:
            tag, number, body = part
            self.incoming.replayed(None if without_tag else tag, number, body, self.now)
        self.settle()

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def an_answer_is_lost(self, data: st.DataObject) -> None:
        self.lose_answer(data.draw(st.integers(0, len(self.answers) - 1)))

    def lose_answer(self, lost: int) -> None:
        # With the first, nothing tells that the publisher has it still.
        self.harmed = self.harmed or not lost
        del self.answers[lost]

    @rule(seconds=st.sampled_from([0.5, 2, 6, 40]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.incoming.due(self.now)
        self.harmed = self.harmed or self.incoming.failures > 2
        self.settle()

    @precondition(lambda self: not (self.asked or self.answers or self.is_asked))
    @rule(end=st.booleans())
    def an_answer_to_no_question(self, end: bool) -> None:
        before = self.incoming.unasked
        if end:
            self.incoming.replay_ended(self.now)
        else:
            self.incoming.replayed(b"a", 3, b"0 3", self.now)
        assert self.incoming.unasked == before + 1
        assert not self.incoming.take()

    def teardown(self) -> None:
        if not hasattr(self, "incoming"):
            return
        self.queue = 1000
        for tag in TAGS:
            self.publish(tag, [True])
        for _ in range(40):
            while self.wire or self.asked or self.answers:
                self.hear(1)
                if self.asked:
                    self.the_server_answers()
                if self.answers:
                    self.one_answer()
            self.time_passes(40)
        assert not self.incoming.held
        for key, number in self.last.items():
            assert self.ledgers[key].next == number + 1
        told = sum(ledger.gaps for ledger in self.ledgers.values())
        assert self.told_before + self.incoming.missed == told
        if self.asks and self.keep == self.hold == 1000 and not self.harmed:
            assert not told
        remains: list[object] = []
        self.incoming.close(remains)
        assert remains
        assert self.incoming.next_deadline() == float("inf")
