"""The simulated network and libzmq, by the same programs: what comes of the one is what may come of
the other."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import zmq

from zmqbridge.testing import NotSimulated
from zmqbridge.testing._turns import Turns
from zmqbridge.testing.differential._command import differs
from zmqbridge.testing.differential._fixed import fixed
from zmqbridge.testing.differential._judging import differing, is_steady, on_model, parting
from zmqbridge.testing.differential._playing import Observed
from zmqbridge.testing.differential._programs import Program, Spec, Step, valid
from zmqbridge.testing.differential._writing import TRANSPORTS, generate

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="no /proc")
FIXED = {each.name: each for each in fixed()}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_random_programs_come_out_alike(transport: str) -> None:
    found = differing([generate(seed, transports=[transport]) for seed in range(1000, 1030)])
    assert not found, str(found[0])


@pytest.fixture(scope="module")
def differences() -> dict[str, object]:
    """What differs, by the name of each program that was written by hand."""
    with ThreadPoolExecutor(6) as pool:
        return dict(
            zip(FIXED, pool.map(lambda name: differs(FIXED[name], "tcp"), FIXED), strict=True)
        )


@pytest.mark.parametrize("name", FIXED)
def test_what_is_known_of_libzmq_holds_of_the_model(
    name: str, differences: dict[str, object]
) -> None:
    assert differences[name] is None


@pytest.mark.parametrize(
    "name",
    ["closing at the mark", "closing before all is read", "sending to who has closed"],
)
def test_what_differs_between_tcp_and_ipc_does_so_in_the_model(name: str) -> None:
    assert differs(FIXED[name], "ipc") is None


def test_a_program_is_made_by_its_seed_alone() -> None:
    assert generate(7) == generate(7) != generate(8)
    assert all(valid(generate(seed)) for seed in range(100))
    code = "from zmqbridge.testing.differential._writing import generate; print(generate(7))"
    for seed in "12":
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert done.stdout == f"{generate(7)}\n"


def test_a_difference_is_noticed_and_freedom_is_not() -> None:
    steps = [Step("send", 0, (1,)), Step("receive", 1, 100)]
    sent, received = Observed(["ok"], {1: True}), Observed([(b"0.1.0",), "EAGAIN"], {})
    lost = Observed(["EAGAIN"], {})
    assert parting(steps, [sent, received], [sent, received]) is None
    assert parting(steps, [sent, received], [sent, lost]) == 1
    assert parting(steps, [sent, received], [Observed(["ok"], {1: False}), received]) == 0
    # The order between senders is free where not every step waits.
    loose = [steps[0]._replace(settles=False), steps[1]]
    one: list[Any]
    other: list[Any]
    one, other = [(b"0.1.0",), (b"2.1.0",)], [(b"2.1.0",), (b"0.1.0",)]
    assert parting(loose, [sent, Observed(one, {})], [sent, Observed(other, {})]) is None
    assert parting(steps, [sent, Observed(one, {})], [sent, Observed(other, {})]) == 1


def test_what_libzmq_does_now_so_and_now_otherwise_is_a_race() -> None:
    full, room = Observed(["EAGAIN"], {}), Observed(["ok"], {})
    assert is_steady([[full, room], [full, full], [full, full]], 1)
    assert not is_steady([[full, full], [full, full], [full, room]], 1)
    assert is_steady([[full, full], [full, room]], 0)  # only the later step is a race


def play(transport: str, sockets: list[Spec], *steps: tuple[Any, ...]) -> list[Any]:
    program = Program(0, transport, tuple(sockets), tuple(Step(*each) for each in steps))
    return [each.came for each in on_model(program)]


def test_a_writer_is_told_when_half_a_mark_was_read() -> None:
    marks: tuple[tuple[int, int | bytes], ...] = ((zmq.SNDHWM, 2), (zmq.RCVHWM, 2))
    came = play(
        "inproc", [Spec("PUSH", marks), Spec("PULL", marks)],
        ("bind", 0, "a"), ("connect", 1, "a"), ("send", 0, (9,)), ("receive", 1, 1),
        ("send", 0, (9,)), ("receive", 1, 1), ("send", 0, (9,)),
    )  # fmt: skip
    assert came[2] == ["ok"] * 4 + ["EAGAIN"]
    assert came[4] == ["EAGAIN"]  # one was read, which is not told
    assert came[6] == ["ok", "ok", "EAGAIN"]


def test_an_identity_that_is_taken_is_not_heard_without_handover() -> None:
    def came(*options: tuple[int, int | bytes]) -> object:
        name: tuple[tuple[int, int | bytes], ...] = ((zmq.ROUTING_ID, b"one"),)
        return play(
            "tcp", [Spec("ROUTER", options), Spec("DEALER", name), Spec("DEALER", name)],
            ("bind", 0, "a"), ("connect", 1, "a"), ("receive", 0, 1), ("connect", 2, "a"),
            ("receive", 0, 1), ("send", 2, (1,)), ("receive", 0, 9),
        )[-1]  # fmt: skip

    assert came() == ["EAGAIN"]
    assert came((zmq.ROUTER_HANDOVER, 1)) == [(b"one", b"2.6.0"), "EAGAIN"]


@pytest.mark.parametrize("transport", ["tcp", "inproc"])
@pytest.mark.parametrize(
    ("near", "far", "head"),
    [("SUB", "XPUB", b"b"), ("ROUTER", "DEALER", b"b"), ("REP", "DEALER", b"")],
)
def test_what_ends_a_process_is_not_simulated(
    transport: str, near: str, far: str, head: bytes
) -> None:
    sockets = [Spec(far), Spec(near)]
    steps: list[tuple[Any, ...]] = [
        ("bind", 0, "a"), ("connect", 1, "a"), ("subscribe", 1, b""), ("send", 0, (2, head)),
        ("events", 1), ("disconnect", 1, "a"), ("receive", 1, 1),
    ]  # fmt: skip
    if near != "SUB":
        del steps[2]
    with pytest.raises(NotSimulated, match="ends the process"):
        play(transport, sockets, *steps)
    del steps[-3]  # nothing is read ahead
    assert play(transport, sockets, *steps)[-1] == ["EAGAIN"]


def test_a_turn_goes_round_among_those_that_have_something() -> None:
    turns: Any = Turns()  # which does not mind what takes turns
    for end in "abc":
        turns.add(end)
    assert [turns.ends[turns.current], turns.advance(), turns.ends[turns.current]] == [
        "a",
        None,
        "b",
    ]
    turns.deactivate()  # b has no more: c takes its place
    assert turns.ends[turns.current] == "c"
    turns.advance()
    assert turns.ends[turns.current] == "a"
    turns.activate("b")
    turns.activate("b")
    turns.remove("a")
    assert "a" not in turns
    assert turns.active == len(turns.ends) == 2
