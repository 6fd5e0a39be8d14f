"""Security on a libzmq socket: what ``security=`` sets, and which servers are not opened."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import zmq
from zmq.backend import Socket as CompiledSocket

from zmqbridge._bridge.exhaustion import explained
from zmqbridge._bridge.guards import in_forked_child
from zmqbridge.errors import AuthenticationMissing, OptionError

if TYPE_CHECKING:
    from zmqbridge.security import CurveClient, CurveServer, Security

ZAP = "inproc://zeromq.zap.01"  # where RFC 27 has the authenticator of a context

# Whoever binds that name, to look whether it is free or to keep it, is alone with it: else the look
# of one thread is taken for an authenticator by another, and its server is opened to anybody.
door = threading.Lock()


def _new_door() -> None:
    global door
    door = threading.Lock()  # whoever held it is not in this process


in_forked_child(_new_door)

# Their values are shown in no error.
SECRET = frozenset({zmq.CURVE_SECRETKEY, zmq.PLAIN_PASSWORD})


def _asked(domain: str) -> dict[int, Any]:
    # Enforced, libzmq lets nobody in when the authenticator has gone; it would let all in.
    return {zmq.ZAP_DOMAIN: domain.encode(), zmq.ZAP_ENFORCE_DOMAIN: 1}


def _curve_server(server: CurveServer) -> dict[int, Any]:
    # Enforced without a domain, libzmq asks nobody: for any key that is what is wanted.
    asked = _asked(server.domain)
    if server.any_key:
        del asked[zmq.ZAP_DOMAIN]
    return {zmq.CURVE_SERVER: 1, zmq.CURVE_SECRETKEY: server.secret_key, **asked}


def _curve_client(client: CurveClient) -> dict[int, Any]:
    secret_key: Any = client.secret_key  # bytes, since it was checked
    if zmq.curve_public(secret_key) != client.public_key:
        raise ValueError("CurveClient: public_key and secret_key are not of one pair")
    return {
        zmq.CURVE_SERVERKEY: client.server_key,
        zmq.CURVE_PUBLICKEY: client.public_key,
        zmq.CURVE_SECRETKEY: secret_key,
    }


def secure(socket: zmq.Socket[bytes], security: Security | None) -> None:
    """Set what a socket's ``security=`` means; it must not be bound or connected yet.

    Raises:
        TypeError: that is none of the classes of `zmqbridge.security`.
        ValueError: a client's keys do not belong together.
        OptionError: libzmq was built without it.
    """
    if security is None:
        return
    # Imported by then; for those who want none it would be a quarter of what importing us takes.
    from zmqbridge import security as kinds

    meanings: dict[type, Callable[[Any], dict[int, Any]]] = {
        kinds.CurveServer: _curve_server,
        kinds.CurveClient: _curve_client,
        kinds.PlainServer: lambda server: {zmq.PLAIN_SERVER: 1, **_asked(server.domain)},
        kinds.PlainClient: lambda client: {
            zmq.PLAIN_USERNAME: client.username,
            zmq.PLAIN_PASSWORD: client.password,
        },
        kinds.Null: lambda null: _asked(null.domain),
    }
    options = meanings.get(type(security))
    if options is None:
        names = ", ".join(kind.__name__ for kind in meanings)
        # Its type, not its value: it may well be a key.
        raise TypeError(f"security={type(security).__name__}: give one of {names}")
    try:
        for option, value in options(security).items():
            CompiledSocket.set(socket, option, value)
    except zmq.ZMQError as error:
        text = f"security={security!r}: this libzmq cannot do it ({zmq.strerror(error.errno or 0)})"
        raise OptionError(text) from None


def refuse_open_server(socket: zmq.Socket[bytes], *, any_key: bool) -> None:
    """See to it that whoever asked for an authenticator's decisions gets them.

    Without a ZAP handler in the context (RFC 27), libzmq lets any CURVE key in, and any client of
    a domain; and PLAIN clients never. All are refused before they are opened.

    Raises:
        AuthenticationMissing: clients would come in that nobody has decided about.
    """
    get: Any = CompiledSocket.get
    serves = get(socket, zmq.MECHANISM) != zmq.SecurityMechanism.NULL and any(
        _ask(socket, option) for option in (zmq.CURVE_SERVER, zmq.PLAIN_SERVER)
    )
    domain = get(socket, zmq.ZAP_DOMAIN).rstrip(b"\0")
    if any_key or not (serves or domain):
        return
    if serves and not domain and _ask(socket, zmq.ZAP_ENFORCE_DOMAIN):
        # With CURVE any key would do; with PLAIN libzmq 4.3.5 aborts the process.
        raise AuthenticationMissing(
            "zmq.ZAP_ENFORCE_DOMAIN without a zmq.ZAP_DOMAIN asks no authenticator: set both"
        )
    if not _handled(socket.context):
        raise AuthenticationMissing(
            "no authenticator would decide about this socket's clients: start one in its context "
            "first, the Authenticator of a backend or pyzmq's; to let any key in on purpose, give "
            "security=CurveServer(secret_key, any_key=True)"
        )


def _ask(socket: zmq.Socket[bytes], option: int) -> Any:
    try:
        return CompiledSocket.get(socket, option)
    except zmq.ZMQError:  # libzmq was built without it
        return 0


def _handled(context: zmq.Context[Any]) -> bool:
    """Whether the context has a ZAP handler: it has bound a name which can be bound once."""
    with door:
        try:
            probe = zmq.Socket(context, zmq.REP)
        except zmq.ZMQError as error:
            raise explained(error, context) from None
        try:
            probe.bind(ZAP)
        except zmq.ZMQError as error:
            # libzmq's own number, which on Windows is not Python's.
            if error.errno == zmq.EADDRINUSE:
                return True
            raise
        finally:
            with suppress(zmq.ZMQError):  # it is another's
                probe.unbind(ZAP)  # closing would free the name only later, in another thread
            probe.close()
    return False
