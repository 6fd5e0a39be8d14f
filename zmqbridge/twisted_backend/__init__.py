"""ØMQ patterns for Twisted: eight sockets whose calls return Deferreds."""

from zmqbridge.twisted_backend.authenticator import Authenticator
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
