"""Zap: which peers may connect, asked by libzmq (RFC 27) and answered by the policy of a domain."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from os import PathLike
from typing import Any, NamedTuple

from zmqbridge.core.framing import BytesLike, Message, as_name
from zmqbridge.errors import MalformedMessage

VERSION = b"1.0"
# RFC 27: what the client is told. LATER is not sent to it; libzmq lets it try again later.
ALLOWED, LATER, REFUSED, FAILED = b"200", b"300", b"400", b"500"

EVERY = "*"  # the policy of the domains that have none of their own

# Callbacks under way. When there are more, clients come faster than the callbacks answer.
LIMIT = 1_000

_B85 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_Z85 = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_TO_Z85 = bytes.maketrans(_B85, _Z85)
_MAPPED = bytes(10) + b"\xff\xff"  # how an address of IPv4 begins in IPv6
# A character that only the other alphabet has becomes a NUL, which neither alphabet has.
_TO_B85 = bytes.maketrans(_Z85 + b";_`|~", _B85 + bytes(5))


def as_secret(value: str | BytesLike, what: str) -> bytes:
    """A str or bytes-like value as bytes; the error does not show the value.

    Raises:
        TypeError: the value is neither.
    """
    try:
        return as_name(value, what)
    except TypeError:
        text = f"{what} is given as {type(value).__name__}: give one str or bytes"
        raise TypeError(text) from None


def as_bool(value: bool, what: str) -> bool:
    """Check that a value is a bool, and not just true in an ``if``, as the word ``"no"`` is.

    Raises:
        TypeError: the value is no bool.
    """
    if not isinstance(value, bool):
        # The error shows the type, not the value, which may be a key.
        raise TypeError(f"{what} is given as {type(value).__name__}: give True or False")
    return value


def curve_key(key: str | BytesLike, what: str) -> bytes:
    """A CURVE key as Z85, the form in which ``zmq.curve_keypair()`` makes them.

    The errors do not show the key, because it may be a secret one.

    Raises:
        TypeError: the key is neither str nor bytes-like.
        ValueError: the value is no key.
    """
    text = as_secret(key, what)
    if len(text) == 32 and not isinstance(key, str):
        return base64.b85encode(text).translate(_TO_Z85)
    advice = "give the 40 characters of Z85, or the 32 bytes, that zmq.curve_keypair() made"
    if len(text) != 40:
        raise ValueError(f"{what} is {len(text)} characters long: {advice}")
    try:
        base64.b85decode(text.translate(_TO_B85))
    except ValueError:
        raise ValueError(f"{what} is not Z85: {advice}") from None
    return text


def _each(values: Iterable[Any]) -> Iterable[Any]:
    return [values] if isinstance(values, str | bytes) else values


def _network(address: str) -> IPv4Network | IPv6Network:
    if not isinstance(address, str):
        shown = address if isinstance(address, int) else f"a {type(address).__name__}"
        raise TypeError(f"{shown} is no address: give str, e.g. '127.0.0.1' or '10.0.0.0/8'")
    if "%" in address:
        # If it were accepted, the rule would match the same address on every other interface.
        raise ValueError(f"{address!r}: an interface is not looked at, so leave out what follows %")
    try:
        return ip_network(address)
    except ValueError as error:
        raise ValueError(f"{error}: give e.g. '127.0.0.1', '10.0.0.0/8' or '::1'") from None


def _both_ips(ip: IPv4Address | IPv6Address) -> tuple[IPv4Address | IPv6Address, ...]:
    """An address, and its form in the other version of IP: IPv4 is ``::ffff:0:0/96`` of IPv6."""
    if isinstance(ip, IPv4Address):
        return ip, IPv6Address(_MAPPED + ip.packed)
    return (ip,) if ip.ipv4_mapped is None else (ip, ip.ipv4_mapped)


def _by_user(passwords: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(passwords, Mapping):
        kind = type(passwords).__name__  # not the value, which may be a password
        raise TypeError(f"passwords is given as {kind}: give a dict of user names and passwords")
    return dict(passwords)


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer that wants to connect; `Policy.check` is called with it.

    Attributes:
        domain: that of the socket that the peer has connected to; ``""`` for none and for ``"*"``.
        address: its IP address as libzmq tells it. For a server with ``zmq.IPV6``, an address of
            IPv4 is ``::ffff:10.1.2.3``; over ipc it is ``localhost`` and the ids of the peer's
            user and process.
        identity: the routing id that the peer has set, or ``b""``.
        mechanism: ``"NULL"``, ``"PLAIN"`` or ``"CURVE"``.
        key: with CURVE, its public key in Z85; it has proved that it has the secret key.
        username: with PLAIN, the name that the peer gives.
        password: with PLAIN, the password that the peer gives; not in the repr.
    """

    domain: str
    address: str
    identity: bytes
    mechanism: str
    key: bytes = b""
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Which peers may connect to the sockets of a domain; an empty policy lets no peer in.

    The rules of addresses, `allow` and `deny`, come first: a peer that they exclude is refused.
    After that, a CURVE client is let in when its key is known here, and a PLAIN client when its
    password is; for any other client of these two, `check` decides. A NULL client has no
    credentials: it is let in when there are rules of addresses, else `check` decides.

    Attributes:
        keys: public keys of CURVE clients.
        certificates: a folder of public certificates (``*.key``), as ``zmq.auth`` makes them.
        any_key: whether every CURVE client is let in; `keys`, `certificates` and `check` must
            then be left out.
        passwords: passwords of PLAIN clients by user name; not in the repr.
        allow: addresses or networks; when there are any, every other address is excluded.
        deny: addresses or networks that are excluded. In both, a peer over ipc has the address
            ``127.0.0.1``, and an address of IPv4 is equal to its form in IPv6: ``10.1.2.3`` is
            ``::ffff:10.1.2.3``, and is in ``::/0``.
        check: called with a `Peer`, returns True to let it in, or an awaitable of that. When it
            raises, or returns anything else, the peer is refused.
    """

    keys: Iterable[str | BytesLike] | bytes = ()
    certificates: str | PathLike[str] | None = None
    any_key: bool = False
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    allow: Iterable[str] = ()
    deny: Iterable[str] = ()
    check: Callable[[Peer], object] | None = None

    def __post_init__(self) -> None:
        tidy: dict[str, Any] = {
            "keys": frozenset(curve_key(key, "a client's public key") for key in _each(self.keys)),
            "passwords": _by_user(self.passwords),
            "allow": tuple(map(_network, _each(self.allow))),
            "deny": tuple(map(_network, _each(self.deny))),
        }
        for name, value in tidy.items():
            object.__setattr__(self, name, value)
        for user, password in self.passwords.items():
            if not isinstance(user, str) or not isinstance(password, str):
                raise TypeError("passwords maps user names to passwords, each of them a str")
        if self.check is not None and not callable(self.check):
            raise TypeError(f"check is given as {type(self.check).__name__}: it cannot be called")
        others = self.keys or self.certificates is not None or self.check
        if as_bool(self.any_key, "any_key") and others:
            raise ValueError("any_key accepts all clients: leave out keys, certificates and check")


class Question(NamedTuple):
    """A request that the callback of a policy has to answer; give the answer to `Zap.verdict`."""

    envelope: Message
    """What the reply needs: the parts in front of it, as they came, and the name of the user."""
    peer: Peer
    """The client that wants to connect, for `check`."""
    check: Callable[[Peer], object]
    """The callback of the policy; with the peer it returns True, or what resolves to it."""


class Zap:
    """Answers the requests that libzmq sends to the ZAP handler of a context.

    - inputs: `request` (libzmq asks), `verdict` (a callback has answered)
    - commands: `configure`, `close`
    - getters: ``len()`` (how many questions are open), ``in`` (whether a question is)

    What the driver owes: send the replies that all of these return. For each `Question` call its
    `check` and give the answer to `verdict`; only the first answer counts.

    Args:
        policies: by domain; the one of ``"*"`` is for all domains without a policy of their own.
        limit: how many questions may be open; a client that comes then has to try again later.
    """

    __slots__ = ("_limit", "_open", "_policies")

    def __init__(self, policies: Mapping[str, Policy], limit: int = LIMIT) -> None:
        self._limit = limit
        self._open: dict[int, tuple[Question, Message]] = {}
        self.configure(policies)

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, question: Question) -> bool:
        return id(question) in self._open

    def configure(
        self, policies: Mapping[str, Policy]
    ) -> list[tuple[Question, Message | Question]]:
        """Decide by these policies from now on; peers that are connected stay.

        An open question stays open if the new policies ask the same `check`. Otherwise it is
        closed, and returned with the reply or the question that takes its place.
        """
        self._policies = dict(policies)
        decided = []
        for question, message in list(self._open.values()):
            del self._open[id(question)]
            answer = self.request(message)
            if isinstance(answer, Question) and answer.check == question.check:
                del self._open[id(answer)]
                self._open[id(question)] = question, message
            else:
                decided.append((question, answer))
        return decided

    def request(self, message: Message) -> Message | Question:
        """The reply to a request as it comes to a ROUTER, or the question for the callback.

        Raises:
            MalformedMessage: the message is too short to be replied to. The error does not show
                its parts, because one of them may be a password.
        """
        if len(message) < 8 or message[1]:
            shape = [b"%d bytes" % len(part) for part in message]
            raise MalformedMessage("a ZAP request has a route and six parts or more", shape)
        peer, _, version, request_id, domain, address, identity, mechanism, *shown = message
        envelope = [peer, b"", VERSION, request_id]
        knows = _MECHANISMS.get((mechanism, len(shown)))
        # A server without a domain is made one of "*", so that libzmq enforces it.
        name = "" if domain == EVERY.encode() else _text(domain)
        policy = self._policies.get(name) or self._policies.get(EVERY)
        if version != VERSION or knows is None or policy is None:
            return _reply(envelope, REFUSED)
        try:
            user, known, more = knows(policy, shown)
        except ValueError:  # the CURVE key is no key
            return _reply(envelope, REFUSED)
        at_home = _at_home(policy, _text(address))
        if known and at_home:
            return _reply(envelope, ALLOWED, user)
        if policy.check is None or not at_home:
            return _reply(envelope, REFUSED)
        if len(self._open) >= self._limit:
            return _reply(envelope, LATER)
        client = Peer(name, _text(address), identity, mechanism.decode(), **more)
        question = Question([*envelope, user], client, policy.check)
        self._open[id(question)] = question, message
        return question

    def verdict(self, question: Question, allowed: bool | None) -> Message | None:
        """The reply to send when a callback has answered; None if it has answered before.

        Args:
            question: the question that `request` returned.
            allowed: True lets the peer in, False refuses it; None says that the callback failed.
        """
        if self._open.pop(id(question), None) is None:
            return None
        *envelope, user = question.envelope
        if allowed is True:
            return _reply(envelope, ALLOWED, user)
        return _reply(envelope, FAILED if allowed is None else REFUSED)

    def close(self) -> list[Message]:
        """Refuse every peer from now on; returns the replies to the open questions."""
        replies = [self.verdict(question, None) for question, _ in list(self._open.values())]
        self.configure({})
        return [reply for reply in replies if reply is not None]


_TEXTS = {ALLOWED: b"OK", LATER: b"Busy", REFUSED: b"No access", FAILED: b"Internal error"}


def _reply(envelope: Message, status: bytes, user: bytes = b"") -> Message:
    # The reason of a refusal is not sent: it would tell an attacker how near the attempt was.
    return [*envelope, status, _TEXTS[status], user, b""]


def _text(part: bytes) -> str:
    # Different bytes become different texts, also when they are not UTF-8.
    return part.decode(errors="surrogateescape")


def _at_home(policy: Policy, address: str) -> bool:
    """Whether the rules of addresses let this address in."""
    if not policy.allow and not policy.deny:
        return True
    if address.partition(":")[0] == "localhost":  # how libzmq names a peer over ipc
        address = "127.0.0.1"
    try:
        ips = _both_ips(ip_address(address))
    except ValueError:
        return False
    denied, allowed = (
        any(ip in network for network in networks for ip in ips)  # type: ignore[operator]
        for networks in (policy.deny, policy.allow)
    )
    return not denied and (allowed or not policy.allow)


# A client's credentials: (user id, whether the policy knows them, what `check` sees of them).
_Shown = tuple[bytes, bool, dict[str, Any]]


def _null(policy: Policy, shown: Message) -> _Shown:
    return b"", bool(policy.allow or policy.deny), {}


def _plain(policy: Policy, shown: Message) -> _Shown:
    user, password = map(_text, shown)
    right = policy.passwords.get(user)
    known = right is not None and compare_digest(right.encode(errors="surrogateescape"), shown[1])
    return shown[0], known, {"username": user, "password": password}


def _curve(policy: Policy, shown: Message) -> _Shown:
    key = curve_key(shown[0], "")
    return key, policy.any_key or key in policy.keys, {"key": key}


_MECHANISMS = {(b"NULL", 0): _null, (b"PLAIN", 2): _plain, (b"CURVE", 1): _curve}
