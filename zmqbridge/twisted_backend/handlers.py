"""Handlers: calling what users gave to be called, and seeing through what it returns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from inspect import iscoroutine
from time import monotonic
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from zmqbridge.core.pacing import SLICE


def follow(
    result: object,
    report: Callable[[BaseException], None],
    unreported: Sequence[type[BaseException]] = (CancelledError,),
) -> Deferred[Any] | None:
    """See a handler through that returned a coroutine or a Deferred; None if it is done."""
    if iscoroutine(result):
        result = Deferred.fromCoroutine(result)
    if not isinstance(result, Deferred):
        return None

    def failed(failure: Failure) -> None:
        if not failure.check(*unreported):
            report(failure.value)  # type: ignore[arg-type]

    result.addErrback(failed)
    return None if result.called and not result.paused else result


def dispatch(
    messages: deque[Any],
    owner: object,
    hook: str,
    report: Callable[[BaseException], None],
    halted: Sequence[object] = (),
    see_through: Callable[[object, Callable[[BaseException], None]], object] = follow,
) -> None:
    """Hand over messages one by one, until there are none or a slice of time is up.

    A message leaves the deque right before it is handled, so this may be nested. What the hook
    raises is reported, and the next message is handed over: also what is no ``Exception``, for a
    reactor would take its reader away. A ``KeyboardInterrupt`` is for the reactor.

    Args:
        messages: what is to be handed over.
        owner: whose hook it is.
        hook: its name; it is looked up for each message, because users assign hooks at any time.
        report: told of what the hook raises.
        halted: ends it too, as soon as there is anything in it.
        see_through: does so with what the hook returns, `follow` by default.
    """
    end = monotonic() + SLICE if len(messages) > 1 else 0.0  # a lone one asks no clock
    while messages and not halted:
        try:
            result = getattr(owner, hook)(messages.popleft())
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            report(error)
        else:
            if result is not None:
                see_through(result, report)
        if messages and monotonic() > end:
            break


def follow_coroutine(result: object, report: Callable[[BaseException], None]) -> None:
    """See a coroutine through, which nobody else would; a Deferred somebody else may hold."""
    if iscoroutine(result):
        follow(result, report)
