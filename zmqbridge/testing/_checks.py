"""Checks of arguments of the simulation: each returns a valid value, or says what to give."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Any


def a_number(name: str, value: Any, what: str) -> float:
    """A number, and no bool.

    Raises:
        TypeError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}={value!r}: give {what}")
    return value


def seconds(name: str, value: Any, least: float = 0, *, above: bool = False) -> float:
    """A number of seconds, at least so many, or more than so many; never infinitely many.

    Raises:
        TypeError: it is no number.
        ValueError: it is out of range.
    """
    what = f"more than {least} seconds" if above else f"{least} or more seconds"
    number = a_number(name, value, what)
    if not least <= number < inf or (above and number == least):
        raise ValueError(f"{name}={value!r}: give {what}")
    return number


def whole(name: str, value: Any, least: int) -> int:
    """A whole number, at least this.

    Raises:
        TypeError: it is none.
        ValueError: it is less.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}={value!r}: give a whole number")
    if value < least:
        raise ValueError(f"{name}={value!r}: give {least} or more")
    return value


def called(name: str, value: Any, what: str = "a function") -> Any:
    """What can be called.

    Raises:
        TypeError: it cannot be.
    """
    if not callable(value):
        raise TypeError(f"{name}={value!r}: give {what}")
    return value


def several(name: str, value: Any, what: str, of: type = object) -> list[Any]:
    """A list of what can be iterated over; one text alone is none.

    Raises:
        TypeError: it cannot be iterated over, or not all of it is of this type.
    """
    if not isinstance(value, str | bytes) and isinstance(value, Iterable):
        found = list(value)
        if all(isinstance(each, of) for each in found):
            return found
    raise TypeError(f"{name}={value!r}: give a list of {what}")
