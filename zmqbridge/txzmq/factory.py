"""ZmqFactory: the context that connections share, and their common end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from zmq import Context

from zmqbridge import addresses
from zmqbridge.context import end, loose, shared
from zmqbridge.guards import leave_to_parent, living
from zmqbridge.iothreads import OwnContext
from zmqbridge.twisted_backend.reader import global_reactor

if TYPE_CHECKING:
    from zmqbridge.txzmq.connection import ZmqConnection

# How long `shutdown` waits for the context to end, which mostly takes less than a millisecond;
# with messages that linger it goes on in its own thread, and the reactor goes on too. Only for
# addresses to be free again `shutdown` waits longer, see `zmqbridge.addresses`.
PATIENCE = 0.01  # seconds

_ending: WeakSet[ZmqFactory] = WeakSet()


def is_ending(factory: ZmqFactory) -> bool:
    """Whether it shuts its connections down now, and so takes no more of them."""
    return factory in _ending


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
            self.context = made = OwnContext(self.ioThreads)
            loose.add(made)
            shared.flush_in_children()
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

    def _libzmq(self) -> None:
        """It has no socket of its own."""

    def _busy(self) -> bool:
        return False

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
            connection._checkOpen()
        problems: list[Exception] = []
        bound: list[str] = []
        _ending.add(self)
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
            _ending.discard(self)
            self.connections = None
            self.__end(bound)
        if problems:
            raise problems[0]

    def __end(self, bound: list[str]) -> None:
        context, self.__context = self.__context, None
        if context is not None:
            loose.discard(context)  # type: ignore[arg-type]
            ending = end(context, "zmqbridge-txzmq-context")
            if ending is not None:
                ending.join(PATIENCE)
                addresses.wait_until_free(bound, lambda: not ending.is_alive())
        trigger, self.trigger = self.trigger, None
        if trigger:
            try:
                self.reactor.removeSystemEventTrigger(trigger)
            except (KeyError, ValueError):
                pass  # it is the trigger that called us

    def registerForShutdown(self) -> None:
        """Have the reactor call `shutdown` when it stops."""
        self.trigger = self.reactor.addSystemEventTrigger("during", "shutdown", self.shutdown)
