"""Driver: everything a connection needs, in an object of its own.

It is apart from the connection because users derive from a connection and use any name on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from threading import get_ident
from types import MethodType
from typing import TYPE_CHECKING, Any

from twisted.python import context, log
from twisted.python.failure import Failure
from twisted.python.log import ILogContext
from zmq import Socket, constants, error

from zmqbridge._bridge import addresses
from zmqbridge._bridge.bridgedsocket import BridgedSocket
from zmqbridge._bridge.context import closing
from zmqbridge._bridge.guards import Guard, leave_to_parent, living
from zmqbridge._bridge.link import statistics
from zmqbridge._bridge.pump import Pump
from zmqbridge._bridge.watched import GET, RECV, WatchedSocket, untouched
from zmqbridge.core.framing import Message, as_bytes, as_name, as_parts
from zmqbridge.core.pacing import BURST
from zmqbridge.core.patterns import NOTHING, Pattern, Told
from zmqbridge.core.statistics import Statistics
from zmqbridge.errors import MalformedMessage, SocketClosed, ZmqBridgeError
from zmqbridge.security import CurveClient, PlainClient, Security
from zmqbridge.twisted_backend._driver import ReactorDriver
from zmqbridge.twisted_backend._handlers import dispatch, follow_coroutine
from zmqbridge.twisted_backend._reactors import revoke
from zmqbridge.txzmq.compat import is_nonstr_iter
from zmqbridge.txzmq.standins import (
    NoPump,
    clock_of,
    keeps_time,
    readable,
    send_by_socket,
    timekeeper,
)

if TYPE_CHECKING:
    from zmqbridge._bridge.monitoring import Monitor

# The threads in which a hook of any connection is being called.
_hooks: set[int] = set()

# Equal to no socket: the socket's own methods must be called, or at least be checked first.
ASK: Any = object()


def parts_of(message: Any) -> Sequence[bytes]:
    """The parts of a message to send, which is given as one part or as an iterable of parts.

    Raises:
        TypeError: a part is not bytes-like.
        ValueError: there are no parts.
    """
    if not is_nonstr_iter(message) or isinstance(message, bytearray | memoryview):
        return (as_bytes(message, "a message"),)
    parts = as_parts(list(message))
    if not parts:
        raise ValueError("a message has at least one part; an empty part is b''")
    return parts


def as_they_are(message: Any) -> Sequence[Any]:
    """The parts of a message to send, without a check of their types."""
    return list(message) if is_nonstr_iter(message) else (message,)


class Hooks(Pattern):
    """The pattern of a connection: its messages wait here until `messageReceived` is called.

    Attributes:
        unhandled: the messages.
        most: how many are read at a time.
    """

    __slots__ = ("most", "unhandled")

    def __init__(self) -> None:
        super().__init__(lambda: self.most - len(self.unhandled))
        self.unhandled: deque[Message] = deque()
        self.most = BURST

    def feed(self, burst: list[Message]) -> Told:
        self.unhandled.extend(burst)
        return (), NOTHING


class Held(Guard):
    """The guard of a connection: that is closed when it has no factory."""

    ended = " was shut down"

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self.driver: Driver = driver
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


class Driver(ReactorDriver):
    """Reads, sends and closes for one connection.

    Args:
        connection: has the hooks; the reactor also calls the connection, and not the driver.
        reactor: the one of its factory.
        whole: the function by which a connection reads a message, unless it is overridden.
        module: the module in which programs put another ``reactor``, on which reads are scheduled.

    Attributes:
        socket: the libzmq socket that the pump works on, None if there is none.
        own_clock: whether the reactor has a clock, so that one timer serves all deadlines.
        called: whether the connection was asked for its prefix; reactors ask before they call it.
        quick: the socket whose own methods need not be called for messages, or `ASK`.
        unclaimed: how many messages waited when it was shut down.
    """

    pump: Any

    def __init__(
        self, connection: Any, reactor: Any, whole: Callable[[Any], Message], module: dict[str, Any]
    ) -> None:
        now, self.own_clock = clock_of(reactor)
        super().__init__(reactor, connection, now)
        self.connection: Any = connection
        self.link: Any = Held(self)
        self.keeps_time: bool = keeps_time(self.reactor)
        self._whole = MethodType(whole, connection)
        self._module = module
        self._hooks = Hooks()
        self.unhandled: deque[Message] = self._hooks.unhandled
        self.socket: Any = None
        self.quick: Any = ASK
        self.security: Security | None = None
        self.monitor: Monitor | None = None  # of a client that a server may refuse
        self.unclaimed: int = 0
        self.called: bool = False
        self.remains: list[Any] = []  # containers of closed waiters and messages, to be freed

    def take(self, socket: Any, high: float) -> None:
        """Work on this socket from now on; it may be a mock."""
        if not isinstance(socket, BridgedSocket):
            self.pump = NoPump()
            return
        kind = socket.getsockopt(constants.TYPE)
        # libzmq's own REQ and REP sockets refuse to receive twice in a row; with one message at a
        # time this cannot look like a broken socket.
        self._hooks.most = 1 if kind in (constants.REQ, constants.REP) else BURST
        self.socket = socket
        self.pump = Pump(socket, self, self._hooks, self.end, high)
        if isinstance(socket, WatchedSocket):
            socket.tell_of_meddling(self._meddled)
        if untouched(socket):
            self.quick = socket

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
            self.socket.watch(self.pump.schedule)
        living.add(self.link)
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
                self.refused(parts)
            else:
                send_by_socket(socket, parts)
                self.pump.sent += 1
        except error.Again:
            if not ours:
                raise
            self.refused(parts)
        self.call_soon()
        return True

    def refused(self, parts: Sequence[bytes]) -> None:
        """Handle a message that libzmq does not take: the peers are full, or there is no peer."""
        raise error.Again

    # Reading.

    def doRead(self) -> None:
        """Read; called by the reactor, or by the program itself."""
        if self.home_thread <= 0:
            self._settle_down()
        connection = self.connection
        if connection.factory is None:
            return
        scheduled, connection.read_scheduled = connection.read_scheduled, None
        if (
            connection.socket is not self.quick
            or Socket.recv is not RECV
            or Socket.get is not GET
            or connection._readMultipart != self._whole
        ):
            read: Any = self._read_closely
        elif scheduled is not None and getattr(scheduled, "called", False):
            read = self._turn
        elif not self.called and (get_ident() in _hooks or not self._logs_for_us()):
            read = self._read_all
        else:
            self.called = False
            if scheduled is None:
                self.pump.ring()
                return
            if not getattr(scheduled, "called", True):  # the FD was readable before the turn came
                if hasattr(scheduled, "canceller"):
                    scheduled.canceller = self._canceller  # so our own cancelling is not noticed
                revoke(scheduled)
            self._turn()
            return
        revoke(scheduled)
        log.callWithContext({"system": self._prefix()}, read)

    def _prefix(self) -> str:
        try:
            prefix: str = self.connection.logPrefix()
        except KeyboardInterrupt:
            raise
        except BaseException:  # a reactor goes on with this name, too, when logPrefix raises
            prefix = "(buggy logPrefix method)"
        self.called = False
        return prefix

    def _logs_for_us(self) -> bool:
        # True when a reactor calls: it sets this log context before the call.
        system: bool = context.get(ILogContext)["system"] == self._prefix()
        return system

    def _turn(self) -> None:
        self.pump.turn()
        self._handle_received()

    def _read_all(self) -> None:
        # A program that calls doRead itself, in a hook or before the reactor runs, expects to get
        # all messages.
        before = -1
        while self.connection.factory is not None and (
            self.unhandled or before < self.pump.received
        ):
            before = self.pump.received
            self._turn()

    def _read_closely(self) -> None:
        connection = self.connection
        if connection.socket is self.socket and self.socket is not None:
            self.pump.due = False
            if untouched(self.socket):
                self.quick = self.socket
                if connection._readMultipart == self._whole:
                    self._turn()
                    return
        if self.pump.queues:
            self._turn()
        self._handle_received()
        try:
            while connection.factory is not None and readable(connection.socket):
                try:
                    self.unhandled.append(connection._readMultipart())
                except error.Again:
                    continue
                self.pump.received += 1
                while self.unhandled:
                    self._handle_received()
        except error.ZMQError:
            if connection.socket is not self.socket:
                raise
            self.pump.turn()  # it meets the same error, and calls `_end`

    def _handle_received(self) -> None:
        self.tell(())

    def tell(self, waiters: Sequence[Any], results: Iterable[Any] = NOTHING) -> None:
        if waiters:
            super().tell(waiters, results)
        if self.unhandled:
            thread = get_ident()
            outermost = thread not in _hooks
            _hooks.add(thread)
            try:
                dispatch(
                    self.unhandled,
                    self.connection,
                    "messageReceived",
                    self.report,
                    see_through=follow_coroutine,
                )
            finally:
                if outermost:
                    _hooks.discard(thread)
            if self._hooks.rejected is not None:
                rejected, self._hooks.rejected = self._hooks.rejected, None
                self.report(rejected)
            if self.unhandled:
                self.pump.schedule()
        if self.timer is not None and not self.keeper.timed:
            self.keeper.rest()

    def reject(self, malformed: MalformedMessage) -> None:
        """Count a malformed message; malformed messages are reported once per burst."""
        self._hooks.malformed += 1
        self._hooks.rejected = malformed

    def report(self, problem: BaseException) -> None:
        log.err(Failure(problem))

    def _turn_in_child(self) -> None:
        log.callWithContext({"system": self._prefix()}, super()._turn_in_child)

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
        if not isinstance(self.security, CurveClient | PlainClient):
            return

        from zmqbridge._bridge.monitoring import Monitor  # few have one

        def report(problem: BaseException) -> None:
            log.callWithContext({"system": self._prefix()}, self.report, problem)

        self.monitor = Monitor(self.link, complete=True, wary=True, report=report)

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
                closing(socket, self.pump.sent)
                addresses.left(socket)
                socket.close()
        self.connection.socket = None

    def statistics(self) -> Statistics:
        """The counts of the connection so far."""
        return statistics(
            self.pump,
            unread=len(self.unhandled),
            malformed=self._hooks.malformed,
            unclaimed=self.unclaimed,
        )
