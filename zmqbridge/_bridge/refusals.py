"""Refusals: what a socket does about the servers that refuse it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zmq

from zmqbridge.core.handshakes import Handshakes
from zmqbridge.core.monitor import MonitorEvent
from zmqbridge.errors import HandshakeFailed


class Refusals:
    """Tells whom it concerns that a handshake has failed, and connects anew where libzmq will not.

    Args:
        socket: the libzmq socket.
        wary: it shows credentials.
        refused: told when no server is left; true if it has told somebody.
        report: told what nobody else was, once for each cause.

    Attributes:
        failures: how many handshakes have failed so far.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        *,
        wary: bool,
        refused: Callable[[HandshakeFailed], bool],
        report: Callable[[Exception], None],
    ) -> None:
        self.failures: int = 0
        self.handshakes: Handshakes = Handshakes(wary)
        self._socket = socket
        self._refused = refused
        self._report = report

    def saw(self, event: MonitorEvent, monitor: Any) -> None:
        """Something has happened; `monitor` has told it, and has the timer."""
        error, news = self.handshakes.saw(event, monitor._now())
        if error is None:
            return
        self.failures += 1
        monitor.arm()
        told = bool(monitor._waiters)
        if self.handshakes.refusal() and not monitor.peers.up:
            told = self._refused(error) or told
        if news and not told:
            self._report(error)

    def try_again(self, monitor: Any) -> None:
        """The timer went off."""
        for address in self.handshakes.due(monitor._now()):
            try:
                self._socket.disconnect(address)
                self._socket.connect(address)
            except zmq.ZMQError:  # somebody has taken it from the socket behind our back
                self.handshakes.forget(address)
