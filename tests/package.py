"""Builds all packages twice, looks into them, and installs them where nothing else is.

Run by ``nox -s package``; it needs build and twine. Each line that it prints is a check that holds.
The packages are that of a clone, and the two that release/split.py makes of it for an index.
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
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PLUGIN = "twisted/plugins/zmqbridge_plugin.py"
IN_SDIST = ["LICENSE", "README.md", "CHANGELOG.md", "noxfile.py", PLUGIN, "tests/conftest.py",
            "docs/design.md", "examples/README.md", "newsfragments/README.md",
            "release/split.py"]  # fmt: skip

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

SIMULATED = """
from zmqbridge.asyncio_backend import Replier, Requester
from zmqbridge.testing import machine, strategies

async def echo():
    async with Replier(bind="tcp://*:5555") as replier:
        await replier.serve(lambda request: request.reply(*request.parts))

async def test_it(zmq_network):
    zmq_network.node("server").start(echo)
    async with Requester(connect="tcp://server:5555") as requester:
        assert await requester.request(b"x", timeout=3600) == [b"x"]
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


class Built(NamedTuple):
    """What was built of one folder."""

    wheel: Path
    sdist: Path


def build_twice(source: Path, folder: Path) -> Built:
    """Build a folder, and show that it does not matter when, where and of what."""
    name = folder.name
    first, second = build(source, folder / "first"), build(source, folder / "second")
    holds(f"{name}: wheel and sdist are equal when they are built twice", first == second)
    (wheel,), (sdist,) = (list((folder / "first").glob(end)) for end in ("*.whl", "*.tar.gz"))
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    again = build(unpacked, folder / "again", "--wheel")
    holds(f"{name}: the sdist builds the same wheel", again == {wheel.name: first[wheel.name]})
    said(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
    holds(f"{name}: twine check --strict", True)
    return Built(wheel, sdist)


def names_in(wheel: Path) -> tuple[set[str], str]:
    """The names of the files of a wheel, and its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(each for each in names if each.endswith("METADATA"))).decode()
    return names, metadata


def look_into(name: str, built: Built) -> None:
    """Look into a package that has the code."""
    names, metadata = names_in(built.wheel)
    own = {f"{each.relative_to(ROOT)}" for each in (ROOT / "zmqbridge").rglob("*.py")}
    extra = {each for each in names - own if ".dist-info/" not in each}
    holds(
        f"{name}: the wheel has our modules, py.typed, the plugin of Twisted, and nothing else",
        own <= names and extra == {PLUGIN, "zmqbridge/py.typed"},
    )
    look_into_metadata(name, names, metadata)
    with tarfile.open(built.sdist) as archive:
        names = {each.partition("/")[2] for each in archive.getnames()}
    holds(f"{name}: the sdist has tests, docs, examples and news", set(IN_SDIST) <= names)
    stray = re.compile(r"\.ci/|__pycache__|dropin\.cache|\.egg-info|\.venv|\.nox")
    holds(f"{name}: the sdist has nothing stray", not any(map(stray.search, names)))


def look_into_whole(built: Built, core: Built) -> None:
    """Look into the package that only brings the one with the code."""
    names, metadata = names_in(built.wheel)
    holds("whole: the wheel has no code", all(".dist-info/" in each for each in names))
    look_into_metadata("whole", names, metadata)
    version = re.search("^Version: (.*)$", metadata, re.M)
    wanted = f"Requires-Dist: zmqbridge-core[asyncio,twisted]=={version and version[1]}"
    holds(f"whole: {wanted}", f"\n{wanted}\n" in metadata)
    of_core = set(re.findall("^Requires-Dist: (?!.*extra ==)(.*)$", names_in(core.wheel)[1], re.M))
    holds(f"core: needs only {of_core}", len(of_core) == 1 and "pyzmq" in of_core.pop())


def look_into_metadata(name: str, names: set[str], metadata: str) -> None:
    holds(f"{name}: the wheel has the license", any(n.endswith("licenses/LICENSE") for n in names))
    extras = set(re.findall("^Provides-Extra: (.*)$", metadata, re.M))
    wanted = set(PROJECT["optional-dependencies"])
    holds(f"{name}: its extras are those of pyproject.toml", extras == wanted)


class Empty:
    """A virtual environment with nothing but pip in it."""

    def __init__(self, where: Path) -> None:
        venv.create(where, with_pip=True)
        self._bin = where / ("Scripts" if os.name == "nt" else "bin")

    def pip(self, *words: object) -> str:
        return self("python", "-m", "pip", "--disable-pip-version-check", "-q", *words)

    def __call__(self, program: str, *words: object) -> str:
        return said(self._bin / program, *words, cwd=self._bin.parent)

    def fails(self, program: str, *words: object) -> str:
        """What a program that has to fail says, in one line."""
        command = [str(each) for each in (self._bin / program, *words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode != 2 or done.stderr.count("\n") != 1:
            sys.exit(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stderr

    def files(self) -> list[Path]:
        return [each for each in self._bin.parent.rglob("*") if each.is_file()]


def try_both(empty: Empty, what: str) -> None:
    """Both backends and the command line work, and nothing is missing."""
    empty.pip("check")
    empty("python", "-c", ASYNCIO)
    empty("python", "-W", "ignore", "-c", TWISTED)
    version = empty("zmqbridge", "--version")
    holds(f"{what}: installs, pip check, both backends, {version.strip()}", True)
    holds(f"{what}: twist has zmq-proxy", "zmq-proxy" in empty("twist", "--help"))


def install_whole(clone: Built, core: Built, whole: Built, folder: Path) -> None:
    """Install everything: what a clone is, and what an index has, also with the lowest versions."""
    lowest = [each.replace(">=", "==") for each in PROJECT["dependencies"]]
    for name, what in (
        ("clone", [clone.wheel]),
        ("clone, sdist", [clone.sdist]),
        ("clone, lowest", [clone.wheel, *lowest]),
        ("index", [whole.wheel, core.wheel]),
        ("index, sdists", [whole.sdist, core.sdist]),
        ("index, lowest", [whole.wheel, core.wheel, *lowest]),
    ):
        empty = Empty(folder / name.replace(", ", "-"))
        empty.pip("install", *what)
        try_both(empty, name)
        empty.pip("uninstall", "-y", "zmqbridge", *(["zmqbridge-core"] if "index" in name else []))
        left = [each for each in empty.files() if "zmqbridge" in each.name]
        holds(f"{name}: uninstalling leaves nothing behind", not left)


def install_extras(core: Built, whole: Built, folder: Path) -> None:
    """Install all extras together, with the newest and with the lowest versions."""
    extras = PROJECT["optional-dependencies"]
    pins = {each.replace(">=", "==") for wanted in extras.values() for each in wanted}
    lowest = [each.replace(">=", "==") for each in PROJECT["dependencies"]]
    for which, more in (("newest", []), ("lowest", [*lowest, *sorted(pins)])):
        empty = Empty(folder / f"extras-{which}")
        empty.pip("install", f"{whole.wheel}[{','.join(extras)}]", core.wheel, *more)
        empty("python", "-c", "import zmqbridge.metrics, zmqbridge.tracing, rich")
        empty("zmqbridge", "migrate", "--check", ROOT / "zmqbridge" / "core")
        (folder / "test_it.py").write_text(SIMULATED)
        empty("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", folder / "test_it.py")
        try_both(empty, f"index, all extras together, {which}: {', '.join(extras)}")


def install_halves(core: Built, folder: Path) -> None:
    """Install what carries one half or none, with the newest and with the lowest versions."""
    needs = {re.split("[^A-Za-z]", each)[0]: each for each in PROJECT["dependencies"]}
    for half, library, other, program in (
        ("asyncio", "anyio", "Twisted", ASYNCIO),
        ("twisted", "Twisted", "anyio", TWISTED),
    ):
        pins = [needs[each].replace(">=", "==") for each in ("pyzmq", library)]
        for which, more in (("newest", []), ("lowest", pins)):
            empty = Empty(folder / f"{half}-{which}")
            empty.pip("install", f"{core.wheel}[{half}]", *more)
            empty.pip("check")
            empty("python", "-W", "ignore", "-c", program)
            listed = empty("python", "-m", "pip", "list")
            what = f"zmqbridge-core[{half}], {which}: works, pip check, no {other}"
            holds(what, library in listed and other not in listed)
            error = empty.fails("zmqbridge", "demo")
            holds(f"zmqbridge demo says what it lacks: {error.strip()}", "pip install" in error)
    for which, more in (("newest", []), ("lowest", [needs["pyzmq"].replace(">=", "==")])):
        empty = Empty(folder / f"none-{which}")
        empty.pip("install", core.wheel, *more)
        empty.pip("check")
        empty("python", "-c", "import zmqbridge, zmqbridge.core, zmqbridge.security")
        empty("zmqbridge", "keygen", "server")
        error = empty.fails("zmqbridge", "pull", "-b", "tcp://127.0.0.1:*")
        what = f"zmqbridge-core, {which}: pip check; {error.strip()}"
        holds(what, "zmqbridge-core[asyncio]" in error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="install into no environments")
    quick = parser.parse_args().quick
    folder = Path(tempfile.mkdtemp(prefix="zmqbridge-package-"))
    try:
        said(sys.executable, ROOT / "release" / "split.py", folder / "split")
        clone = build_twice(ROOT, folder / "clone")
        core = build_twice(folder / "split" / "zmqbridge-core", folder / "core")
        whole = build_twice(folder / "split" / "zmqbridge", folder / "whole")
        look_into("clone", clone)
        look_into("core", core)
        look_into_whole(whole, core)
        if not quick:
            (folder / "environments").mkdir()
            install_whole(clone, core, whole, folder / "environments")
            install_extras(core, whole, folder / "environments")
            install_halves(core, folder / "environments")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
