"""Builds wheel and sdist twice, looks into them, and installs them where nothing else is.

Run by ``nox -s package``; it needs build and twine. Each line that it prints is a check that holds.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PLUGIN = "twisted/plugins/zmqbridge_plugin.py"
IN_SDIST = ["LICENSE", "README.md", "CHANGELOG.md", "noxfile.py", PLUGIN, "tests/conftest.py",
            "docs/design.md", "examples/README.md", "newsfragments/README.md"]  # fmt: skip

ASYNCIO = """
import asyncio, sys
from zmqbridge.asyncio_backend import Proxy, Replier, Requester

async def main():
    here = "tcp://127.0.0.1:*"
    async with (
        Proxy("requests", here, here) as proxy,
        Replier(connect=proxy.back_addresses) as replier,
    ):
        async with Requester(connect=proxy.front_addresses, timeout=30) as requester:
            asking = asyncio.ensure_future(requester.request(b"hello"))
            await (await replier.receive()).reply(b"world")
            assert await asking == [b"world"]

asyncio.run(main())
assert "twisted" not in sys.modules
"""
TWISTED = """
import sys
from twisted.internet.task import react
from zmqbridge import txzmq
from zmqbridge.twisted_backend import Proxy, Replier, Requester

async def main(reactor):
    here = "tcp://127.0.0.1:*"
    async with (
        Proxy("requests", here, here) as proxy,
        Replier(connect=proxy.back_addresses) as replier,
    ):
        async with Requester(connect=proxy.front_addresses, timeout=30) as requester:
            asking = requester.request(b"hello")
            await (await replier.receive()).reply(b"world")
            assert await asking == [b"world"]
    assert "anyio" not in sys.modules
    txzmq.ZmqFactory().shutdown()

react(main)
"""


def said(*command: object, **options: Any) -> str:
    done = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, timeout=900, **options
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def holds(text: str, condition: bool) -> None:
    if not condition:
        sys.exit(f"NOT SO: {text}")
    print(f"ok  {text}", flush=True)


def build(source: Path, into: Path, *what: str) -> dict[str, str]:
    """Build, and return the digest of each file."""
    # As a release does: the time in the archives is the commit's, not now.
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1750000000"}
    said(sys.executable, "-m", "build", *what, "-o", into, source, env=environment)
    return {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in into.iterdir()}


def look_into(wheel: Path, sdist: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(each for each in names if each.endswith("METADATA"))).decode()
    own = {f"{each.relative_to(ROOT)}" for each in (ROOT / "zmqbridge").rglob("*.py")}
    extra = {each for each in names - own if ".dist-info/" not in each}
    holds(
        "the wheel has our modules, py.typed, the plugin of Twisted, and nothing else",
        own <= names and extra == {PLUGIN, "zmqbridge/py.typed"},
    )
    holds("the wheel has the license", any(each.endswith("licenses/LICENSE") for each in names))
    extras = set(re.findall("^Provides-Extra: (.*)$", metadata, re.M))
    holds("its extras are those of pyproject.toml", extras == set(PROJECT["optional-dependencies"]))
    with tarfile.open(sdist) as archive:
        names = {each.partition("/")[2] for each in archive.getnames()}
    holds("the sdist has tests, docs, examples and news", set(IN_SDIST) <= names)
    stray = re.compile(r"\.ci/|__pycache__|dropin\.cache|\.egg-info|\.venv|\.nox")
    holds("the sdist has nothing stray", not any(stray.search(each) for each in names))


class Empty:
    """A virtual environment with nothing but pip in it."""

    def __init__(self, where: Path) -> None:
        venv.create(where, with_pip=True)
        self._bin = where / ("Scripts" if os.name == "nt" else "bin")

    def pip(self, *words: object) -> str:
        return self("python", "-m", "pip", "--disable-pip-version-check", "-q", *words)

    def __call__(self, program: str, *words: object) -> str:
        return said(self._bin / program, *words, cwd=self._bin.parent)


def install_all(wheel: Path, sdist: Path, folder: Path) -> None:
    needs = PROJECT["dependencies"]
    lowest = [each.replace(">=", "==") for each in needs]
    (pyzmq,) = [each for each in needs if each.startswith("pyzmq")]
    for name, what in (("newest", [wheel]), ("sdist", [sdist]), ("lowest", [wheel, *lowest])):
        empty = Empty(folder / name)
        empty.pip("install", *what)
        empty.pip("check")
        empty("python", "-c", ASYNCIO)
        empty("python", "-W", "ignore", "-c", TWISTED)
        version = empty("zmqbridge", "--version")
        holds(f"{name}: installs, pip check, both backends, {version.strip()}", True)
        holds(f"{name}: twist has zmq-proxy", "zmq-proxy" in empty("twist", "--help"))
    empty.pip("uninstall", "-y", "zmqbridge")
    left = [each for each in (folder / "lowest").rglob("*zmqbridge*") if each.is_file()]
    holds("uninstalling leaves nothing behind", not left)
    extras = ",".join(PROJECT["optional-dependencies"])
    empty = Empty(folder / "extras")
    empty.pip("install", f"{wheel}[{extras}]")
    empty.pip("check")
    empty("python", "-c", "import zmqbridge.metrics, zmqbridge.tracing")
    empty("zmqbridge", "migrate", "--check", ROOT / "zmqbridge" / "core")
    holds(f"all extras together: {extras}", True)
    for half, library, program in (
        ("asyncio", "anyio", ASYNCIO),
        ("twisted", "Twisted", TWISTED),
    ):
        empty = Empty(folder / half)
        empty.pip("install", "--no-deps", wheel)
        (wanted,) = [each for each in needs if each.startswith(library)]
        empty.pip("install", pyzmq, wanted)
        empty("python", "-c", program)
        listed = empty("python", "-m", "pip", "list")
        other = "Twisted" if half == "asyncio" else "anyio"
        holds(f"the {half} half alone works without {other}", other not in listed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="install into no environments")
    quick = parser.parse_args().quick
    folder = Path(tempfile.mkdtemp(prefix="zmqbridge-package-"))
    try:
        first = build(ROOT, folder / "first")
        second = build(ROOT, folder / "second")
        holds("wheel and sdist are equal when they are built twice", first == second)
        (wheel,), (sdist,) = (list((folder / "first").glob(end)) for end in ("*.whl", "*.tar.gz"))
        with tarfile.open(sdist) as archive:
            archive.extractall(folder / "unpacked", filter="data")
        (unpacked,) = (folder / "unpacked").iterdir()
        again = build(unpacked, folder / "again", "--wheel")
        holds("the sdist builds the same wheel", again == {wheel.name: first[wheel.name]})
        said(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
        holds("twine check --strict", True)
        look_into(wheel, sdist)
        if not quick:
            install_all(wheel, sdist, folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
