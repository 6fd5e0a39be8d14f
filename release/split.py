"""Makes of this tree the two distributions that an index gets: ``python release/split.py FOLDER``.

``FOLDER/zmqbridge-core`` is this tree under another name, and needs only pyzmq: its extras bring
the halves. ``FOLDER/zmqbridge`` has no code, and brings the other with both halves. The tree itself
is ``zmqbridge`` in one piece, so that a clone installs without an index that has either.
docs/installing.md says why. It needs Python 3.11 or later and nothing else.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
WHOLE, CORE = "zmqbridge", "zmqbridge-core"
HALVES = ("asyncio", "twisted")
EMPTY = """\
[build-system]
requires = {requires}
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "{version}"
{same}
readme = "README.md"
license-files = ["LICENSE"]
# The one version that belongs to it: together they are one library.
dependencies = ["{core}[{halves}]=={version}"]

[project.optional-dependencies]
{extras}

[project.urls]
{urls}

[tool.hatch.build.targets.wheel]
bypass-selection = true  # there is no code in it
"""


def main() -> None:
    """Write both folders, neither of which may be there yet."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: python {sys.argv[0]} FOLDER")
    into = Path(sys.argv[1]).resolve()
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    write_core(into / CORE, text)
    write_whole(into / WHOLE, text)


def write_core(into: Path, text: str) -> None:
    """Write the tree with another name, and without the libraries of the halves."""
    project = tomllib.loads(text)["project"]
    halves = {each for half in HALVES for each in project["optional-dependencies"][half]}
    rest = [each for each in project["dependencies"] if each not in halves]
    for was, becomes in (
        (f'name = "{WHOLE}"', f'name = "{CORE}"'),
        (f"dependencies = {as_toml(project['dependencies'])}", f"dependencies = {as_toml(rest)}"),
    ):
        if text.count(f"\n{was}\n") != 1:
            sys.exit(f"pyproject.toml has not once the line {was}")
        text = text.replace(f"\n{was}\n", f"\n{becomes}\n")
    for each in tracked():
        (into / each).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / each, into / each)
    (into / "pyproject.toml").write_text(text, encoding="utf-8")


def write_whole(into: Path, text: str) -> None:
    """Write the distribution that only brings the other one."""
    project = tomllib.loads(text)["project"]
    code = (ROOT / "zmqbridge" / "__init__.py").read_text(encoding="utf-8")
    (version,) = re.findall('^__version__ = "(.+)"$', code, re.M)
    extras = {each: [f"{CORE}[{each}]=={version}"] for each in project["optional-dependencies"]}
    same = ("description", "license", "keywords", "requires-python", "classifiers")
    into.mkdir(parents=True)
    for each in ("README.md", "LICENSE"):
        shutil.copy2(ROOT / each, into / each)
    filled = EMPTY.format(
        requires=as_toml(tomllib.loads(text)["build-system"]["requires"]),
        name=WHOLE,
        version=version,
        core=CORE,
        halves=",".join(HALVES),
        same="\n".join(f"{key} = {as_toml(project[key])}" for key in same),
        extras="\n".join(f"{key} = {as_toml(wanted)}" for key, wanted in extras.items()),
        urls="\n".join(f"{key} = {as_toml(url)}" for key, url in project["urls"].items()),
    )
    (into / "pyproject.toml").write_text(filled, encoding="utf-8")


def as_toml(value: str | list[str]) -> str:
    """A string or a list of strings, as pyproject.toml writes it."""
    if isinstance(value, str):
        return f'"{value}"'
    return f"[{', '.join(map(as_toml, value))}]"


def tracked() -> list[str]:
    """The files of the tree: those that git knows; all, where the tree is an unpacked archive."""
    listing = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True)
    known = [each for each in listing.stdout.split("\0") if each and (ROOT / each).is_file()]
    return known or [
        each.relative_to(ROOT).as_posix()
        for each in sorted(ROOT.rglob("*"))
        # PKG-INFO has the name and the needs of what the archive is of.
        if each.is_file() and "__pycache__" not in each.parts and each.name != "PKG-INFO"
    ]


if __name__ == "__main__":
    main()
