"""Security on a libzmq socket: what ``security=`` sets, and which servers are refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import zmq

from zmqbridge._bridge.calls import is_socket, raw
from zmqbridge._bridge.exhaustion import explained
from zmqbridge._bridge.guards import in_forked_child
from zmqbridge.errors import AuthenticationMissing, OptionError

if TYPE_CHECKING:
    from zmqbridge.security import CurveClient, CurveServer, Security

ZAP = "inproc://zeromq.zap.01"  # where an authenticator binds in its context, by RFC 27

# The domain of a CURVE server that asks an authenticator and was given no domain. To pyzmq's
# authenticator this is the same as none, and so it is to ours.
UNNAMED = b"*"

# Held by each thread while it binds that name, whether to check that it is free or to keep it.
# Otherwise a second thread could take the check of the first one for an authenticator, and would
# open its server, which then accepts nobody. One thread may take it twice: a signal handler, or a
# `__del__` that the garbage collector calls, can open a server in the middle of a check.
door = threading.RLock()
_checking: zmq.Socket[Any] | None = None  # what the thread that has the door checks the name with


def _new_door() -> None:
    global door, _checking
    door = threading.RLock()  # the thread that held the old lock does not exist in this process
    _checking = None


in_forked_child(_new_door)


def make_way() -> None:
    """Free the name if this thread, which has the door, has it for a check that was interrupted."""
    # A signal handler, or the like, runs in the middle of the check. The check has its result
    # already, or has not begun to look for it; either way it may lose the name.
    if _checking is not None:
        with suppress(zmq.ZMQError):  # it has not bound the name
            _checking.unbind(ZAP)


# The options whose values no error text may show.
SECRET = frozenset({zmq.CURVE_SECRETKEY, zmq.PLAIN_PASSWORD})


def _asked(domain: str) -> dict[int, Any]:
    # When the authenticator has gone, libzmq refuses every client if the domain is enforced;
    # otherwise it would let every client in.
    return {zmq.ZAP_DOMAIN: domain.encode(), zmq.ZAP_ENFORCE_DOMAIN: 1}


def _curve_server(server: CurveServer) -> dict[int, Any]:
    # Without a domain to enforce, libzmq asks no authenticator: with any_key we want that.
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
    """Set the options that ``security=`` stands for; the socket is not bound or connected yet.

    Raises:
        TypeError: `security` is not one of the classes of `zmqbridge.security`.
        ValueError: a client's keys do not belong together.
        OptionError: libzmq was built without this mechanism.
    """
    if security is None:
        return
    # A user who gives security= has imported this already. For all others it would be a quarter of
    # the time that the import of zmqbridge takes.
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
        # The error shows the type and not the value, because the value may be a key.
        raise TypeError(f"security={type(security).__name__}: give one of {names}")
    _set(socket, options(security), f"security={security!r}")


def _set(socket: zmq.Socket[bytes], options: Mapping[int, Any], what: str) -> None:
    try:
        for option, value in options.items():
            raw(socket).set(socket, option, value)
    except zmq.ZMQError as error:
        text = f"{what}: this libzmq cannot do it ({zmq.strerror(error.errno or 0)})"
        raise OptionError(text) from None


def is_asked(socket: zmq.Socket[bytes]) -> bool:
    """Whether an authenticator has to decide about the clients of a socket, if there is one."""
    return _serves(socket) or bool(_domain(socket))


def refuse_open_server(socket: zmq.Socket[bytes], *, any_key: bool) -> None:
    """Refuse a server that relies on an authenticator when its context has none.

    Without a ZAP handler in the context (RFC 27), libzmq accepts every CURVE key and every client
    of a domain, and rejects every PLAIN client. In all three cases the socket is refused before it
    binds or connects. One that is not refused stays closed when the authenticator has gone.

    Raises:
        AuthenticationMissing: no authenticator would decide about the clients.
        OptionError: libzmq is too old to refuse the clients when the authenticator has gone.
    """
    if any_key or not is_asked(socket):
        return
    if _serves(socket) and not _domain(socket) and _ask(socket, zmq.ZAP_ENFORCE_DOMAIN):
        # With CURVE any key would do; with PLAIN libzmq 4.3.5 aborts the process.
        raise AuthenticationMissing(
            "zmq.ZAP_ENFORCE_DOMAIN without a zmq.ZAP_DOMAIN asks no authenticator: set both"
        )
    if not _handled(socket.context):
        raise AuthenticationMissing(
            "no authenticator would decide about this socket's clients: start one in its context "
            "first, the Authenticator of a backend or pyzmq's, or give a Proxy policies=; to let "
            "any key in on purpose, give security=CurveServer(secret_key, any_key=True)"
        )
    _stay_closed(socket)


def stay_closed(socket: zmq.Socket[bytes]) -> None:
    """If an authenticator decides about the clients now, accept none when it has gone.

    This is for servers that are not refused without an authenticator, as those of the facade.
    """
    if is_socket(socket) and is_asked(socket) and _handled(socket.context):
        _stay_closed(socket)


def _stay_closed(socket: zmq.Socket[bytes]) -> None:
    domain = _domain(socket)
    if domain or raw(socket).get(socket, zmq.MECHANISM) != zmq.SecurityMechanism.PLAIN:
        # libzmq enforces only a domain that has a name. With PLAIN it needs none to refuse.
        enforced: dict[int, Any] = {zmq.ZAP_DOMAIN: domain or UNNAMED, zmq.ZAP_ENFORCE_DOMAIN: 1}
        _set(socket, enforced, "zmq.ZAP_ENFORCE_DOMAIN")


def _serves(socket: zmq.Socket[bytes]) -> bool:
    return raw(socket).get(socket, zmq.MECHANISM) != zmq.SecurityMechanism.NULL and any(
        _ask(socket, option) for option in (zmq.CURVE_SERVER, zmq.PLAIN_SERVER)
    )


def _domain(socket: zmq.Socket[bytes]) -> bytes:
    # As it is: to libzmq a NUL is a name, too.
    domain: bytes = raw(socket).get(socket, zmq.ZAP_DOMAIN)
    return domain


def _ask(socket: zmq.Socket[bytes], option: int) -> Any:
    try:
        return raw(socket).get(socket, option)
    except zmq.ZMQError:  # libzmq was built without this option
        return 0


def _handled(context: zmq.Context[Any]) -> bool:
    """Whether the context has a ZAP handler: then its name, which binds only once, is in use."""
    global _checking
    with door:
        make_way()
        outer = _checking
        try:
            probe = context.socket(zmq.REP, zmq.Socket)
        except zmq.ZMQError as error:
            raise explained(error, context) from None
        try:
            _checking = probe
            probe.bind(ZAP)
        except zmq.ZMQError as error:
            # The error number is libzmq's own, which on Windows differs from Python's.
            if error.errno == zmq.EADDRINUSE:
                return True
            raise
        finally:
            with suppress(zmq.ZMQError):  # the name is bound by another socket
                probe.unbind(ZAP)  # closing would free the name only later, in another thread
            _checking = outer
            probe.close()
    return False
