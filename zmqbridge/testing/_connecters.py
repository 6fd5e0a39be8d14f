"""Connecters and listeners of the simulated network: how connections begin, and begin again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING

import zmq

from zmqbridge.testing._connections import Connection
from zmqbridge.testing._ends import NO_PEER, End
from zmqbridge.testing._handshake import Verdict, shake
from zmqbridge.testing._topics import XSubscriber

if TYPE_CHECKING:
    from zmqbridge.testing._network import Network
    from zmqbridge.testing._sockets import SimSocket

# How many times the latency passes until a connection is made: tcp's handshake and ZMTP's.
TRIPS = 4


class Listener:
    """A socket that is bound to an address.

    Attributes:
        socket: the simulated socket.
        name: the address, as libzmq resolves it.
        keys: the keys by which the network finds this listener.
        connections: the connections that were accepted here and are not lost.
    """

    def __init__(self, socket: SimSocket, name: str, keys: Sequence[tuple[str, str]]) -> None:
        self.socket = socket
        self.name = name
        self.keys = keys
        self.transport: str = name.partition(":")[0]
        self.connections: dict[Connection, None] = {}
        for key in keys:
            socket.network.listeners[key] = self

    def close(self) -> None:
        """Stop listening; the connections stay."""
        listeners = self.socket.network.listeners
        for key in self.keys:
            if listeners.get(key) is self:
                del listeners[key]


class Connecter:
    """Connects a socket to one address, and connects again after each loss until it is closed.

    Attributes:
        socket: the simulated socket.
        name: the address, as it was given.
        end: the socket's end of this connection; with IMMEDIATE it is None while there is no peer.
        connection: the connection to the peer, or None.
    """

    def __init__(self, socket: SimSocket, name: str, key: tuple[str, str]) -> None:
        self.socket = socket
        self.name = name
        self.key = key
        self.transport: str = name.partition(":")[0]
        self.end: End | None = None
        self.connection: Connection | None = None
        self._wanted = True
        self._pause = 0.0
        self._closing = self._parts = False
        self._attempt = 0  # the number of the one that is under way
        self._first: End | None = None
        if not socket.options[zmq.IMMEDIATE]:
            self._first = self._new_end()
            socket.attach(self._first)

    @property
    def network(self) -> Network:
        """The simulated network."""
        return self.socket.network

    def _new_end(self) -> End:
        end = self.end = self.socket.new_end()
        end.connecter = self
        return end

    def begin(self) -> None:
        """Try to connect now."""
        self._attempt += 1
        self.network.waiting.pop(self, None)
        listener = self.network.listeners.get(self.key)
        if self._blocked(listener):
            self.network.waiting[self] = None
            return
        if self.transport == "tcp":  # over ipc, ``connect`` succeeds or fails at once
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
        """Try again: the way to the peer may be free now."""
        self.begin()

    def _failed(self) -> None:
        self.socket.happened(zmq.Event.CLOSED, self.name, 0)
        self.retry()

    def retry(self) -> None:
        """Try again after RECONNECT_IVL."""
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
        if not verdict.accepts:
            self._refused(listener, verdict)
            return
        self._pause = 0.0
        end = self.end
        if end is None:
            end = self._new_end()
            if self._parts:
                end.then = self._parted
            self.socket.attach_later(end)
        elif end.left and not self._closing:
            end = None  # the socket has not let go of it yet
        connection = Connection(self, listener, end, server.new_end())
        if end is not None and end.left:
            connection.read_no_more(0, lambda: self.sent(end))

    def _refused(self, listener: Listener, verdict: Verdict) -> None:
        server = listener.socket
        if verdict.event:
            server.happened(verdict.event, listener.name, verdict.value)
        self.network.fault("refused", self.socket.node.name, server.node.name, (), self.name)
        if verdict.holds:
            interval = self.socket.options[zmq.HANDSHAKE_IVL] / 1000
            if interval:
                unheard = Verdict(int(zmq.Event.HANDSHAKE_FAILED_NO_DETAIL))
                self._later(interval, lambda: self._refused(listener, unheard))
            return
        if verdict.event:
            seen = verdict.event if verdict.client is None else verdict.client
            self.socket.happened(seen, self.name, verdict.value if seen == verdict.event else 0)
        server.happened(zmq.Event.DISCONNECTED, listener.name, 0)
        self.socket.happened(zmq.Event.DISCONNECTED, self.name, 0)
        # A client that understood the refusal gives up (``engine_error`` in session_base.cpp).
        if verdict.final:
            self._wanted = False
        else:
            self.retry()

    def lost(self) -> None:
        """Connect again after the connection was lost."""
        end, self.connection = self.end, None
        if end is not None:
            end.connection = None
            end.lead_to(NO_PEER, NO_PEER)
            if self.socket.options[zmq.IMMEDIATE]:
                self.end = None
                self.socket.meets_again(end)
                end.hang_up()
            elif isinstance(self.socket.kind, XSubscriber):
                end.outgoing.outdated = True
                self.socket.meets_again(end)
        self.retry()

    def broken(self) -> None:
        """Give up the peer, because it has sent what the protocol does not allow."""
        end, self.connection = self.end, None
        self.give_up()
        if end is not None:
            # The end hangs up only after the socket has worked off its commands.
            self.socket.post(lambda end: self.network.after(0, end.hang_up), end)

    def close(self, linger: float) -> None:
        """Stop, as the socket closes; messages that wait to be sent have `linger` seconds."""
        end = self.end
        if self.connection is not None:
            self.connection.close(0, linger)
        elif end is not None and end.outgoing.queue and linger > 0:
            end.outgoing.ended = self._closing = True
            if linger < inf:
                self.network.after(linger, self.give_up)
            return
        self.give_up()

    def leave(self, linger: float) -> None:
        """Disconnect: messages that wait have `linger` seconds, then the socket lets the end go."""
        end = self.end
        if end is None or end.left:
            self.close(0)
            self.network.after(0, self.socket.spurious)
            return
        if end is not self._first and self.connection is not None:
            # libzmq does not know the ends of later connections, so it only ends the session.
            self.end, self._parts = None, True
            self.connection.shut(0, self._parted)
            return
        end.left = self._closing = True
        end.open = False
        if self.connection is not None:
            self.connection.read_no_more(0, lambda: self.sent(end))
        if not linger or end.outgoing.conflates:
            end.outgoing.drop()
        elif linger < inf:
            self.network.after(linger, lambda: self.sent(end))
        if not end.outgoing.queue:
            self.sent(end)

    def _parted(self) -> None:
        """Stop, as the socket has let the end go; if the peer was lost before, there is a new one.

        (``process_term`` and ``pipe_terminated`` in session_base.cpp.)
        """
        if self.end is None:
            self.close(0)

    def close_parting(self) -> None:
        """Stop, as the socket closes after it was disconnected; what lingers goes on."""
        if self._parts and self.end is not None:
            self.close(inf)

    def sent(self, end: End) -> None:
        """End it: all messages of a left end have gone out, or the linger is over."""
        if not end.answered:
            end.answered = True
            end.outgoing.drop()
            self.network.after(0, lambda: self.socket.let_go(end))

    def let_go(self, end: End) -> None:
        """Close, if this is the current end and the socket has disconnected."""
        if end is self.end:
            self.end = None
            if self._closing:
                self.close(0)
                self.network.after(0, self.socket.spurious)

    def give_up(self) -> None:
        """Stop trying; messages that wait are lost."""
        self._wanted = False
        self.network.waiting.pop(self, None)
        self.socket.parting.pop(self, None)
        if self.connection is not None:
            self.connection.give_up(0)

    def die(self) -> None:
        """End with the process of the socket."""
        if self.connection is not None:
            self.connection.die(0)
        self.give_up()
