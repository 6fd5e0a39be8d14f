"""ReactorDriver: drives a socket on a reactor, which calls it to read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from math import inf
from threading import get_ident
from typing import TYPE_CHECKING, Any
from weakref import ref

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.logger import Logger
from twisted.python import threadable
from twisted.python.failure import Failure
from twisted.python.threadable import isInIOThread
from zope.interface import implementer

from zmqbridge._bridge.driver import Keeper
from zmqbridge._bridge.guards import busy
from zmqbridge._bridge.inherited import own_poller
from zmqbridge._bridge.pace import Pace
from zmqbridge.core.patterns import NOTHING
from zmqbridge.errors import ZmqBridgeError
from zmqbridge.twisted_backend._clocks import clock_of, hasten, real, watch
from zmqbridge.twisted_backend._reactors import (
    call_anyway,
    call_later,
    elsewhere,
    noticing,
    other_loop,
    require_fd_reactor,
    revoke,
)
from zmqbridge.twisted_backend._signalled import wait_when_signalled
from zmqbridge.twisted_backend._telling import soon, tell
from zmqbridge.twisted_backend._waiters import Waiter

if TYPE_CHECKING:
    from zmqbridge._bridge.link import Link
    from zmqbridge._bridge.pump import Pump


@implementer(IReadDescriptor)
class ReactorDriver(Pace):
    """Drives a socket on a reactor, as the reader that the reactor calls; see `Driver`.

    Args:
        reactor: calls it.
        client: the object that the reactor calls instead of this one, and that has
            `read_scheduled`.
        now: the clock of the deadlines, by default `clock_of` the reactor.

    Attributes:
        read_scheduled: the delayed call of the next turn, None if there is none.
        handling: if there is a handler, hands over the messages for which there was no time yet.
        timer: the delayed call of the timer, None if it is not set.
    """

    way_in = "reactor.callFromThread"

    __slots__ = (
        "__weakref__", "_begun", "_canceller", "_due", "_fd", "_made_elsewhere", "_maker",
        "_noticing", "_reader", "_yielding", "handling", "home_thread", "keeper", "link", "now",
        "reactor", "read_scheduled", "timer",
    )  # fmt: skip

    def __init__(
        self, reactor: Any, client: Any = None, now: Callable[[], float] | None = None
    ) -> None:
        super().__init__()
        self.reactor: Any = require_fd_reactor(reactor)
        self.now: Callable[[], float] = now or clock_of(self.reactor)
        self.home_thread: int = 0
        self.link: Link
        self.keeper: Keeper = Keeper()
        self.handling: Callable[[], object] | None = None
        self.read_scheduled: IDelayedCall | None = None
        self.timer: IDelayedCall | None = None
        self._reader: Any = self if client is None else client
        self._maker = get_ident()
        self._fd = -1
        self._made_elsewhere = False
        self._begun = False
        self._due = -inf  # the deadline of the timer, if the reactor may call the timer too early
        self._canceller: Any = None
        self._noticing: Any = None
        self._yielding: list[Waiter] = []

    def drive(self, link: Link) -> None:
        self.link = link
        self.pump: Pump = link.pump

    def check_open(self) -> None:
        """Refuse a call that cannot be served."""
        self.link.check_open()

    def fileno(self) -> int:
        """The FD that libzmq rings."""
        return self._fd

    def begin(self) -> None:
        """Ask the reactor to call us; the reactor does so in its own thread."""
        self._begun = True
        self._fd = self.link.socket.fileno()
        if self.running() and isInIOThread():
            self.home_thread = get_ident()
        self.ask_reactor()
        # Prime it: an inproc socket may never ring until its EVENTS were read once. Not here,
        # because the constructor of a subclass may still go on.
        self.pump.schedule()

    def ask_reactor(self) -> None:
        """Have the reactor read from now on."""
        if elsewhere(self.reactor):
            self._made_elsewhere = True
            self.reactor.callFromThread(self.enter)
        else:
            self.enter()

    def enter(self) -> None:
        """Read; called in the reactor's thread."""
        if not self.pump.closed:
            self.reactor.addReader(self._reader)
            if (reactor := real(self.reactor)) is not None:
                watch(reactor)
                wait_when_signalled(reactor)

    def why_silent(self) -> str:
        return other_loop(self.reactor)

    def beside(self) -> ReactorDriver:
        return ReactorDriver(self.reactor)

    def join(self, other: ReactorDriver) -> None:
        other.begin()

    def doRead(self) -> None:
        """Read; the reactor calls this when the FD is readable and when a scheduled turn is due."""
        if self.home_thread <= 0:
            self._settle_down()
        scheduled, self.read_scheduled = self.read_scheduled, None
        if scheduled is None:
            self.pump.ring()
        else:
            if not getattr(scheduled, "called", True):  # the FD was readable before the turn came
                if hasattr(scheduled, "canceller"):
                    scheduled.canceller = self._canceller  # so our own cancelling is not noticed
                revoke(scheduled)
            self.pump.turn()
        if self.handling is not None:
            self.handling()
        if self._yielding:
            yielding, self._yielding = self._yielding, []
            self.tell(yielding)

    def _settle_down(self) -> None:
        if self.home_thread < 0:
            if self.link.forked:
                self._turn_in_child()
        elif not self._made_elsewhere:
            if self.running():
                self.home_thread = get_ident()
        elif self.pump.received:
            self.come_home()

    def come_home(self) -> None:
        """Note the thread, if this is the first call from the reactor's own thread.

        Until then a program that made the socket in another thread may go on to set it up there.
        But if it made the socket before the reactor ran, it may not do so once the reactor runs.
        """
        if self.home_thread or not self._begun:
            return
        if not self._made_elsewhere:
            if elsewhere(self.reactor):
                self.home_thread = threadable.ioThread or 0
        elif isInIOThread():
            self.home_thread = get_ident()

    def connectionLost(self, reason: Failure) -> None:
        """Stop reading: the reactor has given up the FD."""
        self.stop_reading()

    def logPrefix(self) -> str:
        """The name of this reader in log lines."""
        name: str = self.link.owner.__name__
        return name

    def call_soon(self) -> None:
        reader = self._reader
        if reader.read_scheduled is not None:
            return
        if get_ident() != self.home_thread and elsewhere(self.reactor):
            self.pump.turn_wanted = False  # doRead sees no scheduled call, as with a readable FD
            self.reactor.callFromThread(reader.doRead)
            return
        call = reader.read_scheduled = self.reactor.callLater(0, reader.doRead)
        # Like `call_later`, but without a new object for each call.
        if self._noticing is None:
            self._canceller = getattr(call, "canceller", None)  # the reactor has one for all calls
            self._noticing = self._canceller and noticing(
                self._canceller, ref(self), "read_cancelled"
            )
        if self._noticing is not None:
            call.canceller = self._noticing

    def standby_turn(self) -> Any:
        """Return None: a reactor does not show what it will do next."""

    def running(self) -> bool:
        return bool(getattr(self.reactor, "running", False))  # a task.Clock does not say

    def over(self) -> bool:
        return not self.running()

    def busy(self) -> bool:
        return busy(self.home_thread, self._maker, self.running(), self.over())

    def read_cancelled(self, call: Any) -> None:
        """A scheduled turn was cancelled."""
        reader = self._reader
        if reader.read_scheduled is call:  # so the program has cancelled it, and not we
            reader.read_scheduled = None
            self.pump.turn_wanted = False
            call_anyway(self.reactor, ref(self), "read_again")

    def timer_cancelled(self, call: Any) -> None:
        """The timer was cancelled."""
        # If it is still our timer, the program has cancelled it. Then the alarm comes early.
        if self.timer is call and not self.keeper.timer_cancelled():
            call_anyway(self.reactor, ref(self), "alarm")

    def read_again(self) -> None:
        """Read, as a turn that was scheduled will not come."""
        self._reader.doRead()

    def alarm(self) -> None:
        """The timer went off."""
        self.keeper.alarm()

    def call_at(self, deadline: float) -> None:
        self.disarm()
        self._due = -inf if real(self.reactor) is None else deadline
        delay = max(0, deadline - self.now())
        self.timer = call_later(self.reactor, delay, self._go_off, ref(self), "timer_cancelled")

    def _go_off(self) -> None:
        if self.now() < self._due:  # the wall clock was set
            real(self.reactor).callFromThread(self._arm_again, self.timer)  # see Delay._go_off
        else:
            self.alarm()

    def _arm_again(self, timer: Any) -> None:
        if self.timer is timer is not None:
            self.call_at(self._due)

    def correct(self) -> None:
        """Correct our delayed calls: the wall clock was set back, so they would come too late."""
        if self.timer is not None and self.timer.active() and self._due > -inf:
            self.call_at(self._due)
        hasten(self._reader.read_scheduled)

    def disarm(self) -> None:
        timer, self.timer = self.timer, None
        revoke(timer)

    def tell(self, waiters: Sequence[Waiter], results: Iterable[Any] = NOTHING) -> None:
        inbox = None
        for waiter, result in zip(waiters, results):  # noqa: B905  NOTHING is endless
            if not waiter.called:
                waiter.told(result)
            elif waiter.inbox is not None:  # a callback of another waiter has cancelled it
                inbox = waiter.inbox
                inbox.forget(waiter)
            elif result is not None:
                self.keeper.missed()
        if inbox is not None:
            self.tell(inbox.notify())
        # Only now, because a caller that gets its reply may send a request, which needs the timer.
        if self.timer is not None and not self.keeper.timed:
            self.keeper.disarm_if_unused()
        if self.handling is not None:
            self.handling()

    def fail(self, waiters: Sequence[Any], error: ZmqBridgeError) -> None:
        tell(waiters, error)

    def soon(self, call: Callable[[], object]) -> bool:
        return soon(self.reactor, call)

    def report(self, error: BaseException) -> None:
        owner = self.link.owner
        log = Logger(namespace=f"{owner.__module__.partition('._')[0]}.{owner.__name__}")
        log.failure("error in {socket!r}", Failure(error), socket=self.link)

    def room_in(self, queue: Any) -> Deferred[None]:
        waiter = Waiter(queue.forget)
        queue.wait(waiter)
        return waiter

    def go_round(self) -> Deferred[None]:
        turn = Waiter(self._yielding.remove)  # type: ignore[arg-type]
        self._yielding.append(turn)
        self.pump.schedule()
        return turn

    async def send_in_turn(self, message: Any) -> None:
        """Send a message when its peer takes messages and the loop has had its turn."""
        await self.clear_to_send(message)
        self.pump.send(message)

    async def send_or_refuse(self, message: Any) -> None:
        """Send a message when the loop has had its turn; without room it is refused."""
        await self.let_others_go_on()
        self.pump.send(message)

    def stop(self) -> list[Any]:
        if self._begun:
            self.stop_reading()
        self.home_thread = -1  # so that the next call goes to `refuse`
        yielding, self._yielding = self._yielding, []
        return yielding

    def stop_reading(self) -> None:
        """Stop all calls of the reactor."""
        self.reactor.removeReader(self._reader)
        self._cancel_calls()

    def _cancel_calls(self) -> None:
        reader = self._reader
        scheduled, reader.read_scheduled = reader.read_scheduled, None
        revoke(scheduled)
        self.disarm()

    def disown(self) -> None:
        self.home_thread = -1
        with suppress(Exception):  # reactors that we do not know may raise anything
            self._cancel_calls()
            # This call runs only if the child goes on to run this reactor.
            self.reactor.callLater(0, self._turn_in_child)
            if own_poller(self.reactor):
                self.reactor.removeReader(self._reader)

    def _turn_in_child(self) -> None:
        """Report once that this socket receives nothing: the reactor runs in a forked child."""
        if not self.link.said:
            self.link.said = True
            self.report(self.link.of_parent())
