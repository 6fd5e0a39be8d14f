"""The pages of the documentation as text: their code blocks, and what is said about each block."""

from __future__ import annotations

import re
import socket
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BUILT = DOCS / "_build"

BLOCK = re.compile(
    r"(?:^[ ]*<!--[ ]*(?P<word>around|together|not run|until Ctrl-C):"
    r"(?P<note>(?:(?!-->).)*)-->\n+)?"
    r"^(?P<fence>```+)(?P<language>[^`\n]*)\n(?P<code>.*?)^(?P=fence)$"
    r"(?:\n+It[ ]prints:\n+```text\n(?P<prints>.*?)^```$)?",
    re.S | re.M,
)
PORT = re.compile(r"(?:(?<=//127\.0\.0\.1:)|(?<=//\*:))\d+")
SIMULATED = re.compile(r"zmqbridge\.testing|zmq_network")
HOLE = re.compile(r"^([ ]*)\.\.\.$", re.M)


# What is around the blocks of a page that has no room for it: the page, and how often it was there.
THREADS = """
import asyncio
from zmqbridge.asyncio_backend import Puller, Pusher, Replier, Requester

def from_another_thread(loop, pusher, requester):
    ...

async def main():
    async with (
        Replier(bind="inproc://requests") as replier,
        Requester(connect="inproc://requests") as requester,
        Puller(bind="inproc://messages") as puller,
        Pusher(connect="inproc://messages") as pusher,
    ):
        serving = asyncio.create_task(replier.serve(lambda request: request.reply(b"!")))
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(from_another_thread, loop, pusher, requester)
        assert await puller.receive() == [b"from a thread"]
        replier.close()
        await serving

asyncio.run(main())
"""
REACTOR_THREADS = """
from twisted.internet.task import react
from twisted.internet.threads import blockingCallFromThread, deferToThread
from zmqbridge.twisted_backend import Puller, Pusher, Replier, Requester

def from_another_thread(reactor, pusher, requester):
    ...

async def main(reactor):
    async with (
        Replier(bind="inproc://requests") as replier,
        Requester(connect="inproc://requests") as requester,
        Puller(bind="inproc://messages") as puller,
        Pusher(connect="inproc://messages") as pusher,
    ):
        serving = replier.serve(lambda request: request.reply(b"!"))
        await deferToThread(from_another_thread, reactor, pusher, requester)
        assert await puller.receive() == [b"from a thread"]
        replier.close()
        await serving

react(main)
"""
ELSEWHERE = {"docs/guarantees.md": [THREADS, REACTOR_THREADS]}


class Block(NamedTuple):
    """One code block of a page."""

    page: str
    """The page's path, from the root of the project."""
    line: int
    language: str
    code: str
    prints: str | None
    """What it prints, if the page says so."""
    around: str
    """A program with a hole for the code, empty where the code is a program itself."""
    together: str
    """The name of the group of programs that run at the same time."""
    unrun: str = ""
    """Why it is not run."""
    until: str = ""
    """What it prints when it gets Ctrl-C, which ends it."""

    @property
    def program(self) -> str:
        """The code as it stands in the page, in what is around it."""
        if not self.around:
            return self.code
        return HOLE.sub(lambda hole: textwrap.indent(self.code, hole[1]), self.around, count=1)


def pages() -> list[Path]:
    """Every page that a user reads."""
    found = [path for path in DOCS.rglob("*.md") if BUILT not in path.parents]
    return [ROOT / "README.md", ROOT / "examples" / "README.md", *sorted(found)]


def noted(block: re.Match[str], word: str) -> str:
    """The note in front of a block, if it has this word."""
    return block["note"].strip() if block["word"] == word else ""


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    name = page.relative_to(ROOT).as_posix()
    around = iter(ELSEWHERE.get(name, ()))
    return [
        Block(
            page=name,
            line=text.count("\n", 0, each.start("fence")) + 1,
            language=each["language"],
            code=each["code"],
            prints=each["prints"],
            around=each["note"].strip("\n") if each["word"] == "around" else next(around, ""),
            together=noted(each, "together"),
            unrun=noted(each, "not run"),
            until=noted(each, "until Ctrl-C"),
        )
        for each in BLOCK.finditer(text)
        if not each["language"].startswith("{")  # those are Sphinx's
    ]


def other_ports(programs: list[str]) -> dict[str, str]:
    """Ports that are free here for those that the programs name."""
    ports = {}
    # On a simulated network all ports are free, and its hosts have names that are not known here.
    real = [program for program in programs if not SIMULATED.search(program)]
    for port in {port for program in real for port in PORT.findall(program)}:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports[port] = str(probe.getsockname()[1])
    return ports


def with_ports(text: str, ports: dict[str, str]) -> str:
    return PORT.sub(lambda port: ports.get(port[0], port[0]), text)
