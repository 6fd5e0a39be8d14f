"""The worlds in which every behaviour of the contract is run: each loop with its backend.

``pytest --world asyncio,trio`` runs the tests of these worlds alone; `World` lists the verbs.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import gc
import inspect
import json
import logging
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import anyio
import pytest
import zmq
from anyio.abc import TaskGroup
from twisted.internet import asyncioreactor, defer, task
from twisted.logger import LogEvent, globalLogPublisher

from zmqbridge import asyncio_backend, twisted_backend
from zmqbridge._bridge import sending
from zmqbridge._bridge.calls import COMPILED
from zmqbridge.testing import Network, SimReactor
from zmqbridge.testing import run as run_simulated

if not COMPILED:
    # There pyzmq's destructor fails on a socket that could not be made; on PyPy in another test.
    setattr(zmq.backend.Socket, "_closed", True)  # noqa: B010  it has no such name where compiled

collect_ignore = ["outside"]  # a project of its own, which test_outside.py runs

# Seconds that a behaviour may take. Most take a small part of one; beside eight busy processes ten
# times as long. It is less than the 60 s of pytest-timeout, which tell less.
BOUND = 45

# A shell that runs us in the background may have us ignore Ctrl-C. Programs that tests start and
# end by it would ignore it, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Where nothing is to be written beside the sources, each program that a test starts would compile
# the whole library anew. So it is compiled once, elsewhere, for the workers of xdist, too.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", "") and "PYTHONPYCACHEPREFIX" not in os.environ:
    elsewhere = tempfile.TemporaryDirectory("-zmqbridge-compiled", ignore_cleanup_errors=True)
    atexit.register(elsewhere.cleanup)
    os.environ["PYTHONPYCACHEPREFIX"] = elsewhere.name

Result = TypeVar("Result", covariant=True)
Scenario = Callable[[], Coroutine[Any, Any, None]]
Make = Callable[..., Any]  # a fixture that makes what takes arguments of its own

# What a world makes, whichever backend is its own.
Dealer = asyncio_backend.Dealer | twisted_backend.Dealer
Publisher = asyncio_backend.Publisher | twisted_backend.Publisher
Puller = asyncio_backend.Puller | twisted_backend.Puller
Pusher = asyncio_backend.Pusher | twisted_backend.Pusher
Replier = asyncio_backend.Replier | twisted_backend.Replier
Request = asyncio_backend.Request | twisted_backend.Request
Requester = asyncio_backend.Requester | twisted_backend.Requester
Router = asyncio_backend.Router | twisted_backend.Router
Subscriber = asyncio_backend.Subscriber | twisted_backend.Subscriber


class Call(Protocol[Result]):
    """What `World.spawn` returns: it can be awaited and cancelled."""

    def cancel(self) -> object: ...

    def __await__(self) -> Generator[Any, Any, Result]: ...


class World:
    """A loop, the backend for it, and what tests need of any loop: the fixture ``w``.

    A test that is a coroutine function and has the argument ``w`` runs in each world, on a loop or
    a reactor of its own, for 45 s at most. It is written once, in these words:

    - ``w.Puller(...)``, ``w.end_context()``: any public name of the backend, with its loop given.
    - ``await w.until(condition, bound=20)``: wait until ``condition()`` is true; fail after
      ``bound`` seconds with the condition's source. It stands where a fixed sleep would.
    - ``await w.sleep(seconds)``: let so much time pass; ``w.sleep(0)`` is one round of the loop.
    - ``await w.settled()``: ten rounds, after which each spawned call has come to where it waits.
    - ``w.spawn(awaitable)``: start it now or in the next round, and go on. What it returns can be
      awaited and has ``cancel()``: a task of asyncio, a Deferred, or a `Spawned` with anyio.
    - ``w.done(spawned)``: whether that has ended. ``await w.gather(*awaitables)``: all results.
    - ``await w.in_a_thread(work)``: call ``work()`` in a thread; its exception, or None.
    - ``w.Cancelled``: what awaiting a cancelled ``spawned`` raises.
    - ``await w.connected(publisher, subscriber)``: wait until publications get through.
    - ``w.reports``: the exceptions that were given to the loop's handler or the log. A test of what
      is reported reads it.
    - ``w.backend``: the backend's module; ``w.reactor``: the reactor, in Twisted's worlds alone.
    - ``w.now()``: the monotonic time; ``w.context()``: a context for plain peers; ``w.simulated``.

    The worlds whose name begins with ``sim-`` run a test on the simulated network, in virtual time.

    A class of worlds supplies ``backend``, ``sleep``, ``spawn``, ``done``, ``gather``,
    ``Cancelled``, ``reports`` and ``run(scenario)``; a new loop is one entry of `WORLDS`.
    """

    Cancelled: type[BaseException]
    # Their public names are the same, but one gives coroutines where the other gives Deferreds.
    backend: Any
    reactor: Any
    reports: list[Any]
    sleep: Callable[[float], Awaitable[object]]
    simulated = False

    def now(self) -> float:
        return time.monotonic()

    def context(self) -> zmq.Context[Any]:
        return zmq.Context()

    def __getattr__(self, name: str) -> Any:
        """A public name of the backend."""
        raise NotImplementedError

    def spawn(self, awaitable: Awaitable[Result]) -> Call[Result]:
        raise NotImplementedError

    def done(self, spawned: Any) -> bool:
        raise NotImplementedError

    def gather(self, *awaitables: Awaitable[Any]) -> Awaitable[list[Any]]:
        raise NotImplementedError

    def run(self, scenario: Scenario) -> None:
        raise NotImplementedError

    async def until(self, condition: Callable[..., object], bound: float = 20) -> None:
        """Wait for a condition, and fail when it does not come true in time."""
        end = self.now() + bound
        while not condition():
            assert self.now() < end, f"still not: {inspect.getsource(condition)}"
            await self.sleep(0.002)

    async def in_a_thread(self, work: Callable[..., object]) -> Exception | None:
        """Run `work` in a thread while the loop goes on, and return what it raises."""
        raised = []

        def run() -> None:
            try:
                work()
            except Exception as error:
                raised.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        await self.until(lambda: not thread.is_alive())
        return raised[0] if raised else None

    async def settled(self) -> None:
        """Let each spawned call come to where it waits."""
        for _ in range(10):
            await self.sleep(0)

    async def connected(self, publisher: Any, subscriber: Any, tag: str | bytes = b"") -> None:
        """Wait until publications get through; what was published for that is taken again."""
        receiving = self.spawn(subscriber.receive())
        while not self.done(receiving):
            publisher.publish(b"are you there?", tag)
            await self.sleep(0.002)
        await receiving
        publisher.publish(b"the last", tag)
        while (await subscriber.receive())[1] != b"the last":
            pass


class AsyncioWorld(World):
    Cancelled = asyncio.CancelledError
    backend = asyncio_backend
    sleep = staticmethod(asyncio.sleep)

    def __init__(self, loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.loop_factory = loop_factory
        self.reports = []

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio_backend, name)

    def spawn(self, coroutine: Awaitable[Result]) -> asyncio.Future[Result]:
        return asyncio.ensure_future(coroutine)

    def done(self, spawned: Any) -> bool:
        return spawned.done()

    def gather(self, *coroutines: Awaitable[Any]) -> asyncio.Future[list[Any]]:
        return asyncio.gather(*coroutines)

    def run(self, scenario: Scenario) -> None:
        async def bounded() -> None:
            asyncio.get_running_loop().set_exception_handler(
                lambda loop, context: self.reports.append(context["exception"])
            )
            await asyncio.wait_for(scenario(), BOUND)

        self.start(bounded)

    def start(self, main: Scenario) -> None:
        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            runner.run(main())


class Spawned:
    """A task of anyio with a cancel scope of its own, to be awaited and cancelled like a Future."""

    def __init__(self, awaitable: Awaitable[Any], group: TaskGroup) -> None:
        self.scope = anyio.CancelScope()
        self.finished = anyio.Event()
        self.result: Any = None
        self.error: Exception | None = None
        group.start_soon(self._run, awaitable)

    async def _run(self, awaitable: Awaitable[Any]) -> None:
        try:
            with self.scope:
                self.result = await awaitable
            if self.scope.cancelled_caught:
                self.error = AnyioWorld.Cancelled()
        except Exception as error:
            self.error = error
        finally:
            self.finished.set()

    def cancel(self) -> None:
        self.scope.cancel()

    def __await__(self) -> Generator[Any, Any, Any]:
        yield from self.finished.wait().__await__()
        if self.error is not None:
            raise self.error
        return self.result


class AnyioWorld(World):
    """Tasks and cancel scopes of anyio, whose strictness is trio's."""

    class Cancelled(Exception):
        """What awaiting a cancelled task gives here."""

    backend = asyncio_backend
    sleep = staticmethod(anyio.sleep)

    def __init__(self, backend: str, **options: Any) -> None:
        self.how: Any = {"backend": backend, "backend_options": options}
        self.reports = []

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio_backend, name)

    def spawn(self, awaitable: Awaitable[Any]) -> Spawned:
        return Spawned(awaitable, self.group)

    def done(self, spawned: Any) -> bool:
        return spawned.finished.is_set()

    async def gather(self, *awaitables: Awaitable[Any]) -> list[Any]:
        return [await each for each in [self.spawn(each) for each in awaitables]]

    def run(self, scenario: Scenario) -> None:
        async def bounded() -> None:
            with contextlib.suppress(RuntimeError):  # trio's errors go to the log
                asyncio.get_running_loop().set_exception_handler(
                    lambda loop, context: self.reports.append(context["exception"])
                )
            with anyio.fail_after(BOUND):
                async with anyio.create_task_group() as self.group:
                    try:
                        await scenario()
                    except Exception as error:
                        outcome.append(error)
                    self.group.cancel_scope.cancel()

        outcome: list[Exception] = []
        handler: Any = logging.Handler()
        handler.emit = lambda record: self.reports.append(record.exc_info[1])
        logging.getLogger("zmqbridge").addHandler(handler)
        try:
            self.start(bounded)
        finally:
            logging.getLogger("zmqbridge").removeHandler(handler)
        if outcome:
            raise outcome[0]

    def start(self, main: Scenario) -> None:
        anyio.run(main, **self.how)


