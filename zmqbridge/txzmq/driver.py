"""Driver: everything a connection needs, in an object of its own.

It is apart from the connection because users derive from a connection and use any name on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from threading import get_ident
from types import MethodType
from typing import Any

from twisted.python import context, log
from twisted.python.failure import Failure
from twisted.python.log import ILogContext
from zmq import Socket, constants, error

from zmqbridge._bridge import addresses
from zmqbridge._bridge.bridgedsocket import BridgedSocket
from zmqbridge._bridge.context import closing
from zmqbridge._bridge.guards import leave_to_parent, living
from zmqbridge._bridge.pump import Pump
from zmqbridge._bridge.watched import GET, RECV, WatchedSocket, untouched
from zmqbridge.core.framing import Message, as_bytes, as_name, as_parts
from zmqbridge.core.pacing import BURST
from zmqbridge.core.statistics import Statistics
from zmqbridge.errors import (
    HandshakeFailed,
    MalformedMessage,
    SocketClosed,
    UsedAfterFork,
    WrongThread,
    ZmqBridgeError,
)
from zmqbridge.security import CurveClient, PlainClient, Security
from zmqbridge.twisted_backend.handlers import dispatch, follow_coroutine
from zmqbridge.twisted_backend.reactormonitor import ReactorMonitor
from zmqbridge.twisted_backend.reader import ReactorReader, revoke, watching
from zmqbridge.txzmq.compat import is_nonstr_iter
from zmqbridge.txzmq.standins import (
    NoPump,
    clock_of,
    keeps_time,
    readable,
    send_by_socket,
    timekeeper,
)

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


class Driver(ReactorReader):
    """Reads, sends and closes for one connection.

    Args:
        connection: has the hooks; the reactor also calls the connection, and not the driver.
        factory: has the reactor.
        whole: the function by which a connection reads a message, unless it is overridden.
        module: the module in which programs put another ``reactor``, on which reads are scheduled.

    Attributes:
        socket: the libzmq socket that the pump works on, None if there is none.
        own_clock: whether the reactor has a clock, so that one timer serves all deadlines.
        called: whether the connection was asked for its prefix; reactors ask before they call it.
        timed: the waiters that have a deadline; when there are none, no timer is left.
        quick: the socket whose own methods need not be called for messages, or `ASK`.
    """

    def __init__(
        self, connection: Any, factory: Any, whole: Callable[[Any], Message], module: dict[str, Any]
    ) -> None:
        self._client = connection
        self.connection: Any = connection
        self._reactor = watching(factory.reactor)
        self._maker = get_ident()
        self._said = False
        self.own_clock: bool
        self._now, self.own_clock = clock_of(self._reactor)
        self.keeps_time: bool = keeps_time(self._reactor)
        self._whole = MethodType(whole, connection)
        self._module = module
        self.unhandled: deque[Message] = deque()
        self.socket: Any = None
        self.quick: Any = ASK
        self.security: Security | None = None
        self.monitor: ReactorMonitor | None = None  # of a client that a server may refuse
        self.unclaimed: int = 0
        self.malformed: int = 0
        self._rejected: MalformedMessage | None = None
        self._forked = False
        self._begun = False
        self._most = BURST
        self.called: bool = False
        self.timed: Collection[bytes] = ()
        self.remains: list[Any] = []  # containers of closed waiters and messages, to be freed

    def take(self, socket: Any, high: float) -> None:
        """Work on this socket from now on; it may be a mock."""
        if not isinstance(socket, BridgedSocket):
            self._pump: Any = NoPump()
            return
        kind = socket.getsockopt(constants.TYPE)
        # libzmq's own REQ and REP sockets refuse to receive twice in a row; with one message at a
        # time this cannot look like a broken socket.
        self._most = 1 if kind in (constants.REQ, constants.REP) else BURST
        self.socket = socket
        self._pump = Pump(socket, self, high)
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
            self._pump.schedule()

    def start(self) -> None:
        """Start reading."""
        if self.socket is not None:
            self.socket.watch(self._pump.schedule)
        living.add(self)
        self._begun = True
        self._begin()

    def _enter(self) -> None:
        super()._enter()
        self.called = True  # so it reads for a bounded time, though a flood may have begun already
        self.connection.doRead()

    def _meddled(self) -> None:
        self.quick = ASK

    def __repr__(self) -> str:
        # The connection's own repr shows its factory, which may be gone by now.
        return f"{type(self.connection).__name__}({self.connection.endpoints!r})"

    # Which calls are allowed.

    def check_open(self) -> None:
        """Refuse a call that cannot be served.

        Raises:
            UsedAfterFork: the connection was made in another process.
            SocketClosed: it was shut down.
            WrongThread: its reactor runs in another thread.
        """
        if self.connection.factory is None or get_ident() != self._home_thread:
            self._refuse()

    def _refuse(self) -> None:
        if self._forked:
            self._said = True
            raise self._of_parent()
        if self.connection.factory is None:
            raise SocketClosed(f"{self!r} was shut down: make a new one")
        self._come_home()
        if self._home_thread not in (0, get_ident()) and self._running():
            raise WrongThread(
                f"{self!r} belongs to the reactor's thread: hand the call over by {self.way_in}"
            )

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
            if self._pump.queues:
                self.refused(parts)
            else:
                send_by_socket(socket, parts)
                self._pump.sent += 1
        except error.Again:
            if not ours:
                raise
            self.refused(parts)
        self._call_soon()
        return True

    def refused(self, parts: Sequence[bytes]) -> None:
        """Handle a message that libzmq does not take: the peers are full, or there is no peer."""
        raise error.Again

    # Reading.

    def doRead(self) -> None:
        """Read; called by the reactor, or by the program itself."""
        connection = self.connection
        if connection.factory is None:
            return
        if not self._home_thread:
            self._settle_down()
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
                self._pump.ring()
                return
            if not getattr(scheduled, "called", True):
                if hasattr(scheduled, "canceller"):
                    scheduled.canceller = self._canceller
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
        self._pump.turn()
        self._handle_received()

    def _read_all(self) -> None:
        # A program that calls doRead itself, in a hook or before the reactor runs, expects to get
        # all messages.
        before = -1
        while self.connection.factory is not None and (
            self.unhandled or before < self._pump.received
        ):
            before = self._pump.received
            self._turn()

    def _read_closely(self) -> None:
        connection = self.connection
        if connection.socket is self.socket and self.socket is not None:
            self._pump.due = False
            if untouched(self.socket):
                self.quick = self.socket
                if connection._readMultipart == self._whole:
                    self._turn()
                    return
        if self._pump.queues:
            self._turn()
        self._handle_received()
        try:
            while connection.factory is not None and readable(connection.socket):
                try:
                    self.unhandled.append(connection._readMultipart())
                except error.Again:
                    continue
                self._pump.received += 1
                while self.unhandled:
                    self._handle_received()
        except error.ZMQError:
            if connection.socket is not self.socket:
                raise
            self._pump.turn()  # it meets the same error, and calls `_end`

    def _room(self) -> float:
        return self._most - len(self.unhandled)

    def _handle_received(self) -> None:
        self._deliver(())

    def _deliver(self, burst: Sequence[Message]) -> None:
        self.unhandled.extend(burst)
        if self.unhandled:
            thread = get_ident()
            outermost = thread not in _hooks
            _hooks.add(thread)
            try:
                dispatch(
                    self.unhandled,
                    self.connection,
                    "messageReceived",
                    self._report,
                    see_through=follow_coroutine,
                )
            finally:
                if outermost:
                    _hooks.discard(thread)
            if self._rejected is not None:
                rejected, self._rejected = self._rejected, None
                self._report(rejected)
            if self.unhandled:
                self._pump.schedule()
        if self._timer is not None and not self.timed:
            self.rest()

    def rest(self) -> None:
        """Stop the timer if no request needs it."""

    def reject(self, malformed: MalformedMessage) -> None:
        """Count a malformed message; malformed messages are reported once per burst."""
        self.malformed += 1
        self._rejected = malformed

    def _report(self, problem: BaseException) -> None:
        log.err(Failure(problem))

    def _turn_in_child(self) -> None:
        log.callWithContext({"system": self._prefix()}, super()._turn_in_child)

    # Delayed calls.

    def _call_soon(self) -> None:
        keeper = timekeeper(self, self._module)
        connection = self.connection
        if keeper is self._reactor:
            super()._call_soon()
        elif connection.read_scheduled is None:
            connection.read_scheduled = keeper.callLater(0, connection.doRead)

    # Handshakes.

    def watch_handshakes(self) -> None:
        """Start a monitor that reports refusing servers, if a server may refuse this client."""
        if not isinstance(self.security, CurveClient | PlainClient):
            return

        def report(problem: BaseException) -> None:
            log.callWithContext({"system": self._prefix()}, self._report, problem)

        self.monitor = ReactorMonitor(
            context=self.connection.factory.context, reactor=self._reactor
        )
        self.monitor.attach(
            self.socket, complete=True, wary=True, refused=self.server_refused, report=report
        )

    def expect(self, address: Any) -> None:
        """Tell the monitor that the socket connects to one more address."""
        if self.monitor is not None:
            self.monitor.connections.expect(as_name(address, "").decode())

    def server_refused(self, failure: HandshakeFailed) -> bool:
        """Handle the refusal of the last server.

        Returns:
            Whether a waiter was told. If not, the failure is logged.
        """
        return False

    # The end.

    def _end(self, reason: ZmqBridgeError) -> None:
        # The context was terminated, or the socket was closed, without a call of our methods.
        if self.connection.socket is self.socket:
            self.connection.connectionLost(Failure(reason))
            self.connection.shutdown()

    def stop(self) -> None:
        """Stop reading."""
        self._stop_reading()

    def close(self) -> None:
        """Close the socket, and drop the messages that were not sent."""
        if self.monitor is not None:
            self.monitor.close()
        for waiter in self._pump.close(self.remains):
            waiter.errback(SocketClosed(f"{self!r} was shut down while this waited"))
        self.unclaimed = len(self.unhandled)
        self.unhandled.clear()
        for socket in {id(each): each for each in (self.connection.socket, self.socket)}.values():
            if socket is not None:
                closing(socket, self._pump.sent)
                addresses.left(socket)
                socket.close()
        self.connection.socket = None

    def _disown(self) -> None:
        super()._disown()
        self._forked = True
        self.unhandled.clear()
        leave_to_parent(self.socket, None)
        self.connection.factory = self.connection.socket = None

    def _of_parent(self) -> UsedAfterFork:
        return UsedAfterFork(f"{self!r} belongs to the parent process: make a new one here")

    def _libzmq(self) -> Any:
        return self.connection.socket

    def statistics(self) -> Statistics:
        """The counts of the connection so far."""
        pump = self._pump
        return Statistics(
            sent=pump.sent,
            received=pump.received,
            queued=pump.queued,
            unread=len(self.unhandled),
            malformed=self.malformed,
            dropped=pump.dropped,
            open_requests=0,
            late_replies=0,
            withdrawn=pump.withdrawn,
            unreachable=pump.unreachable,
            unclaimed=self.unclaimed,
            refused=pump.refused,
            lost=pump.lost,
        )
