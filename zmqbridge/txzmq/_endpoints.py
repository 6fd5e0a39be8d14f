"""Endpoints: an address and how it is used."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

# Programs import these from txZMQ's module, whose name is in their logs, checks and pickles.
CONNECTION = "zmqbridge.txzmq.connection"


class ZmqEndpointType:
    """How an endpoint is used; the plain strings ``"bind"`` and ``"connect"`` work as well."""

    __module__ = CONNECTION

    bind = "bind"
    connect = "connect"


class _Endpoint(NamedTuple):
    type: str
    address: str


class ZmqEndpoint(_Endpoint):
    """An address and how it is used.

    Attributes:
        type: `ZmqEndpointType.bind` or `ZmqEndpointType.connect`.
        address: as libzmq takes it, e.g. ``"tcp://127.0.0.1:5555"``.
    """

    __module__ = CONNECTION

    def __new__(cls, type: str, address: str) -> Self:
        """The arguments are described in the class."""
        return super().__new__(cls, type, address)


def how_and_where(endpoint: Any) -> tuple[str, Any]:
    """The type and the address of an endpoint: an object with these attributes, or a pair."""
    if hasattr(endpoint, "type"):
        return endpoint.type, endpoint.address
    if isinstance(endpoint, tuple | list) and len(endpoint) == 2:
        kind, address = endpoint
        return kind, address
    raise misuse().endpoint(endpoint)


def several(endpoints: Any) -> list[Any]:
    """A list of endpoints, not one of them alone, and no text."""
    if isinstance(endpoints, str | bytes) or hasattr(endpoints, "address"):
        raise misuse().endpoints(endpoints)
    try:
        return list(endpoints)
    except TypeError:
        if endpoints is None or not hasattr(endpoints, "__iter__"):
            raise misuse().endpoints(endpoints) from None
        raise


def misuse() -> Any:
    """The module with the errors for misuse, which few programs need."""
    from zmqbridge.txzmq import _misuse as misuse

    return misuse
