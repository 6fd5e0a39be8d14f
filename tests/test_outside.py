"""A project of its own finds its bug by the fixture and seeds, and replays it by its command."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.timeout(200)  # PyPy, on a busy machine; mostly they take seconds


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "tests/outside", tmp_path / "outside"))


def run(project: Path, *options: str, hash_seed: str = "0") -> str:
    """What pytest says of the project, which finds the plugin as an installed one."""
    plugin = ["-p", "zmqbridge.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugin, *options],
        cwd=project, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed},
        capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def section(output: str) -> str:
    """What a failure shows of the network."""
    found = re.search(r"-- simulated network --+\n(.*?)\nreplay it", output, re.S)
    assert found, output
    return found[1]


def test_a_project_of_its_own_finds_its_bug_and_replays_it(project: Path) -> None:
    seeds = run(project, "--zmq-seeds", "12")
    assert "rootdir: " + str(project) in seeds  # its own pyproject.toml counts
    failed = re.findall(r"^FAILED .*::(\w+)\[seed(\d+)\]", seeds, re.M)
    assert {name for name, _ in failed} == {"test_each_piece_is_sold_once"}, seeds
    assert 0 < len(failed) < 12

    command = re.search(r"^replay it: pytest (.+)$", seeds, re.M)
    assert command
    for hash_seed in "1", "2":
        again = run(project, *shlex.split(command[1]), hash_seed=hash_seed)
        assert "1 failed" in again
        assert section(again) == section(seeds)

    spared = min(set(map(str, range(12))) - {seed for _, seed in failed})
    assert "2 passed" in run(project, "--zmq-seed", spared)
