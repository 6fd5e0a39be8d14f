"""Options of simulated sockets: which are simulated, which values are valid."""

from __future__ import annotations

from typing import Any

import zmq

from zmqbridge.testing._errors import NotSimulated

# With libzmq's defaults (zmq_setsockopt(3)). BACKLOG and RATE change nothing that a program sees.
DEFAULTS: dict[int, Any] = {
    zmq.SNDHWM: 1000, zmq.RCVHWM: 1000, zmq.LINGER: -1, zmq.IMMEDIATE: 0, zmq.ROUTING_ID: b"",
    zmq.RECONNECT_IVL: 100, zmq.RECONNECT_IVL_MAX: 0, zmq.CONFLATE: 0, zmq.IPV6: 0,
    zmq.HEARTBEAT_IVL: 0, zmq.HEARTBEAT_TIMEOUT: -1, zmq.HEARTBEAT_TTL: 0, zmq.RCVTIMEO: -1,
    zmq.SNDTIMEO: -1, zmq.HANDSHAKE_IVL: 30_000, zmq.MAXMSGSIZE: -1, zmq.INVERT_MATCHING: 0,
    zmq.CURVE_SERVER: 0, zmq.CURVE_SERVERKEY: b"", zmq.CURVE_PUBLICKEY: b"",
    zmq.CURVE_SECRETKEY: b"", zmq.PLAIN_SERVER: 0, zmq.PLAIN_USERNAME: b"", zmq.PLAIN_PASSWORD: b"",
    zmq.ZAP_DOMAIN: b"", zmq.ZAP_ENFORCE_DOMAIN: 0,
    zmq.TCP_KEEPALIVE: -1, zmq.TCP_KEEPALIVE_CNT: -1, zmq.TCP_KEEPALIVE_IDLE: -1,
    zmq.TCP_KEEPALIVE_INTVL: -1, zmq.BACKLOG: 100,
    zmq.RATE: 100,
}  # fmt: skip

# Of these only the default is simulated.
FIXED = frozenset({zmq.INVERT_MATCHING, zmq.RCVTIMEO, zmq.SNDTIMEO, zmq.HEARTBEAT_TTL})
# libzmq refuses to set these; and of HWM, an option of libzmq 2, any use.
READ_ONLY = frozenset({zmq.FD, zmq.EVENTS, zmq.TYPE, zmq.RCVMORE, zmq.LAST_ENDPOINT, zmq.MECHANISM,
                       zmq.HWM})  # fmt: skip
# All numbers but these are 32 bits long.
LONG = frozenset({zmq.MAXMSGSIZE})
KEYS = frozenset({zmq.CURVE_SERVERKEY, zmq.CURVE_PUBLICKEY, zmq.CURVE_SECRETKEY})
LEAST: dict[int, int] = {
    zmq.SNDHWM: 0, zmq.RCVHWM: 0, zmq.LINGER: -1, zmq.MAXMSGSIZE: -1, zmq.RECONNECT_IVL: -1,
    zmq.RECONNECT_IVL_MAX: 0, zmq.HEARTBEAT_IVL: 0, zmq.HEARTBEAT_TIMEOUT: 0,
    zmq.HEARTBEAT_TTL: -99, zmq.IMMEDIATE: 0, zmq.CONFLATE: 0, zmq.IPV6: 0,
    zmq.CURVE_SERVER: 0, zmq.PLAIN_SERVER: 0,
    zmq.TCP_KEEPALIVE: -1, zmq.TCP_KEEPALIVE_CNT: -1, zmq.TCP_KEEPALIVE_IDLE: -1,
    zmq.TCP_KEEPALIVE_INTVL: -1, zmq.BACKLOG: 0, zmq.HANDSHAKE_IVL: 0, zmq.RATE: 1,
    zmq.RCVTIMEO: -1, zmq.SNDTIMEO: -1,
}  # fmt: skip
MOST: dict[int, int] = dict.fromkeys(
    (zmq.IMMEDIATE, zmq.CONFLATE, zmq.IPV6, zmq.CURVE_SERVER, zmq.PLAIN_SERVER, zmq.TCP_KEEPALIVE),
    1,
)
ONE = frozenset({zmq.ROUTING_ID})


def checked(option: int, value: Any, before: Any = None) -> Any:
    """The value of an option, as it is stored.

    Raises:
        NotSimulated: the option, or its value, is not simulated.
        TypeError, OverflowError, zmq.ZMQError: pyzmq or libzmq refuses it with the same error.
    """
    if option not in DEFAULTS:
        if option in READ_ONLY or option not in list(zmq.SocketOption):
            raise zmq.ZMQError(zmq.EINVAL)
        name = zmq.SocketOption(option).name
        raise NotSimulated(f"the option zmq.{name} is not simulated for this kind of socket")
    default = DEFAULTS[option]
    if isinstance(default, int):
        if not isinstance(value, int):
            raise TypeError(f"expected int, got: {value!r}")
        if not -1 << 31 <= value < 1 << 31 and option not in LONG:
            raise OverflowError("value too large to convert to int")
        if not LEAST.get(option, value) <= value <= MOST.get(option, value):
            raise zmq.ZMQError(zmq.EINVAL)
        if option in FIXED and value != default:
            name = zmq.SocketOption(option).name
            raise NotSimulated(f"of the option zmq.{name} only the default is simulated: {default}")
        if option == zmq.RECONNECT_IVL and value in (0, -1):
            # libzmq gives the address up after the first loss.
            raise NotSimulated(
                f"of zmq.RECONNECT_IVL only 1 ms and more is simulated, and not {value}"
            )
        return int(value)
    if isinstance(value, str):
        raise TypeError("unicode not allowed, use setsockopt_string")
    value = bytes(value)
    if option in KEYS and len(value) == 32:
        from zmq.utils import z85

        return z85.encode(value)
    if option in KEYS and value and len(value) != 40:
        raise zmq.ZMQError(zmq.EINVAL)
    if option in ONE and (len(value) > 255 or value[:1] == b"\0"):
        raise zmq.ZMQError(zmq.EINVAL)
    return value
