"""Zap against a plain model: every request has one reply, and only who may comes in."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from zmqbridge.core.zap import Peer, Policy, Question, Zap, curve_key
from zmqbridge.errors import MalformedMessage

LIMIT = 1
# RFC 32's own example of Z85, four times over: 32 bytes and 40 characters.
RAW = bytes.fromhex("864FD26FB559F75B") * 4
Z85 = b"HelloWorld" * 4
RAWS = [RAW, bytes(32), b"\xff" * 32]
KEYS = [curve_key(raw, "") for raw in RAWS]

domains = ["a", "b", ""]
addresses = ["127.0.0.1", "10.1.2.3", "::ffff:10.1.2.3", "localhost:0:0:7", "?", "fe80::1%eth0"]
users = st.sampled_from(["u", "v"])
passwords = st.sampled_from(["p", "", "ø"])
networks = st.lists(
    st.sampled_from(
        ["127.0.0.1", "10.0.0.0/8", "fe80::/10", "::ffff:10.0.0.0/104", "::ffff:7f00:1", "::/1"]
    ),
    max_size=2,
)


@st.composite
def policies(draw):
    check = draw(st.sampled_from([None, repr]))
    any_key = draw(st.booleans()) and check is None
    return Policy(
        keys=() if any_key else draw(st.lists(st.sampled_from(RAWS + KEYS), max_size=2)),
        any_key=any_key,
        passwords=draw(st.dictionaries(users, passwords)),
        allow=draw(networks),
        deny=draw(networks),
        check=check,
    )


shown = st.one_of(
    st.just(("NULL",)),
    st.tuples(st.just("PLAIN"), users, passwords),
    st.tuples(st.just("CURVE"), st.sampled_from(RAWS)),
    st.sampled_from([("NULL", "x"), ("PLAIN", "u"), ("CURVE", b"short"), ("GSSAPI", "u"), ("",)]),
)


def part(value):
    return value.encode() if isinstance(value, str) else value


def request(number, domain, address, mechanism, *credentials, version="1.0"):
    parts = [version, b"%d" % number, domain, address, b"me", mechanism, *credentials]
    return [b"session", b"", *map(part, parts)]


def at_home(policy, address):
    """Whether the address may come in, worked out the long way."""
    if not (policy.allow or policy.deny):
        return True
    plain = {"localhost:0:0:7": "127.0.0.1", "::ffff:10.1.2.3": "10.1.2.3"}.get(address, address)
    if plain == "?":
        return False
    ip = ipaddress.ip_address(plain)
    forms = [ip, ipaddress.ip_address(f"::ffff:{ip}")] if ip.version == 4 else [ip]
    inside = [n for n in policy.allow + policy.deny if any(form in n for form in forms)]
    if any(network in policy.deny for network in inside):
        return False
    return not policy.allow or bool(inside)


def expected(policy, address, mechanism, credentials):
    """200, 400 or "ask", and the user id of the reply."""
    sizes = {"NULL": [], "PLAIN": [None, None], "CURVE": [32]}
    size = sizes.get(mechanism)
    if policy is None or size is None or len(size) != len(credentials):
        return b"400", b""
    if mechanism == "CURVE" and len(credentials[0]) != 32:
        return b"400", b""
    if not at_home(policy, address):
        return b"400", b""
    if mechanism == "NULL":
        known, user = bool(policy.allow or policy.deny), b""
    elif mechanism == "PLAIN":
        known, user = credentials in policy.passwords.items(), part(credentials[0])
    else:
        user = KEYS[RAWS.index(credentials[0])]
        known = policy.any_key or user in policy.keys
    if known:
        return b"200", user
    return ("ask", user) if policy.check else (b"400", b"")


class Handler(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.policies = {"a": Policy(check=repr)}
        self.zap = Zap(self.policies, limit=LIMIT)
        self.open = []
        self.number = 0

    @rule(policies=st.dictionaries(st.sampled_from(["a", "b", "*"]), policies()))
    def configure(self, policies):
        self.zap.configure(policies)
        self.policies = policies

    @rule(
        domain=st.sampled_from(domains),
        address=st.sampled_from(addresses),
        shown=shown,
        version=st.sampled_from(["1.0"] * 9 + ["1.1"]),
    )
    def ask(self, domain, address, shown, version):
        self.number += 1
        mechanism, *credentials = shown
        answer = self.zap.request(
            request(self.number, domain, address, mechanism, *credentials, version=version)
        )
        policy = self.policies.get(domain, self.policies.get("*"))
        status, user = expected(policy, address, mechanism, tuple(credentials))
        if version != "1.0":
            status, user = b"400", b""
        if status == "ask" and len(self.open) == LIMIT:
            status, user = b"300", b""
        if status == "ask":
            assert isinstance(answer, Question)
            assert answer.check is policy.check
            assert (answer.peer.domain, answer.peer.address) == (domain, address)
            assert (answer.peer.mechanism, answer.peer.identity) == (mechanism, b"me")
            if mechanism == "PLAIN":
                assert (answer.peer.username, answer.peer.password) == tuple(credentials)
            if mechanism == "CURVE":
                assert answer.peer.key == user
            self.open.append((self.number, user, answer))
        else:
            self.check(answer, self.number, status, user)

    @rule(data=st.data(), allowed=st.sampled_from([True, False, None]))
    def answer(self, data, allowed):
        if self.open:
            number, user, question = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
            status = {True: b"200", False: b"400", None: b"500"}[allowed]
            self.check(
                self.zap.verdict(question, allowed), number, status, user if allowed else b""
            )

    def check(self, reply, number, status, user):
        peer, empty, version, request_id, code, text, user_id, metadata = reply
        assert (peer, empty, version, metadata) == (b"session", b"", b"1.0", b"")
        assert (request_id, code, user_id) == (b"%d" % number, status, user)
        assert text

    @rule()
    def answer_twice(self):
        if self.open:
            number, _, question = self.open.pop()
            self.check(self.zap.verdict(question, False), number, b"400", b"")
            assert self.zap.verdict(question, True) is None

    @rule()
    def close(self):
        replies = self.zap.close()
        assert len(replies) == len(self.open)
        for reply, (number, _, _) in zip(replies, self.open, strict=True):
            self.check(reply, number, b"500", b"")
        self.open = []
        self.policies = {}

    @invariant()
    def agrees(self):
        assert len(self.zap) == len(self.open)


TestHandler = Handler.TestCase


@given(
    st.lists(st.binary(max_size=40) | st.sampled_from([b"", b"1.0", b"CURVE", b"PLAIN", b"NULL"]))
)
def test_any_message_gets_a_reply_or_is_malformed(message):
    zap = Zap({"*": Policy(any_key=True)})
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
def test_an_address_of_ipv4_is_the_same_in_ipv6(rule, address):
    for word, status in ("deny", b"400"), ("allow", b"200"):
        zap = Zap({"*": Policy(**{word: rule})})
        assert zap.request(request(1, "a", address, "NULL"))[4] == status


@pytest.mark.parametrize("address", ["fe80::1%eth0", "fe80::%2/64"])
def test_a_rule_that_cannot_be_compared_is_refused(address):
    with pytest.raises(ValueError, match="an interface is not looked at"):
        Policy(allow=address)


def test_a_truthy_answer_is_not_a_yes():
    zap = Zap({"a": Policy(check=repr)})
    question = zap.request(request(1, "a", "127.0.0.1", "NULL"))
    assert zap.verdict(question, "yes")[4] == b"400"


def test_closing_answers_what_is_open_and_then_nobody_comes_in():
    zap = Zap({"*": Policy(check=repr)})
    questions = [zap.request(request(number, "a", "::1", "CURVE", RAW)) for number in range(3)]
    assert zap.verdict(questions[1], True)[4] == b"200"
    assert [(reply[3], reply[4]) for reply in zap.close()] == [(b"0", b"500"), (b"2", b"500")]
    assert len(zap) == 0
    assert [zap.verdict(question, True) for question in questions] == [None] * 3
    assert zap.request(request(3, "a", "::1", "CURVE", RAW))[4] == b"400"
    assert zap.close() == []


def test_a_domain_is_not_mistaken_for_another():
    zap = Zap({"\ufffd": Policy(any_key=True)})
    assert zap.request(request(1, b"\xff", "127.0.0.1", "CURVE", RAW))[4] == b"400"
    assert zap.request(request(1, "\ufffd", "127.0.0.1", "CURVE", RAW))[4] == b"200"


def test_credentials_need_not_be_text():
    zap = Zap({"a": Policy(passwords={"u": "p"}, check=repr)})
    question = zap.request(request(1, "a", "127.0.0.1", "PLAIN", b"\xff", b"\xfe"))
    assert question.peer.username.encode(errors="surrogateescape") == b"\xff"
    assert zap.verdict(question, True)[6] == b"\xff"


def test_nobody_comes_in_as_long_as_nothing_is_given():
    zap = Zap({"*": Policy()})
    for credentials in ("NULL",), ("PLAIN", "", ""), ("CURVE", RAW):
        assert zap.request(request(1, "a", "127.0.0.1", *credentials))[4] == b"400"


def test_both_forms_of_a_key_are_one():
    assert curve_key(RAW, "") == curve_key(Z85, "") == curve_key(Z85.decode(), "") == Z85
    assert Policy(keys=Z85) == Policy(keys=[RAW]) == Policy(keys=[Z85.decode()])


@given(st.binary(min_size=32, max_size=32))
def test_a_key_of_any_bytes_has_a_z85_form(raw):
    text = curve_key(raw, "")
    assert len(text) == 40
    assert curve_key(text, "") == text


@pytest.mark.parametrize(
    "key", [b"", RAW[:-1], Z85[:-1], Z85 + b"\0", Z85[:-1] + b"~", Z85[:-1] + b"'", b"#" * 40, "ø"]
)
def test_what_is_no_key_is_refused_without_showing_it(key):
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
        ({"any_key": True, "keys": [Z85]}, "any_key lets everybody in"),
        ({"any_key": True, "certificates": "."}, "any_key lets everybody in"),
        ({"any_key": True, "check": repr}, "any_key lets everybody in"),
    ],
)
def test_a_wrong_policy_says_what_is_wrong(wrong, words):
    with pytest.raises((TypeError, ValueError), match=words) as refusal:
        Policy(**wrong)
    assert "secret" not in str(refusal.value)


def test_no_password_in_a_repr():
    policy = Policy(passwords={"u": "secret"})
    assert "secret" not in repr(policy)
    assert "secret" not in repr(Peer("a", "127.0.0.1", b"", "PLAIN", password="secret"))
    zap = Zap({"a": Policy(passwords={"u": "other"}, check=repr)})
    assert "secret" not in repr(zap.request(request(1, "a", "::1", "PLAIN", "u", "secret")))
