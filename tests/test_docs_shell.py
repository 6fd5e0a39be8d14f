"""The shell blocks of the pages, run as they stand, and why a few are not.

A block ``sh`` is a script of bash in an empty folder, where ``examples`` is. As with Python, a
comment in front of it may have what is around it, or ``<!-- until Ctrl-C: TEXT -->``: it runs until
it has printed the text, and ends by Ctrl-C. ``<!-- not run: REASON -->`` is for the rest.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from docpages import ROOT, Block, blocks_of, other_ports, pages, with_ports

BOUND = 60  # seconds
SHELL = [block for page in pages() for block in blocks_of(page) if block.language == "sh"]
RUN = [pytest.param(each, id=f"{each.page}:{each.line}") for each in SHELL if not each.unrun]
COMMANDS = {"zmqbridge": "-W error -m zmqbridge", "python": "", "twist": "-m twisted"}
# As the shell is told of what has been ended, and what Twisted says at Ctrl-C.
ENDED = (0, 130, -signal.SIGINT)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where a block runs: its path is short enough for an address of ipc."""
    with tempfile.TemporaryDirectory(prefix="docs-") as name:
        made = Path(name)
        (made / "bin").mkdir()
        for command, options in COMMANDS.items():
            script = made / "bin" / command
            script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {options} "$@"\n')
            script.chmod(0o755)
        (made / "examples").symlink_to(ROOT / "examples")
        yield made


@pytest.mark.skipif(
    shutil.which("bash") is None or sys.implementation.name != "cpython",
    reason="there is no bash, or each start takes seconds",
)
@pytest.mark.parametrize("block", RUN)
def test_each_block_does_what_the_page_says(block: Block, folder: Path) -> None:
    if "migrate" in block.code:
        pytest.importorskip("libcst")
    ports = other_ports([block.program])
    script = with_ports(block.program, ports).replace("ipc:///tmp/", f"ipc://{folder}/")
    out, err = folder / "out", folder / "err"
    with out.open("w") as to, err.open("w") as complaints:
        process = subprocess.Popen(
            ["bash", "-e", "-c", script],
            stdin=subprocess.DEVNULL, stdout=to, stderr=complaints,
            cwd=folder, env={**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
            start_new_session=True,
        )  # fmt: skip
    try:
        end = time.monotonic() + BOUND
        while block.until and block.until not in out.read_text() + err.read_text():
            assert process.poll() is None, err.read_text()
            assert time.monotonic() < end, out.read_text() + err.read_text()
            time.sleep(0.05)
        if block.until:
            os.killpg(process.pid, signal.SIGINT)
        assert process.wait(BOUND) in (ENDED if block.until else [0]), err.read_text()
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)  # what it has left in the background
        except ProcessLookupError:
            pass
        process.wait()
    assert "Traceback" not in err.read_text()
    if block.prints is not None:
        back = {other: port for port, other in ports.items()}
        assert with_ports(out.read_text(), back) == block.prints


def test_why_a_block_is_not_run() -> None:
    assert Counter(each.unrun for each in SHELL if each.unrun) == {
        "it installs, as nox -s package does": 6,
        "it takes minutes": 2,
        "these are terminals without an end, as tests/test_examples.py has them": 3,
    }


def test_no_command_stands_where_no_test_finds_it() -> None:
    commands = "zmqbridge|python3?|pip|nox|twist|seq|echo|\\$"
    hidden = re.compile(rf"^(?:    |```(?:console|bash|text)\n)(?:{commands}) .*", re.M)
    for page in pages():
        text = re.sub(r"<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.S)
        outside = re.sub(r"^```(?:sh|python)\n.*?^```$", "", text, flags=re.S | re.M)
        assert hidden.findall(outside) == [], page
