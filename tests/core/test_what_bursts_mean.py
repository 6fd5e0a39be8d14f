"""The patterns: what a burst means, and whom it concerns; against plain lists."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from machines import ReceivingMachine, RequestsMachine

from zmqbridge.core._pacing import BURST
from zmqbridge.core.framing import split_request
from zmqbridge.core.patterns import (
    NOTHING,
    Pattern,
    Receiving,
    Requests,
    bytes_from_peer,
    bytes_in,
)
from zmqbridge.errors import MalformedMessage

TestReceiving = ReceivingMachine.TestCase

TestRequests = RequestsMachine.TestCase

bursts = st.lists(st.lists(st.binary(max_size=3), min_size=1, max_size=3), max_size=6)


def is_request(message: list[bytes]) -> bool:
    try:
        split_request(list(message))
    except MalformedMessage:
        return False
    return True


def test_who_only_sends_holds_and_tells_nothing() -> None:
    pattern = Pattern()
    pattern.joined("a link")
    assert pattern.room() == BURST
    assert pattern.feed([[b"x"]]) == ((), NOTHING)
    assert pattern.close([]) == []
    pattern.disown()
    assert pattern.why_silent() == ""
    assert pattern.counts() == {"malformed": 0}


@given(bursts, st.integers(0, 6))
def test_receivers_are_told_in_their_order_and_take_what_came_first(
    burst: list[list[bytes]], waiting: int
) -> None:
    pattern: Receiving[list[bytes], str] = Receiving()
    waiters = [f"waiter {number}" for number in range(waiting)]
    for waiter in waiters:
        pattern.inbox.wait(waiter)
    told, results = pattern.feed(list(burst))
    assert told == waiters[: len(burst)]
    assert list(islice(results, len(told))) == [None] * len(told)
    assert [pattern.inbox.take(waiter) for waiter in told] == burst[: len(told)]
    left = max(0, len(burst) - waiting)
    assert pattern.counts() == {"malformed": 0, "unread": left, "unclaimed": 0, "unwanted": 0}
    assert pattern.close([]) == waiters[len(burst) :]
    assert pattern.unclaimed == left


@given(bursts)
def test_what_is_malformed_is_counted_passed_over_and_to_be_reported(
    burst: list[list[bytes]],
) -> None:
    pattern: Receiving[Any, Any] = Receiving(lambda burst: pattern.split(split_request, burst))
    good = [[b"peer", b"id", b"", b"body"]]
    assert pattern.feed([*burst, *good]) == ([], NOTHING)
    well = list(filter(is_request, burst))
    assert pattern.malformed == len(burst) - len(well)
    assert (pattern.rejected is None) == (len(burst) == len(well))
    assert len(pattern.inbox) == len(well) + 1


def test_how_much_waits_follows_the_mark_the_wish_and_conflate() -> None:
    pattern: Receiving[Any, Any] = Receiving()
    pattern.high = 3
    pattern.limit()
    assert pattern.room() == 3
    pattern.high = 0  # libzmq's word for none
    pattern.limit()
    assert pattern.room() == 1000
    pattern.conflates = True
    pattern.limit()
    assert pattern.room() == 0
    assert Receiving(prefetch=7).room() == 7
    weighed: Receiving[list[bytes], Any] = Receiving(prefetch_bytes=4, weigh=bytes_in)
    weighed.feed([[b"four", b""]])
    assert weighed.room() == 0
    weighed.disown()
    assert len(weighed.inbox) == 0


def test_the_ids_of_requests_are_of_the_world_of_their_link() -> None:
    class Link:
        def random(self) -> Callable[[int], bytes]:
            return bytes

    pattern: Requests[str] = Requests()
    pattern.joined(Link())
    assert pattern.table.wait("one") == bytes(8) + (1).to_bytes(8, "big")


def test_replies_find_their_callers() -> None:
    pattern: Requests[str] = Requests()
    ids = [pattern.table.wait(name) for name in ("one", "two", "three")]
    burst = [[ids[1], b"", b"b"], [b"no", b"delimiter"], [ids[0], b"", b"a"], [ids[1], b"", b"b"]]
    assert pattern.feed(burst) == (["two", "one"], [[b"b"], [b"a"]])
    assert pattern.counts() == {"malformed": 1, "open_requests": 1, "late_replies": 1}
    assert pattern.rejected is not None
    remains: list[Any] = []
    assert pattern.close(remains) == ["three"]
    assert remains


def test_what_a_message_weighs() -> None:
    assert bytes_in([b"ab", b"c"]) == 3
    assert bytes_from_peer((b"peer", [b"ab", b"c"])) == 3
