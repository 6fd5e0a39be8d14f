"""The plugin of pytest: the fixture, the seeds, the loops, and what a failure shows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from zmqbridge.pytest_plugin import without_seed

pytest_plugins = ["pytester"]
BOUND = 150  # seconds; each takes a small part of one

SERVED = """
    import anyio, pytest
    from zmqbridge.asyncio_backend import Requester
    from zmqbridge.testing import Script

    def prices(network):
        return Script([([b"price"], [b"12"])], node=network.node("prices"), bind="tcp://*:5555")

    async def ask(what):
        async with Requester(connect="tcp://prices:5555") as requester:
            return await requester.request(what)
"""


class Session:
    """A folder with tests, which are run as by ``python -m pytest``."""

    def __init__(self, pytester: pytest.Pytester, zygote: Callable[..., Any]) -> None:
        pytester.makepyfile(
            helper=SERVED, run_pytest="import pytest; raise SystemExit(pytest.main())"
        )
        pytester.makeini("[pytest]\nfilterwarnings = error")
        self.pytester, self.zygote = pytester, zygote

    def run(self, *options: str) -> pytest.RunResult:
        folder, begun = self.pytester.path, time.monotonic()
        command = [str(folder / "run_pytest.py"), f"--basetemp={folder / 'basetemp'}", *PLAIN]
        out, err = folder / "out", folder / "err"
        pid = self.zygote("run", [*command, *options], str(folder), str(out), str(err), False)
        status = self.zygote("wait", pid, BOUND)
        printed, complained = (each.read_text().splitlines() for each in (out, err))
        assert status is not None, (printed, complained)
        return pytest.RunResult(status, printed, complained, time.monotonic() - begun)


@pytest.fixture
def session(pytester: pytest.Pytester, zygote_of_pytest: Callable[..., Any]) -> Session:
    return Session(pytester, zygote_of_pytest)


# What has no part in it, and takes a third of the time to load.
STRANGERS = (
    "benchmark",
    "cacheprovider",
    "hypothesispytest",
    "timeout",
    "xdist.looponfail",
    "xdist",
)
PLAIN = ["-p", "zmqbridge.pytest_plugin", *(f"-pno:{name}" for name in STRANGERS)]


def run(session: Session, test: str, *options: str) -> pytest.RunResult:
    session.pytester.makepyfile(test_it="from helper import *\n" + test)
    return session.run(*(options or ["-p", "no:asyncio"]))


def test_a_coroutine_test_runs_in_virtual_time(session: Session) -> None:
    done = run(
        session,
        "async def test_it(zmq_network):\n"
        "    with prices(zmq_network):\n"
        "        await anyio.sleep(86400)\n"
        "        assert await ask(b'price') == [b'12']\n"
        "    assert zmq_network.now > 86400\n"
        "class TestIt:\n"
        "    async def test_method(self, zmq_network, tmp_path):\n"
        "        await anyio.sleep(86400)\n",
    )
    done.assert_outcomes(passed=2)


def test_a_test_may_import_what_python_3_12_takes_for_a_coroutine_function(
    session: Session,
) -> None:
    done = run(session, "import inspect\nasync def test_it(zmq_network):\n    assert inspect\n")
    done.assert_outcomes(passed=1)


def test_a_failure_shows_the_seed_the_events_and_how_to_replay_it(session: Session) -> None:
    test = (
        "async def test_it(zmq_network):\n"
        "    with prices(zmq_network):\n"
        "        await ask(b'cost')\n"
    )
    done = run(session, test, "--zmq-seed", "7", "-p", "no:asyncio")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines([
        "*request 1 is [[]b'cost'[]], the script expects [[]b'price'[]]*",
        "seed 7, at *; the last 2 events:",
        "*main*prices*",
        "*|--*>|*b'cost'*DEALER to ROUTER*",
        "replay it: pytest --zmq-seed 7 'test_it.py::test_it'",
    ])  # fmt: skip


def test_a_request_that_never_comes_fails_at_the_end_of_the_script(
    session: Session,
) -> None:
    done = run(session, "async def test_it(zmq_network):\n    with prices(zmq_network): pass\n")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*these requests never came: [[][[]b'price'[]][]]*"])


def test_each_seed_is_a_test(session: Session) -> None:
    test = (
        "async def test_it(zmq_network):\n"
        "    assert zmq_network.seed in (5, 6, 7)\n"
        "    assert zmq_network.seed != 6\n"
    )
    done = run(session, test, "--zmq-seed", "5", "--zmq-seeds", "3", "-p", "no:asyncio")
    done.assert_outcomes(passed=2, failed=1)
    done.stdout.fnmatch_lines(["replay it: pytest --zmq-seed 6 'test_it.py::test_it'"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--zmq-seed", "many"], "*--zmq-seed=many: give a whole number*"),
        (["--zmq-seeds", "0"], "*--zmq-seeds=0: give 1 or more*"),
    ],
)
def test_a_seed_that_is_no_number_is_refused(
    session: Session, options: list[str], told: str
) -> None:
    done = run(session, "def test_it(): pass", *options, "-p", "no:asyncio")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([told])


def test_it_works_with_the_plugin_of_anyio(session: Session) -> None:
    test = (
        "@pytest.mark.anyio\n"
        "async def test_it(zmq_network, anyio_backend_name):\n"
        "    import sniffio\n"
        "    with prices(zmq_network):\n"
        "        assert await ask(b'price') == [b'12']\n"
        "    await anyio.sleep(86400)\n"
        "    assert sniffio.current_async_library() == anyio_backend_name\n"
    )
    run(session, test).assert_outcomes(passed=2)


def test_it_works_with_pytest_asyncio(session: Session) -> None:
    pytest.importorskip("pytest_asyncio")
    test = (
        "@pytest.mark.asyncio\n"
        "async def test_it(zmq_network):\n"
        "    await anyio.sleep(86400)\n"
        "async def test_unmarked(zmq_network):\n"
        "    await anyio.sleep(86400)\n"
    )
    options = ["asyncio_mode=auto", "asyncio_default_fixture_loop_scope=function"]
    done = run(session, test, *(part for each in options for part in ("-o", each)))
    done.assert_outcomes(passed=2)


def test_a_program_that_waits_for_ever_fails_and_says_where(session: Session) -> None:
    test = "async def test_it(zmq_network):\n    await anyio.Event().wait()\n"
    done = run(session, test)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        ["E *Stalled: at * nothing can go on any more; these wait:", "E *test_it.py:3 in test_it*"]
    )
    done.stdout.no_fnmatch_line("*_asyncio_world.py*")  # the frames of the loop say nothing


BEHIND = """
import sniffio

