"""ZmqFactory: the context that connections share, and their common end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from zmq import Context

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

    Attributes:
        reactor: the reactor of all its connections; set another on a subclass or an instance.
        ioThreads: how many I/O threads libzmq uses.
        lingerPeriod: milliseconds for which what was sent may linger when a connection closes.
        connections: the open connections, None after `shutdown`.
        context: the libzmq context, None after `shutdown`.
        trigger: what the reactor gave `registerForShutdown`.
    """

    reactor: Any = _GlobalReactor()
    ioThreads = 1
    lingerPeriod = 100
    trigger: Any = None
    connections: set[ZmqConnection] | None = None
    context: Context[Any] | None = None

    def __init__(self) -> None:
        self.connections = set()
        self.context = Context(self.ioThreads)

    def __repr__(self) -> str:
        return "ZmqFactory()"

    def shutdown(self) -> None:
        """Shut down all connections, end the context, and forget the trigger.

        The context ends off the reactor's thread. Doing it twice is fine.
        """
        connections, self.connections = self.connections, None
        for connection in list(connections or ()):
            connection.shutdown()
        context, self.context = self.context, None
        if context is not None:
            ending = threading.Thread(target=context.term, name="zmqbridge-txzmq-context")
            ending.start()
            ending.join(PATIENCE)
        trigger, self.trigger = self.trigger, None
        if trigger:
            try:
                self.reactor.removeSystemEventTrigger(trigger)
            except (KeyError, ValueError):
                pass  # it is the trigger that called us

    def registerForShutdown(self) -> None:
        """Have the reactor call `shutdown` when it stops."""
        self.trigger = self.reactor.addSystemEventTrigger("during", "shutdown", self.shutdown)
