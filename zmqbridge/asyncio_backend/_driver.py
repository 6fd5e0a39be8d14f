"""LoopDriver: drives a socket on asyncio's loop, or on an object that stands in for a loop."""

from __future__ import annotations

import asyncio
import sys
from asyncio import AbstractEventLoop, TimerHandle, _get_running_loop
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any

from zmqbridge._bridge.clock import monotonic
from zmqbridge._bridge.driver import Keeper
from zmqbridge._bridge.guards import busy
from zmqbridge._bridge.pace import Pace
from zmqbridge._bridge.untold import another
from zmqbridge.asyncio_backend._running import (
    NO_TOKEN,
    NoLoop,
    current,
    log_error,
    name_of,
    native_loop,
    token_of,
)
from zmqbridge.asyncio_backend._waiter import FutureWaiter, Waiter, waiter_for
from zmqbridge.core.patterns import NOTHING
from zmqbridge.errors import LoopError, ZmqBridgeError

if TYPE_CHECKING:
    from zmqbridge._bridge.link import Link
    from zmqbridge.asyncio_backend._anyio_loop import AnyioLoop, AnyioWaiter
    from zmqbridge.asyncio_backend._selector_thread import ThreadReader

    AnyWaiter = Waiter | FutureWaiter | AnyioWaiter[Any]
NO_LOOP: Any = NoLoop()


class CannotWatch(LoopError):
    """This loop has no ``add_reader``, and the socket has no task of its own in which to wait."""


def stand_in_for(asyncio_loop: AbstractEventLoop | None) -> AnyioLoop | ThreadReader:
    """What watches FDs where the running loop cannot; None stands for a loop of another kind."""
    # Each is loaded by the few programs that need it.
    if asyncio_loop is None:
        from zmqbridge.asyncio_backend._anyio_loop import AnyioLoop

        return AnyioLoop(native_loop())
    from zmqbridge.asyncio_backend._selector_thread import ThreadReader

    return ThreadReader(asyncio_loop)


def of_twisted() -> str:
    """A hint for the error where a reactor runs and no loop."""
    reactor = sys.modules.get("twisted.internet.reactor")
    if reactor is None:
        return ""
    if not getattr(reactor, "running", False):  # which it does not yet in the function of `react`
        return (
            "; in a program of Twisted take the class of this name from zmqbridge.twisted_backend"
        )
    return "; Twisted's reactor runs here, for which zmqbridge.twisted_backend has the same class"


