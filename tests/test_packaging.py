"""What pyproject.toml says of us is so; `tests/package.py` builds and installs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import zmqbridge

ROOT = Path(__file__).parents[1]
HALVES = ("asyncio", "twisted")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOADS = {
    "zmqbridge": set(),
    "zmqbridge._cli": set(),
    "zmqbridge.security, zmqbridge.proxies, zmqbridge.core, zmqbridge.arguments": set(),
    "zmqbridge.tools": set(),
    "zmqbridge.asyncio_backend": {"zmq", "anyio"},
    "zmqbridge.asyncio_backend._proxy": {"zmq", "anyio"},
    "zmqbridge._cli.pipes, zmqbridge._cli.ping, zmqbridge._cli.top": {"zmq", "anyio"},
    "zmqbridge._cli.proxy": {"zmq", "anyio"},
    "zmqbridge._cli.keygen, zmqbridge._cli.pretty": {"zmq"},
    "zmqbridge.twisted_backend": {"zmq", "twisted"},
    "zmqbridge.twisted_backend.proxyservice": {"zmq", "twisted"},
    "zmqbridge.txzmq": {"zmq", "twisted"},
}


@pytest.mark.parametrize("modules", LOADS)
def test_a_half_needs_no_library_of_the_other(modules: str) -> None:
    missing = sorted({"zmq", "anyio", "twisted"} - LOADS[modules])
    code = (
        f"import sys\nfor name in {missing!r}: sys.modules[name] = None\n"  # not to be found
        f"import {modules}"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_pythons_that_we_name_are_those_that_nox_runs() -> None:
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    (listed,) = re.findall(r"@nox.session\(python=\[(.*?)\]\)", (ROOT / "noxfile.py").read_text())
    assert named == re.findall(r'"(3\.\d+)"', listed)
    assert PROJECT["project"]["requires-python"] == f">={named[0]}"


def test_the_lowest_dependencies_are_tried_on_the_python_that_they_were_made_for() -> None:
    # The lowest Twisted warns on later ones, and a warning is an error.
    text = (ROOT / "noxfile.py").read_text()
    (python,) = re.findall(r"@nox.session\(python=\"(.*?)\"\).*\ndef lowest", text)
    assert PROJECT["project"]["requires-python"] == f">={python}"


def test_the_addresses_of_the_project_are_pages_that_there_are() -> None:
    # A repository or a mailbox that nobody has would be worse than none.
    urls = PROJECT["project"]["urls"]
    for url in urls.values():
        assert url.startswith(urls["Documentation"])
        page, _, place = url.removeprefix(urls["Documentation"]).partition("#")
        text = (ROOT / "docs" / f"{page.removesuffix('.html') or 'index'}.md").read_text()
        assert not place or f"\n## {place.capitalize()}\n" in text


def test_the_version_is_in_one_place() -> None:
    assert "version" in PROJECT["project"]["dynamic"]
    text = (ROOT / PROJECT["tool"]["hatch"]["version"]["path"]).read_text()
    assert text.count(f'"{zmqbridge.__version__}"') == 1


def test_an_extra_wants_of_what_is_installed_anyway_no_other_version() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    assert {*extras["asyncio"], *extras["twisted"]} < {*PROJECT["project"]["dependencies"]}


@pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="git lists the files"
)
def test_what_an_index_gets_is_this_tree_without_the_halves(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "release" / "split.py", tmp_path], check=True)
    core, whole = (
        tomllib.loads((tmp_path / name / "pyproject.toml").read_text())["project"]
        for name in ("zmqbridge-core", "zmqbridge")
    )
    needs = {*core["dependencies"], *(core["optional-dependencies"][e][0] for e in HALVES)}
    assert needs == {*PROJECT["project"]["dependencies"]}
    assert [each.partition(">")[0] for each in core["dependencies"]] == ["pyzmq"]
    same = "optional-dependencies", "scripts", "entry-points", "classifiers", "urls"
    assert [core[key] for key in same] == [PROJECT["project"][key] for key in same]
    exactly = f"=={zmqbridge.__version__}"
    assert whole["dependencies"] == [f"zmqbridge-core[{','.join(HALVES)}]{exactly}"]
    assert whole["optional-dependencies"] == {
        extra: [f"zmqbridge-core[{extra}]{exactly}"] for extra in core["optional-dependencies"]
    }
    assert [whole[key] for key in ("version", *same[3:])] == [
        zmqbridge.__version__,
        *(PROJECT["project"][key] for key in same[3:]),
    ]
    for each in ("zmqbridge/core/__init__.py", "tests/test_packaging.py", "docs/installing.md"):
        assert (tmp_path / "zmqbridge-core" / each).read_bytes() == (ROOT / each).read_bytes()
    assert {each.name for each in (tmp_path / "zmqbridge").iterdir()} == {
        "pyproject.toml", "README.md", "LICENSE",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("library", "command"),
    [("anyio", ["pull", "-b", "ipc://x"]), ("anyio", ["demo"]), ("twisted.internet", ["demo"])],
)
def test_the_command_line_says_which_half_is_missing(library: str, command: list[str]) -> None:
    code = (
        f"import sys\nsys.modules[{library!r}] = None\n"
        f"from zmqbridge._cli import main\nsys.exit(main({command!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    half = "asyncio" if library == "anyio" else "twisted"
    name = library.partition(".")[0]
    said = f"zmqbridge: {name} is not installed: pip install 'zmqbridge-core[{half}]'\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_each_piece_of_news_is_of_a_kind_that_the_changelog_has() -> None:
    kinds = {each["directory"] for each in PROJECT["tool"]["towncrier"]["type"]}
    pieces = [each for each in (ROOT / "newsfragments").glob("*.md") if each.name != "README.md"]
    for piece in pieces:
        assert re.fullmatch(rf"(\+[\w-]+|\d+)\.({'|'.join(kinds)})\.md", piece.name), piece.name
        assert piece.read_text().strip()
