"""LoopSocket: a libzmq socket on a loop that is awaited, which is all waiting and ending."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, TimerHandle, _get_running_loop
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from threading import get_ident
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, Unpack

import anyio
from anyio.abc import UnreliableObjectReceiveStream

from zmqbridge._bridge.clock import monotonic
from zmqbridge._bridge.monitored import Monitored
from zmqbridge._bridge.patterns import Receiving, Sending
from zmqbridge._bridge.untold import another
from zmqbridge.asyncio_backend.anyio_loop import (
    AnyioLoop,
    AnyioWaiter,
    Nowhere,
    name_of,
    native_loop,
)
from zmqbridge.asyncio_backend.running import NOWHERE, here, place
from zmqbridge.asyncio_backend.waiter import FutureWaiter, Waiter, waiter_for
from zmqbridge.core.checks import patience, seconds
from zmqbridge.core.framing import BytesLike
from zmqbridge.core.pacing import SLICE, STRIDE
from zmqbridge.errors import ContextTerminated, LoopError, SocketClosed, ZmqBridgeError

if TYPE_CHECKING:
    from zmqbridge._bridge.monitoring import Events
    from zmqbridge.arguments import ExchangeArguments, ReceiverArguments, SenderArguments
    from zmqbridge.asyncio_backend.loopmonitor import LoopMonitor
    from zmqbridge.asyncio_backend.selector_thread import ThreadReader

Item = TypeVar("Item")
AnyWaiter = Waiter | FutureWaiter | AnyioWaiter[Any]


class Closed(SocketClosed, anyio.ClosedResourceError):
    """The socket was closed by you, in the words of this library and of anyio."""


class CannotWatch(LoopError):
    """This loop has no ``add_reader``, and the socket no task of its own in which to wait."""


NO_LOOP: Any = Nowhere()


def stand_in_for(asyncio_loop: AbstractEventLoop | None) -> AnyioLoop | ThreadReader:
    """What does for the running loop what that cannot do; None is for one that is not asyncio's."""
    if asyncio_loop is None:
        return AnyioLoop(native_loop())
    # Few need it; they alone load it.
    from zmqbridge.asyncio_backend.selector_thread import ThreadReader

    return ThreadReader(asyncio_loop)


