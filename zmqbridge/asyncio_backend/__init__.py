"""ØMQ patterns for asyncio: eleven sockets whose calls are awaited."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zmqbridge.asyncio_backend._authenticator import Authenticator
    from zmqbridge.asyncio_backend._ending import end_context
    from zmqbridge.asyncio_backend._proxy import Proxy
    from zmqbridge.asyncio_backend._publications import Subscriber, XPublisher, XSubscriber
    from zmqbridge.asyncio_backend._publisher import Publisher
    from zmqbridge.asyncio_backend._request import Request
    from zmqbridge.asyncio_backend._requester import Requester
    from zmqbridge.asyncio_backend._sockets import Dealer, Pair, Puller, Pusher, Replier, Router

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


# Each is loaded when a program asks for it: a program pays for the sockets that it uses.
_MODULE_OF = {
    "Authenticator": "_authenticator",
    "Dealer": "_sockets",
    "Pair": "_sockets",
    "Proxy": "_proxy",
    "Publisher": "_publisher",
    "Puller": "_sockets",
    "Pusher": "_sockets",
    "Replier": "_sockets",
    "Request": "_request",
    "Requester": "_requester",
    "Router": "_sockets",
    "Subscriber": "_publications",
    "XPublisher": "_publications",
    "XSubscriber": "_publications",
    "end_context": "_ending",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
