"""ØMQ patterns for asyncio: eight sockets whose calls are awaited."""

from zmqbridge.asyncio_backend.authenticator import Authenticator
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

__all__ = [
    "Authenticator",
    "Dealer",
    "Publisher",
    "Puller",
    "Pusher",
    "Replier",
    "Request",
    "Requester",
    "Router",
    "Subscriber",
]
