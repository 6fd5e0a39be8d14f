"""Refusals: what a socket does when servers refuse it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import zmq

from zmqbridge.core.connectionstate import ConnectionState
from zmqbridge.errors import HandshakeFailed


class Refusals:
    """Reports failed handshakes, and connects again where libzmq does not.

    Args:
        socket: the libzmq socket.
        connections: the state of its connections.
        refused: called with the error when no server is left; returns whether it has told at least
            one waiter.
        report: called with an error that no waiter has got, once for each cause.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        connections: ConnectionState,
        *,
        refused: Callable[[HandshakeFailed], bool],
        report: Callable[[BaseException], object],
    ) -> None:
        self._socket = socket
        self._connections = connections
        self._refused = refused
        self._report = report

    def tell(self, error: HandshakeFailed, news: bool, told: bool) -> None:
        """A handshake has failed; `told` says whether a call waits for events, and so learns it."""
        if self._connections.refusal():
            told = self._refused(error) or told
        if news and not told:
            self._report(error)

    def try_again(self, addresses: Iterable[str]) -> None:
        """Connect to these servers again."""
        for address in addresses:
            try:
                self._socket.disconnect(address)
                self._socket.connect(address)
            except zmq.ZMQError:  # the user has disconnected it directly on the libzmq socket
                self._connections.gone(address)
