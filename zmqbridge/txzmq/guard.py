"""ConnectionGuard: the guard of a connection, which is closed when it has no factory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zmqbridge._bridge.guards import Guard, leave_to_parent

if TYPE_CHECKING:
    from zmqbridge.txzmq.driver import Driver


class ConnectionGuard(Guard):
    """The guard of a connection; a connection is closed when it has no factory."""

    ended = " was shut down"

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self.driver: Driver = driver
        self._connection = driver.connection

    @property
    def closed(self) -> bool:  # type: ignore[override]
        """Whether it was shut down."""
        return self._connection.factory is None

    @property
    def socket(self) -> Any:
        """The libzmq socket."""
        return self.driver.socket

    @property
    def context(self) -> Any:
        """Its context."""
        return self._connection.factory.context

    @property
    def sent(self) -> int:
        """How many messages were sent."""
        sent: int = self.driver.pump.sent
        return sent

    def libzmq(self) -> Any:
        """The socket, which may be a mock."""
        return self._connection.socket

    def disown(self) -> None:
        """This process is a forked child: refuse every call from now on."""
        super().disown()
        driver = self.driver
        if not driver.pump.closed:
            driver.pump.closed = True
            driver.disown()
        driver.unhandled.clear()
        leave_to_parent(driver.socket, None)
        self._connection.factory = self._connection.socket = None

    def __repr__(self) -> str:
        # The connection's own repr shows its factory, which may be gone by now.
        return f"{type(self._connection).__name__}({self._connection.endpoints!r})"
