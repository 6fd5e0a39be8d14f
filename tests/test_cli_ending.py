"""How each command ends: with a reader that goes, a full disk, a closed output, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zmq

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and pipes of another kind")

BOUND = 50  # seconds
# As the script that pip installs, which leaves Ctrl-C as Python has it.
SCRIPT = "import sys; from zmqbridge._cli import main; sys.argv[0] = 'zmqbridge'; sys.exit(main())"
PRINT = {
    "ping": ["ping", "{there}", "--timeout", "20"],
    "keygen": ["keygen", "server"],
    "bench": ["bench", "push", "--count", "10"],
    "migrate": ["migrate", "--diff", "old.py"],
    "top": ["top", "{there}", "--timeout", "0.1", "--count", "1"],
    "proxy": ["proxy", "pubsub", "ipc://front", "ipc://back", "--statistics", "0.1"],
    "demo": ["demo", "--count", "10"],
}


def command(name: str, folder: Path, there: str) -> list[str]:
    """A command that prints something, to be run in this folder."""
    if name == "migrate":
        pytest.importorskip("libcst")
        (folder / "old.py").write_text("import txzmq\n")
    return [sys.executable, "-c", SCRIPT, *(each.format(there=there) for each in PRINT[name])]


@pytest.fixture
def there(tmp_path: Path) -> Any:
    with zmq.Context() as context, context.socket(zmq.PULL) as puller:
        port = puller.bind_to_random_port("tcp://127.0.0.1")
        yield f"tcp://127.0.0.1:{port}"


@pytest.mark.parametrize("name", PRINT)
def test_a_reader_that_has_gone_is_a_status_and_no_traceback(
    name: str, tmp_path: Path, there: str
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as output:
        done = subprocess.run(
            command(name, tmp_path, there),
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE,
            cwd=tmp_path, timeout=BOUND,
        )  # fmt: skip
    assert (done.returncode, b"Traceback" in done.stderr) == (141, False), done.stderr
    assert b"Broken pipe" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
@pytest.mark.parametrize("name", PRINT)
def test_a_full_disk_is_one_line(name: str, tmp_path: Path, there: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command(name, tmp_path, there),
            stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE,
            cwd=tmp_path, timeout=BOUND,
        )  # fmt: skip
    assert (done.returncode, b"Traceback" in done.stderr) == (2, False), done.stderr
    assert done.stderr.count(b"No space left on device") == 1
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize("name", ["demo", "migrate"])
def test_an_output_that_is_closed_is_one_line(name: str, tmp_path: Path, there: str) -> None:
    shell = ["sh", "-c", 'exec "$@" >&-', "sh", *command(name, tmp_path, there)]
    done = subprocess.run(shell, capture_output=True, cwd=tmp_path, timeout=BOUND)
    said = b"zmqbridge %b: standard output is closed\n" % name.encode()
    assert (done.returncode, done.stderr) == (2, said)


def test_ctrl_c_while_a_server_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(BOUND)
        there = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        words = [sys.executable, "-c", SCRIPT, "ping", there, "--timeout", str(BOUND)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as ping:
            try:
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(BOUND)
                    assert connection.recv(1)  # it has said its greeting, and waits for ours
                    ping.send_signal(signal.SIGINT)
                    assert ping.communicate(timeout=BOUND) == (b"", b"")
            finally:
                ping.kill()
        assert ping.returncode == 130
