"""What users give is returned as it is, or refused with a text that says what to give instead."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest

from zmqbridge.core._checks import (
    as_list,
    check_handler,
    check_limit,
    check_optional_timeout,
    check_prefetch,
    check_prefetch_bytes,
    check_send_queue,
    check_timeout,
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
    assert as_list(given) == listed


def test_neither_one_nor_several_is_refused() -> None:
    with pytest.raises(TypeError, match="connect is given as int: give one str or bytes"):
        as_list(5, "connect")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"given as object: .*or several$"):
        as_list(object(), "connect")  # type: ignore[arg-type]

    class Endpoint(tuple[str, str]):
        address = "tcp://h:1"

    with pytest.raises(TypeError, match=r"bind is given as Endpoint: .* bind=endpoint\.address"):
        as_list(Endpoint(("bind", "tcp://h:1")), "bind")


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (check_timeout, (0.001, 1, inf)),
        (check_optional_timeout, (0, 0.5, 1, inf)),
        (check_prefetch, (0, 1, 10**9)),
        (check_prefetch_bytes, (1, 10**9)),
        (check_send_queue, (1, 10**9, inf)),
        (check_limit, (1, 100)),
        (check_handler, (print, [].append)),
    ],
)
def test_what_is_right_comes_back_as_it_is(
    check: Callable[..., Any], good: tuple[Callable[..., Any] | float, ...]
) -> None:
    for value in good:
        assert check(value) is value


def test_no_timeout_is_for_ever() -> None:
    assert check_optional_timeout(None) == inf


@pytest.mark.parametrize(
    ("check", "name", "wrong"),
    [
        (
            check_timeout,
            "timeout",
            {"1": TypeError, True: TypeError, 0: ValueError, nan: ValueError},
        ),
        (check_optional_timeout, "timeout", {"1": TypeError, True: TypeError, -1: ValueError}),
        (check_prefetch, "prefetch", {1.5: TypeError, True: TypeError, -1: ValueError}),
        (check_prefetch_bytes, "prefetch_bytes", {1.5: TypeError, True: TypeError, 0: ValueError}),
        (check_send_queue, "send_queue", {1.5: TypeError, "1": TypeError, 0: ValueError}),
        (check_limit, "limit", {0: ValueError, -1: ValueError}),
        (check_handler, "handler", {5: TypeError}),
    ],
)
def test_what_is_wrong_is_named_and_shown(
    check: Callable[..., Any], name: str, wrong: dict[bool | float | str, type[Any]]
) -> None:
    for value, error in wrong.items():
        with pytest.raises(error, match=f"^{name}={value!r}"):
            check(value)


def test_a_number_that_no_clock_can_add_is_refused_without_all_its_digits() -> None:
    for check in (check_timeout, check_optional_timeout):
        with pytest.raises(ValueError, match=r"^timeout= is too large: give math\.inf"):
            check(10**5000)
        assert check(1.7e308) == 1.7e308
