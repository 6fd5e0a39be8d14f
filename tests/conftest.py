"""The worlds in which every behaviour of the contract is run: each loop with its backend."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import time

import pytest
from twisted.internet import asyncioreactor, defer, epollreactor, selectreactor, task
from twisted.logger import globalLogPublisher

from zmqbridge import asyncio_backend, twisted_backend

BOUND = 20  # seconds that a behaviour may take; every one takes a small part of a second


class World:
    """A loop, the backend for it, and what tests need of any loop."""

    async def until(self, condition, bound=10):
        """Wait for a condition, and fail when it does not come true in time."""
        end = time.monotonic() + bound
        while not condition():
            assert time.monotonic() < end, f"still not: {inspect.getsource(condition)}"
            await self.sleep(0.002)

    async def connected(self, publisher, subscriber, tag=b""):
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

    def __init__(self, loop_factory):
        self.loop_factory = loop_factory
        self.reports = []

    def __getattr__(self, name):
        return getattr(asyncio_backend, name)

    def spawn(self, coroutine):
        return asyncio.ensure_future(coroutine)

    def done(self, spawned):
        return spawned.done()

    def gather(self, *coroutines):
        return asyncio.gather(*coroutines)

    def run(self, scenario):
        async def bounded():
            asyncio.get_running_loop().set_exception_handler(
                lambda loop, context: self.reports.append(context["exception"])
            )
            await asyncio.wait_for(scenario(), BOUND)

        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            runner.run(bounded())


class TwistedWorld(World):
    Cancelled = defer.CancelledError
    backend = twisted_backend

    def __init__(self, reactor_factory):
        self.reactor = reactor_factory()
        self.reports = []

    def __getattr__(self, name):
        made = getattr(twisted_backend, name)
        return functools.partial(made, reactor=self.reactor)

    def sleep(self, seconds):
        return task.deferLater(self.reactor, seconds)

    def spawn(self, awaitable):
        if isinstance(awaitable, defer.Deferred):
            return awaitable
        return defer.Deferred.fromCoroutine(awaitable)

    def done(self, spawned):
        return spawned.called

    def gather(self, *awaitables):
        return defer.gatherResults([self.spawn(each) for each in awaitables], consumeErrors=True)

    def run(self, scenario):
        outcome = []

        def observe(event):
            if "log_failure" in event:
                self.reports.append(event["log_failure"].value)

        def start():
            scene = defer.Deferred.fromCoroutine(scenario())
            scene.addTimeout(BOUND, self.reactor)
            scene.addBoth(outcome.append)
            scene.addBoth(lambda _: self.reactor.stop())

        globalLogPublisher.addObserver(observe)
        try:
            self.reactor.callWhenRunning(start)
            self.reactor.run(installSignalHandlers=False)
        finally:
            globalLogPublisher.removeObserver(observe)
            for reader in self.reactor.removeAll():
                with contextlib.suppress(Exception):
                    reader.connectionLost(None)
        if outcome[0] is not None:
            outcome[0].raiseException()


def uvloop():
    return pytest.importorskip("uvloop").new_event_loop()


WORLDS = {
    "asyncio": lambda: AsyncioWorld(asyncio.new_event_loop),
    "uvloop": lambda: AsyncioWorld(uvloop),
    "epoll": lambda: TwistedWorld(epollreactor.EPollReactor),
    "select": lambda: TwistedWorld(selectreactor.SelectReactor),
    "asyncioreactor": lambda: TwistedWorld(
        lambda: asyncioreactor.AsyncioSelectorReactor(asyncio.new_event_loop())
    ),
}


@pytest.fixture(params=WORLDS)
def w(request):
    world = WORLDS[request.param]()
    yield world
    if isinstance(world, TwistedWorld) and hasattr(world.reactor, "_asyncioEventloop"):
        world.reactor._asyncioEventloop.close()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run a coroutine function in its world."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    arguments["w"].run(functools.partial(pyfuncitem.obj, **arguments))
    return True
