"""Monitored: what a socket does with its monitor. Few have one; it is loaded with the first."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from zmqbridge._bridge.endpoint import Endpoint
from zmqbridge.core.framing import Address, as_name
from zmqbridge.errors import ConnectTimeout, HandshakeFailed, StateUnknown

if TYPE_CHECKING:
    from zmqbridge._bridge.monitoring import Monitor


class Monitored(Endpoint):
    """An endpoint that tells of its connections, to those who ask."""

    _monitor: Monitor | None = None

    @abstractmethod
    def _make_monitor(self) -> Monitor:
        """A monitor on the same loop and in the same context, reading."""

    def _attach(self) -> Monitor:
        """The monitor of this socket, attached now at the latest."""
        if self._monitor is None:
            monitor = self._make_monitor()
            try:
                monitor.attach(
                    self._socket,
                    complete=not self._addresses,
                    wary=self._wary,
                    refused=self._refused,
                    report=self._report,
                )
            except BaseException:
                monitor.close()
                raise
            self._monitor = monitor
        return self._monitor

    def _monitor_of_peers(self) -> Monitor:
        """The monitor, if it can tell whether a peer is there.

        Raises:
            StateUnknown: it cannot.
        """
        # Whoever asks too late is told so each time, not only when he has missed a handshake.
        if not (self._monitor.complete if self._monitor else not self._addresses):
            raise StateUnknown(
                f"{self!r} had addresses before it was monitored, so a peer may be there of which "
                "nothing was told: make it with monitor=True"
            )
        monitor = self._attach()
        monitor._catch_up()
        if not monitor.connections.up and self._addresses and all(map(_is_inproc, self._addresses)):
            raise StateUnknown(f"{self!r}: libzmq does not tell of peers at inproc addresses")
        return monitor

    async def _until_connected(self, monitor: Monitor) -> None:
        connections = monitor.connections
        before = connections.failures
        while not connections.up:
            await monitor.arrival()
            self._check_open()
            failure = connections.refusal()
            # One from before this call is no news: much may have changed since.
            if failure and connections.failures > before:
                raise failure

    def _no_peer(self, timeout: float) -> ConnectTimeout:
        return ConnectTimeout(timeout, self._attach().connections.failure)

    def connect(self, address: Address) -> None:
        super().connect(address)
        if self._monitor is not None:
            self._monitor.connections.expect(self._addresses[-1])

    def disconnect(self, address: Address) -> None:
        super().disconnect(address)
        if self._monitor is not None:
            self._monitor._catch_up()
            self._monitor.connections.forget(as_name(address, "an address").decode())

    def _refused(self, error: HandshakeFailed) -> bool:
        """Tell those who wait for a peer to take their message; True if there are any."""
        return False

    def _close_socket(self) -> list[Any]:
        waiters: Iterable[Any] = ()
        if (monitor := self._monitor) is not None and not monitor.closed:
            monitor._stop()
            waiters = monitor._close_socket()
        return [*waiters, *super()._close_socket()]


def _is_inproc(address: str) -> bool:
    return address.startswith("inproc:")
