"""Telling: gives Deferreds an error, a large number of them in slices that the reactor calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from zmqbridge._bridge.untold import Untold, another
from zmqbridge.errors import ZmqBridgeError
from zmqbridge.twisted_backend._clocks import steady

Tell = Callable[[Sequence[Deferred[Any]], ZmqBridgeError], None]


def tell(waiters: Sequence[Deferred[Any]], error: ZmqBridgeError) -> None:
    """Give Deferreds an error; each gets an error object of its own."""
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
    """Give Deferreds an error; if there are many, in slices, so that the reactor runs between."""
    Untold(tell, partial(soon, reactor)).add(waiters, error, remains)


def soon(reactor: Any, call: Callable[[], object]) -> bool:
    """Make a reactor call a function soon, at its shutdown at the latest.

    Returns:
        False if the reactor does not run, and so calls nothing.
    """
    if not getattr(reactor, "running", False):  # a task.Clock does not say
        return False

    def make_soon() -> None:
        reactor.removeSystemEventTrigger(trigger)
        call()

    def make_now() -> None:
        if delayed.active():  # test runners, for example, cancel all delayed calls
            delayed.cancel()
        call()

    delayed = steady(reactor).callLater(0, make_soon)
    trigger = reactor.addSystemEventTrigger("during", "shutdown", make_now)
    return True
