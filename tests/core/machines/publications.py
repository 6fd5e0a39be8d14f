"""Subscriptions and last values against plain models: what is wanted, what is sent again."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from zmqbridge.core.lastvalues import LastValues
from zmqbridge.core.subscriptions import Subscriptions

TAGS = [b"", b"a", b"ab", b"b", b"a\0b"]
tags = st.sampled_from(TAGS)


class SubscriptionsMachine(RuleBasedStateMachine):
    """Prefixes are added, removed and repeated; some are removed that were never added."""

    def __init__(self) -> None:
        super().__init__()
        self.subscriptions = self.make()
        self.model: Counter[bytes] = Counter()

    def make(self, **settings: Any) -> Subscriptions:
        """The machine under test: one of your own, or the one in a driver."""
        return Subscriptions(**settings)

    @rule(prefix=tags)
    def add(self, prefix: bytes) -> None:
        self.subscriptions.add(prefix)
        self.model[prefix] += 1

    @rule(prefix=tags)
    def remove(self, prefix: bytes) -> None:
        assert self.subscriptions.remove(prefix) == (self.model[prefix] == 1)
        self.model[prefix] = max(0, self.model[prefix] - 1)

    @rule(prefix=tags, begins=st.booleans())
    def repeat(self, prefix: bytes, begins: bool) -> None:
        count = self.model[prefix]
        stays = count > 0 if begins else count > 1
        assert self.subscriptions.repeat(prefix, begins) == stays
        if stays:
            self.model[prefix] += 1 if begins else -1

    @invariant()
    def agrees(self) -> None:
        wanted = +self.model
        assert len(self.subscriptions) == len(wanted)
        for tag in TAGS:
            assert (tag in self.subscriptions) == (tag in wanted)
            for publication in ((tag, b"b"), (tag, b"")):
                wire = b"\0".join(publication)
                fits = any(wire.startswith(prefix) for prefix in wanted)
                assert self.subscriptions.wants(publication) == fits
                for prefix in TAGS:
                    orphaned = wire.startswith(prefix) and not fits
                    assert self.subscriptions.orphaned(publication, prefix) == orphaned


class LastValuesMachine(RuleBasedStateMachine):
    """Publications are kept while peers subscribe, and what they want is sent in parts."""

    MOST = 3

    def __init__(self) -> None:
        super().__init__()
        self.values = self.make(most=self.MOST)
        self.model: dict[bytes, list[bytes]] = {}
        # The prefixes and the signs of the next round.
        self.next: tuple[set[bytes], list[bytes]] = set(), []
        self.round: tuple[set[bytes], list[bytes], list[bytes]] | None = None  # and its tags
        self.count = 0

    def make(self, **settings: Any) -> LastValues:
        """The machine under test: one of your own, or the one in a driver."""
        return LastValues(**settings)

    @rule(tag=tags)
    def keep(self, tag: bytes) -> None:
        self.count += 1
        self.model.pop(tag, None)
        self.model[tag] = [tag, b"%d" % self.count]
        self.values.keep(tag, self.model[tag])
        if len(self.model) > self.MOST:
            del self.model[next(iter(self.model))]

    @rule(prefix=tags)
    def a_peer_subscribes(self, prefix: bytes) -> None:
        self.values.wanted(prefix)
        self.next[0].add(prefix)

    @rule()
    def a_sign_is_to_follow(self) -> None:
        self.count += 1
        self.values.then(b"%d" % self.count)
        self.next[1].append(b"%d" % self.count)

    @rule(most=st.integers(1, 4), look=st.integers(1, 4), size=st.integers(1, 9))
    def a_part_is_sent(self, most: int, look: int, size: int) -> None:
        if self.round is None:
            prefixes, signs = self.next
            self.round = prefixes, signs, list(self.model) if prefixes else []
            self.next = set(), []
        prefixes, signs, left = self.round
        left, expected, looked, taken = left[:], list[list[bytes]](), 0, 0
        while left and looked < look and len(expected) < most and taken < size:
            tag, looked = left.pop(0), looked + 1
            if tag in self.model and tag.startswith(tuple(prefixes)):
                expected.append(self.model[tag])
                taken += len(b"".join(expected[-1]))
        # Only who could have looked further knows that there is no further tag.
        ends = looked < look and len(expected) < most and taken < size
        now = signs[: most - len(expected)] if ends else []
        assert self.values.part(most, look, size) == (expected, now)
        self.round = prefixes, signs[len(now) :], left
        if ends and now == signs:
            self.round = None

    @rule()
    def close(self) -> None:
        self.values.close()
        self.model.clear()
        self.next, self.round = (set(), []), None

    @invariant()
    def agrees(self) -> None:
        assert len(self.values) == len(self.model)
        assert self.values.pending == (self.round is not None or any(self.next))
        found = [each for each in self.values.matching({b"a"}) if each is not None]
        assert found == [each for tag, each in self.model.items() if tag.startswith(b"a")]
