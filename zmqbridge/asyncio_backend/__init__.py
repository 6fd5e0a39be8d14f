"""ØMQ patterns for asyncio: eleven sockets whose calls are awaited."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
    from zmqbridge.asyncio_backend._publications import Subscriber, XPublisher, XSubscriber
    from zmqbridge.asyncio_backend._publisher import Publisher
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


# Each is loaded when a program asks for it: together they take a third of the time that the import
# of this package takes without them.
_LATER = {
    "Authenticator": "authenticator",
    "Proxy": "proxy",
    "Publisher": "_publisher",
    "Subscriber": "_publications",
    "XPublisher": "_publications",
    "XSubscriber": "_publications",
    "end_context": "ending",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
