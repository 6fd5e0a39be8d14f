"""Link: an open libzmq socket with its pump, addresses, options and end, on any loop."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge._bridge import lingers, opening
from zmqbridge._bridge.addressed import Addressed
from zmqbridge._bridge.bridgedsocket import BridgedSocket
from zmqbridge._bridge.calls import random_of, raw
from zmqbridge._bridge.context import shared
from zmqbridge._bridge.driver import Driver
from zmqbridge._bridge.exhaustion import STARTED, check_start, explained
from zmqbridge._bridge.guards import SourceLine, calling_line, leave_to_parent, open_sockets
from zmqbridge._bridge.lingers import LINGER, LINGER_IS_GIVEN, is_far
from zmqbridge._bridge.mechanisms import secure
from zmqbridge._bridge.options import set_option
from zmqbridge._bridge.pump import Pump
from zmqbridge._bridge.receivingsocket import ReceivingSocket, Telling
from zmqbridge._bridge.tally import statistics
from zmqbridge._bridge.untold import Untold, is_crowd
from zmqbridge.core.patterns import Pattern
from zmqbridge.core.sendqueue import HIGH
from zmqbridge.core.statistics import Statistics
from zmqbridge.errors import AddressError, ZmqBridgeError

if TYPE_CHECKING:
    from zmqbridge._bridge.monitoring import Monitor
    from zmqbridge.arguments import Address, Addresses, Options
    from zmqbridge.security import Security

# When a peer hangs up, with IMMEDIATE libzmq drops what the peer has sent and we have not read yet.
# A socket that sends nothing has no use for IMMEDIATE.
LISTENERS = frozenset((zmq.PULL, zmq.SUB))


UNWATCHED = (
    "either no peer is there, or a socket whose type does not fit, or the server wants security=: "
    "`zmqbridge ping ADDRESS` says which, and with monitor=True this error does"
)


class Link(Addressed):
    """One libzmq socket of one owner: made, bound, connected, used by a pump, and closed.

    Args:
        owner: the class of the object that users have.
        driver: the loop's side.
        pattern: what its messages mean.
        high: the high water mark of its send queue (of each peer's, for a ROUTER).
        given: the arguments that every socket takes, see `zmqbridge.arguments`.

    Attributes:
        socket: the pyzmq socket.
        context: the libzmq context that it is in.
        own_context: whether that is the library's.
        made: the file and line of the program that made it.
        pump: what sends and receives on it.
        addresses: where it is bound and connected.
        monitor: what libzmq tells of its connections; None until it is needed.
        unheard: whether no call has waited yet, see `warn_of_silence`.
        untold: tells many waiters their error, in slices of time; None until it is needed.
        at_end: called when it closes; what it returns is called when the waiters were told.
    """

    __slots__ = (
        "__weakref__", "_has_credentials", "_remains", "at_end", "closed", "context", "made",
        "own_context", "owner", "pattern", "unheard", "untold",
    )  # fmt: skip

    def __init__(
        self,
        owner: Any,
        driver: Driver,
        pattern: Pattern,
        high: float = HIGH,
        given: Mapping[str, Any] = {},
    ) -> None:
        super().__init__(driver, owner.closed_error)
        self.closed: bool = True
        self.owner: Any = owner
        self.pattern: Pattern = pattern
        self.untold: Untold | None = None
        self.at_end: Callable[[], Callable[[], object] | None] = nothing
        # Containers of waiters and messages, to be freed in slices.
        self._remains: Sequence[Any] = ()
        self._has_credentials = False
        self.own_context: bool = False
        self.unheard: bool = True
        self.made: SourceLine = calling_line()
        self.open(high, **given)

    def open(
        self,
        high: float,
        *,
        bind: Addresses = (),
        connect: Addresses = (),
        context: zmq.Context[Any] | None = None,
        options: Options | None = None,
        security: Security | None = None,
        monitor: bool = False,
        **unknown: Any,
    ) -> None:
        """Make the socket, once; `zmqbridge.arguments` describes the arguments."""
        if unknown:
            from zmqbridge._bridge.signatures import refuse

            refuse(self.owner, unknown, Link.open.__kwdefaults__ or {})
        opening.check(options, context)
        kind = self.pattern.socket_type or self.owner.kind
        try:
            if (context := shared.stand_in(context)) is None:
                context = shared.acquire()
                self.own_context = True
            self.context: zmq.Context[Any] = context
            self.socket: BridgedSocket = self._new_socket(kind)
        except zmq.ZMQError as error:
            self._release_context()
            raise explained(error, context) from None
        self.pump: Pump = Pump(self.socket, self.driver, self.pattern, self.end, high, kind)
        self.closed = False
        self.driver.drive(self)
        self.pattern.joined(self)
        open_sockets.add(self)
        try:
            self._set_options(options or {}, security)
            if monitor or self._has_credentials:
                self.attach()
            self.use_addresses(bind, connect, options or security)
        except Exception:
            self.close()
            raise
        self.socket.watch(self.pump)

    def _new_socket(self, kind: int) -> BridgedSocket:
        if STARTED not in vars(self.context):
            check_start(self.context)
        minds: Any = getattr(self.pattern, "option_set", None)
        refused: Any = getattr(self.pattern, "refused", None)
        # The context makes it, so that the context can close it when the process exits.
        socket: BridgedSocket = self.context.socket(
            kind, BridgedSocket if minds is refused is None else ReceivingSocket
        )
        if refused is not None and isinstance(socket, Telling):
            object.__setattr__(socket, "refused", refused)
        if minds is not None and isinstance(socket, Telling):
            socket.tell(minds, getattr(self.pattern, "repeats", None))
        return socket

    def _set_options(self, wanted: Options, security: Security | None) -> None:
        self._has_credentials = getattr(security, "has_credentials", False)
        self._any_key = getattr(security, "any_key", False)
        defaults = {zmq.LINGER: LINGER, **self.owner.defaults}
        if self._has_credentials and self.owner.kind not in LISTENERS:
            # Otherwise libzmq drops the messages that it has taken for a peer that refuses us.
            defaults[zmq.IMMEDIATE] = 1
        for option, value in defaults.items():
            if option not in wanted:
                raw(self.socket).set(self.socket, option, value)  # ours need no second look
        if zmq.LINGER in wanted:
            vars(self.socket)[LINGER_IS_GIVEN] = True
        for option, value in wanted.items():
            set_option(self.socket, option, value)
        secure(self.socket, security)

    # What users may do with it, besides what `Addressed` has.

    def statistics(self) -> Statistics:
        """What it has done so far and holds now; also after it was closed."""
        return statistics(self.pump, **self.pattern.counts())

    def close(self) -> None:
        """Close now: all calls that wait get `SocketClosed`, and queued messages are dropped.

        What libzmq has taken still has its linger time. Closing twice is fine. When more than 512
        calls wait, some are told now, and the others while the loop goes on.

        Raises:
            WrongThread: this is not the thread of its loop.
        """
        if not self.closed:
            self.check_open()
        self.end()

    # What backends and patterns build on.

    def at_one_more(self, address: Address) -> None:
        if self.pattern.alone and self.addresses:
            text = f"{self!r} cannot be at {address!r}, too: {self.pattern.alone}"
            raise AddressError(text, address)

    def attach(self) -> Monitor:
        """The monitor of this socket, which is attached if there was none."""
        if self.monitor is None:
            from zmqbridge._bridge.monitoring import Monitor  # loaded by few programs

            self.monitor: Monitor | None = Monitor(
                self, Link, complete=not self.addresses, has_credentials=self._has_credentials
            )
        return self.monitor

    def usable(self) -> BridgedSocket:
        """The pyzmq socket, for users.

        Raises:
            UsedAfterFork: it is the parent's.
        """
        if self.forked:
            self.refuse()
        return self.socket

    def warn_of_silence(self) -> None:
        """Warn when the first call that waits would wait for ever."""
        used = self.addresses or _is_used(self.socket)
        why = self.pattern.why_silent() if used else "bind or connect it first"
        self.warn(self.driver.why_silent() or why)

    def warn(self, why: str) -> None:
        """Warn that nothing will come, and do it no more; not if `why` is ""."""
        self.unheard = False
        if why:
            text = f"{self!r} waits for what will not come: {why}"
            # Where it was made: the call that waits may be a task, with only its loop below it.
            warnings.warn_explicit(text, RuntimeWarning, *self.made)

    def why_unsent(self) -> str:
        """What is known of why libzmq takes no message, else ""."""
        if not (self.addresses or _is_used(self.socket)):
            return f"{self!r}: bind or connect it"
        if self.monitor is None:
            return UNWATCHED if any(map(is_far, self.addresses)) else ""
        failure = self.monitor.why_failed()
        return f"the last connection that failed: {failure}" if failure else ""

    def fail(
        self, waiters: Sequence[Any], error: ZmqBridgeError, remains: Sequence[Any] = ()
    ) -> None:
        """Give waiters an error; a crowd gets it in slices, with the loop running in between."""
        if self.untold is None:
            self.untold = Untold(self.driver.fail, self.driver.soon, self.pump.monotonic)
        self.untold.add(waiters, error, remains)

    def catch_up(self) -> None:
        """Take now what libzmq has received already."""
        received = -1
        while received < self.pump.received and not self.closed:
            received = self.pump.received
            self.pump.turn()

    def end(self, error: ZmqBridgeError | None = None) -> None:
        """Close because of this error, or without one because the user closes."""
        if self.closed:
            return
        last = self.at_end()
        waiters = self.driver.stop()
        waiters += self.close_socket()
        remains, self._remains = self._remains, []
        if waiters or any(map(is_crowd, remains)):
            text = f"{self!r} was closed while this waited"
            self.fail(waiters, error or self.closed_error(text), remains)
        if last is not None:
            last()

    def close_socket(self) -> list[Any]:
        """Close what is libzmq's and return all waiters, which must be told."""
        self.closed = True
        waiters: list[Any] = []
        if (monitor := self.monitor) is not None and not monitor.link.closed:
            waiters += monitor.link.driver.stop()
            waiters += monitor.link.close_socket()
        self._remains = []
        waiters += self.pump.close(self._remains)
        waiters += self.pattern.close(self._remains)
        lingers.close(self.socket, self.pump.sent)
        self._release_context()
        return waiters

    def _release_context(self) -> None:
        if self.own_context:
            shared.release(self.context)

    def linger(self) -> float:
        """How many seconds `aclose` gives queued messages to leave.

        A linger of -1, which users may set on the raw socket, means for ever.
        """
        milliseconds: Any = self.socket.getsockopt(zmq.LINGER)
        return inf if milliseconds < 0 else milliseconds / 1000

    def disown(self) -> None:
        """This process is a forked child: touch nothing of libzmq's any more."""
        deaf = not self.closed
        super().disown()
        self.closed = self.pump.closed = True
        self.pattern.disown()
        if deaf:
            self.driver.disown()
        leave_to_parent(self.socket, self.context)

    def random(self) -> Callable[[int], bytes]:
        """What gives random bytes in the world that the socket is in."""
        return random_of(self.socket)

    def libzmq(self) -> zmq.Socket[bytes] | None:
        """The libzmq socket while that is open."""
        return None if self.closed else self.socket

    @property
    def sent(self) -> int:
        """How many messages the pump has sent."""
        return self.pump.sent

    def __repr__(self) -> str:
        closed = self.closed and not self.forked
        state = "closed" if closed else ", ".join(self.addresses) or "no address"
        return f"<{self.owner.__name__} {state}>"

    # When the process ends, the names of this module may be None already (CPython without the GIL).
    def __del__(self, warn: Any = warnings.warn) -> None:
        # When the process ends, the loop of another thread may still use it.
        if not getattr(self, "closed", True) and not self.socket._shadow:
            text = f"unclosed {self!r}, made in {self.made[0]}:{self.made[1]}"
            warn(text, ResourceWarning, stacklevel=2, source=self)
            if not self.socket.closed:  # as it is when the process has exited
                self.close_socket()


def nothing() -> None:
    """There is nothing to do at the end."""


def _is_used(socket: zmq.Socket[bytes]) -> bool:
    # A user may have bound or connected the raw socket.
    endpoint: Any = socket.closed or raw(socket).get(socket, zmq.LAST_ENDPOINT)
    return bool(endpoint if endpoint is True else endpoint.strip(b"\0"))
