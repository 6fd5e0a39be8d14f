"""Refusals: what a socket does about the servers that refuse it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import zmq

from zmqbridge.core.connectionstate import ConnectionState
from zmqbridge.errors import HandshakeFailed


class Refusals:
    """Tells whom it concerns that a handshake has failed, and connects anew where libzmq will not.

    Args:
        socket: the libzmq socket.
        connections: the state of its connections.
        refused: told when no server is left; true if it has told somebody.
        report: told what nobody else was, once for each cause.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        connections: ConnectionState,
        *,
        refused: Callable[[HandshakeFailed], bool],
        report: Callable[[Exception], None],
    ) -> None:
        self._socket = socket
        self._connections = connections
        self._refused = refused
        self._report = report

    def tell(self, error: HandshakeFailed, news: bool, told: bool) -> None:
        """A handshake has failed; `told` if somebody waits, who finds out."""
        if self._connections.refusal():
            told = self._refused(error) or told
        if news and not told:
            self._report(error)

    def try_again(self, addresses: Iterable[str]) -> None:
        """Connect to these anew."""
        for address in addresses:
            try:
                self._socket.disconnect(address)
                self._socket.connect(address)
            except zmq.ZMQError:  # somebody has taken it from the socket behind our back
                self._connections.gone(address)
