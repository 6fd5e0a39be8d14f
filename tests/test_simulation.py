"""The scenarios, the shop and the planted faults of the simulated network, a few seeds of each."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BOUND = 180  # seconds
# There are 49 scenarios, and seeds take them by turns. A seed takes four times as long on PyPy,
# which has compiled nothing yet when a process begins: there, half as many are run.
SEEDS = 98 if sys.implementation.name == "cpython" else 49
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
