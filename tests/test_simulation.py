"""The scenarios, the shop and the planted faults of the simulated network, a few seeds of each."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulated.promises import PROMISES, REAL

ROOT = Path(__file__).parents[1]
BOUND = 180  # seconds
# There are 52 scenarios, and seeds take them by turns. A seed takes four times as long on PyPy,
# which has compiled nothing yet when a process begins: there, half as many are run.
SEEDS = 104 if sys.implementation.name == "cpython" else 52
pytestmark = pytest.mark.timeout(200)  # PyPy, on a busy machine; mostly they take seconds


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True, text=True, timeout=BOUND, check=False,
    )  # fmt: skip


def test_what_is_promised_holds_under_faults() -> None:
    done = run("tests.simulated", "--seeds", f"{SEEDS}", "--processes", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{SEEDS} seeds, 0 failed" in done.stdout


def test_a_seed_says_all_in_every_process() -> None:
    code = "from tests.simulated.player import traced; print(*map(traced, range(%d)))"

    def traced(seed: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", code % (SEEDS // 2)],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            capture_output=True, text=True, timeout=BOUND, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    here, *there = map(traced, ("0", "1", "2"))
    assert there == [here, here]
    assert len(set(here)) > SEEDS // 3


def test_a_fault_in_the_library_is_found_and_replayed_by_its_seed() -> None:
    done = run("tests.simulated.planted", "--seeds", "54", "--only", "another caller")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 were noticed" in done.stdout


def test_each_planted_fault_has_its_place_in_the_library() -> None:
    code = (
        "from tests.simulated.planted import FAULTS, ROOT\n"
        "for each in FAULTS:\n"
        "    text = (ROOT / 'zmqbridge' / each.file).read_text()\n"
        "    assert each.right in text and each.right != each.wrong, each\n"
        "print(len(FAULTS))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 40


def promised() -> list[str]:
    """The rows of the tables of promises, without the names of their tests."""
    text = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if row not in ("promise", "---")]


def test_each_promise_has_its_scenario_or_a_reason_why_not() -> None:
    rows = promised()
    assert len(rows) > 80
    for shown in PROMISES:
        those = [row for row in rows if row.startswith(shown.promise)]
        assert len(those) == 1, (shown, those)
        rows.remove(those[0])
        assert bool(shown.scenarios or shown.contract) != bool(shown.real), shown
        if shown.contract:
            text = (ROOT / "tests/contract" / shown.contract).read_text(encoding="utf-8")
            assert not re.search(r"^pytestmark = pytest.mark.real", text, re.M), shown
    assert not rows, "in tests/simulated/promises.py these have no entry"
    assert {shown.real for shown in PROMISES if shown.real} == REAL
    assert sum(bool(shown.scenarios) for shown in PROMISES) > 45
    code = (
        "from tests.simulated import player\n"
        "from tests.simulated.stage import SCENARIOS\n"
        "print(*[each.__name__ for each in SCENARIOS])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    there = set(done.stdout.split())
    assert {name for shown in PROMISES for name in shown.scenarios} <= there


def shop(version: str) -> subprocess.CompletedProcess[str]:
    plain = ["-p", "zmqbridge.pytest_plugin", "-c", os.devnull, "--rootdir", "examples/shop"]
    strangers = [f"-pno:{name}" for name in ("cacheprovider", "hypothesispytest", "xdist")]
    return run("pytest", *plain, *strangers, "examples/shop", SHOP=version)


def test_the_bugs_of_the_shop_are_found() -> None:
    done = shop("shop")
    failed = re.findall(r"^FAILED \S*::(\w+)", done.stdout, re.M)
    assert failed == [
        "test_each_order_is_charged_once",
        "test_the_gateway_hears_of_each_new_price",
        "test_nothing_is_left_of_an_order_that_failed",
    ], done.stdout
    assert "replay it: pytest --zmq-seed 0" in done.stdout


def test_the_mended_shop_has_none() -> None:
    done = shop("mended")
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
