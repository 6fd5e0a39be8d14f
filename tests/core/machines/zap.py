"""The ZAP handler against a plain model: each request has one reply, and few peers come in."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from zmqbridge.core.zap import Policy, Question, Zap, curve_key

LIMIT = 1
# RFC 32's own example of Z85, four times over: 32 bytes and 40 characters.
RAW = bytes.fromhex("864FD26FB559F75B") * 4
Z85 = b"HelloWorld" * 4
RAWS = [RAW, bytes(32), b"\xff" * 32]
KEYS = [curve_key(raw, "") for raw in RAWS]

domains = ["a", "b", "", "*"]
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
def policies(draw: st.DrawFn) -> Policy:
    check = draw(st.sampled_from([None, repr, str]))
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


def part(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value


def request(
    number: int,
    domain: str | bytes,
    address: str,
    mechanism: str | bytes,
    *credentials: bytes | str,
    version: str = "1.0",
) -> list[bytes]:
    parts = [version, b"%d" % number, domain, address, b"me", mechanism, *credentials]
    return [b"session", b"", *map(part, parts)]


def at_home(policy: Any, address: str) -> bool:
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


def expected(
    policy: Policy | None, address: str, mechanism: str, credentials: tuple[Any, ...]
) -> tuple[Any, bytes]:
    """200, 400 or "ask", and the user id of the reply."""
    sizes: dict[str, list[int | None]] = {"NULL": [], "PLAIN": [None, None], "CURVE": [32]}
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


class ZapMachine(RuleBasedStateMachine):
    """Peers ask to come in, callbacks answer late or not at all, and policies change."""

    def __init__(self) -> None:
        super().__init__()
        self.policies = {"a": Policy(check=repr)}
        self.zap = self.make(policies=self.policies, limit=LIMIT)
        self.open: list[tuple[int, bytes, Question]] = []
        self.asked: dict[int, tuple[Any, ...]] = {}
        self.number = 0

    def make(self, **settings: Any) -> Zap:
        """The machine under test: one of your own, or the one in a driver."""
        return Zap(**settings)

    @rule(policies=st.dictionaries(st.sampled_from(["a", "b", "", "*"]), policies()))
    def configure(self, policies: dict[str, Policy]) -> None:
        self.policies = policies
        decided = iter(self.zap.configure(policies))
        stay = []
        for number, user, question in self.open:
            domain, *shown = self.asked[number]
            policy = self.policy(domain)
            status, _ = expected(policy, *shown)
            if status == "ask" and policy.check is question.check:
                assert question in self.zap
                stay.append((number, user, question))
                continue
            closed, answer = next(decided)
            assert closed is question
            assert question not in self.zap
            assert self.zap.verdict(question, True) is None
            if status == "ask":
                assert isinstance(answer, Question)
                assert answer in self.zap
                assert (answer.check, answer.peer) == (policy.check, question.peer)
                stay.append((number, user, answer))
            else:
                self.check(answer, number, status, user if status == b"200" else b"")
        self.open = stay
        assert not list(decided)

    def policy(self, domain: str) -> Any:
        name = "" if domain == "*" else domain
        return self.policies.get(name, self.policies.get("*"))

    @rule(
        domain=st.sampled_from(domains),
        address=st.sampled_from(addresses),
        shown=shown,
        version=st.sampled_from(["1.0"] * 9 + ["1.1"]),
    )
    def ask(
        self, domain: str, address: str, shown: tuple[str, *tuple[Any, ...]], version: str
    ) -> None:
        self.number += 1
        mechanism, *credentials = shown
        answer: Any = self.zap.request(
            request(self.number, domain, address, mechanism, *credentials, version=version)
        )
        policy = self.policy(domain)
        status, user = expected(policy, address, mechanism, tuple(credentials))
        if version != "1.0":
            status, user = b"400", b""
        if status == "ask" and len(self.open) == LIMIT:
            status, user = b"300", b""
        if status == "ask":
            assert isinstance(answer, Question)
            assert answer.check is policy.check
            assert answer in self.zap
            assert (answer.peer.domain, answer.peer.address) == (domain.strip("*"), address)
            assert (answer.peer.mechanism, answer.peer.identity) == (mechanism, b"me")
            if mechanism == "PLAIN":
                assert (answer.peer.username, answer.peer.password) == tuple(credentials)
            if mechanism == "CURVE":
                assert answer.peer.key == user
            self.open.append((self.number, user, answer))
            self.asked[self.number] = domain, address, mechanism, tuple(credentials)
        else:
            self.check(answer, self.number, status, user)

    @rule(data=st.data(), allowed=st.sampled_from([True, False, None]))
    def answer(self, data: st.DataObject, allowed: bool | None) -> None:
        if self.open:
            number, user, question = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
            status = {True: b"200", False: b"400", None: b"500"}[allowed]
            self.check(
                self.zap.verdict(question, allowed), number, status, user if allowed else b""
            )

    def check(self, reply: Any, number: int, status: bytes, user: bytes) -> None:
        peer, empty, version, request_id, code, text, user_id, metadata = reply
        assert (peer, empty, version, metadata) == (b"session", b"", b"1.0", b"")
        assert (request_id, code, user_id) == (b"%d" % number, status, user)
        assert text

    @rule()
    def answer_twice(self) -> None:
        if self.open:
            number, _, question = self.open.pop()
            self.check(self.zap.verdict(question, False), number, b"400", b"")
            assert self.zap.verdict(question, True) is None

    @rule()
    def close(self) -> None:
        replies = self.zap.close()
        assert len(replies) == len(self.open)
        for reply, (number, _, _) in zip(replies, self.open, strict=True):
            self.check(reply, number, b"500", b"")
        self.open = []
        self.policies = {}

    @invariant()
    def agrees(self) -> None:
        assert len(self.zap) == len(self.open)
