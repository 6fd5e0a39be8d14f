"""The sockets of Twisted without their patterns: how they open, send, receive and end."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from math import inf
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, NoReturn, Self, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from zmqbridge._bridge.link import Link
from zmqbridge._bridge.linked import (
    Shown,
    by_name,
    forwarded,
    is_closed,
    monitor_of_peers,
    only_async,
    repr_of,
)
from zmqbridge._bridge.received import Received, of_receivers
from zmqbridge._bridge.request import stopped
from zmqbridge._bridge.taking import receive_nowait
from zmqbridge.core._checks import check_handler, check_optional_timeout, check_timeout
from zmqbridge.core.framing import BytesLike, Message
from zmqbridge.core.patterns import Pattern, bytes_in
from zmqbridge.core.sendqueue import HIGH
from zmqbridge.errors import LoopError, QueueEmpty, SocketClosed, ZmqBridgeError
from zmqbridge.twisted_backend._clocks import steady
from zmqbridge.twisted_backend._driver import ReactorDriver
from zmqbridge.twisted_backend._handlers import dispatch, follow
from zmqbridge.twisted_backend._leaving import drain, leave
from zmqbridge.twisted_backend._listening import hand_over
from zmqbridge.twisted_backend._reactors import global_reactor
from zmqbridge.twisted_backend._waiters import Receipt, Sent

if TYPE_CHECKING:
    import zmq

    from zmqbridge._bridge.listening import Events
    from zmqbridge._bridge.monitoring import Monitor
    from zmqbridge.arguments import Options
    from zmqbridge.core.connectionevents import MonitorEvent

Item = TypeVar("Item")


class Socket:
    """A socket that starts working on its reactor when it is made."""

    kind: ClassVar[int]
    """The type of the libzmq socket, e.g. ``zmq.PULL``."""
    defaults: ClassVar[Options] = {}
    """Options of this pattern, which ``options`` may override."""
    closed_error: ClassVar[type[SocketClosed]] = SocketClosed

    __signature__: Shown = Shown()
    if not TYPE_CHECKING:
        __new__ = by_name

    def __init__(self, pattern: Pattern, given: Any, high: float = HIGH) -> None:
        reactor = given.pop("reactor", None)
        if reactor is None:
            reactor = global_reactor(given.get("context"))
        self._driver = ReactorDriver(reactor)
        self._link = Link(type(self), self._driver, pattern, high, given)
        self._pump = self._link.pump
        self._opened()
        try:
            if why := self._driver.why_silent():  # to await a Deferred there says nothing of it
                self._link.warn(why)
            self._driver.begin()
        except BaseException:  # the reactor cannot watch it, and no caller has it
            self._link.close()
            raise

    def _opened(self) -> None:
        """Set the attributes that `begin` needs, in which the reactor may already call us."""

    bind: Final = forwarded(Link.bind)
    connect: Final = forwarded(Link.connect)
    unbind: Final = forwarded(Link.unbind)
    disconnect: Final = forwarded(Link.disconnect)
    statistics: Final = forwarded(Link.statistics)
    close: Final = forwarded(Link.close)

    @property
    def socket(self) -> zmq.Socket[bytes]:
        """The pyzmq socket. Use it as you like: what you do to it does not make us deaf."""
        return self._link.usable()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it is bound and connected; a wildcard port is shown as the real one."""
        return tuple(self._link.addresses)

    @property
    def closed(self) -> bool:
        """Whether it was closed, by you or because its context was terminated; or never made."""
        return is_closed(self)

    def __repr__(self) -> str:
        return repr_of(self)

    def fileno(self) -> int:
        """The FD that libzmq rings, which the reactor watches for this socket; -1 once closed."""
        return -1 if self.closed else self._driver.fileno()

    def doRead(self) -> None:
        """Do what the reactor does when the FD rings; for a reactor that is driven by hand."""
        self._driver.doRead()

    def __enter__(self) -> NoReturn:
        raise only_async(self)

    def __exit__(self, *exc_info: object) -> None:
        """It is never entered."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def drain(self, timeout: float | None = None) -> Deferred[int]:
        """Wait until libzmq has taken what is queued, and fire with how many messages it has not.

        What libzmq has taken may still be under way, or wait in its own queue for a peer.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            SocketClosed: the socket is closed, or was while this waited.
        """
        timeout = check_optional_timeout(timeout)
        try:
            self._link.check_open()
        except SocketClosed as error:
            return fail(error)
        return Deferred.fromCoroutine(drain(self._driver, timeout))

    def aclose(self) -> Deferred[None]:
        """Close when queued messages have been sent, or after the linger time.

        A bound `Replier` or `Router` that has replied waits 0.1 s more, or the linger if that is
        shorter, for its peers to read. Before this fires, all calls that wait get `SocketClosed`.
        Cancelling it closes at once; closing twice is fine.
        """
        if not self._link.closed:
            self._link.check_open()
        return Deferred.fromCoroutine(leave(self._link, self._driver, self.close))

    def events(self, handler: Callable[[MonitorEvent], object] | None = None) -> Events:
        """What happens to its connections from now on, by ``async for`` or a handler.

        The first call also gets what has happened since the socket was made with
        ``monitor=True``. It ends when the socket is closed, or by ``close()`` of what it returns.

        Args:
            handler: called with each event. It may return a Deferred or a coroutine; its errors are
                logged, and it is called with the next event.

        Raises:
            SocketClosed: the socket is closed.
            TypeError: the handler cannot be called.
        """
        if handler is not None:
            check_handler(handler)
        self._link.check_open()
        return hand_over(self._link.attach().listen(), handler, self._driver.report)

    def connected(self, timeout: float = inf) -> Deferred[None]:
        """Fire when a peer is there: when its handshake has succeeded, or at once if it has.

        Args:
            timeout: seconds, ``math.inf`` for ever.

        Raises:
            ConnectTimeout: no peer came in time; its `failure` is the last failed attempt.
            HandshakeFailed: every server that it connects to has refused it.
            StateUnknown: it was not made with ``monitor=True``, or all its addresses are inproc.
            SocketClosed: the socket is closed, or was while this waited.
            TypeError, ValueError: the timeout is no number, or not greater than zero.
        """
        check_timeout(timeout)
        peers: list[Monitor] = []  # known when it begins

        async def until_connected() -> None:
            peers.append(monitor_of_peers(self._link))
            await peers[0].until_connected()

        return self._unless_late(until_connected, timeout, lambda: peers[0].no_peer(timeout))

    def _unless_late(
        self,
        wait: Callable[[], Coroutine[Any, Any, None]],
        timeout: float,
        error: Callable[[], Exception],
    ) -> Deferred[None]:
        """Fire when `wait` has ended, or fail with this error when the time is over before."""
        try:
            self._link.check_open()
        except LoopError:
            raise
        except ZmqBridgeError as closed:
            return fail(closed)
        waiting = Deferred.fromCoroutine(wait())

        def too_late(_: object, timeout: float) -> NoReturn:
            raise error()

        if timeout < inf:
            waiting.addTimeout(timeout, steady(self._driver.reactor), too_late)
        return waiting

    def _send(self, message: Sequence[BytesLike]) -> Deferred[None]:
        driver = self._driver
        try:
            self._link.check_open()
            if driver.holds_up(message):
                return Deferred.fromCoroutine(driver.send_in_turn(message))
            self._pump.send(message)
        except LoopError:
            raise
        except ZmqBridgeError as error:
            return fail(error)
        return Sent()


@implementer(IPushProducer)
class Receiver(Socket, Generic[Item]):
    """A socket to receive from, by `receive`, ``async for`` or its handler."""

    _decode: Callable[[list[Message]], Iterable[Item]] | None = None
    """Makes of a burst of messages what is received."""
    _weigh: Callable[[Any], int] = staticmethod(bytes_in)
    """How many bytes such an item has."""
    empty_error: ClassVar[type[QueueEmpty]] = QueueEmpty
    _follow: Callable[[Any, Any, Any], object] = staticmethod(follow)
    """Follows what the handler has returned."""

    def __init__(
        self,
        given: Any,
        high: float = HIGH,
        pattern_of: Callable[..., Received[Item, Deferred[Item]]] = Received,
    ) -> None:
        handler = given.pop("handler", None)
        self._handler = handler and check_handler(handler)
        # Empty or not: `dispatch` looks at it for each message, and a method would cost a frame.
        self._halted: list[bool] = []
        self._pattern = pattern_of(self._decode, weigh=self._weigh, **of_receivers(given))
        self._inbox = self._pattern.inbox
        super().__init__(self._pattern, given, high)

    def _opened(self) -> None:
        if self._handler is not None:
            self._inbox.standing = 1
            self._driver.handling = self._handle_received

    def receive(self) -> Deferred[Item]:
        """Fire with the next message.

        Cancelling it is safe: a message leaves the inbox only when a Deferred fires with it. Any
        number may wait; they are served in the order in which they asked.

        Raises:
            SocketClosed: the socket is closed, or was while this waited.
            ContextTerminated: the context was terminated during the call.
        """
        try:
            return succeed(self._inbox.pop())
        except IndexError:
            pass
        return self._next()

    receive_nowait: Final = receive_nowait

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        # Most calls end here.
        try:
            return self._inbox.pop()
        except IndexError:
            pass
        try:
            return await self._next()
        except SocketClosed:
            raise StopAsyncIteration from None

    def _next(self) -> Deferred[Item]:
        """The same, when `Inbox.pop` has given no message."""
        inbox = self._inbox
        paused = inbox.paused
        if get_ident() != self._driver.home_thread:
            try:
                self._link.check_open()
            except SocketClosed as error:
                return fail(error)
        item = inbox.poll()
        if paused and not inbox.paused:
            self._pump.schedule()
        if item is not None:
            return fail(item) if isinstance(item, Exception) else succeed(item)
        if self._link.unheard:
            self._link.warn_of_silence()
        if inbox.ended:
            return fail(stopped(self._link))
        waiter = Receipt(inbox)
        if inbox.wait(waiter):
            self._pump.schedule()
        return waiter

    def _handle_received(self) -> None:
        inbox = self._inbox
        paused = inbox.paused
        driver = self._driver
        now = driver.pump.monotonic
        seen, report = self._follow, driver.report
        dispatch(inbox.messages, self, "_handler", report, self._halted, seen, monotonic=now)
        if (paused and inbox.relax()) or (inbox.messages and not self._halted):
            self._pump.schedule()

    def pauseProducing(self) -> None:
        """Call the handler no more until `resumeProducing`.

        Messages that come during a pause wait: first in the inbox, then in libzmq, then at the
        peer, whose sends wait in the end. So the socket can be the producer of any consumer, e.g.
        of a TCP transport.
        """
        self._halted[:] = [True]
        self._inbox.standing = 0

    def resumeProducing(self) -> None:
        """Call the handler again, first with the messages that wait."""
        self._halted.clear()
        self._inbox.standing = int(self._handler is not None)
        self._pump.schedule()

    def stopProducing(self) -> None:
        """Close, because the consumer has ended."""
        self.close()
