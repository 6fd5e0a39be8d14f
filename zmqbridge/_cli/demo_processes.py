"""The two child processes of the demo: how they start, report and end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any, Self

import zmqbridge

# The demo fails after this number of seconds without news; the machine may be busy.
STALLED = 6.0
STARTING = 30.0  # seconds that a process has to begin: a busy machine takes many to import all
FAREWELL = 5.0  # seconds that a process has to end when all is done
# Windows has no SIGHUP, and needs a flag to keep a console's Ctrl-C away from a process.
NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
SIGNALS = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
FLAGS, GROUP = 0, 0
if sys.platform == "win32":
    FLAGS, GROUP = subprocess.CREATE_NEW_PROCESS_GROUP, None
# The folder of this package. For a zipapp it is the archive, which a child would not find.
ROOT = str(Path(zmqbridge.__file__).parent.parent)


class Failed(Exception):
    """The demo cannot go on; the text says why."""


class Interrupted(Exception):
    """A signal ends the demo; the only argument is the number of the signal."""


class Processes:
    """The two processes, their temporary folder, and one queue for their news and for signals."""

    def __init__(self) -> None:
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._news: SimpleQueue[tuple[str, dict[str, Any]]] = SimpleQueue()
        # A Ctrl-C becomes one more item of the queue. So it interrupts no other work, also not the
        # clean-up.
        for number in SIGNALS:
            signal.signal(number, lambda got, frame: self._news.put(("", {"signal": got})))
        self._temporary = tempfile.TemporaryDirectory(prefix="zmqbridge-demo-")
        self.folder: Path = Path(self._temporary.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for child in self._children.values():
            child.kill()
            child.wait()
            with suppress(OSError):
                child.stdin.close()  # type: ignore[union-attr]
        self._temporary.cleanup()

    def start(self, name: str, module: str, *arguments: str) -> None:
        """Start a process. It does not get the terminal's Ctrl-C, because the parent ends it."""
        path = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))
        with self._log(name).open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": path},
                creationflags=FLAGS,
                process_group=GROUP,
            )
        self._children[name] = child
        threading.Thread(target=self._listen, args=(name, child.stdout), daemon=True).start()

    def _listen(self, name: str, lines: IO[bytes]) -> None:
        with lines:
            for line in lines:
                self._news.put((name, json.loads(line)))
        self._news.put((name, {"ended": True}))

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def order(self, name: str, line: str) -> None:
        """Write a line to a process."""
        pipe = self._children[name].stdin
        with suppress(OSError):  # the process has ended, which the next news will say
            pipe.write(line.encode() + b"\n")  # type: ignore[union-attr]
            pipe.flush()  # type: ignore[union-attr]

    def hear(self, awaited: str, timeout: float = STALLED) -> dict[str, Any]:
        """Wait for the next news of a process; `awaited` is for the error text if none comes."""
        name, news = self._next(timeout, awaited)
        if "ended" in news:
            raise Failed(f"the {name} process {self._fate(name)}; missing: {awaited}")
        return news

    def farewell(self) -> None:
        """Let both processes end by themselves; a problem that they still report counts."""
        for child in self._children.values():
            child.stdin.close()  # type: ignore[union-attr]
        waiting = set(self._children)
        while waiting:
            name, news = self._next(FAREWELL, f"the end of {' and '.join(sorted(waiting))}")
            if "ended" in news:
                waiting.remove(name)
                fate = self._fate(name)
                if self._children[name].returncode != 0:
                    raise Failed(f"the {name} process {fate} when all was done")

    def _next(self, timeout: float, awaited: str) -> tuple[str, dict[str, Any]]:
        try:
            name, news = self._news.get(timeout=timeout)
        except Empty:
            raise Failed(f"nothing new for {timeout:g} seconds; missing: {awaited}") from None
        if "signal" in news:
            raise Interrupted(news["signal"])
        if "problem" in news:
            raise Failed(f"the {name} process reports: {news['problem']}")
        return name, news

    def _fate(self, name: str) -> str:
        try:
            status = self._children[name].wait(FAREWELL)
        except subprocess.TimeoutExpired:
            return "has closed its standard output and does not end"
        if status < 0:
            return f"was ended by {signal.Signals(-status).name}"
        return f"ended with status {status}"

    def complaints(self) -> Iterable[str]:
        """The texts that the processes wrote to their standard error."""
        for name in self._children:
            if text := self._log(name).read_text(errors="replace").strip():
                yield f"the {name} process wrote:\n{text}"
