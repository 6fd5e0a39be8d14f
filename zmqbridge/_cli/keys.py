"""What `--curve`, `--clients` and `--own-key` mean: keys, and the clients that are let in."""

from __future__ import annotations

import os
from collections.abc import Sequence

import zmq
from zmq.auth import load_certificate

from zmqbridge._cli.ending import Refused
from zmqbridge.security import CurveClient, CurveServer, Policy


def security_of(
    curve: str | None, *, serves: bool, clients: str | None = None, own_key: str | None = None
) -> CurveClient | CurveServer | None:
    """The security that files of keys mean.

    Args:
        curve: for a server the file of its own keys, for a client that of the server's public one.
        serves: whether it is a server.
        clients: whether it asks an authenticator about its clients; see `policies_of`.
        own_key: the file of a client's own keys; None makes new ones.

    Raises:
        Refused: a file has no keys, or not the secret one; or it is given to no purpose.
    """
    if curve is None:
        return None
    public, secret = keys_in(curve, "--curve")
    if not serves:
        return CurveClient(public, *pair_of(own_key))
    if secret is None:
        raise Refused(f"--curve {curve}: to bind, the file with the secret key is needed")
    return CurveServer(secret, any_key=clients is None)


def pair_of(own_key: str | None) -> tuple[bytes, bytes]:
    """A client's own public and secret key; raises `Refused` as `security_of`."""
    if own_key is None:
        public, secret = zmq.curve_keypair()
        return public, secret
    own, its_secret = keys_in(own_key, "--own-key")
    if its_secret is None:
        raise Refused(f"--own-key {own_key}: the file with the secret key is needed")
    return own, its_secret


def keys_in(file: str, option: str) -> tuple[bytes, bytes | None]:
    """The public and the secret key in a file; raises `Refused` as `security_of`."""
    try:
        return load_certificate(file)
    except (OSError, ValueError) as error:
        raise Refused(f"{option} {file}: {error}; `zmqbridge keygen` makes one") from None


def policies_of(
    clients: str | None, own_key: str | None, *, curve: Sequence[str | None], serves: Sequence[bool]
) -> dict[str, Policy] | None:
    """Which clients are let in, None for all; one `curve` and `serves` for each socket.

    Raises:
        Refused: something was given to no purpose, so that another thing would happen than meant.
    """
    secured = [server for file, server in zip(curve, serves, strict=True) if file is not None]
    if clients is not None and True not in secured:
        raise Refused(
            f"--clients {clients}: the side that binds must have --curve, to know its clients by"
        )
    if clients is not None and not os.path.isdir(clients):
        hint = f"`zmqbridge keygen NAME --folder {clients}` makes it, with a client's keys"
        raise Refused(f"--clients {clients}: no such folder; {hint}")
    if own_key is not None and False not in secured:
        raise Refused(
            f"--own-key {own_key}: the side that connects must have --curve; "
            "the side that binds has its own key there"
        )
    return None if clients is None else {"*": Policy(certificates=clients)}
