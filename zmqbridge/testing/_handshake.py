"""The handshake of simulated sockets: socket types, security mechanisms, and the ZAP handler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import zmq

from zmqbridge.testing._ends import End, join
from zmqbridge.testing._errors import NotSimulated
from zmqbridge.testing._types import FITS

if TYPE_CHECKING:
    from zmqbridge.testing._sockets import SimSocket


NULL = int(zmq.SecurityMechanism.NULL)
PLAIN = int(zmq.SecurityMechanism.PLAIN)
CURVE = int(zmq.SecurityMechanism.CURVE)
NAMES = {NULL: b"NULL", PLAIN: b"PLAIN", CURVE: b"CURVE"}
ZAP = "inproc://zeromq.zap.01"
# ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH in zmq.h; a wrong CURVE key has another code.
MISMATCH = int(zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
CRYPTOGRAPHIC = int(zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC)


class Verdict(NamedTuple):
    """How a handshake ended.

    Attributes:
        event: the monitor event of a failure, 0 for success.
        value: the value of that event.
        final: the client does not try again.
        client: the event that the client sees, if it is not `event`.
        holds: the server does not answer, so the client waits for HANDSHAKE_IVL and tries again.
    """

    event: int = 0
    value: int = 0
    final: bool = False
    client: int | None = None
    holds: bool = False

    @property
    def accepts(self) -> bool:
        """Whether the sockets are connected."""
        return not (self.event or self.final)


DONE = Verdict()
Settle = Callable[[Verdict], object]


@lru_cache(maxsize=1024)
def public_of(secret: bytes) -> bytes:
    """The public key of a secret one, both in Z85."""
    return zmq.curve_public(secret)


def greeting(socket: SimSocket) -> int:
    """How many bytes the READY command of a socket has, with NULL (``produce_ready`` in libzmq)."""
    named = socket.type in (zmq.REQ, zmq.DEALER, zmq.ROUTER)
    identity = 13 + len(socket.options[zmq.ROUTING_ID]) if named else 0
    return 22 + len(socket.kind_name) + identity


def check_sizes(client: SimSocket, server: SimSocket) -> None:
    """Have the run end if a MAXMSGSIZE lets no handshake through."""
    for near, far in ((client, server), (server, client)):
        if -1 < near.options[zmq.MAXMSGSIZE] < greeting(far):
            near.network.fail(
                NotSimulated(
                    f"{near!r}: with zmq.MAXMSGSIZE below {greeting(far)} libzmq refuses its "
                    "peer's handshake again and again"
                )
            )


def shake(client: SimSocket, server: SimSocket, settle: Settle) -> None:
    """Play the handshake of two sockets, and call `settle` with its verdict, at once or later."""
    check_sizes(client, server)
    ours, theirs = client.options, server.options
    mechanism = client.mechanism
    failed = int(zmq.Event.HANDSHAKE_FAILED_PROTOCOL)
    if mechanism != server.mechanism:
        settle(Verdict(failed, MISMATCH, final=True))
    elif server.type not in FITS[client.type]:
        settle(Verdict(final=True))
    elif mechanism == CURVE and ours[zmq.CURVE_SERVERKEY] != public_of(theirs[zmq.CURVE_SECRETKEY]):
        settle(Verdict(failed, CRYPTOGRAPHIC, client=int(zmq.Event.HANDSHAKE_FAILED_NO_DETAIL)))
    elif _asks(server, mechanism):
        _ask(client, server, NAMES[mechanism], _credentials(client, mechanism), settle)
    else:
        settle(DONE)


def _asks(server: SimSocket, mechanism: int) -> bool:
    domain = server.options[zmq.ZAP_DOMAIN]
    enforced = server.options[zmq.ZAP_ENFORCE_DOMAIN]
    if mechanism == NULL or enforced:
        return bool(domain)
    return True


def _credentials(client: SimSocket, mechanism: int) -> Sequence[bytes]:
    options = client.options
    if mechanism == PLAIN:
        return options[zmq.PLAIN_USERNAME], options[zmq.PLAIN_PASSWORD]
    if mechanism == CURVE:
        from zmq.utils import z85

        return (z85.decode(public_of(options[zmq.CURVE_SECRETKEY])),)
    return ()


class Asker:
    """Asks the ZAP handler of a context one question, as libzmq's zap_client.cpp does."""

    def __init__(self, server: SimSocket, settle: Settle) -> None:
        self._settle = settle
        self._end = End(self, 0, 0)
        self._network = server.network

    def ask(self, handler: SimSocket, request: Sequence[bytes]) -> None:
        """Send the question; the answer may come at once."""
        far = handler.new_end()
        join(self._end, far)
        far.known = True
        self._end.incoming.has()  # the pipe is empty now, so it tells us of the answer
        self._end.outgoing.write(request)
        handler.attach_later(far)

    def comes(self, end: End) -> None:
        """Read the answer, and tell the verdict."""
        if not end.incoming.queue:
            return
        message = list(end.incoming.read())
        end.leave()
        if len(message) != 7 or message[0] != b"" or message[1] != b"1.0":
            self._settle(Verdict(int(zmq.Event.HANDSHAKE_FAILED_PROTOCOL), 0x20000000))
            return
        status = message[3]
        if status == b"200":
            self._settle(DONE)
        else:
            code = int(status) if status.isdigit() else 500
            failed = int(zmq.Event.HANDSHAKE_FAILED_AUTH)
            self._settle(Verdict(failed, code, final=code != 300, holds=code == 300))

    def drains(self, end: End) -> None:
        """Do nothing: there is only one question."""

    def hangs_up(self, end: End) -> None:
        """Close: the handler is gone."""
        end.hear(hasty=True)

    def answers(self, end: End) -> None:
        """Let the handler's end go as well."""
        if end.far is not None:
            end.far.owner.let_go(end.far)

    def let_go(self, end: End) -> None:
        """Do nothing: the answer has come."""


def _ask(
    client: SimSocket,
    server: SimSocket,
    mechanism: bytes,
    credentials: Sequence[bytes],
    settle: Settle,
) -> None:
    handler: Any = server.context.bound(ZAP)
    if handler is None:
        # Without a handler libzmq accepts CURVE and NULL clients unless the domain is enforced.
        if mechanism == b"PLAIN" or server.options[zmq.ZAP_ENFORCE_DOMAIN]:
            settle(Verdict(int(zmq.Event.HANDSHAKE_FAILED_NO_DETAIL), 0))
        else:
            settle(DONE)
        return
    request = [
        b"", b"1.0", b"1", server.options[zmq.ZAP_DOMAIN], b"127.0.0.1",
        client.options[zmq.ROUTING_ID], mechanism, *credentials,
    ]  # fmt: skip
    Asker(server, settle).ask(handler, request)
