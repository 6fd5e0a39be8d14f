"""Driver: all that a connection needs to work, apart from it, because its names are its users'."""

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

# The threads in which a hook is being called, of whichever connection.
_hooks: set[int] = set()

ASK: Any = object()  # no socket's messages may go past its own methods


def parts_of(message: Any) -> Sequence[bytes]:
    """The parts of what was given to be sent: one, or any iterable of them.

    Raises:
        TypeError: one of them is not bytes-like.
        ValueError: there are none.
    """
    if not is_nonstr_iter(message) or isinstance(message, bytearray | memoryview):
        return (as_bytes(message, "a message"),)
    parts = as_parts(list(message))
    if not parts:
        raise ValueError("a message has at least one part; an empty part is b''")
    return parts


def as_they_are(message: Any) -> Sequence[Any]:
    """The same, of whatever type."""
    return list(message) if is_nonstr_iter(message) else (message,)


class Driver(ReactorReader):
    """Reads, sends and ends for one connection.

    Args:
        connection: whose hooks are called. What the reactor calls is this connection, too.
        factory: has the reactor.
        whole: the function that the connection reads a message by, if nobody has overridden it.
        module: where programs put another ``reactor`` for reads to be scheduled on.

    Attributes:
        socket: the libzmq socket that the pump works on, None if there is none.
        own_clock: whether the reactor tells the time, so that one timer does for all deadlines.
        called: the connection was asked for its prefix, as reactors do before they call it.
        timed: whoever waits with a deadline; when there is nobody, no timer is left.
        quick: the socket past whose own methods messages may go, or `ASK`.
    """

    def __init__(
        self, connection: Any, factory: Any, whole: Callable[[Any], Message], module: dict[str, Any]
    ) -> None:
        self._client = self.connection = connection
        self._reactor = watching(factory.reactor)
        self._maker = get_ident()
        self._said = False
        self._now, self.own_clock = clock_of(self._reactor)
        self.keeps_time = keeps_time(self._reactor)
        self._whole = MethodType(whole, connection)
        self._module = module
        self.unhandled: deque[Message] = deque()
        self.socket: Any = None
        self.quick = ASK
        self.security: Security | None = None
        self.monitor: ReactorMonitor | None = None  # of a client that a server may refuse
        self.unclaimed = 0
        self.malformed = 0
        self._rejected: MalformedMessage | None = None
        self._forked = False
        self._begun = False
        self._most = BURST
        self.called = False
        self.timed: Collection[bytes] = ()
        self.remains: list[Any] = []  # of what was closed

    def take(self, socket: Any, high: float) -> None:
        """Work on this socket from now on, which may be a mock."""
        if not isinstance(socket, BridgedSocket):
            self._pump: Any = NoPump()
            return
        kind = socket.getsockopt(constants.TYPE)
        # libzmq's own REQ and REP refuse to receive twice; that must not look like a broken socket.
        self._most = 1 if kind in (constants.REQ, constants.REP) else BURST
        self.socket = socket
        self._pump = Pump(socket, self, high)
        if isinstance(socket, WatchedSocket):
            socket.tell_of_meddling(self._meddled)
        if untouched(socket):
            self.quick = socket

    def descriptor(self) -> Any:
        """What libzmq rings."""
        if self.socket is not None:
            return self.socket.fileno()
        return self.connection.socket.get(constants.FD)

    def prepare(self) -> None:
        """Set what else its pattern needs on the socket, before it has an address."""

    def touched(self) -> None:
        """Something may have silenced the FD."""
        if self._begun:
            self._pump.schedule()

    def start(self) -> None:
        """Be read, from now on."""
        if self.socket is not None:
            self.socket.watch(self._pump.schedule)
        living.add(self)
        self._begun = True
        self._begin()

    def _enter(self) -> None:
        super()._enter()
        self.connection.doRead()

    def _meddled(self) -> None:
        self.quick = ASK

    def __repr__(self) -> str:
        # Not the connection's own, which shows a factory that may be gone.
        return f"{type(self.connection).__name__}({self.connection.endpoints!r})"

    # Who may call.

    def check_open(self) -> None:
        """Refuse a call that cannot be served.

        Raises:
            UsedAfterFork, SocketClosed, WrongThread: it was made in another process, was shut
                down, or its reactor runs in another thread.
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
        """Look closer at a send; true if it had to go by the socket's own method, and went."""
        self.check_open()
        socket = self.connection.socket
        ours = socket is self.socket
        if ours and untouched(socket):
            self.quick = socket
            return False
        # Nobody but a mock knows what it takes.
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
        """The peers push back, or there is none."""
        raise error.Again

    # Reading.

    def doRead(self) -> None:
        """The reactor calls it, or somebody by hand."""
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
        except BaseException:  # a reactor logs it, and goes on under this name
            prefix = "(buggy logPrefix method)"
        self.called = False
        return prefix

    def _logs_for_us(self) -> bool:
        # As it is when a reactor calls.
        system: bool = context.get(ILogContext)["system"] == self._prefix()
        return system

    def _turn(self) -> None:
        self._pump.turn()
        self._handle_received()

    def _read_all(self) -> None:
        # Whoever calls it by hand, from a hook or before the reactor runs, counts on all of it.
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
            self._pump.turn()  # it meets the same, and tells `_end`

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
        """Stop the timer if nobody needs it."""

    def reject(self, malformed: MalformedMessage) -> None:
        """Count a malformed message; they are reported once a burst."""
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
        """Have the monitor tell of servers that refuse us, if they may."""
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
        """It connects to one more address."""
        if self.monitor is not None:
            self.monitor.refusals.handshakes.expect(as_name(address, "").decode())

    def server_refused(self, failure: HandshakeFailed) -> bool:
        """No server is left; true if somebody was told, else it is logged."""
        return False

    # The end.

    def _end(self, reason: ZmqBridgeError) -> None:
        # The context was terminated, or the socket closed, behind our back.
        if self.connection.socket is self.socket:
            self.connection.connectionLost(Failure(reason))
            self.connection.shutdown()

    def stop(self) -> None:
        """Be read no more."""
        self._stop_reading()

    def close(self) -> None:
        """Close the socket, and drop what it has not sent."""
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
        """What the connection has done so far."""
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
