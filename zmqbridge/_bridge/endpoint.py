"""Endpoint: an open libzmq socket with its addresses, options and end, on no loop in particular."""

from __future__ import annotations

import errno
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from math import inf
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar

import zmq
from zmq.backend import Socket as CompiledSocket

from zmqbridge._bridge import addresses
from zmqbridge._bridge.bridgedsocket import BridgedSocket
from zmqbridge._bridge.context import LINGER, LINGER_IS_GIVEN, closing, hold, shared
from zmqbridge._bridge.exhaustion import NO_ROOM, explained
from zmqbridge._bridge.guards import busy, calling_place, leave_to_parent, living
from zmqbridge._bridge.mechanisms import refuse_open_server, secure
from zmqbridge._bridge.options import set_option
from zmqbridge._bridge.pump import Pump
from zmqbridge._bridge.untold import Untold, is_crowd
from zmqbridge.core.checks import several
from zmqbridge.core.framing import Address, Message, as_name
from zmqbridge.core.pacing import BURST
from zmqbridge.core.sendqueue import HIGH
from zmqbridge.core.statistics import Statistics
from zmqbridge.errors import (
    AddressError,
    MalformedMessage,
    SocketClosed,
    UsedAfterFork,
    WrongThread,
    ZmqBridgeError,
)

if TYPE_CHECKING:
    from zmqbridge.arguments import Addresses, Options
    from zmqbridge.security import Security

# A tcp host with a colon in it is an address of IPv6. What a name stands for, nothing tells here.
IPV6 = r"tcp://(?:.*;)?(?:\[|[^;\]]*:[^;]*:[^;:]*$)"  # compiled when first needed

HINTS = {
    zmq.EADDRINUSE: "another socket has it; take another, or tcp://127.0.0.1:* for a free port",
    zmq.EADDRNOTAVAIL: "no interface of this host has it",
    errno.ENODEV: "no interface of this host has it",
    errno.EACCES: "this process may not open it",
    zmq.EINVAL: "write it as transport://address, e.g. tcp://127.0.0.1:5555 or ipc:///tmp/socket",
    errno.ENAMETOOLONG: "the path of an ipc address is limited to about 100 characters",
    errno.ENOENT: "this socket is not bound or connected to it, or its folder does not exist",
    zmq.EPROTONOSUPPORT: "libzmq knows tcp, ipc, inproc, pgm, epgm and vmci, as it was built",
    zmq.ENOCOMPATPROTO: "this transport does not carry this kind of socket",
    zmq.EMTHREAD: "the context has no I/O thread",
}


class Shown:
    """The ``__signature__`` of a class, made when `inspect` or ``help()`` asks for it."""

    def __get__(self, instance: object, owner: type) -> object:
        from zmqbridge._bridge.signatures import signature

        made = signature(owner)
        if made is None:  # a subclass of a user's, with a constructor of its own
            raise AttributeError("__signature__")
        return made


