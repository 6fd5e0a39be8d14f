"""ØMQ patterns for asyncio: eight sockets whose calls are awaited."""

from typing import TYPE_CHECKING, Any

from zmqbridge.asyncio_backend.sockets import (
    Dealer,
    Publisher,
    Puller,
    Pusher,
    Replier,
    Request,
    Requester,
    Router,
    Subscriber,
)

if TYPE_CHECKING:
    from zmqbridge.asyncio_backend.authenticator import Authenticator
    from zmqbridge.asyncio_backend.ending import end_context
    from zmqbridge.asyncio_backend.proxy import Proxy

__all__ = [
    "Authenticator",
    "Dealer",
    "Proxy",
    "Publisher",
    "Puller",
    "Pusher",
    "Replier",
    "Request",
    "Requester",
    "Router",
    "Subscriber",
    "end_context",
]


def __getattr__(name: str) -> Any:
    # Few need it, and it takes a tenth of what importing us takes.
    if name == "Authenticator":
        from zmqbridge.asyncio_backend.authenticator import Authenticator

        return Authenticator
    if name == "end_context":
        from zmqbridge.asyncio_backend.ending import end_context

        return end_context
    if name == "Proxy":
        from zmqbridge.asyncio_backend.proxy import Proxy

        return Proxy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
