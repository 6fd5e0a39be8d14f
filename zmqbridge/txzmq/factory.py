"""ZmqFactory: the context that connections share, and their common end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge._bridge import addresses
from zmqbridge._bridge.context import end, loose, shared
from zmqbridge._bridge.guards import leave_to_parent, living
from zmqbridge._bridge.iothreads import OwnContext
from zmqbridge.twisted_backend.reader import global_reactor

if TYPE_CHECKING:
    from zmqbridge.txzmq.connection import ZmqConnection

# Under this name programs put another class in its place.
Context = OwnContext

# How long `shutdown` waits for the context to end, which mostly takes less than a millisecond;
# with messages that linger it goes on in its own thread, and the reactor goes on too. Only for
# addresses to be free again `shutdown` waits longer, see `zmqbridge._bridge.addresses`.
PATIENCE = 0.01  # seconds

_ending: set[int] = set()  # by `id`, as the factories of programs may have no hash


def is_ending(factory: ZmqFactory) -> bool:
    """Whether it shuts its connections down now, and so takes no more of them."""
    return id(factory) in _ending


def reactor_when_asked(name: str) -> Any:
    """A module's ``__getattr__``: its `reactor` is looked up late, as that installs one."""
    if name == "reactor":
        return global_reactor()
    raise AttributeError(f"there is no {name!r} in this module")


__getattr__ = reactor_when_asked


class _GlobalReactor:
    """A class attribute that is the global reactor, looked up when it is first wanted."""

    def __get__(self, instance: object, owner: object) -> Any:
        return global_reactor()


class Guard:
    """Keeps a factory to its process, from outside, as its names are its users'."""

    def __init__(self, factory: Any) -> None:
        self._factory = factory

    def _disown(self) -> None:
        factory = self._factory
        leave_to_parent(None, factory.context)
        if factory.connections is not None:
            factory.connections = set()
            factory.context = new_context(factory)

    def _libzmq(self) -> None:
        """It has no socket of its own."""

    def _busy(self) -> bool:
        return False


def new_context(factory: Any) -> Any:
    """A context for a factory, which is waited for at exit."""
    made = Context(factory.ioThreads)
    if isinstance(made, OwnContext):  # programs put another class in its place
        loose.add(made)
        shared.flush_in_children()
    return made


def stay_with_process(factory: Any) -> None:
    """Have a fork's child get a context and connections of its own, if it is a factory of ours."""
    if isinstance(factory, ZmqFactory):
        if factory._zmqbridge__guard is None:
            factory._zmqbridge__guard = Guard(factory)
        living.add(factory._zmqbridge__guard)


def check_open(connection: Any) -> None:
    """Refuse a call of another thread, if it is a connection of ours."""
    driver = getattr(connection, "_zmqbridge__driver", None)
    if driver is not None:
        driver.check_open()


class ZmqFactory:
    """Creates the context of its connections, and shuts all of them down.

    It may be made before ``twistd`` daemonises, and has another context then; connections may not,
    as a fork does not take their sockets along.

    Attributes:
        reactor: the reactor of all its connections; set another on a subclass or an instance.
        ioThreads: how many I/O threads libzmq uses.
        lingerPeriod: milliseconds for which what was sent may linger when a connection closes.
            The 100 of the class become 5,000 over ipc (docs/what-can-be-lost.md); 0 is none.
        context: the libzmq context of its connections, None after `shutdown`.
        connections: the open connections, None after `shutdown`.
        trigger: what the reactor gave `registerForShutdown`.
    """

    reactor: Any = _GlobalReactor()
    ioThreads = 1
    lingerPeriod = 100
    trigger: Any = None
    connections: set[ZmqConnection] | None = None
    _zmqbridge__guard: Any = None

    def __init__(self) -> None:
        self.connections = set()
        self.context: zmq.Context[Any] | None = new_context(self)
        stay_with_process(self)

    def __repr__(self) -> str:
        return "ZmqFactory()"

    def shutdown(self) -> None:
        """Shut down all connections, end the context, and forget the trigger.

        When it returns, the addresses that they were bound to are free: it waits for that, mostly
        less than a millisecond and a second at the most. What was sent may linger; the context
        ends off the reactor's thread. Connections cannot be made meanwhile, e.g. by an errback.
        Doing it twice is fine.

        Raises:
            Exception: what a connection's own `shutdown` raised, when all the rest is done.
            WrongThread: the reactor runs, in another thread; nothing was done.
        """
        for connection in self.connections or ():
            check_open(connection)
        problems: list[Exception] = []
        bound: list[str] = []
        _ending.add(id(self))
        try:
            while self.connections:
                connection = next(iter(self.connections))
                bound += addresses.of(connection.socket)
                try:
                    connection.shutdown()
                except Exception as problem:
                    problems.append(problem)
                if self.connections is not None:
                    self.connections.discard(connection)
        finally:
            _ending.discard(id(self))
            self.connections = None
            _end_context(self, bound)
            _forget_trigger(self)
        if problems:
            raise problems[0]

    def registerForShutdown(self) -> None:
        """Have the reactor call `shutdown` when it stops."""
        self.trigger = self.reactor.addSystemEventTrigger("during", "shutdown", self.shutdown)


def _end_context(factory: ZmqFactory, bound: list[str]) -> None:
    context, factory.context = getattr(factory, "context", None), None
    if context is not None:
        loose.discard(context)
        ending = end(context, "zmqbridge-txzmq-context")
        if ending is not None:
            ending.join(PATIENCE)
            addresses.wait_until_free(bound, lambda: not ending.is_alive())


def _forget_trigger(factory: ZmqFactory) -> None:
    trigger, factory.trigger = factory.trigger, None
    if trigger:
        try:
            factory.reactor.removeSystemEventTrigger(trigger)
        except (KeyError, ValueError):
            pass  # it is the trigger that called us
