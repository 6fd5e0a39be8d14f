"""Every code block of the pages, run as it stands; and what else holds for all pages.

A block of Python is a program, and is run as one. Where it is only a piece, a comment in front of
it, which no reader of the page sees, has the program with a hole (``...``) for it::

    <!-- around:
    import asyncio
    async def main():
        ...
    asyncio.run(main())
    -->

Blocks with ``<!-- together: NAME -->`` run at the same time, as in several terminals: the last one
has to end, then the others get Ctrl-C. If *It prints:* and a block of text follow, that is what
has to be printed. Only the port is another one, as the machine may use that of the page.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import os
import re
import signal
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docpages import DOCS, ROOT, blocks_of, other_ports, pages, with_ports

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
OF_PAGES = set(PROJECT["dependency-groups"]["pages"])
OF_PAGES.add("hypothesis")  # it warns of trio's random numbers, as the zygote froze who holds them
PAGES = pages()
BLOCKS = [block for page in PAGES for block in blocks_of(page)]
OWN_TEST = "docs/core.md"  # tests/test_core_page.py does more with it
PYTHON = [block for block in BLOCKS if block.language == "python" and block.page != OWN_TEST]
BOUND = 120  # seconds; most take a small part of one
# What has no meaning for the suite, or shows what a program prints. What a shell runs is `sh`.
UNRUN = {"text", "ini", "docker", "yaml", "nginx"}


def runs() -> list[Any]:
    """Lists of blocks that run at the same time, mostly of one block."""
    found: dict[tuple[str, int], list[Any]] = {}
    for block in PYTHON:
        found.setdefault((block.page, block.together or block.line), []).append(block)
    return [pytest.param(run, id=f"{run[0].page}:{run[0].line}") for run in found.values()]


def does_something(program: str) -> bool:
    """Whether a program does more than to import and to define."""
    silent = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return any(not isinstance(each, silent) for each in ast.parse(program).body)


def imported(program: str) -> Iterator[str]:
    """The top names of what a program imports."""
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.Import):
            yield from (each.name.partition(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


@pytest.mark.skipif(
    not hasattr(os, "fork") or sys.implementation.name != "cpython",
    reason="there is no fork, or each start takes seconds",
)
@pytest.mark.parametrize("run", runs())
def test_each_block_does_as_the_page_says(
    run: list[Any], zygote: Callable[..., Any], tmp_path: Path
) -> None:
    for block in run:
        assert does_something(block.program), f"{block} only defines things: say what is around it"
    programs = [block.program for block in run]
    ports = other_ports(programs)
    needs = {name for program in programs for name in imported(program)}
    if missing := sorted(name for name in needs if importlib.util.find_spec(name) is None):
        pytest.skip(f"{', '.join(missing)} is not installed")
    strict = not needs & OF_PAGES  # what these warn of at their next version is not ours
    started = []
    for number, program in enumerate(programs):
        folder = tmp_path / str(number)
        folder.mkdir()
        file, out, err = (folder / name for name in ("program.py", "out", "err"))
        file.write_text(with_ports(program, ports), encoding="utf-8")
        asked = [str(file)], *map(str, (folder, out, err)), strict
        started.append((zygote("run", *asked), out, err))
    *others, last = started
    try:
        status = zygote("wait", last[0], BOUND)
        assert status == 0, said(started)
        for pid, _, _ in others:
            os.kill(pid, signal.SIGINT)
            ended = zygote("wait", pid, BOUND)
            assert ended in (0, 1, 130, -signal.SIGINT), said(started)
    except BaseException:
        for pid, _, _ in started:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        raise
    for _, _, err in started:
        interrupted = err != started[-1][2] and "KeyboardInterrupt" in err.read_text()
        assert interrupted or not err.read_text(), err.read_text()
    back = {other: port for port, other in ports.items()}
    for block, (_, out, _) in zip(run, started, strict=True):
        if block.prints is not None:
            assert with_ports(out.read_text(), back) == block.prints


def said(started: Any) -> list[tuple[str, str]]:
    return [(out.read_text(), err.read_text()) for _, out, err in started]


def test_each_block_says_what_language_it_is_in() -> None:
    known = {"python", "sh", "toml", "json", *UNRUN}
    unknown = [(each.page, each.line) for each in BLOCKS if each.language not in known]
    # The notebook has tables of the benchmarks, as they print them.
    assert [each for each in unknown if each[0] != "docs/performance-notebook.md"] == []


def test_what_is_read_by_machines_can_be_read() -> None:
    readers = {"toml": tomllib.loads, "json": json.loads}
    for block in BLOCKS:
        if block.language in readers:
            readers[block.language](block.code)


def test_the_readme_leads_to_pages_from_wherever_it_is_shown() -> None:
    base = PROJECT["project"]["urls"]["Documentation"]
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(links) > 20
    for link in links:
        assert link.startswith(base), f"{link}: a package index shows README, too"
        page = link.removeprefix(base).partition("#")[0].removesuffix(".html")
        assert (DOCS / f"{page}.md").exists(), link


@pytest.mark.parametrize(
    ("module", "page"),
    [
        ("zmqbridge", "errors"),
        ("zmqbridge.arguments", "arguments"),
        ("zmqbridge.security", "security"),
        ("zmqbridge.asyncio_backend", "asyncio"),
        ("zmqbridge.twisted_backend", "twisted"),
        ("zmqbridge.core", "core"),
        ("zmqbridge.proxies", "tools"),
        ("zmqbridge.metrics", "tools"),
        ("zmqbridge.tracing", "tools"),
        ("zmqbridge.tools", "tools"),
        ("zmqbridge.testing", "testing"),
        ("zmqbridge.testing.differential", "testing"),
        ("zmqbridge.txzmq", "txzmq-api"),
    ],
)
def test_the_reference_has_every_public_name(module: str, page: str) -> None:
    text = (DOCS / "reference" / f"{page}.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\w+", text))
    assert set(importlib.import_module(module).__all__) - named == set()


def test_every_page_is_in_the_table_of_contents() -> None:
    named = {
        (page.parent / entry).resolve()
        for page in DOCS.rglob("*.md")
        for toctree in re.findall(r"```{toctree}\n(.*?)```", page.read_text(), re.S)
        for entry in re.findall(r"^(?:.*<)?([\w/-]+)>?$", toctree, re.M)
    }
    there = {page.with_suffix("") for page in PAGES if DOCS in page.parents}
    assert there - named == {DOCS / "index"}


def test_nothing_that_looks_like_python_stands_there_without_being_run() -> None:
    fenced = re.compile(r"^```.*?^```$|<!--.*?-->", re.S | re.M)
    python = r"\n\n    ((?:from \S+ import|import|async def|await|def|class|with) .*[(:=])"
    for page in PAGES:
        indented = re.findall(python, fenced.sub("", page.read_text(encoding="utf-8")))
        assert not indented, (page, indented)


def test_the_table_of_the_first_page_leads_to_every_page_that_answers_a_question() -> None:
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if "| [" in line]
    linked = {link for line in table for link in re.findall(r"\]\(([^)#]+)", line)}
    answers = {f"howto/{page.name}" for page in (DOCS / "howto").glob("*.md")}
    assert answers - linked == set()
    assert all((DOCS / link).exists() for link in linked)


def test_the_page_on_speed_is_short_enough_to_be_read() -> None:
    lines = (DOCS / "performance.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60, "tables and reasons are for the notebook"


def test_a_page_in_tabs_has_one_for_each_world() -> None:
    worlds = "asyncio", "trio", "Twisted"
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        tabs = [text.count(f"{{tab-item}} {world}\n") for world in worlds]
        if page.name == "examples.md":  # each script for its API; trio has asyncio's
            assert tabs == [4, 0, 4]
        elif page.parent.name != "tutorial":  # each for its audience
            assert len(set(tabs)) == 1, (page, tabs)
