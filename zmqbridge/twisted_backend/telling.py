"""Telling: how Deferreds get an error, and how a reactor comes to those who are told later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from zmqbridge._bridge.untold import Untold, another
from zmqbridge.errors import ZmqBridgeError
from zmqbridge.twisted_backend.clocks import steady

Tell = Callable[[Sequence[Deferred[Any]], ZmqBridgeError], None]


def tell(waiters: Sequence[Deferred[Any]], error: ZmqBridgeError) -> None:
    """Give Deferreds an error, each one of its own."""
    for waiter in waiters:
        if not waiter.called:
            waiter.errback(another(error))


def fail(
    reactor: Any,
    waiters: Sequence[Any],
    error: ZmqBridgeError,
    tell: Tell = tell,
    remains: Sequence[Any] = (),
) -> None:
    """Give Deferreds an error; a crowd gets it in slices, with the reactor running in between."""
    Untold(tell, partial(soon, reactor)).add(waiters, error, remains)


def soon(reactor: Any, call: Callable[[], object]) -> bool:
    """Have a reactor make a call soon, at its shutdown at the latest; False if it makes none."""
    if not getattr(reactor, "running", False):  # a task.Clock does not say
        return False

    def make_soon() -> None:
        reactor.removeSystemEventTrigger(trigger)
        call()

    def make_now() -> None:
        if delayed.active():  # else somebody has cancelled it, as test runners do
            delayed.cancel()
        call()

    delayed = steady(reactor).callLater(0, make_soon)
    trigger = reactor.addSystemEventTrigger("during", "shutdown", make_now)
    return True
