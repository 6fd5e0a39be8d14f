"""Connecters and listeners of the simulated network: how connections are made, and made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING

import zmq

from zmqbridge.testing._connections import Connection
from zmqbridge.testing._ends import NOWHERE, End
from zmqbridge.testing._handshake import Verdict, shake
from zmqbridge.testing._topics import XSubscriber

if TYPE_CHECKING:
    from zmqbridge.testing._sockets import SimSocket
    from zmqbridge.testing.network import Network

# How often the way must be made until a connection stands: tcp's handshake and ZMTP's.
TRIPS = 4


class Listener:
    """A socket that is bound to an address.

    Attributes:
        socket: the one that listens.
        name: the address, as libzmq resolves it.
        keys: under which the network finds it.
    """

    def __init__(self, socket: SimSocket, name: str, keys: Sequence[tuple[str, str]]) -> None:
        self.socket = socket
        self.name = name
        self.keys = keys
        self.transport = name.partition(":")[0]
        for key in keys:
            socket.network.listeners[key] = self

    def close(self) -> None:
        """Listen no more; the connections stay."""
        listeners = self.socket.network.listeners
        for key in self.keys:
            if listeners.get(key) is self:
                del listeners[key]


class Connecter:
    """The connecting end of an address: tries, and tries again, as long as it is wanted.

    Attributes:
        socket: the one that connects.
        name: the address, as it was given.
        end: what the socket has of the peer; None with IMMEDIATE while there is none.
        connection: to the peer, while there is one.
    """

    def __init__(self, socket: SimSocket, name: str, key: tuple[str, str]) -> None:
        self.socket = socket
        self.name = name
        self.key = key
        self.transport = name.partition(":")[0]
        self.end: End | None = None
        self.connection: Connection | None = None
        self._wanted = True
        self._pause = 0.0
        self._attempt = 0  # the number of the one that is under way
        if not socket.options[zmq.IMMEDIATE]:
            self._new_end()

    @property
    def network(self) -> Network:
        """Where it is."""
        return self.socket.network

    def _new_end(self) -> End:
        end = self.end = self.socket.new_end()
        end.connecter = self
        self.socket.attach(end)
        return end

    def begin(self) -> None:
        """Try now."""
        self._attempt += 1
        self.network.waiting.pop(self, None)
        listener = self.network.listeners.get(self.key)
        if self._blocked(listener):
            self.network.waiting[self] = None
            return
        self.socket.happened(zmq.Event.CONNECT_DELAYED, self.name, 115)  # EINPROGRESS
        there = self.socket.node if listener is None else listener.socket.node
        way = self.network.pace(self.socket.node, there)[0]
        if listener is None:
            self._later(way, self._failed)
        else:
            self._later(way * TRIPS, self._arrived)

    def _later(self, delay: float, go_on: Callable[[], None]) -> None:
        attempt = self._attempt

        def if_current() -> None:
            if self._current(attempt):
                go_on()

        self.network.after(delay, if_current)

    def _current(self, attempt: int) -> bool:
        return self._wanted and attempt == self._attempt and self.connection is None

    def _blocked(self, listener: Listener | None) -> bool:
        here = self.socket.node
        there = here if listener is None else listener.socket.node
        blocked = self.network.blocked
        return blocked(here, there) or blocked(there, here)

    def unblocked(self) -> None:
        """The way may be free."""
        self.begin()

    def _failed(self) -> None:
        self.socket.happened(zmq.Event.CLOSED, self.name, 0)
        self.retry()

    def retry(self) -> None:
        """Try again in a while."""
        options = self.socket.options
        interval = options[zmq.RECONNECT_IVL]
        if not self._wanted or interval < 0:
            return
        # As libzmq does (``get_new_reconnect_ivl`` in stream_connecter_base.cpp).
        most = options[zmq.RECONNECT_IVL_MAX]
        pause = self._pause or interval
        if most > interval:
            self._pause = min(pause * 2, most)
        else:
            pause += self.network.random.randrange(interval) if interval else 0
        self._attempt += 1
        self.socket.happened(zmq.Event.CONNECT_RETRIED, self.name, int(pause))
        self._later(pause / 1000, self.begin)

    def _arrived(self) -> None:
        listener = self.network.listeners.get(self.key)
        if listener is None or self._blocked(listener):
            self.begin()
            return
        self.socket.happened(zmq.Event.CONNECTED, self.name, 0)
        server = listener.socket
        server.happened(zmq.Event.ACCEPTED, listener.name, 0)
        attempt = self._attempt

        def settle(verdict: Verdict) -> None:
            if self._current(attempt):
                self._settle(listener, verdict)

        shake(self.socket, server, settle)

    def _settle(self, listener: Listener, verdict: Verdict) -> None:
        server = listener.socket
        if server.closed:
            self._failed()
            return
        if verdict.event:
            for socket, name in ((self.socket, self.name), (server, listener.name)):
                socket.happened(verdict.event, name, verdict.value)
                socket.happened(zmq.Event.DISCONNECTED, name, 0)
            self.network.fault("refused", self.socket.node.name, server.node.name, (), self.name)
            # A client that was refused by name gives up (``error_reason`` in libzmq's session).
            if verdict.final:
                self._wanted = False
            else:
                self.retry()
            return
        self._pause = 0.0
        end = self.end or self._new_end()
        self.connection = Connection(self, listener, end, server.new_end())

    def lost(self) -> None:
        """The connection was lost."""
        end, self.connection = self.end, None
        if end is not None:
            end.lead_to(NOWHERE, NOWHERE)
            if self.socket.options[zmq.IMMEDIATE]:
                self.end = None
                end.hang_up()
            elif isinstance(self.socket.kind, XSubscriber):
                end.outgoing.drop()
                self.socket.kind.subscribe_again(end)
        self.retry()

    def close(self, linger: float) -> None:
        """Try no more, after `linger` seconds for what waits to be sent."""
        end = self.end
        if self.connection is not None:
            self.connection.close(0, linger)
        if self.connection is None and end is not None and end.outgoing.queue and linger > 0:
            if linger < inf:
                self.network.after(linger, self.give_up)
        else:
            self.give_up()

    def give_up(self) -> None:
        """Try no more; what waits is lost."""
        self._wanted = False
        self.network.waiting.pop(self, None)
        if self.connection is not None:
            self.connection.give_up(0)
