"""LoopSocket: a libzmq socket on a loop that is awaited, which is all waiting and ending."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, TimerHandle, _get_running_loop
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TypeVar

import anyio
from anyio.abc import UnreliableObjectReceiveStream

from zmqbridge.asyncio_backend.anyio_loop import (
    AnyioLoop,
    AnyioWaiter,
    Nowhere,
    name_of,
    native_loop,
)
from zmqbridge.asyncio_backend.running import NOWHERE, here, place
from zmqbridge.asyncio_backend.waiter import Waiter
from zmqbridge.errors import ContextTerminated, LoopError, SocketClosed, ZmqBridgeError
from zmqbridge.monitored import Monitored
from zmqbridge.patterns import Receiving, patience, seconds
from zmqbridge.pump import SLICE, STRIDE

if TYPE_CHECKING:
    from zmqbridge.asyncio_backend.loopmonitor import LoopMonitor
    from zmqbridge.monitoring import Events

Item = TypeVar("Item")
AnyWaiter = Waiter | AnyioWaiter[Any]


class Closed(SocketClosed, anyio.ClosedResourceError):
    """The socket was closed by you, in the words of this library and of anyio."""


class CannotWatch(LoopError):
    """This loop has no ``add_reader``, and the socket no task of its own in which to wait."""


NO_LOOP: Any = Nowhere()


class LoopSocket(Monitored):
    """An endpoint that belongs to the loop on which it is first used."""

    # What calls us while we are open and in use: asyncio's loop, or the AnyioLoop that stands in
    # for a loop that cannot watch an FD.
    _loop: AbstractEventLoop = NO_LOOP
    _place: Any = NOWHERE  # where it runs
    _home: Any = None  # the loop that we belong to, for good
    _stand_in: AnyioLoop | None = None
    _waiter: Callable[[Any], AnyWaiter] = Waiter  # what a task waits for here, made for our loop
    # Not anyio's, whose first use loads what it has for this loop: 13 ms amid a stream of messages.
    _sleep: Callable[[float], Awaitable[None]] = staticmethod(asyncio.sleep)
    _monitor: LoopMonitor | None = None
    closed_error = Closed
    way_in = (
        "loop.call_soon_threadsafe or asyncio.run_coroutine_threadsafe, on trio by trio.from_thread"
    )
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

        Every call looks whether `_loop` runs here and comes here when it does not: the first time,
        on another loop or none, when the socket is closed; and always where another stands in for
        the loop.
        """
        self._check_open()
        running = _get_running_loop() or native_loop()
        if running is None:
            raise LoopError(f"{self!r} needs a running event loop: call it from a coroutine")
        if running is self._home:
            return
        if self._home is not None:
            raise LoopError(f"{self!r} belongs to another loop; make one for each")
        loop: Any = stand_in or running
        fd = self._socket.fileno()
        try:
            loop.add_reader(fd, self._pump.ring)
        except (AttributeError, NotImplementedError):
            raise CannotWatch(
                f"{name_of(running)} has no add_reader, so {self!r} must wait in a task of its "
                "own: use `async with`, in which that task can live"
            ) from None
        self._loop, self._home, self._fd = loop, running, fd
        self._now = loop.time
        if stand_in:
            self._waiter, self._sleep = AnyioWaiter, anyio.sleep
        else:
            self._place = place(loop)
        self._home_thread = get_ident()
        # Prime it: an inproc socket may never ring until its EVENTS were read once.
        self._call_soon()
        if self._monitor is not None:
            self._monitor._enter(stand_in and stand_in.beside())

    def _call_soon(self) -> None:
        # Before `_enter` there is no need: it begins with a turn.
        if not self._loop.is_closed():
            self._loop.call_soon(self._pump.turn)

    def _refuse(self) -> None:
        if self._home is not None and self._home is (_get_running_loop() or native_loop()):
            self._home_thread = get_ident()  # it may run in another thread than before
        super()._refuse()

    def _running(self) -> bool:
        return self._home is not None and bool(getattr(self._home, "is_running", lambda: True)())

    def _disown(self) -> None:
        super()._disown()
        self._loop, self._place = NO_LOOP, NOWHERE

    def _call_at(self, deadline: float) -> None:
        self._disarm()
        self._timer = self._loop.call_at(deadline, self._alarm)

    def _disarm(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _wake(self, waiters: Sequence[AnyWaiter]) -> None:
        for waiter in waiters:
            if not waiter.done:
                waiter.set_result(None)

    def _fail(self, waiters: Sequence[AnyWaiter], error: ZmqBridgeError) -> None:
        for waiter in waiters:
            if not waiter.done:
                waiter.set_exception(error)

    def _report(self, error: BaseException) -> None:
        self._loop.call_exception_handler(
            {"message": f"{type(error).__name__} in {self!r}", "exception": error}
        )

    def _stop(self) -> None:
        loop, self._loop, self._place = self._loop, NO_LOOP, NOWHERE
        if not loop.is_closed():
            loop.remove_reader(self._fd)
            if self._timer is not None:
                self._timer.cancel()

    async def drain(self, timeout: float | None = None) -> int:
        """Wait until libzmq has taken what is queued, and return how many messages it has not.

        What libzmq has taken may still be under way, or wait in its own queue for a peer.

        Args:
            timeout: seconds; None is for ever.

        Raises:
            SocketClosed: the socket is closed, or was while this waited.
        """
        timeout = patience(timeout)
        self._enter()
        with anyio.move_on_after(timeout):
            while (queue := self._pump.backlog()) is not None:
                await self._room_in(queue)
        return self._pump.queued

    async def aclose(self) -> None:
        """Close when what is queued has been sent, or after the linger time.

        Whoever waits gets `SocketClosed`. Cancelling it closes at once; closing twice is fine.
        """
        try:
            if self._pump.queues and not self._loop.is_closed():
                await self.drain(self._linger())
        except (SocketClosed, ContextTerminated):
            pass  # somebody was faster
        finally:
            self.close()

    def events(self) -> Events:
        """What happens to its connections from now on, by ``async for``.

        The first call also gets what has happened since the socket was made with
        ``monitor=True``. It ends when the socket is closed.

        Raises:
            SocketClosed: the socket is closed.
            LoopError: there is no running loop, or it is not this socket's.
        """
        self._enter()
        return self._attach().listen()

    async def connected(self, timeout: float = inf) -> None:
        """Wait until a peer is there: until its handshake has succeeded, or at once if it has.

        Args:
            timeout: seconds, ``math.inf`` for ever.

        Raises:
            ConnectTimeout: nobody came in time; its `failure` is the last that tried in vain.
            HandshakeFailed: every server that it connects to has refused it.
            StateUnknown: it was not made with ``monitor=True``, or all its addresses are inproc.
            SocketClosed: the socket is closed, or was while this waited.
            LoopError: there is no running loop, or it is not this socket's.
            TypeError, ValueError: the timeout is no number, or not greater than zero.
        """
        seconds(timeout)
        self._enter()
        monitor = self._monitor_of_peers()
        try:
            with anyio.fail_after(timeout):
                await self._until_connected(monitor)
        except TimeoutError:
            raise self._no_peer(timeout) from None

    def _make_monitor(self) -> LoopMonitor:
        from zmqbridge.asyncio_backend.loopmonitor import LoopMonitor

        monitor = LoopMonitor(context=self._context)
        if not self._loop.is_closed():
            monitor._enter(self._stand_in and self._stand_in.beside())
        return monitor

    async def _send(self, message: Sequence[bytes]) -> None:
        pump = self._pump
        if pump.sent >= self._yield_at or pump.queues or here() != self._place._thread_id:
            await self._clear_to_send(message)
        pump.send(message)

    def _send_nowait(self, message: Sequence[bytes]) -> None:
        if here() != self._place._thread_id:
            self._enter()
        self._pump.send(message)

    async def _clear_to_send(self, message: Sequence[bytes]) -> None:
        """Wait while the peer pushes back, and let the loop have its turn now and then."""
        self._enter()
        pump = self._pump
        while (queue := pump.queue_of(message)) and queue.paused:
            await self._room_in(queue)
        if pump.sent >= self._yield_at:
            self._yield_at = pump.sent + STRIDE
            if monotonic() > self._slice_end:
                await self._sleep(0)
                self._slice_end = monotonic() + SLICE
                self._check_open()

    async def _room_in(self, queue: Any) -> None:
        waiter = self._waiter(self._loop)
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
        try:
            return self._inbox.pop()
        except IndexError:
            pass
        return await self._next()

    async def _next(self) -> Item:
        inbox = self._inbox
        paused = inbox.paused
        if here() != self._place._thread_id:
            self._enter()
        item = inbox.poll()
        if item is None:
            waiter = self._waiter(self._loop)
            inbox.wait(waiter)
            try:
                await waiter
            except BaseException:
                inbox.forget(waiter)
                self._arrived()  # if it was told already, the message is another's
                raise
            if self._closed:  # since it was told
                self._check_open()
            paused = inbox.paused  # which may have come meanwhile
            item = inbox.take(waiter)
        if paused and not inbox.paused:
            self._pump.schedule()
        return item
