"""ZmqFactory: the context that connections share, and their common end."""

from __future__ import annotations

from typing import Any

import zmq

from zmqbridge._bridge import addresses
from zmqbridge._bridge.context import end, loose, shared
from zmqbridge._bridge.guards import leave_to_parent, open_sockets
from zmqbridge._bridge.iothreads import OwnContext
from zmqbridge.twisted_backend._reactors import global_reactor

# Programs replace the class of the context by setting this name.
Context = OwnContext

# How long `shutdown` waits for the context to end. Mostly that takes less than a millisecond. With
# messages that linger it goes on in its own thread, and the reactor goes on too. `shutdown` waits
# longer only until addresses are free again, see `zmqbridge._bridge.addresses`.
END_TIMEOUT = 0.01  # seconds

_ending: set[int] = set()  # by `id`, as a program's factory class may have no hash


def is_ending(factory: ZmqFactory) -> bool:
    """Whether a factory is shutting down its connections, and so accepts no new ones."""
    return id(factory) in _ending


def reactor_when_asked(name: str) -> Any:
    """A module's ``__getattr__``: looks up `reactor` late, because the look-up installs one."""
    if name == "reactor":
        return global_reactor()
    raise AttributeError(f"there is no {name!r} in this module")


__getattr__ = reactor_when_asked


class _GlobalReactor:
    """A class attribute that is the global reactor, looked up at each access."""

    def __get__(self, instance: object, owner: object) -> Any:
        return global_reactor()


class Stay:
    """Keeps a factory in its process; not a part of it, as users may use any name on a factory."""

    sent = 0

    def __init__(self, factory: Any) -> None:
        self._factory = factory

    def disown(self) -> None:
        factory = self._factory
        leave_to_parent(None, factory.context)
        if factory.connections is not None:
            factory.connections = set()
            factory.context = new_context(factory)

    def libzmq(self) -> None:
        """Return None: a factory has no socket of its own."""

    def busy(self) -> bool:
        return False


def new_context(factory: Any) -> Any:
    """A context for a factory; an exiting process waits for it."""
    simulated: Any = shared.stand_in(None)
    made = Context(factory.ioThreads) if simulated is None else simulated.beside()
    if isinstance(made, OwnContext):  # a program may have replaced `Context`
        loose.add(made)
        shared.flush_in_children()
    return made


def stay_with_process(factory: Any) -> None:
    """Give a forked child a context and a set of connections of its own, for our own factories."""
    if isinstance(factory, ZmqFactory):
        if factory._zmqbridge__guard is None:
            factory._zmqbridge__guard = Stay(factory)
        open_sockets.add(factory._zmqbridge__guard)


def check_open(connection: Any) -> None:
    """Refuse a call from another thread, if this is a connection of ours."""
    driver = getattr(connection, "_zmqbridge__driver", None)
    if driver is not None:
        driver.check_open()


class ZmqFactory:
    """Creates the context of its connections, and shuts all of them down.

    A factory may be made before ``twistd`` daemonises; it gets a new context then. Connections may
    not be made before, because their sockets do not survive the fork.

    Attributes:
        reactor: the reactor of all its connections; set another on a subclass or an instance.
        ioThreads: how many I/O threads libzmq uses.
        lingerPeriod: for how many milliseconds sent messages may linger when a connection closes.
            The class's own 100 becomes 5,000 over ipc (docs/what-can-be-lost.md); 0 is none.
        context: the libzmq context of its connections, None after `shutdown`.
        connections: the open `ZmqConnection` objects, None after `shutdown`.
        trigger: the event trigger that `registerForShutdown` has added, or None.
    """

    reactor: Any = _GlobalReactor()
    ioThreads = 1
    lingerPeriod = 100
    trigger: Any = None
    connections: set[Any] | None = None
    _zmqbridge__guard: Any = None

    def __init__(self) -> None:
        self.connections = set()
        self.context: zmq.Context[Any] | None = new_context(self)
        stay_with_process(self)

    def __repr__(self) -> str:
        return "ZmqFactory()"

    def shutdown(self) -> None:
        """Shut down all connections, end the context, and remove the trigger.

        When the call returns, the addresses to which the connections were bound are free. It waits
        for that, mostly less than a millisecond, and one second at the most. Sent messages may
        linger; the context ends in a thread other than the reactor's. During the call no connection
        can be made, e.g. by an errback. Calling it twice is fine.

        Raises:
            Exception: a connection's own `shutdown` raised it; everything else was done before.
            WrongThread: the reactor runs in another thread; the call did nothing.
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
        """Make the reactor call `shutdown` when it stops."""
        self.trigger = self.reactor.addSystemEventTrigger("during", "shutdown", self.shutdown)


def _end_context(factory: ZmqFactory, bound: list[str]) -> None:
    context, factory.context = getattr(factory, "context", None), None
    if context is not None:
        loose.discard(context)
        ending = end(context, "zmqbridge-txzmq-context")
        if ending is not None:
            ending.join(END_TIMEOUT)
            addresses.wait_until_free(bound, lambda: not ending.is_alive())


def _forget_trigger(factory: ZmqFactory) -> None:
    trigger, factory.trigger = factory.trigger, None
    if trigger:
        try:
            factory.reactor.removeSystemEventTrigger(trigger)
        except (KeyError, ValueError):
            pass  # this call comes from the trigger, which is gone already
