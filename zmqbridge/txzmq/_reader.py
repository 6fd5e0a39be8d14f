"""Reader: the half of a connection's driver that reads, and hands over what it has read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from threading import get_ident
from types import MethodType
from typing import Any

from twisted.python import context, log
from twisted.python.failure import Failure
from twisted.python.log import ILogContext
from zmq import Socket, error

from zmqbridge._bridge.watched import GET, RECV, untouched
from zmqbridge.core.framing import Message
from zmqbridge.core.patterns import NOTHING
from zmqbridge.errors import MalformedMessage
from zmqbridge.twisted_backend._driver import ReactorDriver
from zmqbridge.twisted_backend._handlers import dispatch, follow_coroutine
from zmqbridge.twisted_backend._reactors import revoke
from zmqbridge.txzmq._hooks import Hooks
from zmqbridge.txzmq._standins import readable

# The threads in which a hook of any connection is being called.
_hooks: set[int] = set()

# Equal to no socket: the socket's own methods must be called, or at least be checked first.
ASK: Any = object()


class Reader(ReactorDriver):
    """Reads for one connection, as its reactor or its program says, and calls its hook.

    Args:
        connection: has the hooks; the reactor also calls the connection, and not the driver.
        reactor: the one of its factory.
        now: the clock of the deadlines.
        whole: the function by which a connection reads a message, unless it is overridden.

    Attributes:
        socket: the libzmq socket that the pump works on, None if there is none.
        called: whether the connection was asked for its prefix; reactors ask before they call it.
        quick: the socket whose own methods need not be called for messages, or `ASK`.
        unhandled: the messages for which the hook was not called yet.
    """

    pump: Any

    def __init__(
        self,
        connection: Any,
        reactor: Any,
        now: Callable[[], float],
        whole: Callable[[Any], Message],
    ) -> None:
        super().__init__(reactor, connection, now)
        self.connection: Any = connection
        self.socket: Any = None
        self.quick: Any = ASK
        self.called: bool = False
        self._whole = MethodType(whole, connection)
        self._hooks = Hooks()
        self.unhandled: deque[Message] = self._hooks.unhandled

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
            self.pump.turn_wanted = False
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
                    monotonic=self.pump.monotonic,
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
            self.keeper.disarm_if_unused()

    def reject(self, malformed: MalformedMessage) -> None:
        """Count a malformed message; malformed messages are reported once per burst."""
        self._hooks.malformed += 1
        self._hooks.rejected = malformed

    def report(self, problem: BaseException) -> None:
        log.err(Failure(problem))

    def _turn_in_child(self) -> None:
        log.callWithContext({"system": self._prefix()}, super()._turn_in_child)
