"""ConnectionDriver: everything a connection needs, in an object of its own.

It is apart from the connection because users derive from a connection and use any name on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any

from twisted.python import log
from twisted.python.failure import Failure
from zmq import Socket, constants, error

from zmqbridge._bridge import lingers
from zmqbridge._bridge.bridgedsocket import Bridged
from zmqbridge._bridge.guards import Guard, leave_to_parent, open_sockets
from zmqbridge._bridge.pump import Pump
from zmqbridge._bridge.tally import statistics
from zmqbridge._bridge.watched import WatchedSocket, untouched
from zmqbridge.core.framing import Message, as_name
from zmqbridge.core.statistics import Statistics
from zmqbridge.errors import SocketClosed, ZmqBridgeError
from zmqbridge.txzmq._parts import as_they_are, parts_of
from zmqbridge.txzmq._reader import ASK, Reader
from zmqbridge.txzmq._standins import (
    NoPump,
    clock_of,
    keeps_time,
    send_by_socket,
    timekeeper,
)

if TYPE_CHECKING:
    from zmqbridge._bridge.monitoring import Monitor
    from zmqbridge.security import Security


class ConnectionDriver(Reader):
    """Sends, closes and reads for one connection; see `Reader` for how it reads.

    Args:
        connection: has the hooks; the reactor also calls the connection, and not the driver.
        reactor: the one of its factory.
        whole: the function by which a connection reads a message, unless it is overridden.
        module: the module in which programs put another ``reactor``, on which reads are scheduled.

    Attributes:
        own_clock: whether the reactor has a clock, so that one timer serves all deadlines.
        unclaimed: how many messages waited when it was shut down.
    """

    own_clock: bool

    def __init__(
        self, connection: Any, reactor: Any, whole: Callable[[Any], Message], module: dict[str, Any]
    ) -> None:
        now, self.own_clock = clock_of(reactor)
        super().__init__(connection, reactor, now, whole)
        self.link: Any = ConnectionGuard(self)
        self.keeps_time: bool = keeps_time(self.reactor)
        self._module = module
        self.security: Security | None = None
        self.monitor: Monitor | None = None  # of a client that a server may refuse
        self.unclaimed: int = 0
        self.remains: list[Any] = []  # containers of closed waiters and messages, to be freed

    def take(self, socket: Any, high: float) -> None:
        """Work on this socket from now on; it may be a mock."""
        if not isinstance(socket, Bridged):
            self.pump: Any = NoPump()
            return
        self.socket = socket
        self.pump = Pump(socket, self, self._hooks, self.end, high)
        if isinstance(socket, WatchedSocket):
            socket.tell_of_meddling(self._meddled)
        if untouched(socket):
            self.quick: Any = socket

    def descriptor(self) -> Any:
        """The file descriptor by which libzmq signals."""
        if self.socket is not None:
            return self.socket.fileno()
        return self.connection.socket.get(constants.FD)

    def prepare(self) -> None:
        """Set the other options that the pattern needs, before the socket has an address."""

    def touched(self) -> None:
        """Schedule a turn, because a call on the socket may have cleared the signal of the FD."""
        if self._begun:
            self.pump.schedule()

    def start(self) -> None:
        """Start reading."""
        if self.socket is not None:
            self.socket.watch(self.pump)
        open_sockets.add(self.link)
        self._begun = True
        self.ask_reactor()

    def enter(self) -> None:
        super().enter()
        self.called = True  # so it reads for a bounded time, though a flood may have begun already
        self.connection.doRead()

    def _meddled(self) -> None:
        self.quick = ASK

    def __repr__(self) -> str:
        return repr(self.link)

    def check_open(self) -> None:
        """Refuse a call that cannot be served; see `Guard.check_open`."""
        if self.connection.factory is None or get_ident() != self.home_thread:
            self.link.refuse()

    # Sending.

    def sends_by_socket(self, message: Any) -> bool:
        """Send by the socket's own method, if that is needed; false if nothing was sent yet."""
        self.check_open()
        socket = self.connection.socket
        ours = socket is self.socket
        if ours and untouched(socket):
            self.quick = socket
            return False
        # A mock may take parts of any type, so they are not checked for it.
        parts = parts_of(message) if isinstance(socket, Socket) else as_they_are(message)
        try:
            if self.pump.queues:
                self.not_taken(parts)
            else:
                send_by_socket(socket, parts)
                self.pump.sent += 1
        except error.Again:
            if not ours:
                raise
            self.not_taken(parts)
        self.call_soon()
        return True

    def not_taken(self, parts: Sequence[bytes]) -> None:
        """Handle a message that libzmq does not take: the peers are full, or there is no peer."""
        raise error.Again

    # Delayed calls.

    def call_soon(self) -> None:
        keeper = timekeeper(self, self._module)
        connection = self.connection
        if keeper is self.reactor:
            super().call_soon()
        elif connection.read_scheduled is None:
            connection.read_scheduled = keeper.callLater(0, connection.doRead)

    def call_at(self, deadline: float) -> None:
        if self.connection.factory is not None:
            super().call_at(deadline)

    # Handshakes.

    def watch_handshakes(self) -> None:
        """Start a monitor that reports refusing servers, if a server may refuse this client."""
        if not getattr(self.security, "has_credentials", False):
            return

        from zmqbridge._bridge.link import Link  # these are loaded by few programs
        from zmqbridge._bridge.monitoring import Monitor

        def report(problem: BaseException) -> None:
            log.callWithContext({"system": self._prefix()}, self.report, problem)

        self.monitor = Monitor(self.link, Link, complete=True, has_credentials=True, report=report)

    def expect(self, address: Any) -> None:
        """Tell the monitor that the socket connects to one more address."""
        if self.monitor is not None:
            self.monitor.connections.expect(as_name(address, "").decode())

    # The end.

    def stop(self) -> list[Any]:
        self.stop_reading()
        return []

    def end(self, reason: ZmqBridgeError) -> None:
        """The context was terminated, or the socket was closed, without a call of our methods."""
        if self.connection.socket is self.socket:
            self.connection.connectionLost(Failure(reason))
            self.connection.shutdown()

    def close(self) -> None:
        """Close the socket, and drop the messages that were not sent."""
        if self.monitor is not None:
            self.monitor.link.close()
        for waiter in self.pump.close(self.remains):
            waiter.errback(SocketClosed(f"{self!r} was shut down while this waited"))
        self.unclaimed = len(self.unhandled)
        self.unhandled.clear()
        for socket in {id(each): each for each in (self.connection.socket, self.socket)}.values():
            if socket is not None:
                lingers.close(socket, self.pump.sent)
        self.connection.socket = self.connection.factory = None

    def statistics(self) -> Statistics:
        """The counts of the connection so far."""
        return statistics(
            self.pump,
            unread=len(self.unhandled),
            malformed=self._hooks.malformed,
            unclaimed=self.unclaimed,
        )


