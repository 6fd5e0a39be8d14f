"""ReactorReader: the object a reactor calls to read a libzmq socket; which reactors can do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from threading import get_ident
from typing import Any
from weakref import ref

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.python.failure import Failure
from twisted.python.threadable import isInIOThread
from zope.interface import implementer

from zmqbridge._bridge.guards import busy
from zmqbridge._bridge.inherited import own_poller
from zmqbridge._bridge.pump import Pump
from zmqbridge.errors import LoopError, UsedAfterFork
from zmqbridge.twisted_backend.clocks import hasten, real, steady, watch


def global_reactor() -> Any:
    """The reactor of this process; this installs one, so never call it at import."""
    from twisted.internet import reactor

    return reactor


def watching(reactor: Any) -> Any:
    """The reactor, if it is able to watch an FD.

    Raises:
        LoopError: the reactor cannot watch an FD.
    """
    # We do not ask for IReactorFDSet: reactors that tests build from a Clock seldom declare it.
    if not hasattr(reactor, "addReader"):
        raise LoopError(
            f"{reactor!r} cannot watch file descriptors (IReactorFDSet); use the epoll, poll, "
            "select or asyncio reactor"
        )
    return reactor


def elsewhere(reactor: Any) -> bool:
    """Whether the reactor runs now, in a thread other than this one."""
    if not getattr(reactor, "running", False):
        return False
    from twisted.internet.base import ReactorBase  # a real reactor has imported this module

    # The thread of a stand-in for a reactor is not known.
    return issubclass(type(reactor), ReactorBase) and not isInIOThread()


def call_weakly(whose: Callable[[], Any], name: str, *args: Any) -> None:
    """Call a method of an object, if the object still exists."""
    if (owner := whose()) is not None:
        getattr(owner, name)(*args)


def noticing(
    canceller: Callable[[Any], object], whose: Callable[[], Any], name: str
) -> Callable[[Any], None]:
    """A canceller of delayed calls that also calls a method, if its object still exists."""

    def cancel(call: Any) -> None:
        canceller(call)
        call_weakly(whose, name, call)

    return cancel


def revoke(call: Any) -> None:
    """Cancel a delayed call if it is pending; a stand-in for a reactor may return any object."""
    active = getattr(call, "active", None)
    if active is not None and active():
        call.cancel()


@implementer(IReadDescriptor)
class ReactorReader:
    """The reader that a reactor calls for a libzmq socket, with one timer.

    A subclass supplies `_reactor`, the reactor's clock as `_now`, `_pump`, `fileno` and, if it uses
    the timer, `_alarm`. It calls `_begin` when the reactor may start to read.
    """

    way_in = "reactor.callFromThread"

    read_scheduled: IDelayedCall | None = None
    _home_thread = 0
    _maker = 0
    _said: bool
    _made_elsewhere = False
    _timer: IDelayedCall | None = None
    _due = -inf  # the deadline of the timer, if the reactor may call the timer too early
    _canceller: Any = None
    _noticing: Any = None
    _pump: Pump
    _reactor: Any
    _client: Any = None  # the object that the reactor calls in place of this one
    _now: Callable[[], float]

    def fileno(self) -> int:
        raise NotImplementedError(self)

    def _reader(self) -> Any:
        return self if self._client is None else self._client

    def _begin(self) -> None:
        """Ask the reactor to call us; the reactor does so in its own thread."""
        if elsewhere(self._reactor):
            self._made_elsewhere = True
            self._reactor.callFromThread(self._enter)
        else:
            self._enter()

    def _enter(self) -> None:
        if not self._pump.closed:
            self._reactor.addReader(self._reader())
            if (reactor := real(self._reactor)) is not None:
                watch(reactor)

    def doRead(self) -> None:
        """Read; the reactor calls this when the FD is readable and when a scheduled turn is due."""
        if not self._home_thread:
            self._settle_down()
        reader = self if self._client is None else self._client
        scheduled, reader.read_scheduled = reader.read_scheduled, None
        if scheduled is None:
            self._pump.ring()
        else:
            if not getattr(scheduled, "called", True):  # the FD was readable before the turn came
                if hasattr(scheduled, "canceller"):
                    scheduled.canceller = self._canceller  # so our own cancelling is not noticed
                revoke(scheduled)
            self._pump.turn()
        self._handle_received()

    def _settle_down(self) -> None:
        if not self._made_elsewhere:
            if self._running():
                self._home_thread = get_ident()
        elif self._pump.received:
            self._come_home()

    def _come_home(self) -> None:
        """Note the thread, if this is the first call from the reactor's own thread.

        Until then a program that made the socket in another thread may go on to set it up there.
        """
        if self._made_elsewhere and not self._home_thread and isInIOThread():
            self._home_thread = get_ident()

    def _handle_received(self) -> None:
        """Hand over received messages for which there was no time before."""

    def connectionLost(self, reason: Failure) -> None:
        """Stop reading: the reactor has given up the FD."""
        self._stop_reading()

    def logPrefix(self) -> str:
        """The name of this reader in log lines."""
        return type(self).__name__

    def _call_soon(self) -> None:
        reader = self if self._client is None else self._client
        if reader.read_scheduled is not None:
            return
        if get_ident() != self._home_thread and elsewhere(self._reactor):
            self._pump.due = False  # doRead will see no scheduled call, as when the FD is readable
            self._reactor.callFromThread(reader.doRead)
            return
        call = reader.read_scheduled = self._reactor.callLater(0, reader.doRead)
        # Like `_call_later`, but without a new object for each call.
        if self._noticing is None:
            self._canceller = getattr(call, "canceller", None)  # the reactor has one for all calls
            self._noticing = self._canceller and noticing(
                self._canceller, ref(self), "_read_cancelled"
            )
        if self._noticing is not None:
            call.canceller = self._noticing

    def _standby_turn(self) -> Any:
        """Return None: a reactor does not show what it will do next."""

    def _running(self) -> bool:
        return bool(getattr(self._reactor, "running", False))  # a task.Clock does not say

    def _over(self) -> bool:
        return not self._running()

    def _busy(self) -> bool:
        return busy(self._home_thread, self._maker, self._running(), self._over())

    def _call_later(self, delay: float, work: Callable[[], object], cancelled: str) -> Any:
        """Make a delayed call; if anything cancels it, the method `cancelled` is called.

        Programs and test runners cancel all delayed calls of a reactor, including ours.
        """
        call = self._reactor.callLater(delay, work)
        canceller = getattr(call, "canceller", None)
        if canceller is not None:  # the calls of a stand-in for a reactor may have none
            call.canceller = noticing(canceller, ref(self), cancelled)
        return call

    def _read_cancelled(self, call: Any) -> None:
        reader = self._reader()
        if reader.read_scheduled is call:  # so the program has cancelled it, and not we
            reader.read_scheduled = None
            self._pump.due = False
            self._call_anyway("_read_again")

    def _timer_cancelled(self, call: Any) -> None:
        if self._timer is call:  # so the program has cancelled it, and not we
            self._timer_lost()

    def _timer_lost(self) -> None:
        """Run the alarm early, because the program has cancelled the timer."""
        self._call_anyway("_alarm")

    def _read_again(self) -> None:
        self._reader().doRead()

    def _call_anyway(self, name: str) -> None:
        # This is no delayed call, because some programs cancel those until there are none. And it
        # has only a weak reference, because a program may forget a socket in this way, and that
        # socket must not be kept alive.
        hand_in = getattr(self._reactor, "callFromThread", None)
        if hand_in is not None:
            hand_in(call_weakly, ref(self), name)

    def _call_at(self, deadline: float) -> None:
        self._disarm()
        self._due = -inf if real(self._reactor) is None else deadline
        delay = max(0, deadline - self._now())
        self._timer = self._call_later(delay, self._go_off, "_timer_cancelled")

    def _go_off(self) -> None:
        if self._now() < self._due:  # the wall clock was set forward
            self._call_at(self._due)
        else:
            self._alarm()

    def _set_right(self) -> None:
        """Correct our delayed calls: the wall clock was set back, so they would come too late."""
        if self._timer is not None and self._timer.active() and self._due > -inf:
            self._call_at(self._due)
        hasten(self._reader().read_scheduled)

    def _disarm(self) -> None:
        timer, self._timer = self._timer, None
        revoke(timer)

    def _alarm(self) -> None:
        raise NotImplementedError(self)

    def _wake(self, waiters: Sequence[Deferred[None]]) -> None:
        for waiter in waiters:
            if not waiter.called:
                waiter.callback(None)

    def _room_in(self, queue: Any) -> Deferred[None]:
        waiter: Deferred[None] = Deferred(queue.forget)
        queue.wait(waiter)
        return waiter

    async def _drain(self, timeout: float) -> int:
        deadline = self._now() + timeout
        while (queue := self._pump.backlog()) is not None and (left := deadline - self._now()) > 0:
            room = self._room_in(queue)
            if left < inf:
                room.addTimeout(left, steady(self._reactor))
            try:
                await room
            except TimeoutError:
                break
        return self._pump.queued

    def _stop_reading(self) -> None:
        reader = self._reader()
        self._reactor.removeReader(reader)
        self._cancel_calls()

    def _cancel_calls(self) -> None:
        reader = self._reader()
        scheduled, reader.read_scheduled = reader.read_scheduled, None
        revoke(scheduled)
        self._disarm()

    def _disown(self) -> None:
        self._home_thread = -1
        if self._pump.closed:
            return
        self._pump.closed = True
        vars(self)["doRead"] = self._turn_in_child
        with suppress(Exception):  # reactors that we do not know may raise anything
            self._cancel_calls()
            # This call runs only if the child goes on to run this reactor.
            self._reactor.callLater(0, self._turn_in_child)
            if own_poller(self._reactor):
                self._reactor.removeReader(self._reader())

    def _turn_in_child(self) -> None:
        """Report once that this socket receives nothing: the reactor runs in a forked child."""
        if not self._said:
            self._said = True
            self._report(self._of_parent())

    def _of_parent(self) -> UsedAfterFork:
        raise NotImplementedError(self)

    def _report(self, error: BaseException) -> None:
        raise NotImplementedError(self)
