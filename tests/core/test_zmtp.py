"""The greeting and commands of ZMTP, by golden bytes and by whatever bytes there are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqbridge import MalformedMessage
from zmqbridge.core._zmtp import (
    Command,
    Greeting,
    pack_greeting,
    parse_command,
    parse_error,
    parse_greeting,
    parse_ready,
)

# As a ROUTER of libzmq 4.3.5 with the routing id node-7 begins.
LIBZMQ = (
    b"\xff\0\0\0\0\0\0\0\7\x7f\3\1NULL".ljust(64, b"\0")
    + b"\4/\5READY\x0bSocket-Type\0\0\0\6ROUTER\x08Identity\0\0\0\6node-7"
)


def test_what_libzmq_says() -> None:
    assert parse_greeting(LIBZMQ) == Greeting((3, 1), "NULL")
    parsed: Any = parse_command(LIBZMQ[64:] + b"more")
    command, rest = parsed
    assert (command.name, rest) == ("READY", b"more")
    assert parse_ready(command.body) == {"Socket-Type": b"ROUTER", "Identity": b"node-7"}


@pytest.mark.parametrize(
    ("data", "greeting"),
    [
        (b"\xff\0\0\0\0\0\0\0\1\x7f\1\2", Greeting((2, 0), "")),
        (b"\xff\0\0\0\0\0\0\0\1\x7f\0", Greeting((1, 0), "")),
        (b"\1\0", Greeting((1, 0), "")),
        (b"\1", None),
        (b"", None),
        (b"\xff\0\0\0\0\0\0\0\1\x7f", None),
    ],
)
def test_older_versions_and_what_is_not_whole(data: bytes, greeting: Greeting | None) -> None:
    assert parse_greeting(data) == greeting


@pytest.mark.parametrize("data", [b"HTTP/1.1", b"\1\1", b"\xff\0\0\0\0\0\0\0\1\0"])
def test_what_is_no_greeting(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse_greeting(data)


@pytest.mark.parametrize("mechanism", ["NULL", "PLAIN", "CURVE", "M" * 20])
def test_our_own_greeting(mechanism: str) -> None:
    packed = pack_greeting(mechanism)
    assert len(packed) == 64
    assert parse_greeting(packed) == Greeting((3, 1), mechanism)
    assert all(parse_greeting(packed[:end]) is None for end in range(64))
    with pytest.raises(ValueError, match="20 bytes"):
        pack_greeting("M" * 21)


def test_commands() -> None:
    assert parse_command(b"") is None
    assert parse_command(b"\4") is None
    assert parse_command(b"\4\2\1") is None
    assert parse_command(b"\4\7\5ERROR\3") == (Command("ERROR", b"\3"), b"")
    assert parse_error(b"\x03400") == "400"
    long = b"\5READY" + bytes(300)
    packed = b"\6" + len(long).to_bytes(8, "big") + long
    assert parse_command(packed) == (Command("READY", bytes(300)), b"")
    for wrong in b"\0\1x", b"\4\0", b"\6\xff" + bytes(7), b"\4\1\5":
        with pytest.raises(MalformedMessage):
            parse_command(wrong)
    for wrong in b"\4x", b"\1x\0\0\0\2y", b"\1x\0":
        with pytest.raises(MalformedMessage):
            parse_ready(wrong)


@given(st.binary(max_size=100))
def test_whatever_bytes_are_a_value_or_malformed(data: bytes) -> None:
    for parse in parse_greeting, parse_command, parse_ready, parse_error:
        for begin in b"", b"\xff", LIBZMQ[:12], b"\4":
            try:
                parse(begin + data)
            except MalformedMessage:
                pass
