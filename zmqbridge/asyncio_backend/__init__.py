"""ØMQ patterns for asyncio: eleven sockets whose calls are awaited."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from zmqbridge.asyncio_backend._publications import Subscriber, XPublisher, XSubscriber
from zmqbridge.asyncio_backend._publisher import Publisher
from zmqbridge.asyncio_backend._request import Request
from zmqbridge.asyncio_backend.sockets import (
    Dealer,
    Pair,
    Puller,
    Pusher,
    Replier,
    Requester,
    Router,
)

if TYPE_CHECKING:
    from zmqbridge.asyncio_backend.authenticator import Authenticator
    from zmqbridge.asyncio_backend.ending import end_context
    from zmqbridge.asyncio_backend.proxy import Proxy

__all__ = [
    "Authenticator",
    "Dealer",
    "Pair",
    "Proxy",
    "Publisher",
    "Puller",
    "Pusher",
    "Replier",
    "Request",
    "Requester",
    "Router",
    "Subscriber",
    "XPublisher",
    "XSubscriber",
    "end_context",
]


# Few programs need these, and they take a tenth of the time to import this package.
_LATER = {
    "Authenticator": "authenticator",
    "Proxy": "proxy",
    "end_context": "ending",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
