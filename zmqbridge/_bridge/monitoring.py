"""Monitoring: the socket on which libzmq reports a socket's connections, and its listeners.

Facts of libzmq 4.3.5 behind this (measured; zmq_socket_monitor(3) mentions none of them):

- When the reading end of a monitor cannot take an event (its high water mark is reached, or it is
  closed), the I/O thread waits, and every socket of the context stands still. So the reading end
  has no high water mark, we read it with or without listeners, and we turn the monitor off before
  we close the reading end.
- libzmq reports each accept that fails. A process without free descriptors fails half a million
  times a second. In such a storm another monitor replaces this one, in one step of libzmq's, and
  reports everything else. That needs a descriptor, for which there is a `Reserve`.
- The reading end may be a PULL socket, which can read from one monitor after another.
- libzmq reports nothing about ``inproc``, nothing that happened before, and nothing when we
  disconnect.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from weakref import WeakSet

import zmq

from zmqbridge._bridge.driver import Driver, Keeper
from zmqbridge._bridge.exhaustion import explained, reserve
from zmqbridge._bridge.listening import Events
from zmqbridge.core.connectionevents import EventKind, with_cause
from zmqbridge.core.connectionstate import ConnectionState
from zmqbridge.core.framing import Message
from zmqbridge.core.monitor import Storm, parse_event, without_failed_accepts
from zmqbridge.core.patterns import NOTHING, Pattern, Told
from zmqbridge.errors import ConnectTimeout, HandshakeFailed, SocketClosed, StateUnknown

if TYPE_CHECKING:
    from zmqbridge._bridge.pump import Pump
    from zmqbridge.arguments import Options

_numbers = itertools.count(1)

STOPPED = EventKind.MONITOR_STOPPED.to_bytes(2, sys.byteorder)
IN_A_STORM = zmq.EVENT_ALL & ~zmq.EVENT_ACCEPT_FAILED


def next_name() -> str:
    """An address for a monitor; each call returns a new one."""
    return f"inproc://zmqbridge.monitor.{next(_numbers)}"


class Monitorable(Protocol):
    """What can be monitored: a `Link`, or the guard of a connection of the facade."""

    @property
    def socket(self) -> Any:
        """The libzmq socket."""

    @property
    def context(self) -> zmq.Context[Any]:
        """Its context."""

    @property
    def driver(self) -> Driver:
        """Its driver."""

    def check_open(self) -> None:
        """Refuse a call that cannot be served."""


class ReadingEnd(Monitorable, Protocol):
    """What a monitor asks, besides, of the `Link` of its own socket."""

    said: bool

    @property
    def pump(self) -> Pump:
        """What reads it."""

    @property
    def closed(self) -> bool:
        """Whether it is closed."""

    def catch_up(self) -> None:
        """Take now what libzmq has received already."""

    def close(self) -> None:
        """Close it."""

    def close_socket(self) -> list[Any]:
        """Close what is libzmq's and return all waiters, which must be told."""


