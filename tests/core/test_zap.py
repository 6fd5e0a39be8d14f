"""Zap against a plain model: every request has one reply, and only who may comes in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines.zap import RAW, Z85, ZapMachine, request

from zmqbridge.core.zap import Peer, Policy, Zap, curve_key
from zmqbridge.errors import MalformedMessage

TestHandler = ZapMachine.TestCase


@given(
    st.lists(st.binary(max_size=40) | st.sampled_from([b"", b"1.0", b"CURVE", b"PLAIN", b"NULL"]))
)
def test_any_message_gets_a_reply_or_is_malformed(message: list[bytes]) -> None:
    zap: Any = Zap({"*": Policy(any_key=True)})
    try:
        reply = zap.request(message)
    except MalformedMessage as error:
        assert len(message) < 8 or message[1]
        assert error.message == [b"%d bytes" % len(part) for part in message]
    else:
        assert reply[:4] == [message[0], b"", b"1.0", message[3]]
        assert reply[4] in (b"200", b"400")


@pytest.mark.parametrize(
    ("rule", "address"),
    [
        ("10.1.2.3", "::ffff:10.1.2.3"),
        ("::ffff:10.1.2.3", "::ffff:10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("::ffff:10.0.0.0/104", "10.1.2.3"),
        ("::ffff:0:0/96", "10.1.2.3"),
        ("::/0", "10.1.2.3"),
        ("0.0.0.0/0", "::ffff:10.1.2.3"),
        ("::ffff:127.0.0.1", "localhost:0:0:1"),
    ],
)
def test_an_address_of_ipv4_is_the_same_in_ipv6(rule: Any, address: str) -> None:
    for word, status in ("deny", b"400"), ("allow", b"200"):
        zap: Any = Zap({"*": Policy(**{word: rule})})
        assert zap.request(request(1, "a", address, "NULL"))[4] == status


@pytest.mark.parametrize("address", ["fe80::1%eth0", "fe80::%2/64"])
def test_a_rule_that_cannot_be_compared_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="an interface is not looked at"):
        Policy(allow=address)


def test_a_truthy_answer_is_not_a_yes() -> None:
    zap: Any = Zap({"a": Policy(check=repr)})
    question = zap.request(request(1, "a", "127.0.0.1", "NULL"))
    assert zap.verdict(question, "yes")[4] == b"400"


def test_closing_answers_what_is_open_and_then_nobody_comes_in() -> None:
    zap: Any = Zap({"*": Policy(check=repr)})
    questions = [zap.request(request(number, "a", "::1", "CURVE", RAW)) for number in range(3)]
    assert zap.verdict(questions[1], True)[4] == b"200"
    assert [(reply[3], reply[4]) for reply in zap.close()] == [(b"0", b"500"), (b"2", b"500")]
    assert len(zap) == 0
    assert [zap.verdict(question, True) for question in questions] == [None] * 3
    assert zap.request(request(3, "a", "::1", "CURVE", RAW))[4] == b"400"
    assert zap.close() == []


def test_new_policies_decide_about_what_is_open() -> None:
    zap: Any = Zap({"*": Policy(check=repr)})
    first, second = (zap.request(request(number, "a", "::1", "CURVE", RAW)) for number in range(2))
    assert zap.configure({"a": Policy(check=repr)}) == []  # the same check goes on
    assert zap.verdict(first, True)[4] == b"200"
    ((closed, other),) = zap.configure({"a": Policy(check=str)})
    assert closed is second
    assert zap.verdict(second, True) is None
    assert other in zap
    ((closed, reply),) = zap.configure({})
    assert closed is other
    assert (reply[3], reply[4], len(zap)) == (b"1", b"400", 0)


def test_a_domain_is_not_mistaken_for_another() -> None:
    zap: Any = Zap({"\ufffd": Policy(any_key=True)})
    assert zap.request(request(1, b"\xff", "127.0.0.1", "CURVE", RAW))[4] == b"400"
    assert zap.request(request(1, "\ufffd", "127.0.0.1", "CURVE", RAW))[4] == b"200"


def test_credentials_need_not_be_text() -> None:
    zap: Any = Zap({"a": Policy(passwords={"u": "p"}, check=repr)})
    question = zap.request(request(1, "a", "127.0.0.1", "PLAIN", b"\xff", b"\xfe"))
    assert question.peer.username.encode(errors="surrogateescape") == b"\xff"
    assert zap.verdict(question, True)[6] == b"\xff"


def test_nobody_comes_in_as_long_as_nothing_is_given() -> None:
    zap: Any = Zap({"*": Policy()})
    for credentials in ("NULL",), ("PLAIN", "", ""), ("CURVE", RAW):
        assert zap.request(request(1, "a", "127.0.0.1", *credentials))[4] == b"400"


@pytest.mark.parametrize(
    ("address", "shown"),
    [("127.0.0.1", b"short"), ("?", RAW), ("10.1.2.3", RAW)],
    ids=["no key", "no address", "another address"],
)
def test_nor_does_who_shows_no_key_or_comes_from_nowhere(address: str, shown: bytes) -> None:
    zap: Any = Zap({"*": Policy(any_key=True, allow="127.0.0.1")})
    assert zap.request(request(1, "a", "127.0.0.1", "CURVE", RAW))[4] == b"200"
    assert zap.request(request(2, "a", address, "CURVE", shown))[4] == b"400"


def test_both_forms_of_a_key_are_one() -> None:
    assert curve_key(RAW, "") == curve_key(Z85, "") == curve_key(Z85.decode(), "") == Z85
    assert Policy(keys=Z85) == Policy(keys=[RAW]) == Policy(keys=[Z85.decode()])


@given(st.binary(min_size=32, max_size=32))
def test_a_key_of_any_bytes_has_a_z85_form(raw: bytes) -> None:
    text = curve_key(raw, "")
    assert len(text) == 40
    assert curve_key(text, "") == text


@pytest.mark.parametrize(
    "key", [b"", RAW[:-1], Z85[:-1], Z85 + b"\0", Z85[:-1] + b"~", Z85[:-1] + b"'", b"#" * 40, "ø"]
)
def test_what_is_no_key_is_refused_without_showing_it(key: bytes | str) -> None:
    with pytest.raises(ValueError, match=r"the secret key is .*curve_keypair") as refusal:
        curve_key(key, "the secret key")
    text = key if isinstance(key, str) else repr(key)[2:-1]
    assert not text or text not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"keys": ["short"]}, "a client's public key"),
        ({"keys": [7]}, "a client's public key"),
        ({"allow": ["localhost"]}, "'localhost' does not appear"),
        ({"allow": [1]}, "1 is no address"),
        ({"deny": "10.0.0.1/8"}, "host bits"),
        ({"passwords": {"u": b"secret"}}, "passwords maps"),
        ({"passwords": {b"u": "secret"}}, "passwords maps"),
        ({"check": "secret"}, "check is given as str: it cannot be called"),
        ({"any_key": "secret"}, "any_key is given as str: give True or False"),
        ({"allow": [b"secret"]}, "a bytes is no address"),
        ({"any_key": True, "keys": [Z85]}, "any_key accepts all clients"),
        ({"any_key": True, "certificates": "."}, "any_key accepts all clients"),
        ({"any_key": True, "check": repr}, "any_key accepts all clients"),
    ],
)
def test_a_wrong_policy_says_what_is_wrong(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words) as refusal:
        Policy(**wrong)
    assert "secret" not in str(refusal.value)


def test_no_password_in_a_repr() -> None:
    policy = Policy(passwords={"u": "secret"})
    assert "secret" not in repr(policy)
    assert "secret" not in repr(Peer("a", "127.0.0.1", b"", "PLAIN", password="secret"))
    zap: Any = Zap({"a": Policy(passwords={"u": "other"}, check=repr)})
    assert "secret" not in repr(zap.request(request(1, "a", "::1", "PLAIN", "u", "secret")))


def test_passwords_are_by_user() -> None:
    with pytest.raises(TypeError, match="passwords is given as list: give a dict"):
        Policy(passwords=["secret"])  # type: ignore[arg-type]
