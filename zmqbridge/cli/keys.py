"""What `--curve FILE` means: the keys of a server, or of a client that knows its server's."""

from __future__ import annotations

import zmq
from zmq.auth import load_certificate

from zmqbridge.security import CurveClient, CurveServer


class Refused(Exception):
    """An argument cannot be used; the text says why."""


def security_of(curve: str | None, *, serves: bool) -> CurveClient | CurveServer | None:
    """The security that a file of keys means: for a server, the file has its own keys.

    Raises:
        Refused: the file has no keys, or for a server not the secret one.
    """
    if curve is None:
        return None
    try:
        public, secret = load_certificate(curve)
    except (OSError, ValueError) as error:
        raise Refused(f"--curve {curve}: {error}; `zmqbridge keygen` makes one") from None
    if not serves:
        return CurveClient(public, *zmq.curve_keypair())
    if secret is None:
        raise Refused(f"--curve {curve}: to bind, the file with the secret key is needed")
    return CurveServer(secret, any_key=True)
