"""What the command line draws on a terminal by the extra [rich], and never elsewhere."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import zmq

pty = pytest.importorskip("pty", reason="Windows has no such terminals")
pytest.importorskip("rich")

BOUND = 50  # seconds
WITHOUT = (
    "import sys; sys.modules['rich'] = None; from zmqbridge._cli import main; sys.exit(main())"
)
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(
    arguments: Sequence[object], program: Sequence[str] = ("-m", "zmqbridge"), **environment: str
) -> tuple[int, str]:
    """The exit status of a command, and what it draws on a terminal of 80 columns."""
    ours, its = pty.openpty()
    surrounding = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    with subprocess.Popen(
        [sys.executable, "-W", "error", *program, *map(str, arguments)],
        stdin=subprocess.DEVNULL, stdout=its, stderr=its,
        env={**surrounding, "TERM": "xterm-256color", "COLUMNS": "80", **environment},
    ) as process:  # fmt: skip
        os.close(its)
        drawn, end = b"", time.monotonic() + BOUND
        try:
            while time.monotonic() < end:
                if select.select([ours], [], [], 0.1)[0]:
                    if not (chunk := os.read(ours, 65536)):
                        break
                    drawn += chunk
        except OSError:  # Linux says so when the other side has been closed
            pass
        finally:
            os.close(ours)
            process.kill() if time.monotonic() >= end else process.wait(BOUND)
    return process.returncode, drawn.decode().replace("\r\n", "\n")


@pytest.fixture
def pusher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a pusher that has one message for whoever comes first."""
    monkeypatch.chdir(tmp_path)
    return "ipc://it"


def pushed(address: str, *parts: bytes, **more: str) -> tuple[int, str]:
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.linger = 0
        socket.bind(address)
        socket.setsockopt(zmq.SNDTIMEO, BOUND * 1000)
        socket.setsockopt(zmq.IMMEDIATE, 0)
        # It is sent when the command has connected.
        arguments = ["pull", "-c", address, "--count", "1"]
        sending = threading.Thread(target=socket.send_multipart, args=[list(parts)])
        sending.start()
        try:
            return on_terminal(arguments, **more)
        finally:
            sending.join()


def test_no_message_does_something_to_the_terminal(pusher: str) -> None:
    assert pushed(pusher, b"a\x1b[2J\x07\x9b\r\xffz") == (0, "a\\x1b[2J\\x07\\x9b\\x0d\\xffz\n")


def test_the_tag_of_a_publication_has_a_colour(pusher: str) -> None:
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.linger = 0
        socket.bind(pusher)

        def publish() -> None:
            assert socket.poll(BOUND * 1000)
            assert socket.recv() == b"\x01clock"
            socket.send_multipart([b"clock\x00noon"])

        publishing = threading.Thread(target=publish)
        publishing.start()
        status, drawn = on_terminal(["sub", "-c", pusher, "clock", "--count", "1"])
        publishing.join()
    assert status == 0
    assert re.fullmatch(r"\x1b\[[0-9;]+mclock\x1b\[0m\s+noon\n", drawn), drawn


def test_json_is_still_the_same_json_under_its_colours(pusher: str) -> None:
    status, drawn = pushed(pusher, b"x" * 200, b"\xff\x00")
    assert status == 0
    assert CODES.sub("", drawn).startswith("x" * 200)  # one line, wider than the terminal
    assert drawn.count("\n") == 1


@pytest.mark.parametrize(
    "how", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"program": ("-c", WITHOUT)}], ids=str
)
def test_who_wants_none_of_it_gets_plain_lines(how: dict[str, object]) -> None:
    status, drawn = on_terminal(["ping", "ipc://nobody"], **how)  # type: ignore[arg-type]
    assert status == 2
    assert drawn.startswith("ipc://nobody: nothing listens there")
    assert "\x1b" not in drawn


def test_a_verdict_has_a_colour_on_a_terminal_and_none_in_a_pipe() -> None:
    status, drawn = on_terminal(["ping", "ipc://nobody"])
    assert (status, drawn[:5]) == (2, "\x1b[31m")
    piped = subprocess.run(
        [sys.executable, "-m", "zmqbridge", "ping", "ipc://nobody"],
        env={**os.environ, "FORCE_COLOR": "1", "TERM": "xterm"}, capture_output=True, timeout=BOUND,
    )  # fmt: skip
    assert (piped.returncode, piped.stdout) == (2, b"")
    assert piped.stderr.startswith(b"ipc://nobody: nothing listens there")


def test_the_figures_of_a_benchmark_are_a_table_on_a_terminal() -> None:
    status, drawn = on_terminal(["bench", "req", "--count", "5", "--transport", "ipc"])
    text = CODES.sub("", drawn)
    assert status == 0
    assert "─" in text
    assert re.search(r"\bmessages +5\b", text)
    status, drawn = on_terminal(["bench", "req", "--count", "5", "--json"])
    assert json.loads(drawn)["messages"] == 5
