"""Checks of what users give: pure functions that return the value, or say what to give instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import Any, TypeVar

from zmqbridge.core.framing import Address

Called = TypeVar("Called", bound=Callable[..., Any])

ONE = (str, bytes, bytearray, memoryview)  # address, not several


def several(addresses: Address | Iterable[Address], what: str = "addresses") -> list[Address]:
    """One address or several, as a list; `what` names them in the error.

    Raises:
        TypeError: they are neither.
    """
    if addresses == ():
        return []
    if isinstance(addresses, ONE):
        return [addresses]
    try:
        return list(addresses)
    except TypeError:
        kind = type(addresses).__name__
        text = f"{what} is given as {kind}: give one str or bytes, or several"
        if isinstance(addresses, int) and what != "tags":
            text += f", as 'tcp://127.0.0.1:{addresses}'"
        raise TypeError(text) from None


def seconds(timeout: float) -> float:
    """A timeout as it was given by the user.

    Raises:
        TypeError: it is no number.
        ValueError: it is not greater than zero.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout={timeout!r}: give seconds, or math.inf for ever")
    if not timeout > 0:
        raise ValueError(f"timeout={timeout!r}: give more than 0 seconds, or math.inf for ever")
    return timeout


def patience(timeout: float | None) -> float:
    """A timeout that may also be 0, or None for ever; raises as `seconds`."""
    return inf if timeout is None else timeout and seconds(timeout)


def handles(handler: Called) -> Called:
    """A handler of messages or events.

    Raises:
        TypeError: it cannot be called.
    """
    if not callable(handler):
        raise TypeError(f"handler={handler!r} cannot be called")
    return handler


def at_once(limit: int) -> int:
    """How many handlers may run at once.

    Raises:
        ValueError: it is less than one.
    """
    if limit < 1:
        raise ValueError(f"limit={limit!r}: at least one handler must be able to run")
    return limit


def held_at_most(prefetch: int) -> int:
    """How many messages may be held before a receiver asks for them.

    Raises:
        TypeError: it is no int.
        ValueError: it is negative.
    """
    _whole("prefetch", prefetch, "give a number of messages, 0 for none in advance")
    _at_least(0, "prefetch", prefetch, "give 0 for none in advance, or more")
    return prefetch


def bytes_at_most(prefetch_bytes: int) -> int:
    """How many bytes may be held before a receiver asks for them.

    Raises:
        TypeError: it is no int.
        ValueError: it is less than one.
    """
    _whole("prefetch_bytes", prefetch_bytes, "give a number of bytes")
    _at_least(1, "prefetch_bytes", prefetch_bytes, "for none in advance give prefetch=0")
    return prefetch_bytes


def queued_at_most(send_queue: float) -> float:
    """How many messages may wait to be sent.

    Raises:
        TypeError: it is neither an int nor ``math.inf``.
        ValueError: it is less than one.
    """
    if send_queue != inf:
        _whole("send_queue", send_queue, "give a number of messages, or math.inf")
        _at_least(1, "send_queue", send_queue, "one message at least must be able to wait")
    return send_queue


def _whole(name: str, value: object, hint: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}={value!r}: {hint}")


def _at_least(least: int, name: str, value: float, hint: str) -> None:
    if value < least:
        raise ValueError(f"{name}={value!r}: {hint}")
