"""Changes of subscriptions: what an XSUB says is what an XPUB hears; anything else is malformed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqbridge.core.topics import (
    LONGEST,
    Subscribed,
    Unsubscribed,
    as_prefix,
    pack_change,
    split_change,
)
from zmqbridge.errors import MalformedMessage


@given(st.binary(max_size=8), st.sampled_from([Subscribed, Unsubscribed]))
def test_what_is_said_is_heard(tag: bytes, kind: type[Subscribed | Unsubscribed]) -> None:
    heard = split_change([pack_change(kind(tag))])
    assert heard == kind(tag)
    assert type(heard) is kind


def test_the_frames_are_those_of_libzmq() -> None:
    assert pack_change(Subscribed(b"t")) == b"\1t"
    assert pack_change(Unsubscribed(b"")) == b"\0"


def test_what_is_subscribed_to_has_a_bound() -> None:
    assert as_prefix("Ø") == "Ø".encode()
    assert as_prefix(bytearray(LONGEST)) == bytes(LONGEST)
    with pytest.raises(ValueError, match="4097 bytes"):
        as_prefix(bytes(LONGEST + 1))
    with pytest.raises(TypeError):
        as_prefix(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("message", [[b""], [b"\2t"], [b"t"], [b"\1t", b""], [b"\0", b"\0"]])
def test_what_is_no_change_is_malformed(message: list[bytes]) -> None:
    with pytest.raises(MalformedMessage) as raised:
        split_change(message)
    assert raised.value.message == message
