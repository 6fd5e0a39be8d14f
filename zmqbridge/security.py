"""The values for the ``security=`` of a socket, and the policies of an authenticator.

Nothing here belongs to a loop. No repr and no error text shows a secret.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from zmqbridge._bridge import misspelt
from zmqbridge.core.framing import BytesLike
from zmqbridge.core.zap import Peer, Policy, as_bool, as_secret, curve_key

__all__ = ["CurveClient", "CurveServer", "Null", "Peer", "PlainClient", "PlainServer", "Policy"]

DOMAIN = "global"


def _store(instance: object, **values: object) -> None:
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def _domain(domain: str) -> str:
    # libzmq does not ask the authenticator about clients of a domain without a name.
    if not isinstance(domain, str):
        raise TypeError(f"domain is given as {type(domain).__name__}: give a str, e.g. {DOMAIN!r}")
    if not 0 < len(domain.encode()) < 256:
        size = len(domain.encode())
        text = f"domain is {size} bytes long: give a name of up to 255 bytes, e.g. {DOMAIN!r}"
        raise ValueError(text)
    return domain


def _credential(value: str | BytesLike, what: str) -> bytes:
    text = as_secret(value, what)
    if not 0 < len(text) < 256:
        raise ValueError(f"{what} is {len(text)} bytes long: PLAIN carries 1 to 255")
    return text


@dataclass(frozen=True, slots=True)
class CurveServer:
    """CURVE, the server's side: its clients know its public key beforehand.

    An authenticator in the socket's context decides about the clients' keys. Without an
    authenticator the socket does not bind. After the authenticator is closed, the socket accepts no
    new client.

    Attributes:
        secret_key: the server's secret key, in Z85 or as 32 bytes.
        domain: the name under which the authenticator has a policy for this server.
        any_key: accept every client, and ask no authenticator. The messages are encrypted, but
            every client that knows the server's public key can read and send.
    """

    secret_key: str | BytesLike = field(repr=False)
    # By name only, or the secret key of a pair could be taken for a domain and shown.
    domain: str = field(default=DOMAIN, kw_only=True)
    any_key: bool = field(default=False, kw_only=True)

    if not TYPE_CHECKING:
        __new__, __signature__ = misspelt.new, misspelt.ShownOwn()

    def __post_init__(self) -> None:
        key = curve_key(self.secret_key, "the server's secret key")
        _store(self, secret_key=key, domain=_domain(self.domain))
        as_bool(self.any_key, "any_key")


@dataclass(frozen=True, slots=True)
class CurveClient:
    """CURVE, the client's side: it knows the server's public key and has a pair of its own.

    Attributes:
        server_key: the server's public key, in Z85 or as 32 bytes.
        public_key: the client's public key, likewise.
        secret_key: the client's secret key, likewise.
    """

    has_credentials: ClassVar[bool] = True  # shows credentials, which the server may refuse

    server_key: str | BytesLike
    public_key: str | BytesLike
    secret_key: str | BytesLike = field(repr=False)

    if not TYPE_CHECKING:
        __new__, __signature__ = misspelt.new, misspelt.ShownOwn()

    def __post_init__(self) -> None:
        _store(
            self,
            server_key=curve_key(self.server_key, "the server's public key"),
            public_key=curve_key(self.public_key, "the client's public key"),
            secret_key=curve_key(self.secret_key, "the client's secret key"),
        )


@dataclass(frozen=True, slots=True)
class PlainServer:
    """PLAIN, the server's side: it asks for a user name and a password.

    PLAIN does not encrypt them on the wire.

    Attributes:
        domain: the name under which the authenticator has a policy for this server.
    """

    domain: str = DOMAIN

    if not TYPE_CHECKING:
        __new__, __signature__ = misspelt.new, misspelt.ShownOwn()

    def __post_init__(self) -> None:
        _domain(self.domain)


@dataclass(frozen=True, slots=True)
class PlainClient:
    """PLAIN, the client's side: it sends a user name and a password.

    Attributes:
        username: 1 to 255 bytes.
        password: 1 to 255 bytes.
    """

    has_credentials: ClassVar[bool] = True

    username: str | BytesLike
    password: str | BytesLike = field(repr=False)

    if not TYPE_CHECKING:
        __new__, __signature__ = misspelt.new, misspelt.ShownOwn()

    def __post_init__(self) -> None:
        _store(
            self,
            username=_credential(self.username, "the user name"),
            password=_credential(self.password, "the password"),
        )


@dataclass(frozen=True, slots=True)
class Null:
    """NULL: no credentials, but an authenticator decides by the client's address.

    Attributes:
        domain: the name under which the authenticator has a policy for this socket.
    """

    domain: str = DOMAIN

    if not TYPE_CHECKING:
        __new__, __signature__ = misspelt.new, misspelt.ShownOwn()

    def __post_init__(self) -> None:
        _domain(self.domain)


Security = CurveServer | CurveClient | PlainServer | PlainClient | Null