class Monitor(Pattern, Keeper):
    """The reading end of a monitor: a link and a driver of its own, and any number of listeners.

    Args:
        monitored: the link of the socket of which libzmq is to tell from now on.
        link_of: the class `Link`; given, because a link may have a monitor.
        complete: whether nothing has happened on that socket before.
        has_credentials: that socket shows credentials, which a server may refuse.
        report: called with an error that no call gets, once for each cause; by default by the
            driver of that socket.

    Attributes:
        link: that of the reading end.
        connections: the state of the monitored socket's connections.
        complete: whether nothing was missed.
    """

    kind: ClassVar[int] = zmq.PULL
    defaults: ClassVar[Options] = {zmq.RCVHWM: 0}
    closed_error: ClassVar[type[SocketClosed]] = SocketClosed

    def __init__(
        self,
        monitored: Monitorable,
        link_of: Callable[..., ReadingEnd],
        *,
        complete: bool,
        has_credentials: bool,
        report: Callable[[BaseException], object] | None = None,
    ) -> None:
        super().__init__()
        self.complete: bool = complete
        self.connections: ConnectionState = ConnectionState(has_credentials)
        self._report = report or monitored.driver.report
        self._storm = Storm()
        self._aside: list[Message] | None = None  # events that must not be delivered yet
        self._lost = False  # libzmq reports nothing any more
        self._of = monitored
        self._told = False  # libzmq was asked to report to us
        self._waiters: dict[Any, None] = {}
        self._listeners: WeakSet[Events] = WeakSet()
        # Events that come before there is a listener are kept for the first listener.
        self._first: Events | None = Events(self)
        self._listeners.add(self._first)
        self._driver = monitored.driver.beside()
        given = {"context": monitored.context}
        self.link: ReadingEnd = link_of(type(self), self._driver, self, given=given)
        self.link.said = True  # in a forked child the monitored socket alone reports it
        self._driver.keeper = self
        try:
            monitored.driver.join(self._driver)
            self._attach()
        except BaseException:
            self.link.close()
            raise

    def _attach(self) -> None:
        name = next_name()
        try:
            self._of.socket.monitor(name, zmq.EVENT_ALL)
        except zmq.ZMQError as error:
            raise explained(error, self.link.context) from None
        self._told = True
        self.link.socket.connect(name)
        reserve.join(self)

    def listen(self) -> Events:
        """Add a listener and return it."""
        events, self._first = self._first, None
        if events is None:
            events = Events(self)
            self._listeners.add(events)
        return events

    def arrival(self) -> Awaitable[None]:
        """Wait for the next events."""
        self.link.check_open()
        arrival: Awaitable[None] = self._driver.room_in(self)
        return arrival

    async def until_connected(self) -> None:
        """Wait until a peer is there.

        Raises:
            HandshakeFailed: every server has refused the socket since this call.
            SocketClosed: it was closed during the call.
        """
        connections = self.connections
        before = connections.failures
        while not connections.up:
            await self.arrival()
            self._of.check_open()
            failure = connections.refusal()
            # A refusal from before this call says nothing: much may have changed.
            if failure and connections.failures > before:
                raise failure

    def why_failed(self) -> str:
        """Why the last handshake failed that did, else ""."""
        failure = self.connections.failure
        return with_cause(failure) if failure else ""

    def no_peer(self, timeout: float) -> ConnectTimeout:
        """The error when no peer came in time."""
        return ConnectTimeout(timeout, self.connections.failure)

    def wait(self, waiter: Any) -> None:
        """Register a waiter, which the next events wake."""
        self._waiters[waiter] = None

    def forget(self, waiter: Any) -> None:
        """Remove a waiter that does not wait any more."""
        self._waiters.pop(waiter, None)

    def wake(self) -> None:
        """Wake all waiters."""
        self._driver.tell(self._take_waiters())

    def _take_waiters(self) -> list[Any]:
        waiters = list(self._waiters)
        self._waiters.clear()
        return waiters

    def _ask_for(self, kinds: int) -> bool:
        """Make libzmq report these kinds from now on; False if it reports nothing any more."""
        # Until we read from the new monitor, libzmq's I/O thread waits for us, and any call on the
        # socket would wait, too. A listener could make such a call. So the events of the old
        # monitor are set aside, and are delivered when the new one is connected.
        pump = self.link.pump
        self._aside, before = [], pump.received
        try:
            name = next_name()
            with reserve.released():
                self._of.socket.monitor(name, kinds)
            try:
                self.link.catch_up()
            finally:
                self.link.socket.connect(name)
            self._lost = False
        except zmq.ZMQError:  # no descriptor, or the context has ended
            self._lose()
        finally:
            aside, self._aside = self._aside, None
            self._miss(pump.received - before - len(aside))
            if not self.link.closed:
                told = [message for message in aside if message[0][:2] != STOPPED]
                self._driver.tell(*self.feed(told))
        return not self._lost

    def _lose(self) -> None:
        self.complete = False
        if not (self._lost or self.link.closed):
            text = f"{self._of.socket!r} has no descriptor left to tell of its connections"
            self._driver.report(StateUnknown(text))
        self._lost = True

    def _miss(self, count: int) -> None:
        for listener in self._listeners:
            listener.missed += count

    def _turn_down(self) -> None:
        self._storm.postpone(self._driver.now())
        self._ask_for(IN_A_STORM)
        if not self.link.closed:
            self.arm()

    def _turn_up(self) -> None:
        if reserve.fill() and self._ask_for(zmq.EVENT_ALL):
            self._storm.end()
        elif not self.link.closed:
            self._storm.postpone(self._driver.now())

    def arm(self) -> None:
        """Set the timer for the next deadline."""
        deadline = min(self._storm.next_deadline(), self.connections.next_deadline())
        if deadline < inf:
            self._driver.call_at(deadline)

    def feed(self, burst: list[Message]) -> Told:
        if self._aside is not None:
            self._aside += without_failed_accepts(burst)
            return (), NOTHING
        if self._storm.next_deadline() < inf:
            received, burst = len(burst), without_failed_accepts(burst)
            self._miss(received - len(burst))
        events = self.split(parse_event, burst)
        for event in events:
            error, news = self.connections.saw(event, self._driver.now())
            if error is not None:
                self.arm()
                self._refused(error, news)
            if self.link.closed:  # by a callback to which this event was reported
                return (), NOTHING
        for listener in list(self._listeners):
            listener.put(events)
        waiters = self._take_waiters()
        if self._storm.saw(events, self._driver.now()):
            self._turn_down()
        return waiters, NOTHING

    def _refused(self, error: HandshakeFailed, news: bool) -> None:
        told = bool(self._waiters)  # a call that waits for events learns it from them
        if self.connections.refusal():  # no server is left
            told = self._of.driver.keeper.refused(error) or told
        if news and not told:
            self._report(error)

    def _connect_again(self, addresses: Iterable[str]) -> None:
        # libzmq itself does not, after a server has refused a handshake.
        for address in addresses:
            try:
                self._of.socket.disconnect(address)
                self._of.socket.connect(address)
            except zmq.ZMQError:  # the user has disconnected it directly on the libzmq socket
                self.connections.gone(address)

    def alarm(self) -> None:
        now = self._driver.now()
        self._connect_again(self.connections.due(now))
        if self._storm.next_deadline() <= now:
            self._turn_up()
        if not self.link.closed:
            self.arm()

    def close(self, remains: list[Any]) -> list[Any]:
        reserve.leave(self)
        if self._told:
            with suppress(zmq.ZMQError):  # that socket, or the context, has ended already
                self._of.socket.monitor(None, 0)
        for listener in self._listeners:
            listener.drop()
        return self._take_waiters()
