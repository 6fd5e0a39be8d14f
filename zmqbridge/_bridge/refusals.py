"""Refusals: what a socket does when servers refuse it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zmq

from zmqbridge.core.handshakes import Handshakes
from zmqbridge.core.monitor import MonitorEvent
from zmqbridge.errors import HandshakeFailed


class Refusals:
    """Reports failed handshakes, and connects again where libzmq does not.

    Args:
        socket: the libzmq socket.
        wary: whether the socket shows credentials.
        refused: called with the error when no server is left; returns whether it has told at least
            one waiter.
        report: called with an error that no waiter has got, once for each cause.

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
        self.failures = 0
        self.handshakes = Handshakes(wary)
        self._socket = socket
        self._refused = refused
        self._report = report

    def saw(self, event: MonitorEvent, monitor: Any) -> None:
        """Take an event that `monitor` has read; `monitor` also has the timer."""
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
        """Connect again to the servers that are due; the monitor's timer calls this."""
        for address in self.handshakes.due(monitor._now()):
            try:
                self._socket.disconnect(address)
                self._socket.connect(address)
            except zmq.ZMQError:  # the user has disconnected it directly on the libzmq socket
                self.handshakes.forget(address)
