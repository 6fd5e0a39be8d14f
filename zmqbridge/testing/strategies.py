"""Strategies for Hypothesis: messages, tags, addresses, and faults between nodes."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from zmqbridge.testing.faults import CALM, SHORTEST, Fault, check_plan, spared

# Parts that programs tend to get wrong: an empty one, NUL, the bytes of a subscription, long ones.
PARTS = [b"", b"\0", b"\1", b"\0tag", b"a", b"a\0b", b"\xff" * 9, b"x" * 300]


def parts() -> SearchStrategy[bytes]:
    """One part of a message."""
    return st.sampled_from(PARTS) | st.binary(max_size=20)


def messages(least: int = 1, most: int = 5) -> SearchStrategy[list[bytes]]:
    """A message: a list of parts.

    Args:
        least: the least number of parts.
        most: the largest number of parts.
    """
    return st.lists(parts(), min_size=least, max_size=most)


def tags() -> SearchStrategy[bytes]:
    """The tag of a publication, without NUL, which ends a tag in the joined form."""
    short = st.text("ab.", max_size=4).map(str.encode)
    return short | st.binary(max_size=8).filter(lambda tag: b"\0" not in tag)


def addresses(transports: Sequence[str] = ("tcp", "ipc", "inproc")) -> SearchStrategy[str]:
    """An address that can be bound and connected to.

    Args:
        transports: the transports to choose from.

    Raises:
        ValueError: a transport is not simulated.
    """
    ports = st.integers(1024, 65535)
    kinds = {
        "tcp": ports.map("tcp://127.0.0.1:{}".format),
        "ipc": ports.map("ipc:///tmp/socket{}".format),
        "inproc": ports.map("inproc://{}".format),
    }
    for transport in transports:
        if transport not in kinds:
            raise ValueError(f"transport {transport!r}: give some of {', '.join(kinds)}")
    return st.one_of([kinds[transport] for transport in transports])


def faults(
    nodes: Sequence[str],
    until: float = 5.0,
    kinds: Sequence[str] = CALM,
    most: int = 5,
    longest: float | None = None,
) -> SearchStrategy[list[Fault]]:
    """Some faults, for `zmqbridge.testing.faults.apply`; each is over by `until`.

    The node ``"main"``, which runs the test, is never restarted.

    Args:
        nodes: the names of the nodes, at least two.
        until: in seconds.
        kinds: the kinds to choose from, see `Fault`.
        most: the largest number of faults.
        longest: how many seconds a fault lasts at most, by default half of `until`. Let it be
            longer than the timeouts of your program.

    Raises:
        ValueError: there are not two nodes, there is no such kind, or a time is out of range.
    """
    longest = min(check_plan(nodes, until, kinds, longest), until)
    return st.lists(
        _fault(list(dict.fromkeys(nodes)), until, list(kinds), longest), max_size=most
    ).map(sorted)


@st.composite
def _fault(
    draw: st.DrawFn, names: list[str], until: float, kinds: list[str], longest: float
) -> Fault:
    kind = draw(st.sampled_from(kinds))
    a, b = draw(st.permutations(names))[:2]
    lasts = draw(st.floats(min(SHORTEST, longest), longest))
    return spared(Fault(draw(st.floats(0, until - lasts)), kind, a, b, lasts))