class LoopDriver(Pace):
    """Drives a socket on the loop on which it is first used; see `Driver`.

    Attributes:
        loop: what calls the socket while it is open and in use: asyncio's loop, or the AnyioLoop
            that stands in for another.
        current, token: whether the loop runs the current call, see the module `_running`.
        stand_in: what watches the FD where the loop cannot; None where the loop can.
        waiter: makes what a task waits for, called with `loop`.
        sleep: that of this loop. On asyncio it is not anyio's, because the first use of that loads
            modules: 13 ms in the middle of a stream of messages.
    """

    way_in = (
        "loop.call_soon_threadsafe or asyncio.run_coroutine_threadsafe, on trio by trio.from_thread"
    )

    __slots__ = (
        "_beside", "_fd", "_home", "_maker", "_reader", "_telling", "_timer", "current",
        "home_thread", "keeper", "loop", "now", "sleep", "stand_in", "token", "waiter",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.home_thread: int = 0
        self.link: Link
        self.keeper: Keeper = Keeper()
        self.loop: Any = NO_LOOP
        self.current: Callable[[], object] = current
        self.token: Any = NO_TOKEN
        self.stand_in: AnyioLoop | ThreadReader | None = None
        self.now: Callable[[], float] = monotonic  # until there is a loop
        self.waiter: Callable[[Any], AnyWaiter] = Waiter
        self.sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
        self._maker = get_ident()
        self._home: Any = None  # the loop that it belongs to, for good
        self._reader: Any = NO_LOOP  # what watches the FD: the loop, or its stand-in
        self._fd = -1
        self._timer: TimerHandle | None = None
        self._telling: Iterable[tuple[AnyWaiter, Any]] = ()  # those that `tell` has yet to tell
        self._beside: list[LoopDriver] = []

    def drive(self, link: Link) -> None:
        self.link = link
        self.pump = link.pump

    def check_open(self) -> None:
        """Make the running loop the socket's own, or say why a call cannot be served."""
        self.enter()

    def enter(self, stand_in: AnyioLoop | ThreadReader | None = None) -> None:
        """Make the running loop the socket's own, or say why that cannot be.

        This is the slow path of the check that each call of the socket makes: whether `loop` runs
        here. Calls come here the first time, on another loop or none, and when the socket is
        closed; on loops with an `AnyioLoop`, always.
        """
        if self.home_thread or self.link.closed:
            self.link.check_open()
        running = _get_running_loop() or native_loop()
        if running is None:
            raise LoopError(
                f"{self.link!r} needs a running event loop: call it from a coroutine{of_twisted()}"
            )
        if running is self._home:
            return
        if self._home is not None:
            raise LoopError(f"{self.link!r} belongs to another loop; make one for each")
        reader: Any = stand_in or running
        loop: Any = stand_in.loop if stand_in else running
        fd = self.link.socket.fileno()
        try:
            reader.add_reader(fd, self.pump.ring)
        except (AttributeError, NotImplementedError):
            raise CannotWatch(
                f"{name_of(running)} has no add_reader, so {self.link!r} must wait in a task of "
                "its own: use `async with`, in which that task can live"
            ) from None
        self.loop, self._home, self._fd, self._reader = loop, running, fd, reader
        self.now = loop.time
        if loop is not running:  # but an AnyioLoop
            self.waiter, self.sleep = loop.waiter, loop.sleep
        else:
            self.current, self.token = token_of(loop)
            self.waiter = waiter_for(loop)
            self._stand_by()
        self.home_thread = self._maker if self._maker == get_ident() else get_ident()
        # Prime it: an inproc socket may never ring until its EVENTS were read once.
        self.call_soon()
        for other in self._beside:
            other.enter(stand_in and stand_in.beside())
            other.keeper.alarm()

    async def enter_with_stand_in(self) -> None:
        """The same in an ``async with``, in which a stand-in for the loop can live."""
        try:
            self.enter()
        except CannotWatch:
            self.stand_in = stand_in_for(_get_running_loop())
            await self.stand_in.__aenter__()
            self.enter(self.stand_in)

    async def leave(self) -> None:
        """The ``async with`` ends."""
        stand_in, self.stand_in = self.stand_in, None
        if stand_in is not None:
            await stand_in.__aexit__()

    def beside(self) -> LoopDriver:
        other = LoopDriver()
        # One that asks again on a new socket has no use for the old one.
        links = ((each, getattr(each, "link", None)) for each in self._beside)
        self._beside = [each for each, link in links if link is not None and not link.closed]
        self._beside.append(other)
        return other

    def join(self, other: LoopDriver) -> None:
        """Have a driver work on the loop, too: it was made by `beside` and has a link now."""
        if not self.loop.is_closed():
            other.enter(self.stand_in and self.stand_in.beside())

    def _stand_by(self) -> None:
        # uvloop does not show what it will do next; it cannot be run again, either.
        ready = getattr(self.loop, "_ready", None)
        if isinstance(ready, deque):
            self.pump.stand_by(ready)

    def standby_turn(self) -> asyncio.Handle:
        return asyncio.Handle(self._go_on_nested, (), self.loop)

    def _go_on_nested(self) -> None:
        # The loop is run again from within a callback of ours, whose context cannot be entered
        # twice. So we register new callbacks, for this run and for a run within it.
        self._reader.remove_reader(self._fd)
        self._reader.add_reader(self._fd, self.pump.ring)
        self._stand_by()
        self.pump.standing_by(self._tell_rest)
        self.pump.turn()

    def _tell_rest(self) -> None:
        """Tell the waiters after the one whose task runs the loop again."""
        if rest := list(self._telling):
            self.tell(*zip(*rest, strict=True))

    def call_soon(self) -> None:
        # Before `enter` there is no loop, and `enter` begins with a turn.
        if not self.loop.is_closed():
            self.loop.call_soon(self.pump.turn)

    def come_home(self) -> None:
        if self._home is not None and self._home is (_get_running_loop() or native_loop()):
            self.home_thread = get_ident()  # it may run in another thread than before

    def running(self) -> bool:
        return self._home is not None and bool(getattr(self._home, "is_running", lambda: True)())

    def over(self) -> bool:
        return self._home is not None and bool(getattr(self._home, "is_closed", bool)())

    def busy(self) -> bool:
        # A loop may run in another thread than when it was last asked which.
        return bool(getattr(self._home, "is_running", bool)()) or busy(
            self.home_thread, self._maker, self.running(), self.over()
        )

    def disown(self) -> None:
        loop, self.loop, self.token = self.loop, NO_LOOP, NO_TOKEN
        self._reader = NO_LOOP
        if not loop.is_closed():
            with suppress(Exception):  # of loops that we do not know, or cannot watch FDs
                from zmqbridge._bridge.inherited import own_selector  # for a forked child only

                if own_selector(loop):
                    loop.remove_reader(self._fd)
            with suppress(Exception):
                # Called if the child goes on to run this loop, and only then.
                loop.call_soon(partial(self._turn_in_child, loop))

    def _turn_in_child(self, loop: AbstractEventLoop) -> None:
        """The loop runs in a forked child: say once that the socket is deaf there."""
        if not self.link.said:
            self.link.said = True
            error = self.link.of_parent()
            loop.call_exception_handler({"message": str(error), "exception": error})

    def call_at(self, deadline: float) -> None:
        self.disarm()
        if not self.loop.is_closed():  # else the keeper sets it again when there is a loop
            self._timer = self.loop.call_at(deadline, self.keeper.alarm)

    def disarm(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def tell(self, waiters: Sequence[AnyWaiter], results: Iterable[Any] = NOTHING) -> None:
        telling = self._telling = zip(waiters, results)  # noqa: B905  NOTHING is endless
        try:
            for waiter, result in telling:
                if not waiter.done:
                    waiter.set_result(result)
                elif result is not None:
                    self.keeper.missed()
        except BaseException:  # a task that was stepped ends the program, e.g. by SystemExit
            if (rest := list(telling)) and not self.loop.is_closed():
                self.loop.call_soon(self.tell, *zip(*rest, strict=True))
            raise
        self._telling = ()  # a zip keeps a reference to its last result

    def fail(self, waiters: Sequence[AnyWaiter], error: ZmqBridgeError) -> None:
        for waiter in waiters:
            if not waiter.done:
                waiter.set_exception(another(error))

    def soon(self, call: Callable[[], object]) -> bool:
        if not self.running():
            return False
        if isinstance(self._home, AbstractEventLoop):
            self._home.call_soon(call)
            return True
        make_soon = getattr(self.stand_in, "make_soon", None)
        if make_soon is not None:
            make_soon(call)
        return make_soon is not None

    def report(self, error: BaseException) -> None:
        # By the loop also after the socket was closed; trio has no such method.
        show = getattr(self._home, "call_exception_handler", log_error)
        show({"message": f"{type(error).__name__} in {self.link!r}", "exception": error})

    def stop(self) -> list[Any]:
        reader, self._reader = self._reader, NO_LOOP
        self.loop, self.token = NO_LOOP, NO_TOKEN
        if not reader.is_closed():
            reader.remove_reader(self._fd)
            if self._timer is not None:
                self._timer.cancel()
        return []

    async def room_in(self, queue: Any) -> None:
        waiter = self.waiter(self.loop)
        queue.wait(waiter)
        try:
            await waiter
        finally:
            queue.forget(waiter)

    def go_round(self) -> Awaitable[None]:
        return self.sleep(0)
