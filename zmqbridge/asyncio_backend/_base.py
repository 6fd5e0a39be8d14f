"""The sockets of asyncio and trio without their patterns: how they open and end."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, Self

import anyio

from zmqbridge._bridge.link import Link
from zmqbridge._bridge.linked import (
    Shown,
    by_name,
    forwarded,
    is_closed,
    monitor_of_peers,
    only_async,
    repr_of,
)
from zmqbridge._bridge.resting import pauses
from zmqbridge.asyncio_backend._driver import LoopDriver
from zmqbridge.core._checks import check_optional_timeout, check_timeout
from zmqbridge.core.patterns import Pattern
from zmqbridge.core.sendqueue import HIGH
from zmqbridge.errors import ContextTerminated, SocketClosed

if TYPE_CHECKING:
    import zmq

    from zmqbridge._bridge.listening import Events
    from zmqbridge.arguments import Options


class Closed(SocketClosed, anyio.ClosedResourceError):
    """The socket was closed by you: the error of this library and of anyio."""


class Socket:
    """A socket that belongs to the loop on which it is first used."""

    kind: ClassVar[int]
    """The type of the libzmq socket, e.g. ``zmq.PULL``."""
    defaults: ClassVar[Options] = {}
    """Options of this pattern, which ``options`` may override."""
    closed_error: ClassVar[type[SocketClosed]] = Closed

    __signature__: Shown = Shown()
    if not TYPE_CHECKING:
        __new__ = by_name

    def __init__(self, pattern: Pattern, given: Any, high: float = HIGH) -> None:
        self._driver = LoopDriver()
        self._link = Link(type(self), self._driver, pattern, high, given)
        self._pump = self._link.pump

    bind: Final = forwarded(Link.bind)
    connect: Final = forwarded(Link.connect)
    unbind: Final = forwarded(Link.unbind)
    disconnect: Final = forwarded(Link.disconnect)
    statistics: Final = forwarded(Link.statistics)
    close: Final = forwarded(Link.close)

    @property
    def socket(self) -> zmq.Socket[bytes]:
        """The pyzmq socket. Use it as you like: what you do to it does not make us deaf."""
        return self._link.usable()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it is bound and connected; a wildcard port is shown as the real one."""
        return tuple(self._link.addresses)

    @property
    def closed(self) -> bool:
        """Whether it was closed, by you or because its context was terminated; or never made."""
        return is_closed(self)

    def __repr__(self) -> str:
        return repr_of(self)

    def __enter__(self) -> NoReturn:
        raise only_async(self)

    def __exit__(self, *exc_info: object) -> None:
        """It is never entered."""

    async def __aenter__(self) -> Self:
        await self._driver.enter_with_stand_in()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            await self.aclose()
        finally:
            await self._driver.leave()

    async def drain(self, timeout: float | None = None) -> int:
        """Wait until libzmq has taken what is queued, and return how many messages it has not.

        What libzmq has taken may still be under way, or wait in its own queue for a peer.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            SocketClosed: the socket is closed, or was while this waited.
        """
        timeout = check_optional_timeout(timeout)
        self._driver.enter()
        with anyio.move_on_after(timeout):
            while (queue := self._pump.backlog()) is not None:
                await self._driver.room_in(queue)
        return self._pump.queued

    async def aclose(self) -> None:
        """Close when queued messages have been sent, or after the linger time.

        A bound `Replier` or `Router` that has replied waits 0.1 s more, or the linger if that is
        shorter, for its peers to read. Before this returns, all calls that wait get `SocketClosed`.
        Cancelling it closes at once; closing twice is fine.
        """
        link = self._link
        try:
            if not self._driver.loop.is_closed():
                if self._pump.queues:
                    await self.drain(link.linger())
                for pause in pauses(link):
                    await self._driver.sleep(pause)
        except (SocketClosed, ContextTerminated):
            pass  # other code has closed it while we waited
        finally:
            self.close()
            while link.untold:
                await self._driver.sleep(0)

    def events(self) -> Events:
        """What happens to its connections from now on, by ``async for``.

        The first call also gets what has happened since the socket was made with
        ``monitor=True``. It ends when the socket is closed.

        Raises:
            SocketClosed: the socket is closed.
            LoopError: there is no running loop, or it is not this socket's.
        """
        self._driver.enter()
        return self._link.attach().listen()

    async def connected(self, timeout: float = inf) -> None:
        """Wait until a peer is there: until its handshake has succeeded, or at once if it has.

        Args:
            timeout: seconds, ``math.inf`` for ever.

        Raises:
            ConnectTimeout: no peer came in time; its `failure` is the last failed attempt.
            HandshakeFailed: every server that it connects to has refused it.
            StateUnknown: it was not made with ``monitor=True``, or all its addresses are inproc.
            SocketClosed: the socket is closed, or was while this waited.
            LoopError: there is no running loop, or it is not this socket's.
            TypeError, ValueError: the timeout is no number, or not greater than zero.
        """
        check_timeout(timeout)
        self._driver.enter()
        monitor = monitor_of_peers(self._link)
        try:
            with anyio.fail_after(timeout):
                await monitor.until_connected()
        except TimeoutError:
            raise monitor.no_peer(timeout) from None
