"""Driver: what a socket asks of its loop; and Keeper: what minds a socket's deadlines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Protocol

from zmqbridge.core.patterns import NOTHING
from zmqbridge.errors import ZmqBridgeError


class PumpDriver(Protocol):
    """What a `Pump` asks of its driver; with this alone a pump can be driven by hand.

    The driver owes the pump: `Pump.ring` whenever the FD rings, and `Pump.turn` once soon after
    each call of `call_soon`, which is made at most once between two turns.
    """

    def call_soon(self) -> None:
        """Have the loop call ``pump.turn()`` once, soon."""

    def standby_turn(self) -> Any:
        """A handle for the loop's queue, by which the loop calls ``turn``; see `Pump.stand_by`."""

    def tell(self, waiters: Sequence[Any], results: Iterable[Any] = NOTHING, /) -> object:
        """Give each waiter that still waits its result; the keeper is told of a reply missed."""

    def report(self, error: BaseException, /) -> object:
        """Show an error that belongs to no call, as programs on this loop expect."""


class Driver(PumpDriver, Protocol):
    """What stands between one socket and its loop; asyncio, trio and Twisted have each their own.

    It is made without a socket, and `drive` gives it one. The backend decides when the loop begins
    to watch the FD.
    """

    def fail(self, waiters: Sequence[Any], error: ZmqBridgeError, /) -> object:
        """Give each waiter that still waits an error of its own, a copy of this."""

    @property
    def home_thread(self) -> int:
        """The thread of the loop, as far as it is known; 0 before the loop runs."""

    @property
    def way_in(self) -> str:
        """How another thread hands a call to this loop."""

    @property
    def now(self) -> Callable[[], float]:
        """The loop's own clock, in seconds."""

    keeper: Keeper
    """What minds the deadlines of the socket."""

    def drive(self, link: Any) -> None:
        """Work for this `Link` from now on."""

    def why_silent(self) -> str:
        """Why the loop does not call this driver, where that can be seen; else ""."""

    def come_home(self) -> None:
        """Look again which thread the loop runs in: a call came from another one."""

    def running(self) -> bool:
        """Whether the loop runs now."""

    def over(self) -> bool:
        """Whether the loop will never run again, as far as that can be told."""

    def busy(self) -> bool:
        """Whether a thread other than this one may be using the socket now."""

    def call_at(self, deadline: float) -> None:
        """Set the one timer again: have the loop call ``keeper.alarm()`` at `deadline`."""

    def disarm(self) -> None:
        """Stop the timer, if it is set."""

    def soon(self, call: Callable[[], object]) -> bool:
        """Have the loop make a call soon, also when the socket is closed; False if it cannot."""

    def room_in(self, queue: Any) -> Awaitable[None]:
        """Register a waiter in a queue, and wait until the waiter is told."""

    def beside(self) -> Any:
        """Another driver on the same loop, for a socket that belongs to this one."""

    def join(self, other: Any) -> None:
        """Have a driver work on the loop, too: it was made by `beside` and has a socket now."""

    def stop(self) -> list[Any]:
        """Stop all calls of the loop; returns the waiters that the driver itself had to tell."""

    def disown(self) -> None:
        """This process is a forked child: leave the loop, which may be inherited."""


class Keeper:
    """What minds the deadlines of a socket; this one, of a socket that has none.

    Attributes:
        timed: what the timer is set for. When this is empty after waiters were told, a driver whose
            loop counts the pending timers calls `disarm_if_unused`.
    """

    timed: Collection[Any] = (None,)

    def alarm(self) -> None:
        """The timer went off."""

    def disarm_if_unused(self) -> None:
        """Stop the timer, as nothing needs it."""

    def timer_cancelled(self) -> bool:
        """The program has cancelled the timer; True if the timer will be set again in time."""
        return False

    def missed(self) -> None:
        """A reply was for a waiter that waits no more, and so gets nothing."""

    def refused(self, error: Any) -> bool:
        """No server accepts this socket; True if a waiter was told so."""
        return False
