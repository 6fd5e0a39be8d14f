"""What users give is returned as it is, or refused with a text that says what to give instead."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest

from zmqbridge.core.checks import (
    at_once,
    bytes_at_most,
    handles,
    held_at_most,
    patience,
    queued_at_most,
    seconds,
    several,
)


@pytest.mark.parametrize(
    ("given", "listed"),
    [
        ((), []),
        ([], []),
        ("a", ["a"]),
        (b"a", [b"a"]),
        (bytearray(b"a"), [bytearray(b"a")]),
        (memoryview(b"a"), [memoryview(b"a")]),
        (["a", b"b"], ["a", b"b"]),
        (iter("ab"), ["a", "b"]),
    ],
)
def test_one_or_several_are_a_list(given: Any, listed: list[Any]) -> None:
    assert several(given) == listed


def test_neither_one_nor_several_is_refused() -> None:
    with pytest.raises(TypeError, match="connect is given as int: give one str or bytes"):
        several(5, "connect")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"given as object: .*or several$"):
        several(object(), "connect")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (seconds, (0.001, 1, inf)),
        (patience, (0, 0.5, 1, inf)),
        (held_at_most, (0, 1, 10**9)),
        (bytes_at_most, (1, 10**9)),
        (queued_at_most, (1, 10**9, inf)),
        (at_once, (1, 100)),
        (handles, (print, [].append)),
    ],
)
def test_what_is_right_comes_back_as_it_is(
    check: Callable[..., Any], good: tuple[Callable[..., Any] | float, ...]
) -> None:
    for value in good:
        assert check(value) is value


def test_no_patience_given_is_for_ever() -> None:
    assert patience(None) == inf


@pytest.mark.parametrize(
    ("check", "name", "wrong"),
    [
        (seconds, "timeout", {"1": TypeError, True: TypeError, 0: ValueError, nan: ValueError}),
        (patience, "timeout", {"1": TypeError, True: TypeError, -1: ValueError}),
        (held_at_most, "prefetch", {1.5: TypeError, True: TypeError, -1: ValueError}),
        (bytes_at_most, "prefetch_bytes", {1.5: TypeError, True: TypeError, 0: ValueError}),
        (queued_at_most, "send_queue", {1.5: TypeError, "1": TypeError, 0: ValueError}),
        (at_once, "limit", {0: ValueError, -1: ValueError}),
        (handles, "handler", {5: TypeError}),
    ],
)
def test_what_is_wrong_is_named_and_shown(
    check: Callable[..., Any], name: str, wrong: dict[bool | float | str, type[Any]]
) -> None:
    for value, error in wrong.items():
        with pytest.raises(error, match=f"^{name}={value!r}"):
            check(value)
