"""Changes of subscriptions: what an XSUB says is what an XPUB hears; anything else is malformed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqbridge.core.topics import Subscribed, Unsubscribed, pack_change, split_change
from zmqbridge.errors import MalformedMessage


@given(st.binary(max_size=8), st.sampled_from([Subscribed, Unsubscribed]))
def test_what_is_said_is_heard(tag: bytes, kind: type[Subscribed | Unsubscribed]) -> None:
    heard = split_change([pack_change(kind(tag))])
    assert heard == kind(tag)
    assert type(heard) is kind


def test_the_frames_are_those_of_libzmq() -> None:
    assert pack_change(Subscribed(b"t")) == b"\1t"
    assert pack_change(Unsubscribed(b"")) == b"\0"


@pytest.mark.parametrize("message", [[b""], [b"\2t"], [b"t"], [b"\1t", b""], [b"\0", b"\0"]])
def test_what_is_no_change_is_malformed(message: list[bytes]) -> None:
    with pytest.raises(MalformedMessage) as raised:
        split_change(message)
    assert raised.value.message == message
