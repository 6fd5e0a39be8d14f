"""The checks of the project, each in an environment of its own: ``nox`` runs what CI runs."""

import random
import re
import subprocess
import tomllib
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "venv"
nox.options.sessions = [
    *["lint", "types", "verifytypes", "core", "tests", "sim", "original_suite", "docs", "peers"]
]

# Tests wait half of the time, so four run at once, on two cores, too. `nox -s tests -- -n 0` runs
# them in one process.
AT_ONCE = ["-n", "4", "--dist", "worksteal"]
PROJECT = tomllib.loads(Path("pyproject.toml").read_text())


def install(session: nox.Session, *groups: str) -> None:
    """Install the project and some of its dependency groups."""
    session.install("-e", ".", *nox.project.dependency_groups(PROJECT, *groups))


@nox.session
def lint(session: nox.Session) -> None:
    """Style, imports, docstrings."""
    session.install(*nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Strict types, zope interfaces included."""
    install(session, "types")
    session.run("mypy")


@nox.session
def verifytypes(session: nox.Session) -> None:
    """Every public name has a type that all checkers see alike; pip brings pyright and its Node."""
    install(session, "public_types")
    session.run("pyright", "--verifytypes", "zmqbridge", "--ignoreexternal")
    session.run("pyright", "tests/typed")


@nox.session
def core(session: nox.Session) -> None:
    """The core alone, where neither zmq nor Twisted nor anyio is installed; every branch."""
    session.install(*nox.project.dependency_groups(PROJECT, "core"))
    session.run(
        *[
            "coverage",
            "run",
            "--source=zmqbridge/core",
            "-m",
            "pytest",
            "-q",
            "--confcutdir=tests/core",
            "tests/core",
        ],
        env={"PYTHONPATH": "."},
    )
    session.run("coverage", "report", "--fail-under=100", "--show-missing")


@nox.session
def nightly(session: nox.Session) -> None:
    """The core's tests with other cases each time, many more of them; then the soak, and more.

    All parts get one seed, and it prints the commands that repeat each of them. ``nox -s nightly
    -- --hypothesis-seed=SEED`` repeats the core's tests only.
    """
    session.install(*nox.project.dependency_groups(PROJECT, "core"))
    given = [each for each in session.posargs if each.startswith("--hypothesis-seed=")]
    seed = given[-1].partition("=")[2] if given else str(random.SystemRandom().randrange(2**32))
    session.log(f"seed {seed}; the core's tests again: nox -s nightly -- --hypothesis-seed={seed}")
    seeded = {
        "soak": ["--seed", seed],
        "pairs": [],  # which has no random part
        "simulated_contract": ["--sim-seed", seed],
        "differential": ["--seed", seed, "--programs", "2000"],
    }
    for name, words in seeded.items() if not given else ():
        session.log(f"later: nox -s {name} -- {' '.join(words)}")
        session.notify(name, words)
    session.run(
        *["pytest", "-v", "--confcutdir=tests/core", "tests/core"],
        *["--hypothesis-profile=nightly", f"--hypothesis-seed={seed}"],
        *[each for each in session.posargs if each not in given],
        env={"PYTHONPATH": "."},
    )


@nox.session
def differential(session: nox.Session) -> None:
    """The simulated network against libzmq: ``nox -s differential -- --seed S --programs N``."""
    install(session, "test")
    session.run("python", "-m", "zmqbridge.testing", "differential", *session.posargs)


@nox.session
def pairs(session: nox.Session) -> None:
    """A thousand fresh publishers and subscribers, on each loop: the first publication is heard."""
    install(session, "test")
    session.run(
        *["pytest", "-v", "tests/contract/test_ready.py", "-k", "fresh or proxies"],
        *["--timeout", "600", *session.posargs],
        env={"PAIRS": "1000", "EVERY_WORLD": "1"},
    )


@nox.session
def tests(session: nox.Session) -> None:
    """Everything else, on this Python."""
    install(session, "test")
    session.run("pytest", "--ignore=tests/core", *AT_ONCE, *session.posargs)


@nox.session
def peers(session: nox.Session) -> None:
    """Ours and peers in another language: Node's zeromq, if npm can install it."""
    install(session, "test")
    folder = session.create_tmp()
    command = ["npm", "install", "--fetch-retries", "1", "--prefix", folder, "zeromq@6"]
    try:
        subprocess.run(command, timeout=120, check=True)
    except (OSError, subprocess.SubprocessError):
        session.log("npm is missing, or brings no zeromq: the tests with Node are skipped")
    modules = str(Path(folder, "node_modules").resolve())
    tests = session.posargs or ["tests/interop/test_node.py"]
    session.run("pytest", "-rs", *tests, env={"NODE_PATH": modules})


@nox.session
def simulated_contract(session: nox.Session) -> None:
    """The contract suite in the three simulated worlds: ``-- --sim-seed N`` chooses the seed."""
    install(session, "test")
    worlds = "sim-asyncio,sim-trio,sim-twisted"
    session.run("pytest", "tests/contract", "--world", worlds, *AT_ONCE, *session.posargs)


@nox.session
def sim(session: nox.Session) -> None:
    """What is promised, on the simulated network: 2,000 seeds under faults, and the contract suite.

    ``nox -s sim -- --seed N`` replays one; ``nox -s sim -- --planted`` plants one fault after the
    other in a copy of the library, and counts which are noticed.
    """
    install(session, "test")
    given = [each for each in session.posargs if each != "--planted"]
    module = "tests.simulated.planted" if "--planted" in session.posargs else "tests.simulated"
    session.run("python", "-m", module, *given, env={"PYTHONPATH": "."})
    if not session.posargs:
        session.notify("simulated_contract", ["--sim-seed", "1"])


@nox.session(python=["3.11", "3.12", "3.13", "3.14", "3.15", "pypy3.11"])
def pythons(session: nox.Session) -> None:
    """All tests, on every Python that is installed."""
    install(session, "test")
    session.run("pytest", *session.posargs)


@nox.session
def loops(session: nox.Session) -> None:
    """The whole contract suite on all twelve loops, where the ordinary one takes five for most."""
    install(session, "test")
    session.run("pytest", "tests/contract", *AT_ONCE, *session.posargs, env={"EVERY_WORLD": "1"})


@nox.session(python="3.11")  # of which these versions are; the lowest Twisted warns on later ones
def lowest(session: nox.Session) -> None:
    """All tests, with the lowest versions of the dependencies that pyproject.toml allows."""
    pins = [re.sub(">=", "==", wanted) for wanted in PROJECT["project"]["dependencies"]]
    session.install("-e", ".", *pins, *nox.project.dependency_groups(PROJECT, "test"))
    session.run("pytest", *session.posargs)


@nox.session
def original_suite(session: nox.Session) -> None:
    """txZMQ's own tests, from its package, against the facade."""
    install(session, "test")
    session.run("python", "tests/original_suite.py")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site, where a warning is an error, and run every program of its pages.

    Nothing is fetched while it builds. With DOCS_ONLINE set, names of Python, Twisted and pyzmq are
    links.
    """
    install(session, "test", "docs", "pages")
    session.run("pytest", "-q", "tests/test_docs.py", "tests/test_core_page.py")
    session.run(
        "sphinx-build", "-W", "--keep-going", "-n", "-b", "html", "docs", "docs/_build/html"
    )
    session.run("python", "docs/_ext/everypublicname.py", "docs/_build/html/objects.inv")


@nox.session
def package(session: nox.Session) -> None:
    """Wheel and sdist: built twice and equal, what is in them, and that they install and work."""
    session.install(*nox.project.dependency_groups(PROJECT, "package"))
    session.run("python", "tests/package.py", *session.posargs)


@nox.session
def changelog(session: nox.Session) -> None:
    """What the next version's changes are; ``nox -s changelog -- --yes`` writes CHANGELOG.md."""
    session.install(*nox.project.dependency_groups(PROJECT, "changelog"))
    session.run("towncrier", "build", *(session.posargs or ["--draft"]))


@nox.session
def bench(session: nox.Session) -> None:
    """The benchmarks, beside all peers: ``nox -s bench -- receive --rounds 3``, or all of them."""
    install(session, "bench")
    session.run("python", "-m", "benchmarks", *session.posargs)


def seed_of(words: list[str]) -> list[str]:
    """The option ``--seed`` among others, with its value, or nothing."""
    at = words.index("--seed") if "--seed" in words else len(words)
    return words[at : at + 2]


@nox.session
def soak(session: nox.Session) -> None:
    """What takes minutes: kills under load, a fuzz of every class, thousands of open sockets.

    ``nox -s soak -- --seed S`` repeats what is random in it, ``--seconds N`` says how long kills
    go on.
    """
    install(session, "test")
    session.run("python", "tests/soak/chaos.py", *session.posargs)
    session.run(
        "python", "-m", "tests.soak.publications", *session.posargs, env={"PYTHONPATH": "."}
    )
    session.run("python", "tests/soak/fuzz.py", *seed_of(session.posargs))
    session.run("python", "tests/soak/cycles.py")
    session.run("python", "tests/soak/exits.py")
