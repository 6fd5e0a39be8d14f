"""Listening: gives a handler what a socket tells from now on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred

from zmqbridge.errors import ContextTerminated
from zmqbridge.twisted_backend._handlers import follow

if TYPE_CHECKING:
    from zmqbridge._bridge.listening import Listening

Listener = TypeVar("Listener", bound="Listening[Any]")


def hand_over(
    events: Listener,
    handler: Callable[[Any], object] | None,
    report: Callable[[BaseException], object],
) -> Listener:
    """Have a handler called with each event, if there is one; returns the listener.

    Args:
        events: what is told.
        handler: may return a Deferred or a coroutine.
        report: called with what goes wrong in the handler.
    """
    if handler is not None:
        Deferred.fromCoroutine(_hand_over(events, handler, report))
    return events


async def _hand_over(
    events: Listening[Any],
    handler: Callable[[Any], object],
    report: Callable[[BaseException], object],
) -> None:
    try:
        async for event in events:
            try:
                follow(handler(event), report)  # type: ignore[arg-type]
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                report(error)
    except ContextTerminated:
        pass
