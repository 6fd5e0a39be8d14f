"""The receiving half of the sockets of asyncio and trio: one message, or all by ``async for``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar

import anyio
from anyio.abc import UnreliableObjectReceiveStream

from zmqbridge._bridge.received import Received, of_receivers
from zmqbridge._bridge.request import stopped
from zmqbridge._bridge.taking import receive_nowait
from zmqbridge.asyncio_backend._base import Socket
from zmqbridge.core.framing import Message
from zmqbridge.core.patterns import bytes_in
from zmqbridge.core.sendqueue import HIGH
from zmqbridge.errors import QueueEmpty, SocketClosed

if TYPE_CHECKING:
    from zmqbridge.asyncio_backend._driver import AnyWaiter

Item = TypeVar("Item")


class NothingNow(QueueEmpty, anyio.WouldBlock):
    """No message is here, in the words of this library and of anyio."""


class Receiver(Socket, UnreliableObjectReceiveStream[Item]):
    """A socket to receive from, by `receive` or ``async for``."""

    _decode: Callable[[list[Message]], Iterable[Item]] | None = None
    """Makes of a burst of messages what is received."""
    _weigh: Callable[[Any], int] = staticmethod(bytes_in)
    """How many bytes such an item has."""
    empty_error: ClassVar[type[QueueEmpty]] = NothingNow

    def __init__(
        self,
        given: Any,
        high: float = HIGH,
        pattern_of: Callable[..., Received[Item, AnyWaiter]] = Received,
    ) -> None:
        self._pattern = pattern_of(self._decode, weigh=self._weigh, **of_receivers(given))
        self._inbox = self._pattern.inbox
        super().__init__(self._pattern, given, high)

    async def receive(self) -> Item:
        """Wait for the next message.

        Cancelling it is safe: a message leaves the inbox only when this call returns it. Several
        tasks may receive; they are served in the order in which they asked.

        Raises:
            SocketClosed: the socket is closed, or was while this waited.
            ContextTerminated: the context was terminated during the call.
            LoopError: there is no running loop, it is not this socket's, or it is one on which a
                socket works in its ``async with`` only.
        """
        try:
            return self._inbox.pop()
        except IndexError:
            pass
        return await self._next()

    receive_nowait: Final = receive_nowait

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        # Most calls end here.
        try:
            return self._inbox.pop()
        except IndexError:
            pass
        try:
            return await self._next()
        except SocketClosed:
            raise StopAsyncIteration from None

    async def _next(self) -> Item:
        """The same, when `Inbox.pop` has given no message."""
        inbox, driver = self._inbox, self._driver
        paused, current = inbox.paused, driver.current
        if current() != driver.token._thread_id:
            driver.enter()
        item = inbox.poll()
        waiter: AnyWaiter | None = None
        while item is None:
            if self._link.unheard:
                self._link.warn_of_silence()
            if inbox.ended:
                raise stopped(self._link)
            before, waiter = waiter, driver.waiter(driver.loop)
            if inbox.wait(waiter, before):
                self._pump.schedule()
            try:
                await waiter
            except BaseException:
                inbox.forget(waiter)
                driver.tell(inbox.notify())  # another may get its message
                raise
            if self._link.closed:  # it was closed since this waiter was told
                self._link.check_open()
            paused = inbox.paused  # a pause may have begun while we waited
            item = inbox.take(waiter)  # None if the message was unsubscribed since then
        if paused and not inbox.paused:
            self._pump.schedule()
        if isinstance(item, Exception):  # see `RaisingInbox`
            raise item
        return item
