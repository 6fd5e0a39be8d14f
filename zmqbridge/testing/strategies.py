"""Strategies for Hypothesis: messages, tags, addresses, faults between nodes, and programs."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from zmq import SocketType

from zmqbridge.testing._checks import several, whole
from zmqbridge.testing._types import FITS
from zmqbridge.testing.differential._programs import Program
from zmqbridge.testing.differential._writing import FAMILIES, TRANSPORTS, written
from zmqbridge.testing.faults import CALM, SHORTEST, Fault, check_plan, spared

ATTEMPTS = 10  # to write a program in which at least two sockets can talk to each other
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

    Raises:
        TypeError: a number is no whole one.
        ValueError: a number is too small.
    """
    whole("most", most, whole("least", least, 0))
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
        TypeError: the transports are no list.
        ValueError: a transport is not simulated.
    """
    ports = st.integers(1024, 65535)
    kinds = {
        "tcp": ports.map("tcp://127.0.0.1:{}".format),
        "ipc": ports.map("ipc:///tmp/socket{}".format),
        "inproc": ports.map("inproc://{}".format),
    }
    for transport in several("transports", transports, "transports", str):
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
        TypeError: an argument is of another type.
        ValueError: there are not two nodes, there is no such kind, or a time is out of range.
    """
    whole("most", most, 0)
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


def programs(
    kinds: Collection[str] = (), transports: Sequence[str] = TRANSPORTS
) -> SearchStrategy[Program]:
    """Programs of calls on plain sockets: they bind, send, receive, close and open again.

    `zmqbridge.testing.differential.on_model` plays one on the simulated network, and
    `zmqbridge.testing.differential.differing` on libzmq as well.

    Args:
        kinds: the names of the socket types, as ``"ROUTER"``; by default some that go together.
        transports: some of ``"tcp"``, ``"ipc"`` and ``"inproc"``.

    Raises:
        TypeError: the kinds or the transports are no list.
        ValueError: a kind or a transport is not simulated, or no two of the kinds go together.
    """
    known = {kind for family in FAMILIES.values() for kind in family}
    for what, those, possible in (
        ("kind", kinds, known), ("transport", transports, TRANSPORTS),
    ):  # fmt: skip
        for each in several(f"{what}s", those, f"{what}s", str):
            if each not in possible:
                raise ValueError(f"{what} {each!r}: give some of {', '.join(sorted(possible))}")
    types = {SocketType[kind] for kind in kinds}
    if kinds and not any(FITS[kind] & types for kind in types):
        raise ValueError(f"kinds={kinds!r}: no two of them talk to each other")
    families = [sorted(kinds)] if kinds else list(FAMILIES.values())
    return _program(families, list(transports))


@st.composite
def _program(draw: st.DrawFn, families: Sequence[Sequence[str]], transports: list[str]) -> Program:
    seed = draw(st.integers(0, 2**32 - 1))
    kinds, transport = draw(st.sampled_from(families)), draw(st.sampled_from(transports))
    random = draw(st.randoms(use_true_random=False))
    for _ in range(ATTEMPTS):
        program = written(random, seed, kinds, transport)
        if program is not None:
            return program
    reject()
