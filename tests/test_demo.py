"""``python -m zmqbridge demo`` as a user runs it: its table, its failures, and what it leaves."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import zmqbridge
from zmqbridge._cli.demo import IPC_PATH
from zmqbridge._cli.demo_plan import Incoming, bodies

MANY = 60_000  # messages that take some seconds, so that there is something to interrupt
ROW = re.compile(
    r"(publish|push|request|route) +(Twisted|asyncio) [→⇄] (Twisted|asyncio)"
    r" +([\d,–]+) +([\d,–]+) +([\d,–]+) +([\d,–]+) +([\d,]+)"
)
INTERRUPTED = "Interrupted; both processes are stopped."


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary folder with a short name, because ipc addresses are; empty at the end."""
    with tempfile.TemporaryDirectory(prefix="zb") as name:
        yield Path(name)
        left = [path for path in Path(name).iterdir() if path.name != "sabotage"]
        assert left == []


def start(folder: Path | str, *arguments: Any, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-m", "zmqbridge", *map(str, arguments)]
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONWARNINGS": "error"}
    environment |= {"PYTHONIOENCODING": "utf-8", "TERM": "xterm", **options.pop("env", {})}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen(command, env=environment, **options)


def run(folder: Path, *arguments: Any, **options: Any) -> tuple[int, str, str]:
    with start(folder, *arguments, **options) as demo:
        out, err = demo.communicate(timeout=50)
    return demo.returncode, out, err


def begun(folder: Path | str, **options: Any) -> subprocess.Popen[str]:
    """A demo whose first flow is done; where a busy machine makes one give up before, another."""
    for attempts_left in (2, 1, 0):
        demo, lines = start(folder, "demo", "--count", MANY, **options), [""]
        while line := demo.stdout.readline():
            if ROW.match(line):
                return demo
            lines.append(line)
        _, err = demo.communicate(timeout=10)
        stalled = any("FAILED: nothing new for " in line for line in lines)
        assert stalled, (lines, err)
        assert attempts_left, lines
    raise AssertionError


@contextlib.contextmanager
def under_way(folder: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, int]]]:
    """A demo whose first flow is done; whatever becomes of it, no process of it may be left."""
    with begun(folder, start_new_session=True) as demo:
        try:
            children = children_of(demo.pid)
            assert sorted(children) == ["asyncio", "twisted"]
            yield demo, children
        finally:
            demo.kill()
    for pid in children.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def children_of(parent: int) -> dict[str, int]:
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    )
    processes = (line.split(None, 2) for line in listed.stdout.splitlines())
    return {
        re.search("demo_([a-z]+)", args)[1]: int(pid)
        for pid, ppid, args in processes
        if int(ppid) == parent
    }


def number(cell: str) -> int:
    return 0 if cell == "–" else int(cell.replace(",", ""))


def check_table(out: str, count: int) -> None:
    rows = ROW.findall(out)
    filtered = count // 4
    due = {
        "publish": (count, count - filtered, filtered, 0),
        "push": (count, count, 0, 0),
        "request": (count + 1, count, 0, 1),
        "route": (count, count, 0, 0),
    }
    directions = [("Twisted", "asyncio"), ("asyncio", "Twisted")]
    assert [row[:3] for row in rows] == [(name, *way) for name in due for way in directions]
    for name, _, _, *cells, speed in rows:
        assert tuple(map(number, cells)) == due[name]
        assert number(speed) >= 0  # a single message may take longer than a second
    assert f"All {8 * count + 2:,} messages are accounted for, in " in out


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
@pytest.mark.parametrize("count", [1, 1203])
def test_every_message_is_accounted_for(folder: Path, transport: str, count: int) -> None:
    status, out, err = run(folder, "demo", "--count", count, "--transport", transport)
    assert (status, err) == (0, ""), out
    assert f"over {transport}:" in out
    assert "\r" not in out  # no terminal, so only lines that stay
    check_table(out, count)


def test_the_default_takes_less_than_15_seconds(folder: Path) -> None:
    began = time.monotonic()
    status, out, err = run(folder, "demo")
    assert (status, err) == (0, "")
    share = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # others at work for each core
    assert time.monotonic() - began < 15 * share
    check_table(out, 10_000)


