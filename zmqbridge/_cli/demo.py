"""The demo's parent process: it starts each flow, shows the progress, and prints the result."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
import time
from typing import Any

import anyio  # noqa: F401  its processes need both, and it fails at once
import twisted.internet  # noqa: F401
import zmq

from zmqbridge._cli.demo_plan import ASYNCIO, FLOWS, TWISTED, Flow, wanted
from zmqbridge._cli.demo_processes import STARTING, Failed, Interrupted, Processes
from zmqbridge._cli.ending import FAILED, OK, Refused, descriptor_of

REDRAW = 0.05  # seconds between two states of the live line
# The longest path of a temporary folder, in characters, for which ours still fits into an ipc
# address, which has room for 107.
IPC_PATH = 67

COLUMNS = ("sent", "received", "filtered", "timed out")
WIDTHS = (10, 10, 10, 10, 12)  # with the name of a flow, 79 in all
NOTES = """
filtered: published under a tag that the subscriber did not ask for
timed out: a request that is sent on purpose to a replier that does not answer
to read next: https://zmqbridge.readthedocs.io/en/stable/ has a tutorial for each
"""
BAR = 40  # characters


class Tally:
    """The counts of one flow."""

    def __init__(self, flow: Flow, count: int) -> None:
        self.flow = flow
        one_in_vain = flow.pattern == "request"
        filtered = count - len(wanted(count)) if flow.pattern == "publish" else 0
        self.due: dict[str, int] = {
            "sent": count + one_in_vain,
            "received": count - filtered,
            "filtered": filtered,
            "timed out": int(one_in_vain),
        }
        # No process sees the filtered messages. That all others came, and no more, proves them.
        self.counts: dict[str, int] = dict.fromkeys(COLUMNS, 0) | {"filtered": filtered}
        self.began: float = 0.0
        self.ended: float = 0.0

    @property
    def name(self) -> str:
        """The flow's name, in columns."""
        flow = self.flow
        return f"{flow.pattern:<8} {flow.sender:>7} {flow.arrow} {flow.receiver:<7}"

    @property
    def complete(self) -> bool:
        """Whether every message is accounted for."""
        return self.counts == self.due

    @property
    def missing(self) -> str:
        """A text that names the messages that are not accounted for."""
        one_way = self.flow.arrow == "→"
        by = {
            "sent": f"sent by {self.flow.sender}",
            "received": f"received {'' if one_way else 'back '}by {self.flow[2 if one_way else 1]}",
            "timed out": f"timed out at {self.flow.sender}",
        }
        rest = {name: self.due[name] - self.counts[name] for name in by}
        return ", ".join(f"{rest[name]:,} not {text}" for name, text in by.items() if rest[name])

    def note(self, news: dict[str, Any]) -> None:
        """Take the counts that a process has reported."""
        self.counts.update({name: news[name] for name in COLUMNS if name in news})
        if "received" in news:
            self.ended = time.monotonic()

    @property
    def bar(self) -> str:
        """The progress of the flow, for the live line."""
        done = sum(self.counts[name] for name in ("sent", "received", "timed out"))
        share = done / (sum(self.due.values()) - self.due["filtered"])
        filled = round(share * BAR)
        return f"{self.name}  {'█' * filled}{'░' * (BAR - filled)} {share:4.0%}"

    @property
    def row(self) -> str:
        """This flow's row of the table."""
        cells = [f"{self.counts[name]:,}" if self.due[name] else "–" for name in COLUMNS]
        speed = self.counts["received"] / max(self.ended - self.began, 1e-6)
        cells.append(f"{speed:,.0f}" if self.ended else "–")
        return f"{self.name} " + "".join(map(str.rjust, cells, WIDTHS))


class Screen:
    """Prints one line that is rewritten on a terminal, and lines that stay."""

    def __init__(self) -> None:
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
        self._live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._drawn = 0.0

    def progress(self, text: str) -> None:
        """Show the progress, on a terminal only."""
        if self._live and time.monotonic() > self._drawn + REDRAW:
            self._drawn = time.monotonic()
            print(f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)

    def say(self, text: str) -> None:
        """Write lines that stay."""
        print("\r\x1b[K" * self._live + text, flush=True)


def run(count: int, transport: str | None) -> int:
    """Run the demo from start to end; returns the exit status."""
    began = time.monotonic()
    if transport == "ipc" and not has_ipc():
        raise Refused(
            f"ipc needs a system and a libzmq that have it, and a TMPDIR of at most {IPC_PATH}"
            " characters; use --transport tcp"
        )
    descriptor_of(sys.stdout, "output")
    screen = Screen()
    transport = transport or ("ipc" if has_ipc() else "tcp")
    with Processes() as processes:
        try:
            tallies = perform(processes, screen, count, transport)
            processes.farewell()
        except Interrupted as interrupt:
            screen.say("Interrupted; both processes are stopped.")
            return 128 + int(interrupt.args[0])
        except Failed as failure:
            screen.say(f"FAILED: {failure}")
            for complaint in processes.complaints():
                screen.say(complaint)
            return FAILED
    screen.say(NOTES)
    messages = sum(tally.due["sent"] for tally in tallies)
    seconds = time.monotonic() - began
    screen.say(f"All {messages:,} messages are accounted for, in {seconds:.1f} seconds.")
    return OK


def perform(processes: Processes, screen: Screen, count: int, transport: str) -> list[Tally]:
    """Start both processes and run one flow after the other; returns the tallies."""
    screen.say(f"A Twisted and an asyncio process, over {transport}:\n")
    screen.progress("starting …")
    # The name of a flow goes into the braces.
    addresses = f"ipc://{processes.folder}/{{}}" if transport == "ipc" else "tcp://127.0.0.1:*"
    processes.start(TWISTED, "zmqbridge._cli.demo_twisted", str(count), addresses)
    processes.start(ASYNCIO, "zmqbridge._cli.demo_asyncio", str(count))
    bound = processes.hear("the addresses of the Twisted process", STARTING)["bound"]
    processes.order(ASYNCIO, json.dumps(bound))
    unheard = {key for key, flow in FLOWS.items() if flow.pattern == "publish"}
    while unheard:
        waiting = " and ".join(f"the {FLOWS[key].receiver} subscriber" for key in sorted(unheard))
        unheard.discard(processes.hear(waiting, STARTING)["heard"])
    screen.say(f"{'':<27}" + "".join(map(str.rjust, (*COLUMNS, "messages/s"), WIDTHS)))
    return [play(processes, screen, key, Tally(flow, count)) for key, flow in FLOWS.items()]


def play(processes: Processes, screen: Screen, key: str, tally: Tally) -> Tally:
    """Run one flow until each of its messages is accounted for."""
    tally.began = time.monotonic()
    processes.order(tally.flow.sender, key)
    while not tally.complete:
        screen.progress(tally.bar)
        tally.note(processes.hear(f"{tally.flow}: {tally.missing}"))
    screen.say(tally.row)
    return tally


def has_ipc() -> bool:
    """Whether ipc can be used, and its addresses can hold the path of a temporary folder."""
    # Python on Windows has no such sockets. libzmq may have ipc there, but only tcp is tested.
    here = hasattr(socket, "AF_UNIX") and zmq.has("ipc")
    return here and len(tempfile.gettempdir()) <= IPC_PATH
