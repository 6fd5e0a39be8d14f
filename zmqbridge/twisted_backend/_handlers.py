"""Handlers: calls the users' handlers, and follows the coroutines and Deferreds they return."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from inspect import iscoroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from zmqbridge._bridge.clock import monotonic
from zmqbridge.core._pacing import SLICE


def follow(
    result: object,
    report: Callable[[BaseException], None],
    message: object = None,
) -> Deferred[Any] | None:
    """Follow the result of a handler to its end, if that is a coroutine or a Deferred.

    Args:
        result: what the handler returned.
        report: called with the error in which it ends.
        message: what the handler was called with; others than this function may need it.

    Returns:
        The Deferred; None if the handler is done.
    """
    if iscoroutine(result):
        result = Deferred.fromCoroutine(result)
    if not isinstance(result, Deferred):
        return None

    def failed(failure: Failure) -> None:
        report(failure.value)  # type: ignore[arg-type]

    result.addErrback(failed)
    return None if result.called and not result.paused else result


def dispatch(
    messages: deque[Any],
    owner: object,
    hook: str,
    report: Callable[[BaseException], None],
    halted: Sequence[object] = (),
    see_through: Callable[[object, Callable[[BaseException], None], object], object] = follow,
    monotonic: Callable[[], float] = monotonic,
) -> None:
    """Call a hook with messages one by one, until there are none or a slice of time is over.

    A message leaves the deque right before it is handled, so this function may be nested. If the
    hook raises, the error is reported and the next message is handled. This holds for every
    ``BaseException``, because a reactor would remove its reader otherwise; only a
    ``KeyboardInterrupt`` goes on to the reactor.

    Args:
        messages: the messages to handle.
        owner: the object that has the hook.
        hook: the name of the hook; it is looked up for each message, because users assign hooks at
            any time.
        report: called with an error of the hook.
        halted: the loop also ends as soon as this is not empty.
        see_through: follows what the hook returned for a message; the default is `follow`.
        monotonic: the clock of the slices.
    """
    end = monotonic() + SLICE if len(messages) > 1 else 0.0  # a single message needs no clock
    while messages and not halted:
        try:
            message = messages.popleft()
            result = getattr(owner, hook)(message)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            report(error)
        else:
            if result is not None:
                see_through(result, report, message)
        if messages and monotonic() > end:
            break


def follow_coroutine(
    result: object, report: Callable[[BaseException], None], message: object
) -> None:
    """Follow a coroutine, as nothing else would run it.

    A Deferred is left alone, because the program may hold it and add callbacks of its own.
    """
    if iscoroutine(result):
        follow(result, report)
