"""Settings: the options and the security that the attributes of a `ZmqConnection` stand for."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, get_args

from zmq import constants, error

from zmqbridge.core.topics import LONGEST_MESSAGE
from zmqbridge.txzmq._endpoints import misuse

if TYPE_CHECKING:
    from zmqbridge.security import Security


def set_options(connection: Any) -> None:
    """Set the options of the socket that the attributes of a connection stand for."""
    for option, value in _options(connection).items():
        try:
            connection.socket.set(option, value)
        except (TypeError, error.ZMQError) as problem:
            raise misuse().option(option, value, problem) from None


def _options(connection: Any) -> dict[int, Any]:
    options: dict[int, Any] = {
        constants.LINGER: connection.factory.lingerPeriod,
        constants.RATE: connection.multicastRate,
        constants.SNDHWM: connection.highWaterMark,
        constants.RCVHWM: connection.highWaterMark,
    }
    if connection.socketType in (constants.PUB, constants.XPUB):
        options[constants.MAXMSGSIZE] = LONGEST_MESSAGE
    if connection.tcpKeepalive:
        options[constants.TCP_KEEPALIVE] = connection.tcpKeepalive
        options[constants.TCP_KEEPALIVE_CNT] = connection.tcpKeepaliveCount
        options[constants.TCP_KEEPALIVE_IDLE] = connection.tcpKeepaliveIdle
        options[constants.TCP_KEEPALIVE_INTVL] = connection.tcpKeepaliveInterval
    if connection.reconnectInterval:
        options[constants.RECONNECT_IVL] = connection.reconnectInterval
    if connection.reconnectIntervalMax:
        options[constants.RECONNECT_IVL_MAX] = connection.reconnectIntervalMax
    if connection.identity is not None:
        options[constants.IDENTITY] = connection.identity
    return options


def security_of(connection: Any) -> Security | None:
    """The security of a connection, if its attribute of this name is one."""
    # txZMQ has no such attribute, so a program may have one of this name with another meaning.
    wanted: Any = connection.security
    if wanted is None:
        return None
    from zmqbridge.security import Security  # loaded by programs that are secured

    kinds = get_args(Security)
    if isinstance(wanted, kinds) or wanted in kinds:
        return wanted  # type: ignore[no-any-return]
    warnings.warn(
        f"{type(connection).__name__}.security is {type(wanted).__name__}, none of the classes of "
        "zmqbridge.security: this connection is not secured",
        stacklevel=4,
    )
    return None