@pytest.fixture
def world(zmq_network):
    zmq_network.node("prices")
    return zmq_network

@pytest.fixture
async def served(world):
    with prices(world):
        await anyio.sleep(3600)
        yield world
        await anyio.sleep(3600)  # its end is in the same run
        print("ended at", round(world.now))

@pytest.fixture
async def asked(served):
    return await ask(b"price")

class TestIt:
    @pytest.fixture
    async def own(self, asked):
        self.seen = asked
        return asked

    {mark}
    async def test_a_method(self, own, zmq_network):
        assert self.seen == own == [b"12"]

{mark}
async def test_behind(world):
    await anyio.sleep(86400)
    assert world.now >= 86400

{mark}
async def test_async(asked, served):
    assert asked == [b"12"]
    await anyio.sleep(86400)
    assert round(served.now) == 90000
"""
AUTO = ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]
STRICT = ["-o", "asyncio_mode=strict", "-o", "asyncio_default_fixture_loop_scope=function"]


@pytest.mark.parametrize(
    ("options", "mark", "count"),
    [
        (["-p", "no:asyncio"], "", 3),
        (AUTO, "", 3),
        (STRICT, "@pytest.mark.asyncio", 3),
        (STRICT, "", 3),
        (["-p", "no:asyncio"], "@pytest.mark.anyio", 6),
        (AUTO, "@pytest.mark.zmq_backend('trio')", 3),
    ],
    ids=["plain", "asyncio, auto", "asyncio, strict", "asyncio, unmarked", "anyio", "trio"],
)
def test_the_network_may_come_through_fixtures_of_ones_own(
    session: Session, options: list[str], mark: str, count: int
) -> None:
    if "no:asyncio" not in options:
        pytest.importorskip("pytest_asyncio")
    done = run(session, BEHIND.format(mark=mark), *options, "-rP")
    done.assert_outcomes(passed=count)
    done.stdout.fnmatch_lines(["ended at 93600"])


def test_it_may_come_through_fixtures_of_pytest_asyncio(session: Session) -> None:
    pytest.importorskip("pytest_asyncio")
    test = "import pytest_asyncio\n" + BEHIND.replace("@pytest.fixture", "@pytest_asyncio.fixture")
    done = run(session, test.format(mark="@pytest.mark.asyncio"), *STRICT)
    done.assert_outcomes(passed=3)


def test_an_async_fixture_may_come_through_twisted(session: Session) -> None:
    test = (
        "from twisted.internet.task import deferLater\n"
        "from zmqbridge.twisted_backend._reactors import global_reactor\n"
        "@pytest.fixture\n"
        "async def later(zmq_network):\n"
        "    await deferLater(global_reactor(), 3600)\n"
        "    yield zmq_network.now\n"
        "    print('ended at', round(zmq_network.now))\n"
        "@pytest.mark.zmq_backend('twisted')\n"
        "async def test_it(later):\n"
        "    assert later >= 3600\n"
    )
    done = run(session, test, "-p", "no:asyncio", "-rP")
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["ended at 3600"])


def test_a_failure_behind_a_fixture_shows_the_network_and_ends_the_fixture(
    session: Session,
) -> None:
    test = (
        "@pytest.fixture\n"
        "async def served(zmq_network):\n"
        "    with prices(zmq_network):\n"
        "        yield\n"
        "        print('ended')\n"
        "async def test_it(served):\n"
        "    await ask(b'price')\n"
        "    assert False, 'in the test'\n"
    )
    done = run(session, test)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*in the test*", "ended", "seed 0, at *"])


def test_a_plain_fixture_cannot_take_an_async_one(session: Session) -> None:
    test = (
        "@pytest.fixture\n"
        "async def first(zmq_network): return 1\n"
        "@pytest.fixture\n"
        "def second(first): return first + 1\n"
        "async def test_it(second): pass\n"
    )
    done = run(session, test)
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(
        ["*the fixture second takes first, an async fixture, *make second async*"]
    )


def test_a_fixture_of_a_wider_scope_on_trio_is_told_what_to_do(session: Session) -> None:
    test = (
        "@pytest.fixture(scope='module')\n"
        "async def whole(anyio_backend): yield 1\n"
        "@pytest.mark.anyio\n"
        "@pytest.mark.parametrize('anyio_backend', ['trio'], scope='module')\n"
        "async def test_it(zmq_network, whole): pass\n"
    )
    done = run(session, test)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*NotSimulated: trio runs already in this thread*scope*"])


@pytest.mark.parametrize("mark", ["zmq_backend", "zmq_backend('curio')", "zmq_backend()"])
def test_a_backend_that_does_not_exist_is_told(session: Session, mark: str) -> None:
    test = f"@pytest.mark.{mark}\nasync def test_it(zmq_network): pass\n"
    done = run(session, test)
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*zmq_backend(*): give 'asyncio', 'trio' or 'twisted'*"])


def test_the_marks_name_all_backends(session: Session) -> None:
    done = session.run("--markers", "-p", "no:asyncio")
    done.stdout.fnmatch_lines(["*zmq_backend(name)*asyncio, trio or twisted"])


def test_too_many_seeds_are_told_at_once(session: Session) -> None:
    done = run(
        session,
        "async def test_it(zmq_network): pass\n",
        "--zmq-seeds",
        "100000000000",
        "-p",
        "no:asyncio",
    )
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*--zmq-seeds=100000000000: give 1 or more, and at most 100,000*"])


@pytest.mark.parametrize(
    ("nodeid", "shell"),
    [
        ("t.py::test_it", "'t.py::test_it'"),
        ("t.py::test_it[seed7]", "'t.py::test_it'"),
        ("t.py::test_it[seed7-a b]", "'t.py::test_it[a b]'"),
        ("t.py::test_it[a-seed12]", "'t.py::test_it[a]'"),
        ("t.py::test_it[a-seed12-b]", "'t.py::test_it[a-b]'"),
        ("t.py::test_it[seeds-it's]", "'t.py::test_it[seeds-it'\\''s]'"),
    ],
)
def test_the_test_to_replay_is_named_without_its_seed(nodeid: str, shell: str) -> None:
    assert without_seed(nodeid) == shell
