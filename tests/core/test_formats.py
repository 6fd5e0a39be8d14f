"""Formats: what is packed splits back, what does not fit is malformed, and a table has them all."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqbridge.core._formats import FORMATS, FormatName, OneBody, format_named
from zmqbridge.core.subscriptions import Subscriptions
from zmqbridge.errors import MalformedMessage

# Few letters, and NUL among them, so that much matches.
BYTES = st.lists(st.sampled_from([b"a", b"b", b"\0"]), max_size=4).map(b"".join)
WITHOUT_NUL = BYTES.filter(lambda tag: b"\0" not in tag)
LISTS = st.lists(BYTES, max_size=4)
MESSAGES = st.lists(BYTES, min_size=1, max_size=4)
# What may be published: (tag, body), and what `receive` gives for it.
PUBLICATIONS = {
    "joined": st.tuples(WITHOUT_NUL, BYTES),
    "two-part": st.tuples(BYTES, BYTES),
    "parts": st.tuples(BYTES, LISTS),
    "raw": st.tuples(st.just(b""), MESSAGES),
}

each_format = pytest.mark.parametrize("name", FORMATS)


def publications(name: Any) -> Any:
    return st.lists(PUBLICATIONS[name], min_size=2, max_size=2)


def received(name: Any, tag: Any, body: Any) -> Any:
    return body if name == "raw" else (tag, body)


@each_format
@given(st.data())
def test_what_is_published_is_received(name: Any, data: Any) -> None:
    tag, body = data.draw(PUBLICATIONS[name])
    format = format_named(name)
    message: list[Any] = list(format.pack(tag, body))
    assert all(type(part) is bytes for part in message)
    assert format.split(message) == received(name, tag, body)


@each_format
@given(st.data())
def test_no_two_publications_look_alike_on_the_wire(name: Any, data: Any) -> None:
    first, second = data.draw(publications(name))
    pack = format_named(name).pack
    assert (list(pack(*first)) == list(pack(*second))) == (first == second)


@each_format
@given(message=MESSAGES)
def test_any_message_is_received_or_malformed_and_its_beginning_is_known(
    name: Any, message: Any
) -> None:
    format = format_named(name)
    try:
        publication = format.split(list(message))
    except MalformedMessage as error:
        assert error.message == message
        return
    for length in range(10):
        assert format.head(publication, length) == message[0][:length]
    flat = publication if name in ("raw", "parts") else [*publication]
    if name == "parts":
        flat = [publication[0], *publication[1]]
    assert format.weigh(publication) == sum(map(len, flat))
    assert repr(publication) == repr(received(name, *publication) if name != "raw" else message)


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("joined", [[b"a\0b"], [b"b"], [b"a", b"b"]]),
        ("two-part", [[b"a", b"b"], [b"a\0b", b"b"]]),
        ("parts", [[b"a"], [b"a", b"b"], [b"a", b"b", b"c"]]),
        ("raw", [[b"a"], [b"a", b"b"], [b"a\0", b"b", b"c"]]),
    ],
)
def test_which_messages_fit(name: Any, fits: Any) -> None:
    others = [[b"a"], [b"a", b"b"], [b"a", b"b", b"c"]]
    lengths = {len(each) for each in fits}
    split = format_named(name).split
    for message in fits:
        split(message)
    for message in others:
        if len(message) not in lengths:
            with pytest.raises(MalformedMessage, match=r"part"):
                split(message)


@each_format
@given(st.data(), st.lists(BYTES, max_size=4), BYTES)
def test_subscriptions_match_the_first_part(
    name: Any, data: Any, prefixes: Any, removed: Any
) -> None:
    format = format_named(name)
    tag, body = data.draw(PUBLICATIONS[name])
    message: list[Any] = list(format.pack(tag, body))
    publication = format.split(message)
    subscriptions = Subscriptions(format.head)
    for prefix in prefixes:
        subscriptions.add(prefix)
    wanted = any(message[0].startswith(prefix) for prefix in prefixes)
    assert subscriptions.wants(publication) == wanted
    orphaned = message[0].startswith(removed) and not wanted
    assert subscriptions.orphaned(publication, removed) == orphaned


def test_the_names_are_those_of_the_type() -> None:
    assert tuple(FORMATS) == get_args(FormatName)
    assert set(get_args(OneBody)) < set(FORMATS)


@pytest.mark.parametrize("wrong", ["two_part", "JOINED", "", None, ["joined"], 2])
def test_a_misspelt_format_names_those_that_there_are(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"'joined', 'two-part', 'parts', 'raw'"):
        format_named(wrong)


@pytest.mark.parametrize("name", ["joined", "two-part"])
def test_a_body_is_one(name: Any) -> None:
    pack = format_named(name).pack
    for buffer in (bytearray(b"x"), memoryview(b"x")):
        assert list(pack(b"t", buffer)) == list(pack(b"t", b"x"))
    for several in ([b"x"], (b"x", b"y")):
        with pytest.raises(TypeError, match=r"'parts' and 'raw' take several"):
            pack(b"t", several)
    with pytest.raises(TypeError, match=r"\.encode\(\)"):
        pack(b"t", "x")


@pytest.mark.parametrize("name", ["parts", "raw"])
def test_a_body_is_a_list(name: Any) -> None:
    pack = format_named(name).pack
    given_by_user = [b"x", b"y"]
    packed = pack(b"", given_by_user)
    given_by_user.clear()  # a message that waits is not changed any more
    assert list(packed)[-2:] == [b"x", b"y"]
    assert list(pack(b"", (b"x", b"y"))) == list(packed)
    assert list(pack(b"", iter([b"x", b"y"]))) == list(packed)
    for one in (b"x", bytearray(b"x"), memoryview(b"x"), "x", 5, None):
        with pytest.raises(TypeError, match=rf"type {type(one).__name__}: .*list of parts"):
            pack(b"", one)


def test_a_tag_goes_where_it_can_be_told_from_the_body() -> None:
    with pytest.raises(ValueError, match=r"NUL byte.*two-part"):
        format_named("joined").pack(b"a\0b", b"")
    assert list(format_named("two-part").pack(b"a\0b", b"")) == [b"a\0b", b""]
    assert list(format_named("parts").pack(b"a\0b", [])) == [b"a\0b"]
    with pytest.raises(ValueError, match=r"none but its first part"):
        format_named("raw").pack(b"a", [b""])
