"""Where there is no POSIX: Windows, imitated (tests/imitation), and for the tests macOS."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
BOUND = 180  # seconds; each takes one or two
pytestmark = pytest.mark.timeout(200)  # PyPy, on a busy machine

IT_IS_ONE = """
import errno, os, select, selectors, signal, socket

import pytest
import zmq

for module, name in [
    (os, "fork"), (os, "register_at_fork"), (os, "sched_setscheduler"), (os, "SCHED_BATCH"),
    (signal, "SIGHUP"), (socket, "AF_UNIX"), (select, "epoll"), (select, "poll"),
]:
    assert not hasattr(module, name), name
assert selectors.DefaultSelector is selectors.SelectSelector
with pytest.raises(OSError):
    os.listdir("/proc/self/task")
with pytest.raises(OSError):
    open("/proc/self/stat")
assert errno.EADDRINUSE == 10048 != zmq.EADDRINUSE
assert errno.EHOSTUNREACH == 10065 != zmq.EHOSTUNREACH
"""


not_on_pypy = pytest.mark.skipif(
    sys.implementation.name == "pypy", reason="there ssl needs poll, and listing is not audited"
)


def windows(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an imitation of Python on Windows."""
    path = os.pathsep.join([str(TESTS / "imitation"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        env={**os.environ, "PYTHONPATH": path.rstrip(os.pathsep), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        timeout=BOUND,
    )


@not_on_pypy
def test_what_is_taken_away_is_not_there() -> None:
    ran = windows("-c", IT_IS_ONE)
    assert (ran.returncode, ran.stderr) == (0, "")


@not_on_pypy
def test_nobody_is_asked_how_a_connection_is() -> None:
    ran = windows("-c", "from zmqbridge._bridge import patrol; assert not patrol.TELLS")
    assert (ran.returncode, ran.stderr) == (0, "")


@not_on_pypy
@pytest.mark.parametrize("backend", ["asyncio", "twisted"])
def test_both_backends(backend: str) -> None:
    ran = windows("-m", "both_backends", backend)
    assert ran.stderr == ""
    assert (ran.returncode, ran.stdout) == (0, "done\n")


def test_the_facade() -> None:
    ran = windows("-m", "facade")
    assert ran.stderr == ""
    assert (ran.returncode, ran.stdout) == (0, "done\n")


@not_on_pypy
@pytest.mark.parametrize("transport", [[], ["--transport", "tcp"]])
def test_the_demo(transport: list[str]) -> None:
    ran = windows("-m", "zmqbridge", "demo", "--count", "50", *transport)
    assert (ran.stderr, ran.returncode) == ("", 0), ran.stdout
    assert "over tcp:" in ran.stdout
    assert "All 402 messages are accounted for" in ran.stdout


def test_the_demo_says_what_is_not_there() -> None:
    ran = windows("-m", "zmqbridge", "demo", "--transport", "ipc")
    assert (ran.stdout, ran.returncode) == ("", 2)
    assert "use --transport tcp" in ran.stderr


MACOS = """
import os, select, sys
del select.epoll, os.sched_setscheduler
def without_proc(event, args):
    if event in ("open", "os.listdir", "os.scandir"):
        assert not str(args[0]).startswith("/proc"), args
sys.addaudithook(without_proc)
import pytest
sys.exit(pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", sys.argv[1]]))
"""


def test_on_macos_the_tests_can_be_collected() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", MACOS, str(TESTS)], capture_output=True, text=True, timeout=BOUND
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
