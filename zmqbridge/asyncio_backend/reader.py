"""LoopSocket: a libzmq socket on a loop that is awaited, which is all waiting and ending."""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, TimerHandle, _get_running_loop
from collections.abc import Sequence
from time import monotonic
from typing import Any, Self, TypeVar

import anyio
from anyio.abc import UnreliableObjectReceiveStream

from zmqbridge.asyncio_backend.anyio_loop import AnyioLoop, Nowhere, native_loop
from zmqbridge.endpoint import Endpoint
from zmqbridge.errors import LoopError, SocketClosed, ZmqBridgeError
from zmqbridge.patterns import Receiving
from zmqbridge.pump import SLICE

Item = TypeVar("Item")

# Sends between two looks at the clock, which decides whether the loop has to have its turn.
STRIDE = 64


class Closed(SocketClosed, anyio.ClosedResourceError):
    """The socket was closed by you, in the words of this library and of anyio."""


class CannotWatch(LoopError):
    """This loop has no ``add_reader``, and the socket no task of its own in which to wait."""


NOWHERE: Any = Nowhere()


class LoopSocket(Endpoint):
    """An endpoint that belongs to the loop on which it is first used."""

    # What calls us while we are open and in use: asyncio's loop, or the AnyioLoop that stands in
    # for a loop that cannot watch an FD.
    _loop: AbstractEventLoop = NOWHERE
    _home: Any = None  # the loop that we belong to, for good
    _stand_in: AnyioLoop | None = None
    closed_error = Closed
    _timer: TimerHandle | None = None
    _fd = -1
    _yield_at = STRIDE
    _slice_end = 0.0

    async def __aenter__(self) -> Self:
        try:
            self._enter()
        except CannotWatch:
            self._stand_in = AnyioLoop(_get_running_loop() or native_loop())
            await self._stand_in.__aenter__()
            self._enter(self._stand_in)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            await self.aclose()
        finally:
            stand_in, self._stand_in = self._stand_in, None
            if stand_in is not None:
                await stand_in.__aexit__()

    def _enter(self, stand_in: AnyioLoop | None = None) -> None:
        """Take the running loop for our own, or say why that cannot be.

        Every call compares the running loop with `_loop` and comes here when they differ: the
        first time, on another loop or none, when the socket is closed; and always where another
        stands in for the loop.
        """
        self._check_open()
        here = _get_running_loop() or native_loop()
        if here is None:
            raise LoopError(f"{self!r} needs a running event loop: call it from a coroutine")
        if here is self._home:
            return
        if self._home is not None:
            raise LoopError(f"{self!r} belongs to {self._home!r}; make one for each loop")
        loop: Any = stand_in or here
        fd = self._socket.fileno()
        try:
            loop.add_reader(fd, self._pump.ring)
        except (AttributeError, NotImplementedError):
            raise CannotWatch(
                f"{here!r} has no add_reader, so {self!r} must wait in a task of its own: use "
                "`async with`, in which that task can live"
            ) from None
        self._loop, self._home, self._fd = loop, here, fd
        # Prime it: an inproc socket may never ring until its EVENTS were read once.
        self._call_soon()

    def _call_soon(self) -> None:
        # Before `_enter` there is no need: it begins with a turn.
        if not self._loop.is_closed():
            self._loop.call_soon(self._pump.turn)

    def _now(self) -> float:
        return self._loop.time()

    def _call_at(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._alarm)

    def _wake(self, waiters: Sequence[Future[None]]) -> None:
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _fail(self, waiters: Sequence[Future[Any]], error: ZmqBridgeError) -> None:
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error)

    def _report(self, error: Exception) -> None:
        self._loop.call_exception_handler(
            {"message": f"{type(error).__name__} in {self!r}", "exception": error}
        )

    def _stop(self) -> None:
        loop, self._loop = self._loop, NOWHERE
        if not loop.is_closed():
            loop.remove_reader(self._fd)
            if self._timer is not None:
                self._timer.cancel()

    async def aclose(self) -> None:
        """Close when what is queued has been sent, or after the linger time.

        Whoever waits gets `SocketClosed`. Cancelling it closes at once; closing twice is fine.
        """
        try:
            if self._pump.queues and not self._loop.is_closed():
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
                await anyio.sleep(0)
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
            LoopError: there is no running loop, it is not this socket's, or it is one on which a
                socket works in its ``async with`` only.
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
        except BaseException:
            inbox.forget(waiter)
            self._arrived()  # if it was told already, the message is another's
            raise
        inbox.forget(waiter)
        self._check_open()
