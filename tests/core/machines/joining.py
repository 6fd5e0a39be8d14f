"""A subscriber that joins: of each tag what it is given ends with the last, and never goes back."""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from zmqbridge.core.gaps import Gap, Restarted
from zmqbridge.core.joining import Joining
from zmqbridge.core.lastvalues import LastValues
from zmqbridge.core.numbered import Asked
from zmqbridge.core.outgoing import Outgoing

TAGS = [b"a", b"ab", b"b"]
Part = tuple[bytes, int, bytes]


class JoiningMachine(RuleBasedStateMachine):
    """A publisher, and a subscriber that joins at any time, by two ways that keep no order.

    The live way loses nothing once it is subscribed to. A publisher that begins anew is heard from
    its first publication on, as otherwise its numbers could be the old ones.
    """

    def __init__(self) -> None:
        super().__init__()
        self.run = 0
        self.now = 0.0
        self.begin()
        self.incoming = self.make()
        self.wire: deque[Part] = deque()
        self.answers: deque[Part | None] = deque()
        self.question: Asked | None = None
        self.subscribed: set[bytes] = set()
        self.seen: dict[bytes, tuple[int, int]] = {}  # by tag, the last run and number
        self.doubled = 0

    def make(self, **settings: Any) -> Joining:
        """The machine under test: one of your own, or the one in a driver."""
        return Joining(**settings)

    def begin(self) -> None:
        self.outgoing = Outgoing(1000, 100_000, by_tag=True)
        self.values = LastValues(1000)
        self.last: dict[bytes, int] = {}

    def wanted(self, tag: bytes) -> bool:
        return tag.startswith(tuple(self.subscribed))

    def settle(self) -> None:
        for item in self.incoming.take():
            assert not isinstance(item, Gap)  # nothing is ever lost here
            if isinstance(item, Restarted):
                # An answer of the new publisher may have come before this showed.
                self.seen[item.tag] = self.seen.get(item.tag, (0, 0))[0], -1
                continue
            tag, body = item
            run, number = map(int, body.split())
            assert self.seen.get(tag, (-1, -1)) < (run, number)
            self.seen[tag] = run, number
        while (ask := self.incoming.ask(self.now)) is not None:
            if ask.afresh:
                self.answers.clear()
            assert isinstance(ask.asked, Asked)
            self.question = ask.asked

    @rule(tag=st.sampled_from(TAGS))
    def publish(self, tag: bytes) -> None:
        number = self.last.get(tag, -1) + 1
        body = b"%d %d" % (self.run, number)
        raw = self.outgoing.number(tag, body)
        assert int.from_bytes(raw, "big") == number
        self.values.keep(tag, (tag, raw, body))
        self.last[tag] = number
        if self.wanted(tag):
            self.wire.append((tag, number, body))

    @rule(prefix=st.sampled_from([b"", b"a", b"b"]))
    def join(self, prefix: bytes) -> None:
        self.subscribed.add(prefix)
        self.incoming.join(prefix)
        self.settle()

    @rule(times=st.integers(1, 4))
    def hear(self, times: int) -> None:
        for _ in range(min(times, len(self.wire))):
            self.incoming.live(*self.wire.popleft())
            self.settle()

    @precondition(lambda self: self.question)
    @rule()
    def the_server_answers(self) -> None:
        assert self.question
        asked, self.question = self.question, None
        found: Any
        if asked.start < 0:
            found = filter(None, self.values.matching({asked.tag or b""}))
        else:
            found = self.outgoing.replay(asked, 0, 1000, 100_000)[0]
        self.answers += [(tag, int.from_bytes(number, "big"), body) for tag, number, body in found]
        self.answers.append(None)

    @precondition(lambda self: self.answers)
    @rule(times=st.integers(1, 4))
    def answers_come(self, times: int) -> None:
        for _ in range(min(times, len(self.answers))):
            part = self.answers.popleft()
            if part is None:
                self.incoming.replay_ended(self.now)
            else:
                self.incoming.replayed(*part, self.now)
            self.settle()

    @rule(seconds=st.sampled_from([0.5, 6, 40]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.incoming.due(self.now)
        self.settle()

    @precondition(lambda self: self.last)
    @rule()
    def the_publisher_begins_anew(self) -> None:
        # Its connections go with it, and what is on them.
        self.hear(len(self.wire))
        self.answers.clear()
        self.question = None
        self.run += 1
        tags = set(self.last)
        self.begin()
        for tag in sorted(tags):
            self.publish(tag)

    def teardown(self) -> None:
        for _ in range(30):
            while self.wire or self.question or self.answers:
                self.hear(1)
                if self.question:
                    self.the_server_answers()
                self.answers_come(1)
            self.time_passes(40)
        for tag, number in self.last.items():
            if self.wanted(tag):
                assert self.seen.get(tag) == (self.run, number)
