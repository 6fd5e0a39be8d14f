"""ZmqConnection: a libzmq socket with the API of txZMQ, on the reader and pump of this library."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from math import inf
from threading import get_ident
from types import SimpleNamespace
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IFileDescriptor, IReadDescriptor
from twisted.python import log
from twisted.python.failure import Failure
from zmq import constants, error, zmq_version_info
from zope.interface import implementer

from zmqbridge import addresses
from zmqbridge.context import closing
from zmqbridge.core.framing import Message, as_bytes, as_name, as_parts
from zmqbridge.core.statistics import Statistics
from zmqbridge.errors import (
    AddressError,
    HandshakeFailed,
    MalformedMessage,
    ResourcesExhausted,
    SocketClosed,
    UsedAfterFork,
    WrongThread,
    ZmqBridgeError,
)
from zmqbridge.exhaustion import explained
from zmqbridge.guards import leave_to_parent, living
from zmqbridge.mechanisms import refuse_open_server, secure
from zmqbridge.patterns import patience
from zmqbridge.pump import BURST, Pump
from zmqbridge.receivingsocket import ReceivingSocket as Socket
from zmqbridge.security import CurveClient, PlainClient, Security
from zmqbridge.twisted_backend.handlers import dispatch
from zmqbridge.twisted_backend.reactormonitor import ReactorMonitor
from zmqbridge.twisted_backend.reader import ReactorReader, watching
from zmqbridge.txzmq.compat import is_nonstr_iter
from zmqbridge.txzmq.factory import ZmqFactory, is_ending, reactor_when_asked

ZMQ3 = zmq_version_info()[0] >= 3

__getattr__ = reactor_when_asked


class ZmqEndpointType:
    """How an endpoint is used; the plain strings do as well."""

    bind = "bind"
    connect = "connect"


class ZmqEndpoint(NamedTuple):
    """An address and how it is used.

    Attributes:
        type: `ZmqEndpointType.bind` or `ZmqEndpointType.connect`.
        address: as libzmq takes it, e.g. ``"tcp://127.0.0.1:5555"``.
    """

    type: str
    address: str


class ZmqAddressError(AddressError, error.ZMQError):  # type: ignore[misc]
    """libzmq refused an address; a ``ZMQError`` too, because users of txZMQ catch that."""

    def __init__(self, message: str, address: object, errno: int) -> None:
        error.ZMQError.__init__(self, errno, message)
        self.address = address


class ZmqSendError(ZmqBridgeError, error.ZMQError):
    """libzmq refused a message for good, e.g. a mandatory ROUTER knows no such peer."""

    def __init__(self, problem: ZmqBridgeError) -> None:
        errno = getattr(problem.__context__, "errno", None)
        error.ZMQError.__init__(self, errno, str(problem))


class ZmqResourcesError(ResourcesExhausted, error.ZMQError):  # type: ignore[misc]
    """There is no room for one more socket; a ``ZMQError`` too, as that is what txZMQ raised."""

    def __init__(self, problem: ResourcesExhausted) -> None:
        error.ZMQError.__init__(self, problem.errno, problem.strerror)


def _as_zmq_error(problem: Exception, context: Any) -> Exception:
    if isinstance(problem, error.ZMQError):
        problem = explained(problem, context)
    return ZmqResourcesError(problem) if type(problem) is ResourcesExhausted else problem


@implementer(IReadDescriptor, IFileDescriptor)
class ZmqConnection(ReactorReader):
    """One socket, for the patterns to derive from: set `socketType`, override `messageReceived`.

    The class attributes are read when a connection is made.

    Attributes:
        socketType: the type of the libzmq socket, e.g. ``zmq.PAIR``.
        allowLoopbackMulticast: kept for its users; libzmq 3 and later has no such option.
        multicastRate: kilobits per second, for pgm.
        highWaterMark: messages that libzmq queues for a peer, each way; 0 is no limit.
        topicSep: what parts a tag from its message.
        tcpKeepalive: 1 turns TCP keepalive on and sets the next three; 0 leaves it to the system.
        tcpKeepaliveCount, tcpKeepaliveIdle, tcpKeepaliveInterval: as in tcp(7).
        reconnectInterval, reconnectIntervalMax: milliseconds; 0 leaves libzmq's own.
        security: one of the classes of `zmqbridge.security`, None for none; txZMQ had it not.
        factory: the `ZmqFactory`, None after `shutdown`.
        socket: the pyzmq socket, None after `shutdown`; use it as you like.
        endpoints: what was given to `addEndpoints` so far.
        fd: the file descriptor that libzmq rings.
        identity: the routing id, None for one that libzmq chooses.
        queue, recv_parts: always empty; txZMQ had them.
        read_scheduled: the delayed call that will read soon, or None.
    """

    socketType: Any = None
    allowLoopbackMulticast = False
    multicastRate = 100
    highWaterMark = 0
    topicSep = b"\0"

    tcpKeepalive = 0
    tcpKeepaliveCount = 0
    tcpKeepaliveIdle = 0
    tcpKeepaliveInterval = 0

    reconnectInterval = 100
    reconnectIntervalMax = 0

    security: Security | None = None

    # Two underscores, because the subclasses of users have private names of their own.
    __malformed = 0
    __unclaimed = 0
    __rejected: MalformedMessage | None = None
    __monitor: ReactorMonitor | None = None  # of a client that a server may refuse
    __forked = False
    _said = False

    def __init__(
        self,
        factory: ZmqFactory,
        endpoint: ZmqEndpoint | None = None,
        identity: bytes | None = None,
    ) -> None:
        if factory.context is None or is_ending(factory):
            raise SocketClosed(f"{factory!r} was shut down, or its __init__ was not called yet")
        self._reactor = watching(factory.reactor)
        self._maker = get_ident()
        self._now = self._reactor.seconds
        self.factory: Any = factory
        self.endpoints: list[ZmqEndpoint] = []
        self.identity = identity
        self.queue: deque[Any] = deque()
        self.recv_parts: list[Any] = []
        self.read_scheduled = None
        try:
            self.socket: Any = Socket(factory.context, self.socketType)
        except error.ZMQError as problem:
            raise _as_zmq_error(problem, factory.context) from None
        # libzmq's own REQ and REP refuse to receive twice; that must not look like a broken socket.
        most = 1 if self.socketType in (constants.REQ, constants.REP) else BURST
        unhandled: deque[Message] = deque()
        self.__unhandled = unhandled
        # Not self, because the subclasses of users have private names of their own.
        driver: Any = SimpleNamespace(
            _deliver=self.__deliver,
            _call_soon=self._call_soon,
            _wake=self._wake,
            _report=self.__report,
            _end=self.__lost,
            _room=lambda: most - len(unhandled),
        )
        self._pump = Pump(self.socket, driver, self.highWaterMark or inf)
        try:
            self.fd = self.socket.fileno()
            self._setOptions()
            secure(self.socket, self.security)
            if isinstance(self.security, CurveClient | PlainClient):
                self.__watchHandshakes()
            if endpoint:
                self.addEndpoints([endpoint])
        except Exception as problem:
            self.__close()
            named = _as_zmq_error(problem, factory.context)
            if named is problem:
                raise
            raise named from None
        self.socket.watch(self._pump.schedule)
        living.add(self)
        factory.connections.add(self)  # type: ignore[union-attr]
        self._reactor.addReader(self)
        log.callWithContext({"system": self.logPrefix()}, self.doRead)

    def _setOptions(self) -> None:
        options = {
            constants.LINGER: self.factory.lingerPeriod,
            constants.RATE: self.multicastRate,
            constants.SNDHWM: self.highWaterMark,
            constants.RCVHWM: self.highWaterMark,
        }
        if self.tcpKeepalive:
            options[constants.TCP_KEEPALIVE] = self.tcpKeepalive
            options[constants.TCP_KEEPALIVE_CNT] = self.tcpKeepaliveCount
            options[constants.TCP_KEEPALIVE_IDLE] = self.tcpKeepaliveIdle
            options[constants.TCP_KEEPALIVE_INTVL] = self.tcpKeepaliveInterval
        if self.reconnectInterval:
            options[constants.RECONNECT_IVL] = self.reconnectInterval
        if self.reconnectIntervalMax:
            options[constants.RECONNECT_IVL_MAX] = self.reconnectIntervalMax
        if self.identity is not None:
            options[constants.IDENTITY] = self.identity
        for option, value in options.items():
            self.socket.set(option, value)

    def __watchHandshakes(self) -> None:
        def report(problem: Exception) -> None:
            log.callWithContext({"system": self.logPrefix()}, self.__report, problem)

        self.__monitor = ReactorMonitor(context=self.factory.context, reactor=self._reactor)
        self.__monitor.attach(
            self.socket, complete=True, wary=True, refused=self._serverRefused, report=report
        )

    def _serverRefused(self, failure: HandshakeFailed) -> bool:
        return False  # nobody waits here, so it is logged

    def addEndpoints(self, endpoints: Iterable[ZmqEndpoint]) -> None:
        """Bind or connect to more endpoints.

        Raises:
            ZmqAddressError: libzmq refuses an address.
            AddressError: an endpoint's type is neither ``"bind"`` nor ``"connect"``.
            AuthenticationMissing: its `security` lets in only some clients, and its factory's
                context has no authenticator.
            SocketClosed: the connection was shut down.
        """
        self._checkOpen()
        if self.security is not None:
            refuse_open_server(self.socket, any_key=getattr(self.security, "any_key", False))
        endpoints = list(endpoints)
        self.endpoints.extend(endpoints)
        self._connectOrBind(endpoints)

    def _connectOrBind(self, endpoints: Sequence[ZmqEndpoint]) -> None:
        actions = {
            ZmqEndpointType.bind: partial(addresses.bind, self.socket, call=addresses.plain_bind),
            ZmqEndpointType.connect: self.socket.connect,
        }
        for kind, address in endpoints:
            if kind not in actions:
                raise AddressError(
                    f"endpoint type {kind!r} of {address!r}: use 'bind' or 'connect'", address
                )
            try:
                actions[kind](address)
                if self.__monitor is not None and kind == ZmqEndpointType.connect:
                    self.__monitor.refusals.handshakes.expect(as_name(address, "").decode())
            except error.ZMQError as refusal:
                text = f"cannot {kind} to {address!r}: {refusal.strerror}"
                raise ZmqAddressError(text, address, refusal.errno or 0) from None

    def shutdown(self) -> None:
        """Close the connection; doing it twice is fine.

        Raises:
            WrongThread: the reactor runs, in another thread.
        """
        if self.factory is None:
            return
        self._checkOpen()
        self._stop_reading()
        if self.factory.connections is not None:
            self.factory.connections.discard(self)
        self.__close()
        self.factory = None

    def __close(self) -> None:
        if self.__monitor is not None:
            self.__monitor.close()
        for waiter in self._pump.close():
            waiter.errback(SocketClosed(f"{self!r} was shut down while this waited"))
        self.__unclaimed = len(self.__unhandled)
        self.__unhandled.clear()
        closing(self.socket)
        addresses.left(self.socket)
        self.socket.close()
        self.socket = None

    def _disown(self) -> None:
        super()._disown()
        self.__forked = True
        self.__unhandled.clear()
        leave_to_parent(self.socket, None)
        self.factory = self.socket = None

    def _of_parent(self) -> UsedAfterFork:
        return UsedAfterFork(f"{self!r} belongs to the parent process: make a new one here")

    def _report(self, problem: Exception) -> None:
        log.callWithContext({"system": self.logPrefix()}, self.__report, problem)

    def _libzmq(self) -> Any:
        return self.socket

    def drain(self, timeout: float | None = None) -> Deferred[int]:
        """Wait until libzmq has taken what is queued, and fire with how many messages it has not.

        Only requests are queued here; all else is sent at once or refused.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            SocketClosed: the connection was shut down, or was while this waited.
        """
        self._checkOpen()
        return Deferred.fromCoroutine(self._drain(patience(timeout)))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.factory!r}, {self.endpoints!r})"

    def fileno(self) -> int:
        """The file descriptor that libzmq rings."""
        return self.fd

    def logPrefix(self) -> str:
        """How log lines name connections."""
        return "ZMQ"

    def connectionLost(self, reason: object) -> None:
        """The reactor gave the descriptor up: stop reading, and nothing else."""
        if self.factory is not None:
            self.factory.reactor.removeReader(self)

    def doRead(self) -> None:
        """Read what is there, for a bounded time, and schedule another read for the rest."""
        if self.factory is None:
            return
        if self.read_scheduled is None:
            self._readSome()  # the reactor calls us by our name already
        else:
            log.callWithContext({"system": self.logPrefix()}, self._readSome)

    def _readSome(self) -> None:
        super().doRead()
        if self.__rejected is not None:
            rejected, self.__rejected = self.__rejected, None
            self.__report(rejected)

    def __deliver(self, burst: list[Message]) -> None:
        self.__unhandled.extend(burst)
        self._handle_received()

    def _handle_received(self) -> None:
        if self.__unhandled:
            dispatch(self.__unhandled, self, "messageReceived", self.__report)
        if self.__unhandled:
            self._pump.schedule()

    def __report(self, problem: Exception) -> None:
        log.err(Failure(problem))

    def _reject(self, malformed: MalformedMessage) -> None:
        # Counted each time, and reported once a burst.
        self.__malformed += 1
        self.__rejected = malformed

    def __lost(self, reason: ZmqBridgeError) -> None:
        # The context was terminated, or the socket closed, behind our back.
        self.connectionLost(Failure(reason))
        self.shutdown()

    def send(self, message: Any) -> None:
        """Send a message now.

        Args:
            message: bytes for a message of one part, or any iterable of bytes for its parts.

        Raises:
            zmq.error.Again: the high water mark is reached, or no peer is there.
            ZmqSendError: libzmq refuses it for good.
            TypeError: a part is not bytes-like; nothing was sent.
            ValueError: there are no parts.
            SocketClosed: the connection was shut down.
            WrongThread: the reactor runs, in another thread.
        """
        if type(message) is bytes:
            parts: Sequence[bytes] = (message,)
        elif type(message) is list and message:
            parts = as_parts(message)
        elif is_nonstr_iter(message) and not isinstance(message, bytearray | memoryview):
            parts = as_parts(list(message))
            if not parts:
                raise ValueError("a message has at least one part; an empty part is b''")
        else:
            parts = (as_bytes(message, "a message"),)
        if self.factory is None or get_ident() != self._home_thread:
            self.__refuse()
        pump = self._pump
        try:
            if pump.queues or not pump.try_send(parts):
                self._refused(parts)
        except ZmqBridgeError as problem:
            raise ZmqSendError(problem) from None
        if not pump.due:
            pump.schedule()

    def _checkOpen(self) -> None:
        if self.factory is None or get_ident() != self._home_thread:
            self.__refuse()

    def __refuse(self) -> None:
        if self.__forked:
            self._said = True
            raise self._of_parent()
        if self.factory is None:
            raise SocketClosed(f"{self!r} was shut down: make a new one")
        if self._home_thread not in (0, get_ident()) and self._running():
            raise WrongThread(
                f"{self!r} belongs to the reactor's thread: hand the call over by {self.way_in}"
            )

    def _refused(self, parts: Sequence[bytes]) -> None:
        raise error.Again

    def messageReceived(self, message: Message) -> None:
        """Called with each message, a list of its parts; override it."""
        raise NotImplementedError(self)

    def statistics(self) -> Statistics:
        """What this connection has done so far."""
        return Statistics(
            sent=self._pump.sent,
            received=self._pump.received,
            queued=self._pump.queued,
            unread=len(self.__unhandled),
            malformed=self.__malformed,
            dropped=self._pump.dropped,
            open_requests=0,
            late_replies=0,
            withdrawn=self._pump.withdrawn,
            unreachable=self._pump.unreachable,
            unclaimed=self.__unclaimed,
        )
