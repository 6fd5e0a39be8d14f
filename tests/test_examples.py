"""The examples, as terminals would run them: each version in each mode with both other versions."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
BOUND = 100  # seconds for all pairs of a pattern; they mostly take five


class Terminal:
    """A running example and what it prints."""

    def __init__(
        self, zygote: Callable[..., Any], script: str, folder: Path, **options: str
    ) -> None:
        self.zygote, self.script = zygote, script
        self.has_ended = False
        self.printed, self.complaints = folder / "out", folder / "err"
        folder.mkdir()
        self.printed.touch()
        command = [
            str(EXAMPLES / script),
            *(f"--{option}={value}" for option, value in options.items()),
        ]
        files = map(str, (folder, self.printed, self.complaints))
        self.pid = zygote("run", command, *files, False)

    def ended(self, seconds: float) -> tuple[str, int | None]:
        """Wait for its end; gives what it complained of and its exit status."""
        status = self.zygote("wait", self.pid, seconds)
        self.has_ended = status is not None
        return self.complaints.read_text(), status

    def said(self, pattern: str) -> set[str]:
        return set(re.findall(pattern, self.printed.read_text()))


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        if not terminal.has_ended:
            os.kill(terminal.pid, signal.SIGKILL)
            terminal.ended(BOUND)


@pytest.mark.parametrize("pattern", SAID)
def test_any_two_talk_and_end_in_peace(
    pattern: str, terminals: list[Terminal], zygote: Callable[..., Any], tmp_path: Path
) -> None:
    end = time.monotonic() + BOUND
    (first, first_says), (second, second_says) = SAID[pattern].items()
    for pair, (one, one_method, other, other_method) in enumerate(PAIRS):
        endpoint = f"ipc://{tmp_path}/{pair}"
        for world, mode, method in (one, first, one_method), (other, second, other_method):
            script, folder = f"{world}/{pattern}.py", tmp_path / f"{pair}-{mode}"
            options = {"mode": mode, "method": method, "endpoint": endpoint}
            terminals.append(Terminal(zygote, script, folder, **options))
    for left, right in zip(terminals[::2], terminals[1::2], strict=True):
        # Twice: the first may have come before there was a reactor to handle a signal.
        while len(left.said(first_says) & right.said(second_says)) < 2:
            assert time.monotonic() < end, (left.printed.read_text(), right.printed.read_text())
            time.sleep(0.02)
    # One after the other: in the second mode they must not mind that nobody is there any more. The
    # other way round, a replier says so when it has a request of somebody who just left.
    for some in terminals[::2], terminals[1::2]:
        for terminal in some:
            os.kill(terminal.pid, signal.SIGINT)
        for terminal in some:
            ended = terminal.ended(end - time.monotonic())
            assert ended == ("", 0), (terminal.script, *ended)


@pytest.mark.parametrize(
    ("broker", "publisher", "subscriber"),
    [("asyncio", "twisted", "txzmq"), ("twisted", "txzmq", "asyncio")],
)
def test_a_broker_passes_on_and_remembers(
    broker: str,
    publisher: str,
    subscriber: str,
    terminals: list[Terminal],
    zygote: Callable[..., Any],
    tmp_path: Path,
) -> None:
    end = time.monotonic() + BOUND
    front, back = f"ipc://{tmp_path}/front", f"ipc://{tmp_path}/back"

    def started(script: str, name: str, **options: str) -> Terminal:
        terminals.append(Terminal(zygote, script, tmp_path / name, **options))
        return terminals[-1]

    def until_said(terminal: Terminal, pattern: str) -> None:
        while not terminal.said(pattern):
            assert time.monotonic() < end, terminal.printed.read_text()
            time.sleep(0.02)

    middle = started(f"{broker}/broker.py", "broker", front=front, back=back)
    tell = {"mode": "publisher", "method": "connect", "endpoint": front}
    source = started(f"{publisher}/pubsub.py", "source", **tell)
    hear = {"mode": "subscriber", "endpoint": back}
    first = started(f"{subscriber}/pubsub.py", "first", **hear)
    until_said(first, r"received (\d\d:\d\d:\d\d), tagged time")
    assert middle.said("(subscribed): time")
    os.kill(source.pid, signal.SIGKILL)
    source.ended(end - time.monotonic())
    second = started(f"{subscriber}/pubsub.py", "second", **hear)
    # Nobody publishes any more: what it gets, the broker has remembered.
    until_said(second, r"received (\d\d:\d\d:\d\d), tagged time")
    for terminal in (first, second, middle):
        os.kill(terminal.pid, signal.SIGINT)
        ended = terminal.ended(end - time.monotonic())
        assert ended == ("", 0), (terminal.script, *ended)
    assert middle.printed.read_text().count("unsubscribed: time") == 2
