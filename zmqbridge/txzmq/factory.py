"""ZmqFactory: the context that connections share, and their common end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from zmq import Context

from zmqbridge.context import started
from zmqbridge.guards import leave_to_parent, living
from zmqbridge.iothreads import OwnContext
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


class ZmqFactory:
    """Creates the context of its connections, and shuts all of them down.

    It may be made before ``twistd`` daemonises, for its context is made when it is first asked
    for; connections may not, as a fork does not take their sockets along.

    Attributes:
        reactor: the reactor of all its connections; set another on a subclass or an instance.
        ioThreads: how many I/O threads libzmq uses.
        lingerPeriod: milliseconds for which what was sent may linger when a connection closes.
        connections: the open connections, None after `shutdown`.
        trigger: what the reactor gave `registerForShutdown`.
    """

    reactor: Any = _GlobalReactor()
    ioThreads = 1
    lingerPeriod = 100
    trigger: Any = None
    connections: set[ZmqConnection] | None = None
    __context: Context[Any] | None = None

    def __init__(self) -> None:
        self.connections = set()

    @property
    def context(self) -> Context[Any] | None:
        """The libzmq context, made when it is first asked for; None after `shutdown`."""
        if self.__context is None and self.connections is not None:
            self.context = OwnContext(self.ioThreads)
        return self.__context

    @context.setter
    def context(self, context: Context[Any] | None) -> None:
        self.__context = context
        living.add(self)

    def _disown(self) -> None:
        leave_to_parent(None, self.__context)
        self.__context = None
        if self.connections is not None:
            self.connections = set()

    def __repr__(self) -> str:
        return "ZmqFactory()"

    def shutdown(self) -> None:
        """Shut down all connections, end the context, and forget the trigger.

        The context ends off the reactor's thread. Doing it twice is fine.

        Raises:
            WrongThread: the reactor runs, in another thread; nothing was done.
        """
        for connection in self.connections or ():
            connection._checkOpen()
        connections, self.connections = self.connections, None
        for connection in list(connections or ()):
            connection.shutdown()
        context, self.__context = self.__context, None
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
