"""LoopSocket: a libzmq socket on an asyncio loop, which is all waiting, scheduling and ending."""

from __future__ import annotations

import asyncio
from asyncio import _get_running_loop
from collections.abc import Sequence
from time import monotonic
from typing import Any, Self, TypeVar

import anyio
from anyio.abc import UnreliableObjectReceiveStream

from zmqbridge.endpoint import Endpoint
from zmqbridge.errors import LoopError, SocketClosed, ZmqBridgeError
from zmqbridge.patterns import Receiving
from zmqbridge.pump import SLICE

Item = TypeVar("Item")

# Sends between two looks at the clock, which decides whether the loop has to have its turn.
STRIDE = 64


class Closed(SocketClosed, anyio.ClosedResourceError):
    """The socket was closed by you, in the words of this library and of anyio."""


class LoopSocket(Endpoint):
    """An endpoint that belongs to the asyncio loop on which it is first used."""

    # The loop while open and in use. Annotated as if it were always there, because whoever uses
    # it has compared it with the running loop first.
    _loop: asyncio.AbstractEventLoop = None  # type: ignore[assignment]
    _home: asyncio.AbstractEventLoop | None = None  # the same, for good
    closed_error = Closed
    _timer: asyncio.TimerHandle | None = None
    _fd = -1
    _yield_at = STRIDE
    _slice_end = 0.0

    async def __aenter__(self) -> Self:
        self._enter()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def _enter(self) -> None:
        """Take the running loop for our own, or say why that cannot be.

        Every call compares the running loop with `_loop` and comes here when they differ: the
        first time, on another loop or none, and when the socket is closed.
        """
        self._check_open()
        loop = _get_running_loop()
        if loop is None:
            raise LoopError(f"{self!r} needs a running event loop: call it from a coroutine")
        if self._home is not None:
            raise LoopError(f"{self!r} belongs to {self._home!r}; make one for each loop")
        try:
            self._fd = self._socket.fileno()
            loop.add_reader(self._fd, self._pump.ring)
        except NotImplementedError:
            raise LoopError(
                f"{loop!r} cannot watch file descriptors; use asyncio.SelectorEventLoop"
            ) from None
        self._loop = self._home = loop
        # Prime it: an inproc socket may never ring until its EVENTS were read once.
        self._call_soon()

    def _call_soon(self) -> None:
        # Before `_enter` there is no need: it begins with a turn.
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon(self._pump.turn)

    def _now(self) -> float:
        return self._loop.time()

    def _call_at(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._alarm)

    def _wake(self, waiters: Sequence[asyncio.Future[None]]) -> None:
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _fail(self, waiters: Sequence[asyncio.Future[Any]], error: ZmqBridgeError) -> None:
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error)

    def _report(self, error: Exception) -> None:
        loop = self._loop or asyncio.get_running_loop()
        loop.call_exception_handler(
            {"message": f"{type(error).__name__} in {self!r}", "exception": error}
        )

    def _stop(self) -> None:
        loop, self._loop = self._loop, None  # type: ignore[assignment]
        if loop is not None and not loop.is_closed():
            loop.remove_reader(self._fd)
            if self._timer is not None:
                self._timer.cancel()

    async def aclose(self) -> None:
        """Close when what is queued has been sent, or after the linger time.

        Whoever waits gets `SocketClosed`. Cancelling it closes at once; closing twice is fine.
        """
        try:
            if self._loop is not None and self._pump.queues:
                with anyio.move_on_after(self._linger()):
                    while self._pump.queues:
                        await self._room_in(next(iter(self._pump.queues.values())))
        finally:
            self.close()

    async def _send(self, message: Sequence[bytes]) -> None:
        pump = self._pump
        if pump.sent >= self._yield_at or pump.queues or _get_running_loop() is not self._loop:
            await self._clear_to_send(message)
        pump.send(message)

    def _send_nowait(self, message: Sequence[bytes]) -> None:
        if _get_running_loop() is not self._loop:
            self._enter()
        self._pump.send(message)

    async def _clear_to_send(self, message: Sequence[bytes]) -> None:
        """Wait while the peer pushes back, and let the loop have its turn now and then."""
        if _get_running_loop() is not self._loop:
            self._enter()
        pump = self._pump
        while (queue := pump.queue_of(message)) and queue.paused:
            await self._room_in(queue)
        if pump.sent >= self._yield_at:
            self._yield_at = pump.sent + STRIDE
            if monotonic() > self._slice_end:
                await asyncio.sleep(0)
                self._slice_end = monotonic() + SLICE
                self._check_open()

    async def _room_in(self, queue: Any) -> None:
        waiter = self._loop.create_future()
        queue.wait(waiter)
        try:
            await waiter
        finally:
            queue.forget(waiter)


class LoopReceiver(Receiving[Item], LoopSocket, UnreliableObjectReceiveStream[Item]):
    """A socket to receive from, by `receive` or ``async for``."""

    async def receive(self) -> Item:
        """Wait for the next message.

        Cancelling it is safe: a message leaves the inbox only when this call returns it. Several
        tasks may receive; they are served in the order in which they asked.

        Raises:
            SocketClosed: the socket is closed, or was while this waited.
            ContextTerminated: somebody terminated the context meanwhile.
            LoopError: there is no running loop, or it is not this socket's.
        """
        inbox = self._inbox
        try:
            return inbox.pop()
        except IndexError:
            paused = inbox.paused
        item = inbox.poll()
        if item is None:
            await self._message()
            item = inbox.take()
        if paused and not inbox.paused:
            self._pump.schedule()
        return item

    async def _message(self) -> None:
        """Wait until the oldest message of the inbox is ours."""
        if _get_running_loop() is not self._loop:
            self._enter()
        inbox = self._inbox
        waiter = self._loop.create_future()
        inbox.wait(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            inbox.forget(waiter)
            self._arrived()  # if it was told already, the message is another's
            raise
        inbox.forget(waiter)
        self._check_open()
