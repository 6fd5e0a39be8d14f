"""The option ``--world``: one loop alone is run by its name, and a wrong name is told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PATTERNS = "tests/contract/test_patterns.py"
ASKED = {
    "one": ["--world", "asyncio", PATTERNS],
    "several": ["--world=asyncio,trio", "--world", "poll", PATTERNS],
    "beside the facade": ["--world=epoll", "tests/interop/test_plain.py"],
    "unknown": ["--world", "asyncoi,trio", PATTERNS],
}
pytestmark = pytest.mark.timeout(200)  # PyPy, on a busy machine; mostly they take seconds

# All in one process, as loading what the tests import takes more than a second.
COLLECTOR = """
import contextlib, io, json, sys
import pytest

answers = {}
for name, arguments in json.loads(sys.argv[1]).items():
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *arguments])
    answers[name] = status, out.getvalue(), err.getvalue()
print(json.dumps(answers))
"""


Collected = dict[str, tuple[int, Counter[str], str]]


@pytest.fixture(scope="module")
def collected() -> Collected:
    """Of each of `ASKED`: the exit status, how many cases each world has, and what was said."""
    command = [sys.executable, "-c", COLLECTOR, json.dumps(ASKED)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    found = {}
    for name, (status, out, err) in json.loads(done.stdout).items():
        cases = [line for line in out.splitlines() if "::" in line]
        worlds = [case.partition("[")[2].rstrip("]").partition("-")[0] for case in cases]
        found[name] = status, Counter(worlds), err
    return found


@pytest.mark.parametrize(
    ("asked", "wanted"), [("one", {"asyncio"}), ("several", {"asyncio", "trio", "poll"})]
)
def test_worlds_are_chosen_by_their_whole_name_and_variants_in_full(
    collected: Collected, asked: str, wanted: set[str]
) -> None:
    status, cases, _ = collected[asked]
    assert status == 0
    assert set(cases) == wanted
    assert len(set(cases.values())) == 1


def test_the_facade_beside_plain_peers_is_in_the_world_of_its_reactor(collected: Collected) -> None:
    _, cases, _ = collected["beside the facade"]
    assert set(cases) == {"epoll", "facade on epoll"}


def test_an_unknown_world_is_an_error_that_lists_the_worlds(collected: Collected) -> None:
    status, cases, err = collected["unknown"]
    assert status == pytest.ExitCode.USAGE_ERROR
    assert not cases
    assert "there is no world asyncoi; the worlds are asyncio, debug, uvloop," in err
