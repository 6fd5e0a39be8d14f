"""ReactorReader: what a reactor calls to have a libzmq socket read, and the reactors that can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from threading import get_ident
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from zmqbridge.errors import LoopError, UsedAfterFork
from zmqbridge.guards import busy
from zmqbridge.inherited import own_poller
from zmqbridge.pump import Pump


def global_reactor() -> Any:
    """The reactor of this process; asking for it installs one, so nobody asks at import."""
    from twisted.internet import reactor

    return reactor


def watching(reactor: Any) -> Any:
    """The reactor, which must be able to watch an FD.

    Raises:
        LoopError: it is not.
    """
    # Not IReactorFDSet: what tests put together from a Clock seldom declares it.
    if not hasattr(reactor, "addReader"):
        raise LoopError(
            f"{reactor!r} cannot watch file descriptors (IReactorFDSet); use the epoll, poll, "
            "select or asyncio reactor"
        )
    return reactor


@implementer(IReadDescriptor)
class ReactorReader:
    """What a reactor calls to have a libzmq socket read, and one timer beside it.

    Whoever is one supplies `_reactor` and its clock as `_now`, `_pump`, `fileno` and, if it uses
    the timer, `_alarm`.
    """

    way_in = "reactor.callFromThread"

    read_scheduled: IDelayedCall | None = None
    _home_thread = 0
    _maker = 0
    _said: bool
    # Two underscores, because subclasses of the facade's classes have private names of their own.
    __timer: IDelayedCall | None = None
    _pump: Pump
    _reactor: Any
    _now: Callable[[], float]

    def fileno(self) -> int:
        raise NotImplementedError(self)

    def doRead(self) -> None:
        """The reactor calls this when the FD rings, and when the turn is due that we scheduled."""
        if not self._home_thread and self._running():
            self._home_thread = get_ident()
        scheduled, self.read_scheduled = self.read_scheduled, None
        if scheduled is None:
            self._pump.ring()
        else:
            if scheduled.active():
                scheduled.cancel()
            self._pump.turn()
        self._handle_received()

    def _handle_received(self) -> None:
        """Hand over what was received and is not handled yet, as there was no time for it."""

    def connectionLost(self, reason: Failure) -> None:
        """The reactor gave the FD up; stop reading it."""
        self._stop_reading()

    def logPrefix(self) -> str:
        """How log lines name this."""
        return type(self).__name__

    def _call_soon(self) -> None:
        if self.read_scheduled is None:
            self.read_scheduled = self._reactor.callLater(0, self.doRead)

    def _running(self) -> bool:
        return bool(getattr(self._reactor, "running", False))  # a task.Clock does not say

    def _over(self) -> bool:
        return not self._running()

    def _busy(self) -> bool:
        return busy(self._home_thread, self._maker, self._running(), self._over())

    def _call_at(self, deadline: float) -> None:
        if self.__timer is not None and self.__timer.active():
            self.__timer.cancel()
        self.__timer = self._reactor.callLater(max(0, deadline - self._now()), self._alarm)

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
                room.addTimeout(left, self._reactor)
            try:
                await room
            except TimeoutError:
                break
        return self._pump.queued

    def _stop_reading(self) -> None:
        self._reactor.removeReader(self)
        self._cancel_calls()

    def _cancel_calls(self) -> None:
        for call in (self.read_scheduled, self.__timer):
            if call is not None and call.active():
                call.cancel()
        self.read_scheduled = self.__timer = None

    def _disown(self) -> None:
        self._home_thread = -1
        if self._pump.closed:
            return
        self._pump.closed = True
        vars(self)["doRead"] = self._turn_in_child
        with suppress(Exception):  # of reactors that we do not know
            self._cancel_calls()
            # Called if the child goes on to run this reactor, and only then.
            self._reactor.callLater(0, self._turn_in_child)
            if own_poller(self._reactor):
                self._reactor.removeReader(self)

    def _turn_in_child(self) -> None:
        """The reactor runs in a forked child: say once that this is deaf there."""
        if not self._said:
            self._said = True
            self._report(self._of_parent())

    def _of_parent(self) -> UsedAfterFork:
        raise NotImplementedError(self)

    def _report(self, error: Exception) -> None:
        raise NotImplementedError(self)
