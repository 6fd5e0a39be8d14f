"""Framing: what is joined splits back, and anything else is one kind of error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqbridge.core.framing import (
    as_bytes,
    as_name,
    as_parts,
    join_peer,
    join_topic,
    pack_reply,
    pack_request,
    split_all,
    split_peers,
    split_reply,
    split_request,
    split_topic,
)
from zmqbridge.errors import MalformedMessage

parts = st.lists(st.binary(max_size=4), max_size=6)
tags = st.binary(max_size=8).filter(lambda tag: b"\0" not in tag)


@given(tags, st.binary())
def test_a_joined_topic_splits_back(tag: bytes, body: bytes) -> None:
    assert split_topic([join_topic(tag, body)]) == (tag, body)


@given(st.binary(), st.binary())
def test_two_parts_are_tag_and_body(tag: bytes, body: bytes) -> None:
    assert split_topic([tag, body]) == (tag, body)


def test_one_part_without_separator_is_a_body() -> None:
    assert split_topic([b"plain"]) == (b"", b"plain")


def test_a_tag_with_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        join_topic(b"a\0b", b"")


def test_a_body_may_be_any_buffer_but_no_str() -> None:
    assert join_topic(b"t", bytearray(b"x")) == join_topic(b"t", memoryview(b"x")) == b"t\0x"
    with pytest.raises(TypeError, match=r"\.encode\(\)"):
        join_topic(b"t", "text")  # type: ignore[arg-type]


routes = st.lists(st.binary(min_size=1, max_size=4), min_size=1)


@given(routes, parts.filter(len), parts)
def test_a_request_and_its_reply_find_their_way(
    route: list[bytes], question: list[bytes], answer: list[bytes]
) -> None:
    assert split_request([*route, b"", *question]) == (route, question)
    assert split_request(pack_reply(route, answer), True) == (route, answer)
    assert split_reply(pack_reply(route[-1:], answer)) == (route[-1], answer)


@given(routes)
def test_a_request_of_no_part_is_malformed_unless_it_is_asked_for(route: list[bytes]) -> None:
    with pytest.raises(MalformedMessage, match="no part"):
        split_request([*route, b""])
    assert split_request([*route, b""], True) == (route, [])


@pytest.mark.parametrize("split", [split_topic, split_reply, split_request])
@given(message=parts)
def test_any_message_splits_or_is_malformed(
    split: Callable[..., Any], message: list[bytes]
) -> None:
    try:
        first, _ = split(message)
    except MalformedMessage as error:
        assert error.message == message
    else:
        assert isinstance(first, bytes | list)


@pytest.mark.parametrize(
    ("message", "shape"),
    [
        ([], "no part"),
        ([b"secret"], "1 part of 6 bytes"),
        ([b"", b"secret"], "2 parts of 0, 6 bytes"),
        ([b"secret" * 10_000] * 1000, "1000 parts of 60000, 60000, 60000, 60000, … bytes"),
    ],
)
def test_of_a_malformed_message_the_text_shows_the_shape_and_no_body(
    message: list[bytes], shape: str
) -> None:
    error = MalformedMessage("odd", message)
    assert str(error) == f"odd: {shape}"
    assert error.message == message


def test_parts_are_bytes_and_copied_where_they_could_change() -> None:
    message = (b"a", b"b")
    assert as_parts(message) is message
    buffer = bytearray(b"b")
    copied = as_parts([b"a", buffer])
    buffer[:] = b"c"
    assert copied == [b"a", b"b"]


@pytest.mark.parametrize("value", [5, None, object(), [1]])
def test_what_is_no_buffer_is_a_type_error_that_names_it(
    value: int | list[int] | object | None,
) -> None:
    with pytest.raises(TypeError, match=f"the thing is .*{type(value).__name__}"):
        as_bytes(value, "the thing")


def test_names_may_be_str() -> None:
    assert as_name("ä", "a tag") == "ä".encode()
    assert as_name(memoryview(b"x"), "a tag") == b"x"


def test_a_burst_is_split_past_what_is_malformed() -> None:
    burst = [[b"a\0x"], [b"1", b"2", b"3"], [], [b"b", b"y"]]
    items, malformed = split_all(split_topic, burst)
    assert items == [(b"a", b"x"), (b"b", b"y")]
    assert [error.message for error in malformed] == [burst[1], burst[2]]


@given(st.binary(), parts, parts.filter(len))
def test_a_request_comes_back_with_its_id_and_to_its_peer(
    request_id: bytes, question: list[bytes], answer: list[bytes]
) -> None:
    assert split_reply(pack_request(request_id, question)) == (request_id, question)
    message: list[Any] = join_peer(b"peer", pack_request(request_id, answer))
    [(peer, rest)] = split_peers([message])
    assert (peer, rest) == (b"peer", [request_id, b"", *answer])


def test_a_message_to_a_peer_has_a_peer_and_parts() -> None:
    assert join_peer(bytearray(b"peer"), (b"a", b"b")) == [b"peer", b"a", b"b"]
    with pytest.raises(TypeError, match=r"a peer is the str 'peer'"):
        join_peer("peer", (b"a",))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one part"):
        join_peer(b"peer", ())
