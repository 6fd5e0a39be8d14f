"""The plugin of pytest: the fixture, the seeds, the loops, and what a failure shows."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

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


@pytest.fixture
def session(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(helper=SERVED)
    pytester.makeini("[pytest]\nfilterwarnings = error")
    return pytester


PLAIN = ["-p", "zmqbridge.pytest_plugin", "-p", "no:cacheprovider"]


def run(session: pytest.Pytester, test: str, *options: str) -> pytest.RunResult:
    session.makepyfile(test_it="from helper import *\n" + test)
    return session.runpytest_subprocess(*PLAIN, *(options or ["-p", "no:asyncio"]))


def test_a_coroutine_test_runs_in_virtual_time(session: pytest.Pytester) -> None:
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
    session: pytest.Pytester,
) -> None:
    done = run(session, "import inspect\nasync def test_it(zmq_network):\n    assert inspect\n")
    done.assert_outcomes(passed=1)


def test_a_failure_shows_the_seed_the_events_and_how_to_replay_it(session: pytest.Pytester) -> None:
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
    session: pytest.Pytester,
) -> None:
    done = run(session, "async def test_it(zmq_network):\n    with prices(zmq_network): pass\n")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*these requests never came: [[][[]b'price'[]][]]*"])


def test_each_seed_is_a_test(session: pytest.Pytester) -> None:
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
    session: pytest.Pytester, options: list[str], told: str
) -> None:
    done = run(session, "def test_it(): pass", *options, "-p", "no:asyncio")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([told])


def test_it_works_with_the_plugin_of_anyio(session: pytest.Pytester) -> None:
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


def test_it_works_with_pytest_asyncio(session: pytest.Pytester) -> None:
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


def test_a_program_that_waits_for_ever_fails_and_says_where(session: pytest.Pytester) -> None:
    test = "async def test_it(zmq_network):\n    await anyio.Event().wait()\n"
    done = run(session, test)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        ["*Stalled: at * nothing can go on any more; these wait:", "*test_it.py:3 in test_it*"]
    )
