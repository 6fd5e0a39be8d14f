"""What the facade says to arguments that cannot be meant; loaded when there is such a one."""

from __future__ import annotations

from typing import Any

from zmq import constants, error

from zmqbridge.errors import AddressError, SocketClosed
from zmqbridge.txzmq.factory import ZmqFactory

# Of each option, the attribute of a connection by which it is set.
ATTRIBUTES = {
    constants.LINGER: "factory.lingerPeriod",
    constants.RATE: "multicastRate",
    constants.SNDHWM: "highWaterMark",
    constants.RCVHWM: "highWaterMark",
    constants.TCP_KEEPALIVE: "tcpKeepalive",
    constants.TCP_KEEPALIVE_CNT: "tcpKeepaliveCount",
    constants.TCP_KEEPALIVE_IDLE: "tcpKeepaliveIdle",
    constants.TCP_KEEPALIVE_INTVL: "tcpKeepaliveInterval",
    constants.RECONNECT_IVL: "reconnectInterval",
    constants.RECONNECT_IVL_MAX: "reconnectIntervalMax",
    constants.IDENTITY: "identity",
}


def no_context(kind: type, factory: Any) -> Exception:
    """The error for a factory that has no context, or is none."""
    if isinstance(factory, ZmqFactory) or hasattr(factory, "context"):
        return SocketClosed(f"{factory!r} was shut down, or its __init__ was not called yet")
    name = kind.__name__
    text = f"factory={factory!r}: give a ZmqFactory, as in {name}(ZmqFactory(), endpoint)"
    if factory is None:
        return SocketClosed(f"{text}; a connection that was shut down has none any more")
    if isinstance(factory, type) and issubclass(factory, ZmqFactory):
        called = factory.__name__
        text = f"{called} is the class: call it, as in {name}({called}(), endpoint)"
    return TypeError(text)


def no_type(kind: type) -> TypeError:
    """The error for a class that is no pattern."""
    return TypeError(
        f"{kind.__name__} has no socketType: take the class of a pattern, such as "
        "ZmqPullConnection, or set socketType on your own class, as zmq.PAIR"
    )


def option(number: int, value: Any, problem: Exception) -> Exception:
    """The error for an attribute whose value libzmq does not take."""
    name = ATTRIBUTES[number]  # type: ignore[index]
    text = f"{name}={value!r}: {getattr(problem, 'strerror', None) or problem}"
    if name == "identity":
        hint = ": ØMQ carries bytes, use .encode()" if isinstance(value, str) else ""
        text = f"identity={value!r}{hint or ': give 1 to 255 bytes'}"
    if isinstance(problem, error.ZMQError):
        return error.ZMQError(problem.errno, text)
    return TypeError(text)


def endpoint(given: Any) -> TypeError:
    """The error for what says not how and where to connect or bind."""
    text = f"endpoint {given!r}: give ZmqEndpoint('bind', address) or ZmqEndpoint('connect', …)"
    if isinstance(given, str | bytes):
        text = (
            f"{given!r} does not say whether to bind or to connect: "
            f"give ZmqEndpoint('bind', {given!r}) or ZmqEndpoint('connect', {given!r})"
        )
    elif isinstance(given, list | set) or (isinstance(given, tuple) and len(given) != 2):
        text = f"{given!r} is no endpoint: a constructor takes one, addEndpoints a list of them"
    return TypeError(text)


def endpoints(given: Any) -> TypeError:
    """The error for what is no list of endpoints."""
    return TypeError(f"endpoints {given!r}: give a list, as [ZmqEndpoint('bind', address)]")


def endpoint_type(kind: Any, address: Any) -> AddressError:
    """The error for an endpoint of an unknown type."""
    text = f"endpoint type {kind!r} of {address!r}: use 'bind' or 'connect'"
    if address in ("bind", "connect"):
        text += f"; the type is first, as in ZmqEndpoint({address!r}, {kind!r})"
    return AddressError(text, address)


def address(kind: str, given: Any) -> TypeError:
    """The error for an address that is no text."""
    port = given if isinstance(given, int) else 5555
    return TypeError(f"cannot {kind} to {given!r}: give a str, as 'tcp://127.0.0.1:{port}'")
