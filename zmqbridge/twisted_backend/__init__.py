"""ØMQ patterns for Twisted: eight sockets whose calls return Deferreds."""

from typing import TYPE_CHECKING, Any

from zmqbridge.twisted_backend.sockets import (
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
    from zmqbridge.twisted_backend.authenticator import Authenticator
    from zmqbridge.twisted_backend.ending import end_context
    from zmqbridge.twisted_backend.proxy import Proxy

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
        from zmqbridge.twisted_backend.authenticator import Authenticator

        return Authenticator
    if name == "end_context":
        from zmqbridge.twisted_backend.ending import end_context

        return end_context
    if name == "Proxy":
        from zmqbridge.twisted_backend.proxy import Proxy

        return Proxy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
