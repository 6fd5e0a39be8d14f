"""pytest's plugin: the fixture `zmq_network`, tests that run on its network, failures by seed.

pytest loads it in every session, so it imports the library only when a test uses the fixture.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Coroutine, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from types import MethodType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import pytest

if TYPE_CHECKING:
    from zmqbridge.testing import Network

SEED = "--zmq-seed"
SEEDS = "--zmq-seeds"
LAST = 20  # events that are shown with a failure
MOST = 100_000  # seeds of one session: pytest makes a test for each before it runs the first
BACKENDS = "'asyncio', 'trio' or 'twisted'"


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
        "zmq_backend(name): the loop of a coroutine test that uses zmq_network: asyncio, trio or "
        "twisted",
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
    if option == SEEDS and not 1 <= number <= MOST:
        raise pytest.UsageError(
            f"{option}={given}: give 1 or more, and at most {MOST:,}; {SEED} says where to begin"
        )
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
        if len(mark.args) != 1 or str(mark.args[0]) not in BACKENDS.replace("'", "").split():
            raise pytest.UsageError(f"zmq_backend{mark.args!r}: give {BACKENDS}")
        return str(mark.args[0])
    if "anyio_backend" not in request.fixturenames:
        return "asyncio"
    # anyio's own fixture names the loop; its options are those of real loops.
    given: Any = request.getfixturevalue("anyio_backend")
    return str(given if isinstance(given, str) else given[0])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pycollect_makeitem(collector: Any, name: str, obj: Any) -> Generator[None, Any, Any]:
    """Replace a coroutine test that uses the fixture by a plain function.

    The plugins of anyio and pytest-asyncio would run the coroutine function on a real loop. The
    plain function runs it on the simulated network.
    """
    found = yield
    # Python 3.12 takes its own module `inspect`, which a test may import, for a coroutine function.
    if not (inspect.isroutine(obj) and inspect.iscoroutinefunction(obj)):
        return found
    items = found if isinstance(found, list) else [found]
    if not any("zmq_network" in getattr(each, "fixturenames", ()) for each in items):
        return found
    plain = _in_its_world(obj)
    setattr(collector.obj, name, plain)
    return collector.ihook.pytest_pycollect_makeitem(collector=collector, name=name, obj=plain)


# The item that runs, for the plain function of its test, which gets only what the test asks for.
_running: list[pytest.Function] = []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Let a test know its item."""
    _running.append(pyfuncitem)
    try:
        return (yield)
    finally:
        _running.pop()


def _in_its_world(function: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> None:
        from zmqbridge.testing import run

        item = _running[-1]
        network = item.stash[KEY]

        async def main() -> None:
            async with AsyncExitStack() as stack:
                for each in item.stash.get(LATER, []):
                    await each.begin(stack)
                await function(*args, **_values(kwargs))

        run(main, network, _backends[network])

    # pytest-asyncio warns of its mark on a function that is not a coroutine function.
    marks = getattr(function, "pytestmark", [])
    call.pytestmark = [each for each in marks if each.name != "asyncio"]  # type: ignore[attr-defined]
    call.zmq_simulated = True  # type: ignore[attr-defined]
    return call


class Later:
    """The value of an async fixture, which runs when its test does, on the simulated network."""

    def __init__(self, name: str, function: Callable[..., Any], kwargs: dict[str, Any]) -> None:
        self.name = name
        self.value: Any = self
        self._function = function
        self._kwargs = kwargs

    async def begin(self, stack: AsyncExitStack) -> None:
        """Run the fixture until it has its value; `stack` runs the rest of it after the test."""
        made = self._function(**_values(self._kwargs))
        if inspect.isasyncgen(made):
            self.value = await stack.enter_async_context(_yielded(made))
        else:
            self.value = await made

    def __repr__(self) -> str:
        return f"<the async fixture {self.name}, which runs with its test>"


LATER: pytest.StashKey[list[Later]] = pytest.StashKey()


def _values(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: each.value if isinstance(each, Later) else each for name, each in kwargs.items()}


@asynccontextmanager
async def _yielded(made: Any) -> Any:
    value = await anext(made)
    try:
        yield value
    finally:
        async for _ in made:
            raise pytest.UsageError(f"{made!r}: a fixture yields once")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(fixturedef: Any, request: Any) -> Generator[None, Any, Any]:
    """Let the async fixtures of a simulated test run on its network, within its run.

    The plugins of anyio and pytest-asyncio would run them on a real loop.
    """
    item, function = request.node, fixturedef.func
    if not hasattr(getattr(item, "function", None), "zmq_simulated"):
        return (yield)
    if not (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)):
        for name in fixturedef.argnames:
            if isinstance(request.getfixturevalue(name), Later):
                pytest.fail(
                    f"the fixture {fixturedef.argname} takes {name}, an async fixture, which has "
                    "its value only when the test runs on the simulated network: make "
                    f"{fixturedef.argname} async, too",
                    pytrace=False,
                )
        return (yield)
    bound = inspect.ismethod(function) and isinstance(request.instance, type(function.__self__))
    own = MethodType(function.__func__, request.instance) if bound else function

    def later(**kwargs: Any) -> Later:
        made = Later(fixturedef.argname, own, kwargs)
        item.stash.setdefault(LATER, []).append(made)
        return made

    fixturedef.func = later
    try:
        return (yield)
    finally:
        fixturedef.func = function


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the seed, the last events and the command that replays it to a failure."""
    report = yield
    network = item.stash.get(KEY, None)
    if network is not None and report.failed and call.when == "call":
        from zmqbridge.testing import Stalled

        if call.excinfo is not None and isinstance(call.excinfo.value, Stalled):
            # It says where the test waits; the frames are those of the loop.
            shown: Any = call.excinfo.getrepr(style="value")
            lines = [f"E   {line}" for line in call.excinfo.exconly().splitlines()]
            shown.reprtraceback.reprentries[-1].lines = lines
            report.longrepr = shown
        again = f"replay it: pytest {SEED} {network.seed} {without_seed(item.nodeid)}"
        report.sections.append(("simulated network", f"{network.report(LAST)}\n{again}"))
    return report


def without_seed(nodeid: str) -> str:
    """A test's id as a shell takes it, without the seed, which is one of its parameters."""
    test, bracket, parameters = nodeid.partition("[")
    kept = re.sub(r"(?:^|-)seed\d+(?=-|$)", "", parameters.removesuffix("]")).removeprefix("-")
    name = f"{test}[{kept}]" if bracket and kept else test
    return "'" + name.replace("'", "'\\''") + "'"