class TwistedWorld(World):
    Cancelled = defer.CancelledError
    backend = twisted_backend

    def __init__(self, reactor_factory: Callable[[], Any]) -> None:
        self.reactor = reactor_factory()
        self.reports = []

    def __getattr__(self, name: str) -> Any:
        made = getattr(twisted_backend, name)
        return functools.partial(made, reactor=self.reactor)

    def sleep(self, seconds: float) -> defer.Deferred[None]:
        return task.deferLater(self.reactor, seconds)

    def spawn(self, awaitable: Any) -> defer.Deferred[Any]:
        if isinstance(awaitable, defer.Deferred):
            return awaitable
        return defer.Deferred.fromCoroutine(awaitable)

    def done(self, spawned: Any) -> bool:
        return spawned.called

    def gather(self, *awaitables: Any) -> defer.Deferred[list[Any]]:
        return defer.gatherResults([self.spawn(each) for each in awaitables], consumeErrors=True)

    def run(self, scenario: Scenario) -> None:
        outcome: list[Any] = []

        def observe(event: LogEvent) -> None:
            if "log_failure" in event:
                self.reports.append(event["log_failure"].value)

        def start() -> None:
            scene = defer.Deferred.fromCoroutine(scenario())
            scene.addTimeout(BOUND, self.reactor)
            scene.addBoth(outcome.append)
            scene.addBoth(lambda _: self.reactor.stop())

        globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]  # a function is one
        try:
            self.start(start)
            self.reactor.run(installSignalHandlers=False)
        finally:
            globalLogPublisher.removeObserver(observe)  # type: ignore[arg-type]
            for reader in self.reactor.removeAll():
                with contextlib.suppress(Exception):
                    reader.connectionLost(None)
        if outcome[0] is not None:
            outcome[0].raiseException()

    def start(self, main: Callable[[], None]) -> None:
        self.reactor.callWhenRunning(main)


