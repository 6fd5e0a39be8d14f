"""The option ``--world``: one loop alone is run by its name, and a wrong name is told."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def collected(*arguments: str) -> tuple[int, Counter[str], subprocess.CompletedProcess[str]]:
    """The exit status, how many cases each world has, and what was said."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    cases = [line for line in done.stdout.splitlines() if "::" in line]
    worlds = [case.partition("[")[2].rstrip("]").partition("-")[0] for case in cases]
    return done.returncode, Counter(worlds), done


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["--world", "asyncio"], {"asyncio"}),
        (["--world=asyncio,trio", "--world", "poll"], {"asyncio", "trio", "poll"}),
    ],
)
def test_worlds_are_chosen_by_their_whole_name_and_variants_in_full(
    given: list[str], wanted: set[str]
) -> None:
    status, cases, _ = collected(*given, "tests/contract/test_patterns.py")
    assert status == 0
    assert set(cases) == wanted
    assert len(set(cases.values())) == 1


def test_the_facade_beside_plain_peers_is_in_the_world_of_its_reactor() -> None:
    _, cases, _ = collected("--world=epoll", "tests/interop/test_plain.py")
    assert set(cases) == {"epoll", "facade on epoll"}


def test_an_unknown_world_is_an_error_that_lists_the_worlds() -> None:
    status, cases, done = collected("--world", "asyncoi,trio", "tests/contract/test_patterns.py")
    assert status == pytest.ExitCode.USAGE_ERROR
    assert not cases
    assert "there is no world asyncoi; the worlds are asyncio, debug, uvloop," in done.stderr