class ConnectionGuard(Guard):
    """The guard of a connection; a connection is closed when it has no factory."""

    ended = " was shut down"

    def __init__(self, driver: ConnectionDriver) -> None:
        super().__init__(driver)
        self.driver: ConnectionDriver = driver
        self._connection = driver.connection

    @property
    def closed(self) -> bool:  # type: ignore[override]
        """Whether it was shut down."""
        return self._connection.factory is None

    @property
    def socket(self) -> Any:
        """The libzmq socket."""
        return self.driver.socket

    @property
    def context(self) -> Any:
        """Its context."""
        return self._connection.factory.context

    @property
    def sent(self) -> int:
        """How many messages were sent."""
        sent: int = self.driver.pump.sent
        return sent

    def libzmq(self) -> Any:
        """The socket, which may be a mock."""
        return self._connection.socket

    def disown(self) -> None:
        """This process is a forked child: refuse every call from now on."""
        super().disown()
        driver = self.driver
        if not driver.pump.closed:
            driver.pump.closed = True
            driver.disown()
        driver.unhandled.clear()
        leave_to_parent(driver.socket, None)
        self._connection.factory = self._connection.socket = None

    def __repr__(self) -> str:
        # The connection's own repr shows its factory, which may be gone by now.
        return f"{type(self._connection).__name__}({self._connection.endpoints!r})"
