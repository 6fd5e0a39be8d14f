"""Checks of arguments: pure functions that return a valid value, or raise and say what to give."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from math import inf
from typing import Any, TypeVar

from zmqbridge.core.framing import Address

Called = TypeVar("Called", bound=Callable[..., Any])

LONGEST = sys.float_info.max  # seconds that a clock can add
ONE = (str, bytes, bytearray, memoryview)  # one address, although these can be iterated over


def as_list(addresses: Address | Iterable[Address], what: str = "addresses") -> list[Address]:
    """One address or several, as a list; `what` names them in the error.

    Raises:
        TypeError: they are neither.
    """
    if addresses == ():
        return []
    if isinstance(addresses, ONE):
        return [addresses]
    if hasattr(addresses, "address"):  # a pair of words, and so two addresses otherwise
        kind = type(addresses).__name__
        raise TypeError(f"{what} is given as {kind}: give its address, as {what}=endpoint.address")
    try:
        return list(addresses)
    except TypeError:
        kind = type(addresses).__name__
        text = f"{what} is given as {kind}: give one str or bytes, or several"
        if isinstance(addresses, int) and what != "tags":
            text += f", as 'tcp://127.0.0.1:{addresses}'"
        raise TypeError(text) from None


def check_timeout(timeout: float) -> float:
    """Return a timeout in seconds that is greater than zero.

    Raises:
        TypeError: it is no number.
        ValueError: it is not greater than zero, or an int that is too large for a clock.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout={timeout!r}: give seconds, or math.inf for ever")
    if not timeout > 0:
        raise ValueError(f"timeout={timeout!r}: give more than 0 seconds, or math.inf for ever")
    if timeout > LONGEST and timeout != inf:  # not shown, as an int may have too many digits
        raise ValueError("timeout= is too large: give math.inf for ever")
    return timeout


def check_optional_timeout(timeout: float | None) -> float:
    """Return a timeout in seconds; 0 is valid, None means ``inf``. Raises as `check_timeout`."""
    return inf if timeout is None else timeout and check_timeout(timeout)


def check_handler(handler: Called) -> Called:
    """Return a handler of messages or events.

    Raises:
        TypeError: it cannot be called.
    """
    if not callable(handler):
        raise TypeError(f"handler={handler!r} cannot be called")
    return handler


def check_limit(limit: int) -> int:
    """Return the number of handlers that may run at once.

    Raises:
        ValueError: it is less than one.
    """
    if limit < 1:
        raise ValueError(f"limit={limit!r}: at least one handler must be able to run")
    return limit


def check_prefetch(prefetch: int) -> int:
    """Return the number of messages that may be held before a receiver asks for them.

    Raises:
        TypeError: it is no int.
        ValueError: it is negative.
    """
    _whole("prefetch", prefetch, "give a number of messages, 0 for none in advance")
    _at_least(0, "prefetch", prefetch, "give 0 for none in advance, or more")
    return prefetch


def check_prefetch_bytes(prefetch_bytes: int) -> int:
    """Return the number of bytes that may be held before a receiver asks for them.

    Raises:
        TypeError: it is no int.
        ValueError: it is less than one.
    """
    _whole("prefetch_bytes", prefetch_bytes, "give a number of bytes")
    _at_least(1, "prefetch_bytes", prefetch_bytes, "for none in advance give prefetch=0")
    return prefetch_bytes


def check_send_queue(send_queue: float) -> float:
    """Return the number of messages that may wait to be sent.

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