class LoopSocket(Monitored):
    """An endpoint that belongs to the loop on which it is first used."""

    # What calls us while we are open and in use: asyncio's loop, or the AnyioLoop that stands in
    # for another.
    _loop: AbstractEventLoop = NO_LOOP
    _reader: Any = NO_LOOP  # what watches our FD: that, or the thread that does for asyncio's loop
    # Where it runs, and what to call to know whether that is here. Compiled, so it costs no frame.
    _place: Any = NOWHERE
    _here: Callable[[], object] = here
    _home: Any = None  # the loop that we belong to, for good
    _stand_in: AnyioLoop | ThreadReader | None = None
    _waiter: Callable[[Any], AnyWaiter] = Waiter  # what a task waits for here, made for our loop
    # Not anyio's, whose first use loads what it has for this loop: 13 ms amid a stream of messages.
    _sleep: Callable[[float], Awaitable[None]] = staticmethod(asyncio.sleep)
    _monitor: LoopMonitor | None = None
    closed_error: ClassVar[type[SocketClosed]] = Closed
    way_in = (
        "loop.call_soon_threadsafe or asyncio.run_coroutine_threadsafe, on trio by trio.from_thread"
    )
    _timer: TimerHandle | None = None
    _telling: Iterator[AnyWaiter] = iter(())  # those who are yet to be told
    _fd = -1
    _yield_at = STRIDE
    _slice_end = 0.0

    async def __aenter__(self) -> Self:
        try:
            self._enter()
        except CannotWatch:
            self._stand_in = stand_in_for(_get_running_loop())
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

    def _enter(self, stand_in: AnyioLoop | ThreadReader | None = None) -> None:
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
        reader: Any = stand_in or running
        loop: Any = stand_in.loop if stand_in else running
        fd = self._socket.fileno()
        try:
            reader.add_reader(fd, self._pump.ring)
        except (AttributeError, NotImplementedError):
            raise CannotWatch(
                f"{name_of(running)} has no add_reader, so {self!r} must wait in a task of its "
                "own: use `async with`, in which that task can live"
            ) from None
        self._loop, self._home, self._fd, self._reader = loop, running, fd, reader
        self._now = loop.time
        if isinstance(stand_in, AnyioLoop):
            self._waiter, self._sleep = AnyioWaiter, anyio.sleep
        else:
            asked, self._place = place(loop)
            if asked is not here:
                self._here = asked
            self._waiter = waiter_for(loop)
            self._stand_by()
        self._home_thread = self._maker if self._maker == get_ident() else get_ident()
        # Prime it: an inproc socket may never ring until its EVENTS were read once.
        self._call_soon()
        if self._monitor is not None:
            self._monitor._enter(stand_in and stand_in.beside())

    def _stand_by(self) -> None:
        # uvloop does not show what it will do next; it cannot be run again, either.
        ready = getattr(self._loop, "_ready", None)
        if isinstance(ready, deque):
            self._pump.stand_by(ready)

    def _standby_turn(self) -> asyncio.Handle:
        return asyncio.Handle(self._go_on_nested, (), self._loop)

    def _go_on_nested(self) -> None:
        # The loop is run again from within a callback of ours, whose context cannot be entered
        # twice. So it gets new ones, for now and for a run within this one.
        self._reader.remove_reader(self._fd)
        self._reader.add_reader(self._fd, self._pump.ring)
        self._stand_by()
        self._pump.standing_by(self._tell_rest)
        self._pump.turn()

    def _tell_rest(self) -> None:
        """Tell those whose turn it was after the one who runs the loop again."""
        if rest := list(self._telling):
            self._wake(rest)

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

    def _over(self) -> bool:
        return self._home is not None and bool(getattr(self._home, "is_closed", bool)())

    def _busy(self) -> bool:
        # A loop may run in another thread than when it was last asked which.
        return bool(getattr(self._home, "is_running", bool)()) or super()._busy()

    def _disown(self) -> None:
        super()._disown()
        loop, self._loop, self._place = self._loop, NO_LOOP, NOWHERE
        self._reader = NO_LOOP
        if not loop.is_closed():
            with suppress(Exception):  # of loops that we do not know
                from zmqbridge._bridge.inherited import own_selector  # for a forked child only

                if own_selector(loop):
                    loop.remove_reader(self._fd)
                # Called if the child goes on to run this loop, and only then.
                loop.call_soon(partial(self._turn_in_child, loop))

    def _turn_in_child(self, loop: AbstractEventLoop) -> None:
        """The loop runs in a forked child: say once that this is deaf there."""
        if not self._said:
            self._said = True
            error = self._of_parent()
            loop.call_exception_handler({"message": str(error), "exception": error})

    def _call_at(self, deadline: float) -> None:
        self._disarm()
        self._timer = self._loop.call_at(deadline, self._alarm)

    def _disarm(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _wake(self, waiters: Sequence[AnyWaiter]) -> None:
        telling = self._telling = iter(waiters)
        for waiter in telling:
            if not waiter.done:
                waiter.set_result(None)

    def _tell(self, waiters: Sequence[AnyWaiter], error: ZmqBridgeError) -> None:
        for waiter in waiters:
            if not waiter.done:
                waiter.set_exception(another(error))

    def _soon(self, call: Callable[[], object]) -> bool:
        if not self._running():
            return False
        if isinstance(self._home, AbstractEventLoop):
            self._home.call_soon(call)
            return True
        if not isinstance(self._stand_in, AnyioLoop):
            return False
        self._stand_in.make_soon(call)
        return True

    def _report(self, error: BaseException) -> None:
        self._loop.call_exception_handler(
            {"message": f"{type(error).__name__} in {self!r}", "exception": error}
        )

    def _stop(self) -> None:
        reader, self._reader = self._reader, NO_LOOP
        self._loop, self._place = NO_LOOP, NOWHERE
        if not reader.is_closed():
            reader.remove_reader(self._fd)
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

        Whoever waits gets `SocketClosed`, and was told when this returns. Cancelling it closes at
        once; closing twice is fine.
        """
        try:
            if self._pump.queues and not self._loop.is_closed():
                await self.drain(self._linger())
        except (SocketClosed, ContextTerminated):
            pass  # somebody was faster
        finally:
            self.close()
            while self._untold:
                await self._sleep(0)

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

    async def _send(self, message: Sequence[BytesLike]) -> None:
        pump = self._pump
        if pump.sent >= self._yield_at or pump.queues or self._here() != self._place._thread_id:
            await self._clear_to_send(message)
        pump.send(message)

    def _send_nowait(self, message: Sequence[BytesLike]) -> None:
        if self._here() != self._place._thread_id:
            self._enter()
        self._pump.send(message)

    async def _send_or_refuse(self, message: Sequence[BytesLike]) -> None:
        # As `_send`, but it waits for no peer: what has no room any more is refused.
        pump = self._pump
        if pump.sent >= self._yield_at or self._here() != self._place._thread_id:
            self._enter()
            await self._let_others_go_on()
        pump.send(message)

    async def _clear_to_send(self, message: Sequence[BytesLike]) -> None:
        """Wait while the peer pushes back, and let the loop have its turn now and then."""
        self._enter()
        pump = self._pump
        while (queue := pump.queue_of(message)) and queue.paused:
            await self._room_in(queue)
        await self._let_others_go_on()

    async def _let_others_go_on(self) -> None:
        pump = self._pump
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


class LoopSender(Sending, LoopSocket):
    """A socket to send with."""

    def __init__(self, **arguments: Unpack[SenderArguments]) -> None:
        """Each argument is described in `zmqbridge.arguments`."""
        super().__init__(**arguments)


class LoopReceiver(Receiving[Item], LoopSocket, UnreliableObjectReceiveStream[Item]):
    """A socket to receive from, by `receive` or ``async for``."""

    def __init__(self, **arguments: Unpack[ReceiverArguments]) -> None:
        """Each argument is described in `zmqbridge.arguments`."""
        super().__init__(**arguments)

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
        if self._here() != self._place._thread_id:
            self._enter()
        item = inbox.poll()
        waiter: AnyWaiter | None = None
        while item is None:
            before, waiter = waiter, self._waiter(self._loop)
            if inbox.wait(waiter, before):
                self._pump.schedule()
            try:
                await waiter
            except BaseException:
                inbox.forget(waiter)
                self._arrived()  # if it was told already, the message is another's
                raise
            if self._closed:  # since it was told
                self._check_open()
            paused = inbox.paused  # which may have come meanwhile
            item = inbox.take(waiter)  # nothing, when it was unsubscribed since it was told
        if paused and not inbox.paused:
            self._pump.schedule()
        return item


class LoopExchange(Sending, LoopReceiver[Item]):
    """A socket to receive from and to send with."""

    def __init__(self, **arguments: Unpack[ExchangeArguments]) -> None:
        """Each argument is described in `zmqbridge.arguments`."""
        super().__init__(**arguments)  # type: ignore[misc]  # `Sending` takes the rest