class Simulated(World):
    """What the worlds on the simulated network have in common; the test is one of its nodes."""

    simulated = True
    loop = ""

    seed = 0  # set by --sim-seed; by another one than 0, messages take their time

    def __init__(self, *given: Any) -> None:
        self.network = Network(Simulated.seed)
        if Simulated.seed:
            here = self.network.node("main")
            most = self.network.random.choice([0.0001, 0.002, 0.01])
            self.network.slow(here, here, latency=(0.0, most))
        super().__init__(*given)

    def now(self) -> float:
        return self.network.now

    def context(self) -> zmq.Context[Any]:
        return self.network.node("main").context.beside()

    def start(self, main: Any) -> None:
        run_simulated(main, self.network, self.loop)


class SimulatedAsyncio(Simulated, AsyncioWorld):
    loop = "asyncio"

    def __init__(self) -> None:
        super().__init__(asyncio.new_event_loop)


class SimulatedTrio(Simulated, AnyioWorld):
    loop = "trio"

    def __init__(self) -> None:
        pytest.importorskip("trio")
        super().__init__("trio")


class SimulatedTwisted(Simulated, TwistedWorld):
    def __init__(self) -> None:
        super().__init__(lambda: SimReactor(self.network))

    def start(self, main: Any) -> None:
        # Not now: a test that ends at once would stop a reactor that does not run yet.
        self.reactor.callLater(0, self.network.node("main").start, main)


