"""pytest's plugin: the fixture `zmq_network`, tests that run on its network, failures by seed.

pytest loads it in every session, so it imports the library only when a test uses the fixture.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import pytest

if TYPE_CHECKING:
    from zmqbridge.testing import Network

SEED = "--zmq-seed"
SEEDS = "--zmq-seeds"
LAST = 20  # events that are shown with a failure


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options for the seeds of the simulated network."""
    group = parser.getgroup("zmqbridge")
    group.addoption(
        SEED, default=None, metavar="N", help="the seed of the fixture zmq_network (default: 0)"
    )
    group.addoption(
        SEEDS,
        default=None,
        metavar="COUNT",
        help="run each test that uses zmq_network with COUNT seeds, from --zmq-seed on",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Announce the mark, and refuse an option that is not a number."""
    config.addinivalue_line(
        "markers",
        "zmq_backend(name): the loop of a coroutine test that uses zmq_network: asyncio or trio",
    )
    for option in (SEED, SEEDS):
        _number(config, option)


def _number(config: pytest.Config, option: str, default: int = 0) -> int:
    given = config.getoption(option)
    if given is None:
        return default
    try:
        number = int(given)
    except ValueError:
        raise pytest.UsageError(f"{option}={given}: give a whole number") from None
    if option == SEEDS and number < 1:
        raise pytest.UsageError(f"{option}={given}: give 1 or more")
    return number


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test for each seed."""
    if "zmq_network" in metafunc.fixturenames:
        first = _number(metafunc.config, SEED)
        count = _number(metafunc.config, SEEDS, 1)
        if count > 1:
            seeds = range(first, first + count)
            metafunc.parametrize("zmq_network", seeds, indirect=True, ids=lambda n: f"seed{n}")


@pytest.fixture
def zmq_network(request: pytest.FixtureRequest) -> Network:
    """A simulated network; a coroutine test that uses it runs on it, in virtual time."""
    from zmqbridge.testing import Network

    network = Network(getattr(request, "param", _number(request.config, SEED)))
    request.node.stash[KEY] = network
    _backends[network] = _backend_of(request)
    return network


KEY: pytest.StashKey[Network] = pytest.StashKey()
_backends: WeakKeyDictionary[Network, str] = WeakKeyDictionary()


def _backend_of(request: pytest.FixtureRequest) -> str:
    mark = request.node.get_closest_marker("zmq_backend")
    if mark is not None:
        return str(mark.args[0])
    if "anyio_backend" not in request.fixturenames:
        return "asyncio"
    # anyio's own fixture names the loop; its options are those of real loops.
    given: Any = request.getfixturevalue("anyio_backend")
    return str(given if isinstance(given, str) else given[0])


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: Any, name: str, obj: Any) -> None:
    """Replace a coroutine test that uses the fixture by a plain function.

    The plugins of anyio and pytest-asyncio would run the coroutine function on a real loop. The
    plain function runs it on the simulated network.
    """
    # Python 3.12 takes its own module `inspect`, which a test may import, for a coroutine function.
    if not (inspect.isroutine(obj) and inspect.iscoroutinefunction(obj)):
        return
    if "zmq_network" in inspect.signature(obj).parameters:
        setattr(collector.obj, name, _in_its_world(obj))


def _in_its_world(function: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> None:
        from zmqbridge.testing import run

        network = kwargs["zmq_network"]
        run(lambda: function(*args, **kwargs), network, _backends[network])

    # pytest-asyncio warns of its mark on a function that is not a coroutine function.
    marks = getattr(function, "pytestmark", [])
    call.pytestmark = [each for each in marks if each.name != "asyncio"]  # type: ignore[attr-defined]
    return call


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the seed, the last events and the command that replays it to a failure."""
    report = yield
    network = item.stash.get(KEY, None)
    if network is not None and report.failed and call.when == "call":
        name = item.nodeid.replace(f"[seed{network.seed}]", "")
        again = f"replay it: pytest {SEED} {network.seed} '{name}'"
        report.sections.append(("simulated network", f"{network.report(LAST)}\n{again}"))
    return report