class Endpoint(ABC):
    """What every pattern of every backend is made of: socket, pump, addresses, options, end.

    A backend supplies the abstract methods; everything else it does itself is waiting.
    """

    kind: ClassVar[int]
    """The type of the libzmq socket, e.g. ``zmq.PULL``."""
    defaults: ClassVar[Options] = {}
    """Options of this pattern, which ``options`` may override."""

    __signature__: Shown = Shown()

    high: float = HIGH
    """How many messages may wait in the send queue (of each peer, for a ROUTER)."""

    closed_error: ClassVar[type[SocketClosed]] = SocketClosed

    _new_socket: Any = BridgedSocket  # called with a context and `kind`
    _any_key = False  # any client may come in, you said so
    _patrols = False  # it looks after the peers for whom messages wait
    _wary = False  # it shows credentials, which the peer may refuse

    way_in: ClassVar[str]
    """How another thread hands a call to this loop."""

    _now: Callable[[], float]
    """The loop's own clock, in seconds."""

    _untold: Untold | None = None
    """Those of a crowd of waiters who get their error a little later."""
    _remains: list[Any]
    """Containers of closed waiters and messages, to be freed in slices."""

    # The loop's, from when it runs; whoever finds another thread here asks `_check_open`.
    _home_thread = 0
    _forked = False
    _said = False  # that it belongs to the parent process

    def __init__(
        self,
        *,
        bind: Addresses = (),
        connect: Addresses = (),
        context: zmq.Context[Any] | None = None,
        options: Options | None = None,
        security: Security | None = None,
        monitor: bool = False,
        **of_pattern: Any,
    ) -> None:
        if of_pattern:
            self._take(**of_pattern)
        self._closed = True  # until there is something to close
        if options is not None and not isinstance(options, Mapping):
            kind = type(options).__name__
            raise TypeError(f"options is given as {kind}: give a dict, as {{zmq.SNDHWM: 100}}")
        if context is not None and not isinstance(context, zmq.Context):
            kind = type(context).__name__
            raise TypeError(f"context is given as {kind}: give a zmq.Context")
        self._own_context = False
        self._addresses: list[str] = []
        self._malformed = 0
        self._reported = 0  # the last burst in which a malformed message was
        self._made = calling_place()
        self._maker = get_ident()
        self._prepare()
        try:
            if context is None:
                context = shared.acquire()
                self._own_context = True
            self._context = context
            # Made by the context, which thus can close it when the process exits.
            self._socket: BridgedSocket = context.socket(self.kind, self._new_socket)
        except zmq.ZMQError as error:
            self._release_context()
            raise explained(error, context) from None
        self._pump = Pump(self._socket, self, self.high)
        if self._patrols:
            self._pump.stalled = self._stalled
        self._closed = False
        living.add(self)
        try:
            self._wary = getattr(security, "wary", False)
            defaults = {zmq.LINGER: LINGER, **self.defaults}
            if self._wary:
                # Else libzmq drops what it has taken for a peer that refuses us.
                defaults[zmq.IMMEDIATE] = 1
            wanted = options or {}
            for option, value in defaults.items():
                if option not in wanted:
                    CompiledSocket.set(self._socket, option, value)  # ours need no second look
            if zmq.LINGER in wanted:
                vars(self._socket)[LINGER_IS_GIVEN] = True
            for option, value in wanted.items():
                set_option(self._socket, option, value)
            secure(self._socket, security)
            self._any_key = getattr(security, "any_key", False)
            if monitor or self._wary:
                self._attach()
            for address in several(bind, "bind"):
                self.bind(address)
            for address in several(connect, "connect"):
                self.connect(address)
        except Exception:
            self.close()
            raise
        self._socket.watch(self._pump.schedule)

    # What a backend supplies.

    @abstractmethod
    def _call_soon(self) -> None:
        """Have the loop call ``self._pump.turn()`` once, soon."""

    @abstractmethod
    def _call_at(self, deadline: float) -> None:
        """Set the one timer anew: have the loop call ``self._alarm()`` at `deadline`."""

    @abstractmethod
    def _disarm(self) -> None:
        """Stop the timer, if it is set."""

    @abstractmethod
    def _stop(self) -> None:
        """Have the loop call nothing of ours any more."""

    def _running(self) -> bool:
        """Whether its loop runs now."""
        return False

    def _over(self) -> bool:
        """Whether its loop will never run again, as far as that can be told."""
        return False

    @abstractmethod
    def _attach(self) -> Any:
        """Have libzmq tell of what happens to its connections."""

    @abstractmethod
    def _room_in(self, queue: Any) -> Awaitable[None]:
        """Leave a waiter in `queue`, and wait until somebody wakes it."""

    @abstractmethod
    def _wake(self, waiters: Sequence[Any]) -> None:
        """Tell waiters that what they wait for is there."""

    @abstractmethod
    def _tell(self, waiters: Sequence[Any], error: ZmqBridgeError) -> None:
        """Give waiters an error, each one of its own."""

    @abstractmethod
    def _soon(self, call: Callable[[], object]) -> bool:
        """Have the loop make a call soon, also when this is closed; False if it makes none."""

    @abstractmethod
    def _report(self, error: BaseException) -> None:
        """Show an error that belongs to no call, the way this loop's programs expect it."""

    # What every pattern offers.

    @property
    def socket(self) -> zmq.Socket[bytes]:
        """The pyzmq socket. Use it as you like: what you do to it does not make us deaf."""
        if self._forked:
            self._refuse()
        return self._socket

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it is bound and connected; a wildcard port is shown as the real one."""
        return tuple(self._addresses)

    @property
    def closed(self) -> bool:
        """Whether it was closed, by you or because its context was terminated."""
        return self._closed

    def bind(self, address: Address) -> str:
        """Bind to one more address and return it resolved.

        Args:
            address: e.g. ``"tcp://127.0.0.1:5555"``; with ``"tcp://127.0.0.1:*"`` libzmq chooses
                a free port, which is in what is returned.

        Raises:
            AddressError: it is malformed, in use, or not of this host.
            ResourcesExhausted: there is no descriptor left.
            AuthenticationMissing: it is to let in only some clients, and its context has no
                authenticator.
            SocketClosed: the socket is closed.
        """
        self._check_open()
        refuse_open_server(self._socket, any_key=self._any_key)
        resolved = self._at("bind to", addresses.bind, address)
        self._addresses.append(resolved)
        return resolved

    def connect(self, address: Address) -> None:
        """Connect to one more address; the peer may come later, and come back.

        Raises:
            AddressError: it is malformed, or of IPv6 without ``zmq.IPV6``. That nobody listens
                there is no error.
            ResourcesExhausted: there is no descriptor left.
            AuthenticationMissing: it is to let in only some clients, and its context has no
                authenticator.
            SocketClosed: the socket is closed.
        """
        self._check_open()
        refuse_open_server(self._socket, any_key=self._any_key)
        self._addresses.append(self._at("connect to", _connect, address))

    def unbind(self, address: Address) -> None:
        """Stop listening at an address, as `bind` returned it.

        Raises:
            AddressError: it is not bound there.
            SocketClosed: the socket is closed.
        """
        self._check_open()
        self._leave(address, True)
        name = self._at("unbind", CompiledSocket.unbind, address)
        addresses.left(self._socket, name)
        self._forget(name)

    def disconnect(self, address: Address) -> None:
        """Disconnect from an address, as it was given to `connect`.

        Raises:
            AddressError: it is not connected there.
            SocketClosed: the socket is closed.
        """
        self._check_open()
        self._leave(address, False)
        self._forget(self._at("disconnect from", CompiledSocket.disconnect, address))

    def statistics(self) -> Statistics:
        """What it has done so far and holds now; also after it was closed."""
        pump = self._pump
        return Statistics(
            sent=pump.sent,
            received=pump.received,
            queued=pump.queued,
            unread=0,
            malformed=self._malformed,
            dropped=pump.dropped,
            open_requests=0,
            late_replies=0,
            withdrawn=pump.withdrawn,
            unreachable=pump.unreachable,
            refused=pump.refused,
            lost=pump.lost,
        )

    def close(self) -> None:
        """Close now; whoever waits gets `SocketClosed`, and what is queued is dropped.

        What libzmq has taken still has its linger time. Closing twice is fine. When more than some
        hundred wait, the first of them are told now and the others while the loop goes on.

        Raises:
            WrongThread: this is not the thread of its loop.
        """
        if not self._closed:
            self._check_open()
        self._end()

    def __repr__(self) -> str:
        closed = self._closed and not self._forked
        state = "closed" if closed else ", ".join(self._addresses) or "no address"
        return f"<{type(self).__name__} {state}>"

    def __del__(self) -> None:
        # Another thread's loop may use it still when the process ends.
        if not getattr(self, "_closed", True) and not self._socket._shadow:
            text = f"unclosed {self!r}, made in {self._made[0]}:{self._made[1]}"
            warnings.warn(text, ResourceWarning, stacklevel=2, source=self)
            if not self._socket.closed:  # as it is when the process has exited
                self._close_socket()

    # What backends and patterns build on.

    def _take(self, **unknown: Any) -> None:
        """Take the arguments that not every pattern has, when there are any."""
        if unknown:
            from zmqbridge._bridge.signatures import refuse

            refuse(type(self), unknown)

    def _prepare(self) -> None:
        """Make what a pattern needs, before there is a socket."""

    def _deliver(self, burst: list[Message]) -> None:
        """Take what was received; those who only send get nothing."""

    def _stalled(self, queue: Any) -> None:
        """A message has to wait in this queue, as the first one; told to those who patrol."""

    def _standby_turn(self) -> Any:
        """What stands by in the queue of a loop that shows it."""

    def _alarm(self) -> None:
        """The timer went off; those who set none get nothing."""

    def _room(self) -> float:
        """How many messages `_deliver` would take now."""
        return BURST

    def _fail(
        self, waiters: Sequence[Any], error: ZmqBridgeError, remains: Sequence[Any] = ()
    ) -> None:
        """Give waiters an error; a crowd gets it in slices, with the loop running in between."""
        if self._untold is None:
            self._untold = Untold(self._tell, self._soon)
        self._untold.add(waiters, error, remains)

    def _catch_up(self) -> None:
        """Take now what libzmq has received already."""
        received = -1
        while received < self._pump.received and not self._closed:
            received = self._pump.received
            self._pump.turn()

    def _end(self, error: ZmqBridgeError | None = None) -> None:
        # Without an error it was you who closed it.
        if not self._closed:
            self._stop()
            waiters = self._close_socket()
            remains, self._remains = self._remains, []
            if waiters or any(map(is_crowd, remains)):
                text = f"{self!r} was closed while this waited"
                self._fail(waiters, error or self.closed_error(text), remains)

    def _close_socket(self) -> list[Any]:
        """Close what is libzmq's and return all waiters, who must be told."""
        self._closed = True
        self._remains = []
        waiters = self._pump.close(self._remains)
        for name in self._addresses:
            # libzmq closes in another thread; this way the name is free when we return.
            if name.startswith("inproc:"):
                with suppress(zmq.ZMQError):  # it was connected, not bound
                    self._socket.unbind(name)
        closing(self._socket, self._pump.sent)
        addresses.left(self._socket)
        self._socket.close()
        self._release_context()
        return waiters

    def _release_context(self) -> None:
        if self._own_context:
            shared.release(self._context)

    def _linger(self) -> float:
        """Seconds that what is queued has to leave when the socket is closed in peace.

        Users may have set -1 on the raw socket, which asks for ever.
        """
        milliseconds: Any = self._socket.getsockopt(zmq.LINGER)
        return inf if milliseconds < 0 else milliseconds / 1000

    def _check_open(self) -> None:
        if self._closed or get_ident() != self._home_thread:
            self._refuse()

    def _refuse(self) -> None:
        """Say what forbids a call; before the loop runs and after it, any thread may call."""
        if self._forked:
            self._said = True
            raise self._of_parent()
        if self._closed:
            raise self.closed_error(f"{self!r}: make a new one")
        if self._home_thread not in (0, get_ident()) and self._running():
            raise WrongThread(
                f"{self!r} belongs to the thread of its loop: hand the call over by {self.way_in}"
            )

    def _disown(self) -> None:
        self._forked = self._closed = self._pump.closed = True
        leave_to_parent(self._socket, self._context)

    def _of_parent(self) -> UsedAfterFork:
        return UsedAfterFork(f"{self!r} belongs to the parent process: make a new one here")

    def _libzmq(self) -> zmq.Socket[bytes] | None:
        return None if self._closed else self._socket

    def _busy(self) -> bool:
        return busy(self._home_thread, self._maker, self._running(), self._over())

    def _at(self, action: str, call: Callable[[Any, str], str | None], address: Address) -> str:
        try:
            name = as_name(address, "an address").decode()
        except UnicodeDecodeError:
            text = f"cannot {action} {address!r}: an address is UTF-8"
            raise AddressError(text, address, zmq.EINVAL) from None
        try:
            return call(self._socket, name) or name
        except zmq.ZMQError as error:
            number = error.errno or 0
            if number in NO_ROOM:
                raise explained(error, self._context) from None
            text = f"cannot {action} {name!r}: {zmq.strerror(number)}; {self._hint(name, number)}"
            raise AddressError(text, address, number) from None
        finally:
            self._socket.touched()

    def _hint(self, name: str, number: int) -> str:
        if _needs_ipv6(self._socket, name):
            return "for an address of IPv6 give options={zmq.IPV6: 1}"
        return HINTS.get(number, "see zmq_tcp(7), zmq_ipc(7) and zmq_inproc(7)")

    def _forget(self, name: str) -> None:
        if name in self._addresses:
            self._addresses.remove(name)

    def _leave(self, address: Address, bound: bool) -> None:
        place = addresses.noted(self._socket, address, bound)
        if place is not None:
            held = self._pump.sent > 0 and hold(self._socket, place)
            addresses.forget(self._socket, place, held)

    def _reject(self, malformed: Sequence[MalformedMessage]) -> None:
        """Count the malformed messages of a burst, and report them once."""
        if malformed:
            self._malformed += len(malformed)
            if self._reported != self._pump.bursts:
                self._reported = self._pump.bursts
                self._report(malformed[-1])


def _connect(socket: zmq.Socket[bytes], name: str) -> None:
    if _needs_ipv6(socket, name):  # libzmq takes it, and never gets there
        raise zmq.ZMQError(zmq.EINVAL)
    CompiledSocket.connect(socket, name)
    addresses.note(socket, name, False)


def _needs_ipv6(socket: zmq.Socket[bytes], name: str) -> bool:
    return bool(re.match(IPV6, name)) and not CompiledSocket.get(socket, zmq.IPV6)