def uvloop() -> Any:
    return pytest.importorskip("uvloop").new_event_loop()


def debugging() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    return loop


class DeafLoop(asyncio.SelectorEventLoop):
    """As Windows' Proactor loop: it does not watch FDs."""

    def _refuse(self, *args: object) -> Any:
        raise NotImplementedError

    add_reader = remove_reader = add_writer = remove_writer = _refuse  # type: ignore[assignment]


REACTORS = {
    "epoll": ("twisted.internet.epollreactor", "EPollReactor"),
    "kqueue": ("twisted.internet.kqreactor", "KQueueReactor"),
    "poll": ("twisted.internet.pollreactor", "PollReactor"),
    "select": ("twisted.internet.selectreactor", "SelectReactor"),
}


def make_reactor(poller: str) -> Any:
    """A reactor of Twisted; the test is skipped where the system has no such poller."""
    module, name = REACTORS[poller]
    return getattr(pytest.importorskip(module, exc_type=ImportError), name)()


def trio() -> World:
    pytest.importorskip("trio")
    return AnyioWorld("trio")


WORLDS: dict[str, Callable[[], World]] = {
    "asyncio": lambda: AsyncioWorld(asyncio.new_event_loop),
    "debug": lambda: AsyncioWorld(debugging),
    "uvloop": lambda: AsyncioWorld(uvloop),
    "deaf": lambda: AsyncioWorld(DeafLoop),
    "anyio": lambda: AnyioWorld("asyncio"),
    "anyio-deaf": lambda: AnyioWorld("asyncio", loop_factory=DeafLoop),
    "trio": trio,
    "epoll": lambda: TwistedWorld(lambda: make_reactor("epoll")),
    "poll": lambda: TwistedWorld(lambda: make_reactor("poll")),
    "select": lambda: TwistedWorld(lambda: make_reactor("select")),
    "asyncioreactor": lambda: TwistedWorld(
        lambda: asyncioreactor.AsyncioSelectorReactor(asyncio.new_event_loop())
    ),
    "asyncioreactor-uvloop": lambda: TwistedWorld(
        lambda: asyncioreactor.AsyncioSelectorReactor(uvloop())
    ),
}
SIMULATED: dict[str, Callable[[], World]] = {
    "sim-asyncio": SimulatedAsyncio,
    "sim-trio": SimulatedTrio,
    "sim-twisted": SimulatedTwisted,
}
WORLDS |= SIMULATED
if hasattr(select, "kqueue"):  # as on macOS, where there is no epoll
    WORLDS["kqueue"] = lambda: TwistedWorld(lambda: make_reactor("kqueue"))


class Interpreters:
    """What is asked of `zygote` where there is no fork: each start is one of Python itself."""

    def __init__(self) -> None:
        self.started: dict[int, subprocess.Popen[bytes]] = {}

    def ask(self, what: str, *arguments: Any) -> Any:
        return getattr(self, what)(*arguments)

    def run(self, command: list[str], folder: str, out: str, err: str, strict: bool) -> int:
        warns = ["-W", "error" if strict else "error::ResourceWarning"]
        with open(out, "wb") as to, open(err, "wb") as complaints:
            process = subprocess.Popen(
                [sys.executable, *warns, *command], cwd=folder, stdout=to, stderr=complaints
            )
        self.started[process.pid] = process
        return process.pid

    def wait(self, pid: int, seconds: float) -> int | None:
        try:
            return self.started[pid].wait(seconds)
        except subprocess.TimeoutExpired:
            return None


