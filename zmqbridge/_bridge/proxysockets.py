"""Opens the sockets of a proxy: two sides, a capture, and the pair by which it is steered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import zmq

from zmqbridge._bridge import lingers, opening
from zmqbridge._bridge.context import loose
from zmqbridge._bridge.exhaustion import check_start, explained
from zmqbridge._bridge.iothreads import OwnContext
from zmqbridge._bridge.lingers import LINGER
from zmqbridge._bridge.mechanisms import is_asked, refuse_open_server, secure
from zmqbridge._bridge.options import set_option
from zmqbridge._bridge.publishing import OF_PUBLISHERS
from zmqbridge.core._checks import as_list
from zmqbridge.core.framing import Address, as_name
from zmqbridge.errors import AddressError, OptionError
from zmqbridge.proxies import KINDS, Side

AnySocket = zmq.Socket[bytes]

# An XSUB sends subscriptions as messages; above its high water mark libzmq drops them silently.
DEFAULTS: Mapping[int, Mapping[int, int]] = {
    zmq.XSUB: {zmq.SNDHWM: 0},
    zmq.XPUB: OF_PUBLISHERS,
    zmq.PUB: OF_PUBLISHERS,
}
STEERING = "inproc://zmqbridge.proxy"


class Opened(NamedTuple):
    """The sockets of a proxy.

    Attributes:
        front, back, capture: what `zmq_proxy` takes; the capture may be None.
        steered: the proxy's end of the pair by which it is steered.
        steering: our end of it.
    """

    front: AnySocket
    back: AnySocket
    capture: AnySocket | None
    steered: AnySocket
    steering: AnySocket


def side_of(given: Any, name: str) -> Side:
    """The side that a user gave, or one made of the addresses that the user gave to bind to.

    Raises:
        TypeError, ValueError: it is neither, or has no address.
    """
    side = given if isinstance(given, Side) else Side(bind=given)
    if not [*as_list(side.bind, name), *as_list(side.connect, name)]:
        raise ValueError(f"{name} has no address: no peer could reach the proxy there")
    return side


def open_all(
    context: zmq.Context[AnySocket], kind: str, sides: Mapping[str, Any], *, authenticated: bool
) -> Opened:
    """Make, bind and connect all sockets; none is left open when this raises.

    Args:
        context: they are made in it.
        kind: one of `KINDS`.
        sides: what the user gave as ``front``, ``back`` and ``capture``; the last may be None.
        authenticated: whether the proxy has an authenticator, which then has to be asked.

    Raises:
        TypeError, ValueError: the kind or a side is not valid.
        AddressError, OptionError, ResourcesExhausted, AuthenticationMissing: as of any socket.
    """
    made: list[AnySocket] = []
    try:
        types = KINDS.get(kind) if isinstance(kind, str) else None
        if types is None:
            raise ValueError(f"kind={kind!r}: give one of {', '.join(KINDS)}")
        check_start(context)
        # A list: from a generator, PyPy would replace the text of a TypeError by its own.
        front, back = [
            _open(context, getattr(zmq, type_), side_of(sides[name], name), made)
            for type_, name in zip(types, ("front", "back"), strict=True)
        ]
        capture = sides["capture"]
        if capture is not None:
            # A PUB, because it waits for no reader: with another type a slow or a missing reader
            # of the capture would hold up the proxy.
            capture = _open(context, zmq.PUB, side_of(capture, "capture"), made)
        if authenticated and not any(map(asks, made)):
            raise ValueError(
                "policies are given, and no side asks by them, so all would be let in: give "
                "Side(address, security=CurveServer(secret_key))"
            )
        steered, steering = _pair(context, made)
    except BaseException as error:
        close(made)
        if isinstance(error, zmq.ZMQError):
            raise explained(error, context) from None
        raise
    return Opened(front, back, capture, steered, steering)


def new_context() -> OwnContext:
    """A context for one proxy: its end is what frees a proxy that waits for a peer."""
    context = OwnContext()
    loose.add(context)
    return context


def asks(socket: AnySocket) -> bool:
    """Whether the clients of a socket are those that an authenticator lets in."""
    return bool(vars(socket)["_zmqbridge_asks"])


def addresses_of(socket: AnySocket | None) -> list[str]:
    """Where a socket is bound and connected, wildcards resolved."""
    return [] if socket is None else list(vars(socket)["_zmqbridge_places"])


def close(sockets: Iterable[AnySocket]) -> None:
    """Close these; their context waits for what they have sent."""
    for socket in sockets:
        lingers.close(socket, 1)


def _pair(context: zmq.Context[AnySocket], made: list[AnySocket]) -> tuple[AnySocket, AnySocket]:
    pair = []
    for act in ("bind", "connect"):
        socket = context.socket(zmq.PAIR)
        made.append(socket)
        for option in (zmq.SNDHWM, zmq.RCVHWM, zmq.LINGER):
            socket.set(option, 0)  # no command and no answer ever blocks
        getattr(socket, act)(STEERING)
        pair.append(socket)
    return pair[0], pair[1]


def _open(
    context: zmq.Context[AnySocket], type_: int, side: Side, made: list[AnySocket]
) -> AnySocket:
    socket = context.socket(type_)
    made.append(socket)
    vars(socket)["_zmqbridge_places"] = places = list[str]()
    wanted = side.options or {}
    if wanted.get(zmq.ROUTER_MANDATORY):
        raise OptionError(
            "zmq.ROUTER_MANDATORY would end the proxy with the first reply to a client that has "
            "left; without it such a reply is dropped"
        )
    if zmq.IPV6 not in wanted and any("[" in str(each) for each in _all(side)):
        wanted = {**wanted, zmq.IPV6: 1}  # else libzmq takes the address, and never connects
    for option, value in {zmq.LINGER: LINGER, **DEFAULTS.get(type_, {}), **wanted}.items():
        set_option(socket, option, value)
    secure(socket, side.security)
    any_key = getattr(side.security, "any_key", False)
    refuse_open_server(socket, any_key=any_key)
    vars(socket)["_zmqbridge_asks"] = is_asked(socket) and not any_key
    places.extend(_at(socket, "bind to", each) for each in as_list(side.bind))
    places.extend(_at(socket, "connect to", each) for each in as_list(side.connect))
    return socket


def _all(side: Side) -> list[Address]:
    return [*as_list(side.bind), *as_list(side.connect)]


def _at(socket: AnySocket, action: str, address: Address) -> str:
    with suppress(UnicodeDecodeError):
        name = as_name(address, "an address").decode()
        try:
            if action == "bind to":
                return opening.bind(socket, name)
            opening.connect(socket, name)
            return name
        except zmq.ZMQError as error:
            raise opening.refusal(error, socket, action, address, name) from None
    raise AddressError(f"cannot {action} {address!r}: an address is UTF-8", address, zmq.EINVAL)
