"""Topics against a list of prefixes, and a conflating inbox against a dict."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from zmqbridge.core.conflate import ConflatingInbox
from zmqbridge.core.inbox import Inbox
from zmqbridge.core.topics import LONGEST, Topics

from .receiving import InboxMachine

# Few letters, and NUL among them, so that much matches.
PREFIXES = st.lists(st.sampled_from([b"a", b"b", b"\0"]), max_size=4).map(b"".join)
TAGS = st.lists(st.sampled_from([b"a", b"b"]), max_size=3).map(b"".join)
TOO_LONG = b"a" * (LONGEST + 1)


class TopicsMachine(RuleBasedStateMachine):
    """Subscribers come and go; some end what they have never begun."""

    def make(self, **settings: Any) -> Topics:
        """The machine under test: one of your own, or the one in a driver."""
        return Topics(**settings)

    @initialize()
    def start(self) -> None:
        self.topics = self.make()
        self.model: Counter[bytes] = Counter()
        self.too_long = 0
        self.unfounded = 0

    @rule(prefix=PREFIXES)
    def subscribed(self, prefix: bytes) -> None:
        assert self.topics.added(prefix) == (not self.model[prefix])
        self.model[prefix] += 1

    @rule(prefix=PREFIXES)
    def ended(self, prefix: bytes) -> None:
        self.unfounded += not self.model[prefix]
        assert self.topics.removed(prefix) == (self.model[prefix] == 1)
        self.model[prefix] = max(0, self.model[prefix] - 1)

    @precondition(lambda self: self.model.total() > 3)
    @rule()
    def one_is_too_long(self) -> None:
        assert not self.topics.added(TOO_LONG)
        self.too_long += 1

    @rule()
    def one_that_is_too_long_ends(self) -> None:
        assert not self.topics.removed(TOO_LONG)
        self.unfounded += not self.too_long
        self.too_long = max(0, self.too_long - 1)

    @precondition(lambda self: self.model.total() > 6)
    @rule()
    def all_are_gone(self) -> None:
        self.topics.close()
        self.model.clear()
        self.too_long = 0

    @rule(tag=TAGS, joined=st.booleans())
    def a_publication(self, tag: bytes, joined: bool) -> None:
        head = tag + b"\0" if joined else tag
        met = {prefix: n for prefix, n in self.model.items() if head.startswith(prefix)}
        assert self.topics.matching(head) == sum(met.values())
        may = any(n and prefix.startswith(head) for prefix, n in self.model.items())
        wanted = any(met.values()) or bool(self.too_long) or (joined and may)
        assert self.topics.wanted(head) == wanted

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "topics"):
            assert len(self.topics) == len(+self.model)
            assert self.topics.unfounded == self.unfounded
            for prefix, times in self.model.items():
                assert self.topics.count(prefix) == times


class ConflatingInboxMachine(InboxMachine):
    """Receivers of the newest of each tag; a publication that has been promised may give way."""

    def make(self, **settings: Any) -> Inbox[Any, str]:
        return ConflatingInbox(**settings)

    @rule(size=st.integers(1, 4), tags=st.lists(st.integers(0, 5), min_size=4, max_size=4))
    def burst(self, size: int, tags: list[int]) -> None:
        assert self.inbox.room() == self.room()
        items = []
        for tag in tags[: min(size, self.room())]:
            self.put_so_far += 1
            items.append((tag, self.put_so_far))
        told = self.deliver(items)
        for item in items:
            for place, there in enumerate(self.messages):
                if there[0] == item[0]:
                    self.messages[place] = item
                    self.unwanted += 1
                    break
            else:
                self.messages.append(item)
        self.kept_up()
        self.tell(told)

    @precondition(lambda self: self.messages)
    @rule(kept=st.integers(0, 15))
    def some_are_not_wanted_any_more(self, kept: int) -> None:
        self.drop([message for message in self.messages if kept & 1 << message[1] % 4])
