"""ZmqFactory: the context that connections share, and their common end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge.context import started
from zmqbridge.guards import leave_to_parent, living
from zmqbridge.iothreads import OwnContext as Context
from zmqbridge.twisted_backend.reader import global_reactor

if TYPE_CHECKING:
    from zmqbridge.txzmq.connection import ZmqConnection

# How long `shutdown` waits for the context to end. It mostly takes less than a millisecond, and
# then addresses are free again when `shutdown` returns; with messages that linger it goes on in
# its own thread, and the reactor goes on too.
PATIENCE = 0.01  # seconds


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
            factory.context = Context(factory.ioThreads)


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
        self.context: zmq.Context[Any] | None = Context(self.ioThreads)
        stay_with_process(self)

    def __repr__(self) -> str:
        return "ZmqFactory()"

    def shutdown(self) -> None:
        """Shut down all connections, end the context, and forget the trigger.

        The context ends off the reactor's thread. Doing it twice is fine.

        Raises:
            WrongThread: the reactor runs, in another thread; nothing was done.
        """
        for connection in self.connections or ():
            check_open(connection)
        connections, self.connections = self.connections, None
        for connection in list(connections or ()):
            connection.shutdown()
        context, self.context = getattr(self, "context", None), None
        if context is not None:
            ending = threading.Thread(target=context.term, name="zmqbridge-txzmq-context")
            if started(ending):
                ending.join(PATIENCE)
            else:
                context.term()
        trigger, self.trigger = self.trigger, None
        if trigger:
            try:
                self.reactor.removeSystemEventTrigger(trigger)
            except (KeyError, ValueError):
                pass  # it is the trigger that called us

    def registerForShutdown(self) -> None:
        """Have the reactor call `shutdown` when it stops."""
        self.trigger = self.reactor.addSystemEventTrigger("during", "shutdown", self.shutdown)