@contextlib.contextmanager
def zygote_of(*loaded: str, path: str = "") -> Iterator[Callable[..., Any]]:
    """What asks a process of `tests/zygote.py` that has loaded some modules before it forks.

    Args:
        loaded: the names of these modules; those that are not installed are left out.
        path: PYTHONPATH.
    """
    if not hasattr(os, "fork") or sys.implementation.name != "cpython":
        yield Interpreters().ask
        return
    with subprocess.Popen(
        [sys.executable, "-W", "error", Path(__file__).with_name("zygote.py"), *loaded],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        assert process.stdin
        assert process.stdout
        asks, answers = process.stdin, process.stdout

        def ask(*what: Any) -> Any:
            asks.write(json.dumps(what) + "\n")
            asks.flush()
            return json.loads(answers.readline())

        yield ask
        asks.close()


# Some are on Linux alone, or not installed.
MOSTLY_NEEDED = [
    "anyio._backends._asyncio",
    "anyio._backends._trio",
    "asyncio",
    "ssl",
    "twisted.internet.asyncioreactor",
    "twisted.internet.epollreactor",
    "twisted.internet.task",
    "twisted.logger",
    "zmq.asyncio",
    "zmq.utils.z85",
]


@pytest.fixture(scope="session")
def zygote() -> Iterator[Callable[..., Any]]:
    """Asks the process that is `tests/zygote.py`, whose docstring says what it can be asked."""
    with zygote_of(*MOSTLY_NEEDED) as ask:
        yield ask


@pytest.fixture(scope="session")
def zygote_of_pytest() -> Iterator[Callable[..., Any]]:
    """Asks one that has loaded pytest, and of what its tests need that which no plugin rewrites."""
    with zygote_of("pytest", "trio", "twisted.internet.task", "zmq.asyncio") as ask:
        yield ask


class Fresh(Protocol):
    """Runs a program where nothing is loaded yet; gives its exit status and its stderr."""

    def __call__(self, code: str) -> tuple[int, str]: ...


@contextlib.contextmanager
def fresh_of(folder: Path, *loaded: str) -> Iterator[Fresh]:
    """What runs programs where these modules are loaded, and no others; see `fresh`."""
    program, out, err = (folder / name for name in ("program.py", "out", "err"))
    with zygote_of(*loaded, path=os.environ.get("PYTHONPATH", "")) as ask:

        def run(code: str) -> tuple[int, str]:
            program.write_text(code)
            pid = ask("run", [str(program)], str(folder), str(out), str(err), True)
            status = ask("wait", pid, 50)
            assert status is not None, f"it has not ended: {code}"
            return status, err.read_text()

        yield run


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    """Runs a program where nothing is loaded yet, without the time that an interpreter takes."""
    with fresh_of(tmp_path_factory.mktemp("fresh")) as run:
        yield run


@pytest.fixture(scope="session")
def fresh_beside_zmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    """Runs a program where nothing is loaded yet but pyzmq, as `fresh` does."""
    with fresh_of(tmp_path_factory.mktemp("fresh"), "zmq") as run:
        yield run


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time passes in the pump: it ends no burst early, however busy the machine is."""
    monkeypatch.setattr(sending, "clock_of", lambda socket: lambda: 1000.0)


@pytest.fixture
def deaf_loop() -> type[DeafLoop]:
    return DeafLoop


@pytest.fixture(name="make_reactor")
def provide_make_reactor() -> Callable[[str], Any]:
    return make_reactor


# These run no line of ours that another world does not: the same reader or stand-in under another
# debug flag, selector or canceller. What every pattern promises, and all about cancelling, is
# tested there too (the marker every_world); for all the rest they would only cost time, which
# `nox -s loops` takes.
VARIANTS = {"debug", "deaf", "anyio", "anyio-deaf", "poll", "select", "asyncioreactor-uvloop"}
# Where a test that only waits costs its time once more, and shows nothing that others do not.
SPARED = VARIANTS | {"uvloop", "trio", "asyncioreactor"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--world",
        action="append",
        default=[],
        metavar="NAMES",
        help="run only the tests of these worlds, variants included (repeatable, or with commas): "
        + ", ".join(WORLDS),
    )

    parser.addoption("--sim-seed", type=int, default=0, help="the seed of the simulated worlds")


def pytest_configure(config: pytest.Config) -> None:
    for line in (
        "every_world: run it in the variants of worlds, too",
        "real(why): what it is about is not simulated",
        "waits: it waits for a timer; so it runs on simulated loops, and only on two real ones",
    ):
        config.addinivalue_line("markers", line)
    Simulated.seed = config.getoption("--sim-seed")
    unknown = [name for name in chosen_worlds(config) if name not in WORLDS]
    if unknown:
        raise pytest.UsageError(
            f"--world: there is no world {', '.join(unknown)}; the worlds are {', '.join(WORLDS)}"
        )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """What ``-n auto`` means: four processes on few cores, too, as they wait half of the time."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else max(4, os.cpu_count() or 1)


def chosen_worlds(config: pytest.Config) -> list[str]:
    return [name.strip() for given in config.getoption("world") for name in given.split(",")]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = chosen_worlds(config)
    if not chosen:
        items[:] = [item for item in items if has_its_own_worth(item)]
        return
    taken = [item for item in items if world_of(item) in chosen and can_run(item)]
    left_out = [item for item in items if item not in set(taken)]
    items[:] = taken
    config.hook.pytest_deselected(items=left_out)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have a search for garbage leave alone what stays; else each takes a tenth of a second.

    Tests begin hundreds of them, and thousands of messages and tasks some more.
    """
    if not hasattr(gc, "freeze"):
        return
    if session.config.pluginmanager.hasplugin("hypothesispytest"):
        import hypothesis

        # It warns of random numbers whose holder it does not find. A first property makes them now.
        hypothesis.given(hypothesis.strategies.none())(lambda _: None)()

    gc.collect()
    gc.freeze()


def world_of(item: pytest.Item) -> str | None:
    """The name of the world that a test runs in; None of one that has none, or its own way."""
    name = item.callspec.params.get("w") if hasattr(item, "callspec") else None
    return name and name.removeprefix("facade on ")  # as tests/interop has it


def names_of(mark: pytest.Mark) -> list[str]:
    """The arguments that a marker ``parametrize`` gives."""
    given: str | list[str] = mark.args[0]
    return [name.strip() for name in given.split(",")] if isinstance(given, str) else list(given)


def can_run(item: pytest.Item) -> bool:
    """Whether its world, if that is a simulated one, has what the test is about."""
    if world_of(item) not in SIMULATED:
        return True
    runs_in_it = inspect.iscoroutinefunction(getattr(item, "obj", None))
    if not runs_in_it or not ("contract" in item.path.parts or asked_for(item)):
        return False
    return item.get_closest_marker("real") is None


def asked_for(item: pytest.Item) -> bool:
    """Whether the test itself says in which worlds it runs."""
    return any("w" in names_of(mark) for mark in item.iter_markers("parametrize"))


def has_its_own_worth(item: pytest.Item) -> bool:
    if not can_run(item):
        return False
    if asked_for(item) and "contract" not in item.path.parts:
        return True
    waits = item.get_closest_marker("waits") is not None
    if world_of(item) in (SPARED if waits else SIMULATED):
        return "EVERY_WORLD" in os.environ
    if "EVERY_WORLD" in os.environ or world_of(item) not in VARIANTS:
        return True
    return asked_for(item) or item.get_closest_marker("every_world") is not None


@pytest.fixture(params=WORLDS)
def w(request: pytest.FixtureRequest) -> Iterator[World]:
    """The world that the test runs in: a loop, its backend, and the verbs that `World` lists."""
    world = WORLDS[request.param]()
    yield world
    if isinstance(world, SimulatedTwisted):
        world.reactor.close()
    elif isinstance(world, TwistedWorld):
        discard(world.reactor)


def discard(reactor: Any) -> None:
    """Close what a reactor keeps open for ever, as there is only one in other processes.

    Without it the suite runs into the 1,024 descriptors that select can watch.
    """
    for waker in list(reactor._internalReaders):
        waker.connectionLost(None)
    poller = getattr(reactor, "_poller", getattr(reactor, "_kq", None))
    if hasattr(poller, "close"):  # as epoll and kqueue have
        poller.close()
    if hasattr(reactor, "_asyncioEventloop"):
        reactor._asyncioEventloop.close()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine function in its world."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments: dict[str, Any] = {
        name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames
    }
    world = arguments["w"]
    try:
        world.run(functools.partial(pyfuncitem.obj, **arguments))
    except Exception as error:
        if isinstance(world, Simulated):
            error.add_note(world.network.report())
        raise
    return True
