"""The examples, as terminals would run them: each version in each mode with both other versions."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
PAIRS = [  # who is in the first mode, and how; who is in the second, and how
    ("asyncio", "bind", "twisted", "connect"),
    ("twisted", "bind", "txzmq", "connect"),
    ("txzmq", "bind", "asyncio", "connect"),
    ("asyncio", "connect", "txzmq", "bind"),
    ("twisted", "connect", "asyncio", "bind"),
    ("txzmq", "connect", "twisted", "bind"),
]
SAID = {  # each pattern's modes, and what is printed there about one and the same message
    "pubsub": {
        "publisher": r"published (\d\d:\d\d:\d\d)\n",
        "subscriber": r"received (\d\d:\d\d:\d\d), tagged time\n",
    },
    "pushpull": {"push": r"pushed task (\d+)\n", "pull": r"pulled task (\d+)\n"},
    "reqrep": {
        "rep": r"asked for the square of (\d+)\n",
        "req": r"the square of (\d+) is \d+\n",
    },
    "routerdealer": {
        "dealer": r"(job \d+) is accepted\n(?s:.*)\1 is done\n",
        "router": r"got (job \d+) from [0-9a-f]+\n",
    },
}
BOUND = 40  # seconds for all pairs of a pattern; they mostly take five


class Terminal:
    """A running example and what it prints."""

    def __init__(self, script: str, printed: Path, **options: str) -> None:
        self.printed = printed
        with printed.open("wb") as file:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-W", "default::ResourceWarning", EXAMPLES / script),
                    *(f"--{option}={value}" for option, value in options.items()),
                ],
                stdout=file,
                stderr=subprocess.PIPE,
                text=True,
                # Started in the background, the suite ignores Ctrl-C, and so would what it starts.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def said(self, pattern: str) -> set[str]:
        return set(re.findall(pattern, self.printed.read_text()))


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.process.kill()
        terminal.process.communicate()


@pytest.mark.parametrize("pattern", SAID)
def test_any_two_talk_and_end_in_peace(
    pattern: str, terminals: list[Terminal], tmp_path: Path
) -> None:
    end = time.monotonic() + BOUND
    (first, first_says), (second, second_says) = SAID[pattern].items()
    for pair, (one, one_method, other, other_method) in enumerate(PAIRS):
        endpoint = f"ipc://{tmp_path}/{pair}"
        for world, mode, method in (one, first, one_method), (other, second, other_method):
            script, printed = f"{world}/{pattern}.py", tmp_path / f"{pair}-{mode}"
            terminals.append(Terminal(script, printed, mode=mode, method=method, endpoint=endpoint))
    for left, right in zip(terminals[::2], terminals[1::2], strict=True):
        while not left.said(first_says) & right.said(second_says):
            assert time.monotonic() < end, (left.printed.read_text(), right.printed.read_text())
            time.sleep(0.02)
    # One after the other: in the second mode they must not mind that nobody is there any more. The
    # other way round, a replier says so when it has a request of somebody who just left.
    for ones in terminals[::2], terminals[1::2]:
        for terminal in ones:
            terminal.process.send_signal(signal.SIGINT)
        for terminal in ones:
            _, complaints = terminal.process.communicate(timeout=end - time.monotonic())
            assert (complaints, terminal.process.returncode) == ("", 0), terminal.process.args
