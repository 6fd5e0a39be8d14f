"""ZmqConnection: a libzmq socket with the API of txZMQ, on the reader and pump of this library."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import inf
from threading import get_ident
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IFileDescriptor, IReadDescriptor
from twisted.python import log  # noqa: F401  for programs that find it here
from zmq import Socket as PlainSocket
from zmq import constants, error, zmq_version_info
from zope.interface import implementer

from zmqbridge._bridge import addresses, misspelt
from zmqbridge._bridge.calls import facade_socket
from zmqbridge._bridge.exhaustion import check_start
from zmqbridge._bridge.mechanisms import refuse_open_server, secure, stay_closed
from zmqbridge._bridge.watched import SEND
from zmqbridge._bridge.watched import WatchedSocket as Socket
from zmqbridge.core._checks import check_optional_timeout
from zmqbridge.core.framing import BytesLike, Message
from zmqbridge.core.statistics import Statistics
from zmqbridge.errors import ZmqBridgeError
from zmqbridge.twisted_backend._leaving import drain
from zmqbridge.txzmq._driver import ConnectionDriver
from zmqbridge.txzmq._endpoints import ZmqEndpoint as ZmqEndpoint
from zmqbridge.txzmq._endpoints import ZmqEndpointType as ZmqEndpointType
from zmqbridge.txzmq._endpoints import how_and_where, misuse, several
from zmqbridge.txzmq._errors import ZmqAddressError as ZmqAddressError
from zmqbridge.txzmq._errors import ZmqResourcesError as ZmqResourcesError
from zmqbridge.txzmq._errors import ZmqSendError as ZmqSendError
from zmqbridge.txzmq._errors import as_zmq_error, why_unmade
from zmqbridge.txzmq._parts import parts_of
from zmqbridge.txzmq._settings import security_of, set_options
from zmqbridge.txzmq._standins import NoFactory, ReactorOf
from zmqbridge.txzmq.compat import is_nonstr_iter  # noqa: F401
from zmqbridge.txzmq.factory import (
    ZmqFactory,
    is_ending,
    reactor_when_asked,
    stay_with_process,
)

if TYPE_CHECKING:
    from zmqbridge.security import Security

ZMQ3 = zmq_version_info()[0] >= 3

__getattr__ = reactor_when_asked


class DrivenBy:
    """A descriptor: on a class it gives the kind of driver, on a connection it makes a driver.

    A connection has no driver if a test has not called its constructor. Such tests give the
    connection only the attributes that they need, mostly mocks.
    """

    def __init__(self, kind: type[ConnectionDriver]) -> None:
        self._kind = kind

    def __get__(self, connection: Any, owner: object) -> Any:
        if connection is None:
            return self._kind
        state = vars(connection)
        state.setdefault("factory", NoFactory())
        state.setdefault("endpoints", [])
        state.setdefault("recv_parts", [])
        state.setdefault("read_scheduled", None)
        driver = self._kind(connection, ReactorOf(connection), READ, globals())
        driver.take(None, inf)
        state["_zmqbridge__driver"] = driver
        return driver


@implementer(IReadDescriptor, IFileDescriptor)
class ZmqConnection:
    """One socket, the base class of the patterns: set `socketType`, override `messageReceived`.

    The class attributes are read when a connection is made.

    Attributes:
        socketType: the type of the libzmq socket, e.g. ``zmq.PAIR``.
        allowLoopbackMulticast: kept for programs that set it; libzmq 3 and later has no such
            option.
        multicastRate: kilobits per second, for pgm.
        highWaterMark: how many messages libzmq queues for a peer, in each direction; 0 is no limit.
        topicSep: the separator between a tag and its message.
        tcpKeepalive: 1 turns TCP keepalive on and sets the next three; 0 leaves it to the system.
        tcpKeepaliveCount, tcpKeepaliveIdle, tcpKeepaliveInterval: as in tcp(7).
        reconnectInterval, reconnectIntervalMax: milliseconds; 0 keeps libzmq's own value.
        security: an object of a class of `zmqbridge.security`, or None; txZMQ does not have this.
        factory: the `ZmqFactory`, None after `shutdown`.
        socket: the pyzmq socket, None after `shutdown`; use it as you like.
        endpoints: the endpoints given to `addEndpoints` so far.
        fd: the file descriptor by which libzmq signals.
        identity: the routing id; with None libzmq chooses one.
        queue, recv_parts: always empty; they exist because txZMQ has them.
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

    # Everything private is in one object, because users' subclasses have names of their own.
    _zmqbridge__driver: Any = DrivenBy(ConnectionDriver)
    # The same object, set by the constructor, for code that runs for each message: to read an
    # attribute for which the class has a descriptor takes 25 ns more.
    _zmqbridge__made: Any

    if not TYPE_CHECKING:
        __new__, __signature__ = misspelt.new, misspelt.ShownOwn()

    def __init__(
        self,
        factory: ZmqFactory,
        endpoint: ZmqEndpoint | None = None,
        identity: bytes | None = None,
    ) -> None:
        if getattr(factory, "context", None) is None or is_ending(factory):
            raise misuse().no_context(type(self), factory)
        stay_with_process(factory)
        driver = type(self)._zmqbridge__driver(self, factory.reactor, READ, globals())
        self._zmqbridge__driver = self._zmqbridge__made = driver
        self.endpoints: list[ZmqEndpoint] = []
        self.identity = identity
        self.queue: deque[Any] = deque()
        self.recv_parts: list[Any] = []
        self.read_scheduled: Any = None
        context: Any = factory.context
        try:
            self.socket: Any = facade_socket(context, Socket)(check_start(context), self.socketType)
        except (error.ZMQError, TypeError) as problem:
            raise why_unmade(problem, context, self) from None
        self.factory: Any = factory
        driver.take(self.socket, self.highWaterMark or inf)
        try:
            self.fd: int = driver.descriptor()
            set_options(self)
            driver.prepare()
            driver.security = security_of(self)
            secure(self.socket, driver.security)
            driver.watch_handshakes()
            if endpoint:
                self.addEndpoints([endpoint])
        except BaseException as problem:
            named = as_zmq_error(problem, context)  # before there is room again
            driver.close()
            if named is problem:
                raise
            raise named from None
        factory.connections.add(self)  # type: ignore[union-attr]
        driver.start()

    def addEndpoints(self, endpoints: Iterable[ZmqEndpoint]) -> None:
        """Bind or connect to more endpoints.

        Raises:
            ZmqAddressError: libzmq refuses an address.
            AddressError: an endpoint's type is neither ``"bind"`` nor ``"connect"``.
            AuthenticationMissing: the `security` of the connection accepts only some clients, and
                the context of its factory has no authenticator.
            SocketClosed: the connection was shut down.
        """
        driver = self._zmqbridge__driver
        driver.check_open()
        if driver.security is not None:
            any_key = getattr(driver.security, "any_key", False)
            refuse_open_server(self.socket, any_key=any_key)
        else:
            stay_closed(self.socket)
        endpoints = several(endpoints)
        self.endpoints.extend(endpoints)
        self._connectOrBind(endpoints)
        if endpoints:
            driver.touched()  # a subclass may have connected without our socket's own methods

    def _connectOrBind(self, endpoints: Sequence[ZmqEndpoint]) -> None:
        for endpoint in endpoints:
            kind, address = how_and_where(endpoint)
            act: Any
            if kind == ZmqEndpointType.connect:
                act = self.socket.connect
            elif kind == ZmqEndpointType.bind:
                act = partial(addresses.bind, self.socket, call=addresses.plain_bind)
            else:
                raise misuse().endpoint_type(kind, address)
            try:
                act(address)
                if kind == ZmqEndpointType.connect:
                    self._zmqbridge__driver.expect(address)
            except error.ZMQError as refusal:
                text = f"cannot {kind} to {address!r}: {refusal.strerror}"
                raise ZmqAddressError(text, address, refusal.errno or 0) from None
            except TypeError:
                if isinstance(address, str | bytes):
                    raise
                raise misuse().address(kind, address) from None

    def shutdown(self) -> None:
        """Close the connection; calling it twice is fine.

        Raises:
            WrongThread: the reactor runs in another thread.
        """
        if self.factory is None:
            return
        driver = self._zmqbridge__driver
        driver.check_open()
        driver.stop()
        if self.factory.connections is not None:
            self.factory.connections.discard(self)
        driver.close()

    def drain(self, timeout: float | None = None) -> Deferred[int]:
        """Wait until libzmq has taken the queued messages.

        Only requests are queued here; every other message is sent at once or refused.

        Args:
            timeout: in seconds; None waits for ever.

        Returns:
            Fires with the number of messages that libzmq has not taken.

        Raises:
            SocketClosed: the connection was shut down before or while this waited.
        """
        driver = self._zmqbridge__driver
        driver.check_open()
        return Deferred.fromCoroutine(drain(driver, check_optional_timeout(timeout)))

    def __repr__(self) -> str:
        # A constructor that raises may have set neither.
        factory, endpoints = getattr(self, "factory", None), getattr(self, "endpoints", [])
        return f"{self.__class__.__name__}({factory!r}, {endpoints!r})"

    def fileno(self) -> int:
        """The file descriptor by which libzmq signals."""
        return self.fd

    def logPrefix(self) -> str:
        """The name of connections in log lines."""
        self._zmqbridge__driver.called = True
        return "ZMQ"

    def connectionLost(self, reason: object) -> None:
        """Stop reading, and do nothing else: the reactor has given up the descriptor."""
        if self.factory is not None:
            self.factory.reactor.removeReader(self)

    def _readMultipart(self) -> Message:
        """Take the next message, a list of its parts.

        Raises:
            zmq.error.Again: there is none.
        """
        unhandled = self._zmqbridge__driver.unhandled
        if unhandled:
            read: Message = unhandled.popleft()
            return read
        more = True
        while more:
            self.recv_parts.append(self.socket.recv(constants.NOBLOCK))
            more = self.socket.get(constants.RCVMORE)
        message: Message = self.recv_parts
        self.recv_parts = []
        return message

    def doRead(self) -> None:
        """Read the messages that have come.

        When the reactor calls this, it reads for a bounded time and schedules another read for the
        rest. When a program calls this, it reads all messages.
        """
        self._zmqbridge__driver.doRead()

    def send(self, message: BytesLike | Iterable[BytesLike]) -> None:
        """Send a message now.

        Args:
            message: what is bytes-like for a message of one part, or any iterable of its parts.

        Raises:
            zmq.error.Again: the high water mark is reached, or there is no peer.
            ZmqSendError: libzmq refuses the message for good.
            TypeError: a part is not bytes-like; nothing was sent.
            ValueError: there are no parts.
            SocketClosed: the connection was shut down.
            WrongThread: the reactor runs in another thread.
        """
        try:
            driver = self._zmqbridge__made
        except AttributeError:
            driver = self._zmqbridge__driver
        if (
            self.socket is not driver.quick
            or get_ident() != driver.home_thread
            or PlainSocket.send is not SEND
        ) and driver.sends_by_socket(message):
            return
        pump = driver.pump
        try:
            if type(message) is bytes:
                if pump.queues or not pump.try_send_part(message):
                    driver.not_taken((message,))
            else:
                parts: Sequence[bytes] = message if type(message) is list else ()
                for part in parts:
                    if type(part) is not bytes:
                        parts = ()
                        break
                parts = parts or parts_of(message)
                if pump.queues or not pump.try_send(parts):
                    driver.not_taken(parts)
        except ZmqBridgeError as problem:
            raise ZmqSendError(problem) from None
        if not pump.turn_wanted:
            pump.schedule()

    def messageReceived(self, message: Message) -> None:
        """Called with each message, a list of its parts; override it."""
        raise NotImplementedError(f"{self!r}: override messageReceived, or assign it")

    def statistics(self) -> Statistics:
        """The counts of this connection so far."""
        statistics: Statistics = self._zmqbridge__driver.statistics()
        return statistics


READ: Callable[[Any], Message] = ZmqConnection._readMultipart