def test_on_a_terminal_a_line_is_rewritten_in_place(folder: Path) -> None:
    ours, theirs = pty.openpty()
    with start(folder, "demo", stdout=theirs) as demo:
        os.close(theirs)
        written = b""
        with contextlib.suppress(OSError):  # EIO: the other side has closed
            while some := os.read(ours, 65536):
                written += some
        os.close(ours)
        assert demo.wait(10) == 0
    shown = written.decode()
    # Which flows take long enough to be seen is up to the machine.
    assert re.search(r"\r\x1b\[K\w+ +\w+ [→⇄] \w+ +[█░]{40} +\d+%\r\x1b\[K", shown)
    check_table(shown, 10_000)


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["to the parent", "as a terminal does"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_of_it(
    folder: Path, send: Callable[..., Any], number: signal.Signals
) -> None:
    with under_way(folder) as (demo, _):
        send(demo.pid, number)
        out, err = demo.communicate(timeout=60)
        assert (demo.returncode, err) == (128 + number, "")
        assert out.endswith(f"{INTERRUPTED}\n")


@pytest.mark.parametrize("who", ["asyncio", "twisted"])
def test_a_process_that_dies_is_named_with_what_is_missing(folder: Path, who: str) -> None:
    with under_way(folder) as (demo, children):
        os.kill(children[who], signal.SIGKILL)
        out, err = demo.communicate(timeout=60)
        assert (demo.returncode, err) == (1, "")
        name = {"twisted": "Twisted"}.get(who, who)
        assert re.search(
            rf"FAILED: the {name} process was ended by SIGKILL; "
            r"missing: [a-z]+ \w+ [→⇄] \w+: .*\d+ not (received (back )?by|timed out at)",
            out,
        )


def test_a_process_that_stalls_is_noticed(folder: Path) -> None:
    with under_way(folder) as (demo, children):
        os.kill(children["asyncio"], signal.SIGSTOP)
        out, err = demo.communicate(timeout=60)
        assert (demo.returncode, err) == (1, "")
        assert re.search(r"nothing new for 6 seconds; missing: .*\d+ not received (back )?by", out)


def test_when_the_parent_is_killed_the_others_end_too() -> None:
    with tempfile.TemporaryDirectory(prefix="zb") as folder:  # nobody is there to empty it
        with begun(folder) as demo:
            children = children_of(demo.pid)
            demo.kill()
        end = time.monotonic() + 10
        while any(map(is_running, children.values())):
            assert time.monotonic() < end
            time.sleep(0.05)


def is_running(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return state.stdout.strip()[:1] not in ("", "Z")


SABOTAGE = """
import sys
if "zmqbridge._cli.demo_asyncio" in sys.orig_argv:
    from zmqbridge.asyncio_backend import Publisher
    publish = Publisher.publish
    def lose_one(self, body, tag):
        if body != b"message 501":
            publish(self, body, tag)
    Publisher.publish = lose_one
"""


def test_a_lost_message_is_a_failure(folder: Path) -> None:
    sabotage = folder / "sabotage"
    sabotage.mkdir()
    (sabotage / "sitecustomize.py").write_text(SABOTAGE)
    path = f"{sabotage}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    status, out, _ = run(folder, "demo", "--count", "1000", env={"PYTHONPATH": path})
    assert status == 1
    assert (
        "FAILED: the Twisted process reports: publish asyncio → Twisted: "
        "b'message 501' was due, and b'message 502' came" in out
    )


def test_a_message_after_the_last_is_a_problem() -> None:
    told: list[dict[str, Any]] = []
    incoming = Incoming(told.append, "push-Twisted", bodies(1))
    incoming.take(b"message 0")
    assert told == [{"flow": "push-Twisted", "received": 1}]
    incoming.take(b"message 0")
    assert "nothing more" in told[1]["problem"]


def test_a_reader_who_leaves_leaves_nothing_behind(folder: Path) -> None:
    with start(folder, "demo", "--count", MANY) as demo:
        demo.stdout.close()
        assert demo.wait(20) == 141
        assert demo.stderr.read() == ""


def test_alone_it_prints_its_usage(folder: Path) -> None:
    status, out, err = run(folder)
    assert (status, err) == (0, "")
    assert "usage: python -m zmqbridge" in out
    assert "demo" in out


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["demo", "--count", "0"], "'0': give a whole number from 1 on"),
        (["demo", "--count", "many"], "'many': give a whole number from 1 on"),
        (["demo", "--transport", "pigeon"], "choose from"),
        (["demonstrate"], "choose from"),
    ],
)
def test_bad_options_are_told_what_to_do(folder: Path, arguments: list[str], hint: str) -> None:
    status, out, err = run(folder, *arguments)
    assert (status, out) == (2, "")
    assert hint in err


def test_where_a_folder_is_too_long_for_ipc_tcp_is_taken(folder: Path) -> None:
    long = folder / ("x" * 80)
    try:
        long.mkdir()
        assert "over tcp:" in run(long, "demo", "--count", "1")[1]
        status, out, err = run(long, "demo", "--count", "1", "--transport", "ipc")
        assert (status, out) == (2, "")
        assert "use --transport tcp" in err
    finally:
        long.rmdir()


def test_it_runs_from_an_archive(folder: Path, tmp_path: Path) -> None:
    package = Path(zmqbridge.__file__).parent
    with zipfile.ZipFile(tmp_path / "demo.pyz", "w") as archive:
        archive.writestr("__main__.py", "from zmqbridge._cli import main\nmain()\n")
        for path in package.rglob("*.py"):
            archive.write(path, path.relative_to(package.parent))
    environment = {**os.environ, "TMPDIR": str(folder)}
    demo = subprocess.run(
        [sys.executable, tmp_path / "demo.pyz", "demo", "--count", "50"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        cwd=tmp_path,
    )
    assert (demo.returncode, demo.stderr) == (0, "")
    assert demo.stdout.count("request") > 1


@pytest.mark.parametrize(("room", "returncode"), [(IPC_PATH, 0), (IPC_PATH + 1, 2)])
def test_ipc_takes_as_long_a_temporary_folder_as_it_says(
    folder: Path, room: int, returncode: int
) -> None:
    inner = folder / ("x" * (room - len(str(folder)) - 1))
    inner.mkdir()
    ended, _, err = run(inner, "demo", "--transport", "ipc", "--count", "50")
    assert ended == returncode, err
    inner.rmdir()
