"""Addressed: the half of a link that has addresses: it binds and connects, and leaves again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge._bridge import addresses, opening
from zmqbridge._bridge.calls import raw
from zmqbridge._bridge.guards import Guard
from zmqbridge._bridge.lingers import LINGER_OF, hold
from zmqbridge._bridge.mechanisms import refuse_open_server
from zmqbridge._bridge.parting import disconnect
from zmqbridge._bridge.pump import Pump
from zmqbridge.core._checks import as_list
from zmqbridge.core.framing import Address, as_name
from zmqbridge.errors import AddressError, SocketClosed

if TYPE_CHECKING:
    from zmqbridge._bridge.driver import Driver
    from zmqbridge._bridge.monitoring import Monitor
    from zmqbridge.arguments import Addresses


class Addressed(Guard):
    """A guarded socket with its addresses, and what users may do with these.

    Args:
        driver: the loop's side.
        closed_error: what is raised when the socket is closed.

    Attributes:
        socket: the pyzmq socket.
        pump: what sends and receives on it.
        addresses: where it is bound and connected.
        monitor: what libzmq tells of its connections; None until it is needed.
        servers: at how many of the addresses it is connected, and not bound.
    """

    __slots__ = ("_any_key", "_unchecked", "addresses", "monitor", "pump", "servers", "socket")

    socket: Any
    pump: Pump

    def __init__(self, driver: Driver, closed_error: type[SocketClosed]) -> None:
        super().__init__(driver, closed_error)
        self.addresses: list[str] = []
        self.servers: int = 0
        self.monitor: Monitor | None = None
        self._any_key = False  # whether the server lets in every client
        # It is being made and nothing but defaults is set, so that a place needs no checks.
        self._unchecked = False

    def use_addresses(self, bind: Addresses, connect: Addresses, given: object) -> None:
        """Bind and connect to these, each one address or several, in this order.

        Args:
            bind: the addresses to bind to.
            connect: the addresses to connect to.
            given: what the user wants of the socket besides, options or security.
        """
        context = self.socket.context
        usual = type(context).socket is zmq.Context.socket and not context.sockopts
        self._unchecked = usual and not given
        if bind != ():
            for address in as_list(bind, "bind"):
                self.bind(address)
        if connect != ():
            for address in as_list(connect, "connect"):
                self.connect(address)
        self._unchecked = False

    def at_one_more(self, address: Address) -> None:
        """Refuse an address that is one too many."""

    def bind(self, address: Address) -> str:
        """Bind to one more address and return it resolved.

        Args:
            address: e.g. ``"tcp://127.0.0.1:5555"``; with ``"tcp://127.0.0.1:*"`` libzmq chooses
                a free port, which is in what is returned.

        Raises:
            AddressError: it is malformed, in use, or not of this host.
            ResourcesExhausted: there is no descriptor left.
            AuthenticationMissing: an authenticator must decide about the clients, and its context
                has none.
            SocketClosed: the socket is closed.
        """
        self._check_one_more(address)
        resolved = self._at("bind to", opening.bind, address)
        self.addresses.append(resolved)
        return resolved

    def connect(self, address: Address) -> None:
        """Connect to one more address; the peer may come later, and come back.

        Raises:
            AddressError: it is malformed, or of IPv6 without ``zmq.IPV6``. A peer that does not
                listen yet is no error.
            ResourcesExhausted: there is no descriptor left.
            AuthenticationMissing: an authenticator must decide about the clients, and its context
                has none.
            SocketClosed: the socket is closed.
        """
        self._check_one_more(address)
        name = self._at("connect to", opening.connect, address)
        self.addresses.append(name)
        self.servers += 1
        if self.monitor is not None:
            self.monitor.connections.expect(name)

    def _check_one_more(self, address: Address) -> None:
        if self._unchecked:
            self.at_one_more(address)
            return
        self.check_open()
        self.at_one_more(address)
        refuse_open_server(self.socket, any_key=self._any_key)

    def unbind(self, address: Address) -> None:
        """Stop listening at an address, as `bind` returned it, and leave the peers there.

        libzmq ends the connections that peers have made to this address. What they have sent and
        this socket has not read yet is lost, and so is a reply that is still owed to them.

        Raises:
            AddressError: it is not bound there.
            SocketClosed: the socket is closed.
        """
        self.check_open()
        with self._leaving(address, True):
            name = self._at("unbind", raw(self.socket).unbind, address)
        addresses.left(self.socket, name)
        self._forget(name)

    def disconnect(self, address: Address) -> None:
        """Disconnect from an address, as it was given to `connect`.

        What the peer has sent and this socket has not read yet is lost. So a `Requester` does not
        get the replies that it still waits for from this server.

        Raises:
            AddressError: it is not connected there.
            SocketClosed: the socket is closed.
        """
        self.check_open()
        with self._leaving(address, False):
            name = self._at("disconnect from", self._part, address)
        self._forget(name)
        self.servers -= 1
        if self.monitor is not None:
            self.monitor.link.catch_up()
            self.monitor.connections.disconnected(name)

    def _part(self, socket: Any, name: str) -> None:
        disconnect(self.pump, socket, name, raw(socket).disconnect)

    def _at(self, action: str, call: Callable[[Any, str], str | None], address: Address) -> str:
        try:
            name = as_name(address, "an address").decode()
        except UnicodeDecodeError:
            text = f"cannot {action} {address!r}: an address is UTF-8"
            raise AddressError(text, address, zmq.EINVAL) from None
        try:
            return call(self.socket, name) or name
        except zmq.ZMQError as error:
            raise opening.refusal(error, self.socket, action, address, name) from None
        finally:
            self.socket.touched()

    def _forget(self, name: str) -> None:
        if name in self.addresses:
            self.addresses.remove(name)

    @contextmanager
    def _leaving(self, address: Address, bound: bool) -> Iterator[None]:
        place = addresses.noted(self.socket, address, bound)
        linger = None
        if place is not None:
            # libzmq gives what it has not written yet the linger that the socket has now.
            was = raw(self.socket).get(self.socket, LINGER_OF)
            held = self.pump.sent > 0 and hold(self.socket, place)
            addresses.forget(self.socket, place, held)
            linger = was if held else None
        try:
            yield
        finally:
            if linger is not None:
                raw(self.socket).set(self.socket, LINGER_OF, linger)
