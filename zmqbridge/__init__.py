"""zmqbridge: ØMQ patterns for Twisted and asyncio on one sans-IO core.

This package itself holds only what belongs to no loop: the errors, `BytesLike`, which is the type
of what can be sent, what an `XPublisher` receives, and `hold_io_threads`. Importing it loads
neither zmq nor an event loop; take sockets from `zmqbridge.asyncio_backend` or
`zmqbridge.twisted_backend`, and the txZMQ API from `zmqbridge.txzmq`.
"""

from typing import TYPE_CHECKING

from zmqbridge.core.framing import BytesLike
from zmqbridge.errors import (
    AddressError,
    AlreadyReplied,
    AuthenticationMissing,
    ConnectTimeout,
    ContextInUse,
    ContextTerminated,
    HandshakeFailed,
    LoopError,
    MalformedMessage,
    NotAnswered,
    OptionError,
    OutOfMemory,
    PeerStalled,
    PeerUnreachable,
    ProxyFailed,
    ProxyStalled,
    PublicationsMissed,
    PublisherRestarted,
    QueueEmpty,
    QueueFull,
    RequestTimeout,
    ResourcesExhausted,
    SocketClosed,
    StateUnknown,
    TooFewSubscribers,
    UsedAfterFork,
    WrongThread,
    ZmqBridgeError,
)

if TYPE_CHECKING:
    from zmqbridge.core.gaps import Gap, Restarted
    from zmqbridge.core.topics import Subscribed, Unsubscribed
    from zmqbridge.sequences import Sequence

_OF_PUBLICATIONS = {
    "Gap": "zmqbridge.core.gaps",
    "Restarted": "zmqbridge.core.gaps",
    "Sequence": "zmqbridge.sequences",
    "Subscribed": "zmqbridge.core.topics",
    "Unsubscribed": "zmqbridge.core.topics",
}
_OF_BACKENDS = {
    "Authenticator", "Dealer", "Pair", "Proxy", "Publisher", "Puller", "Pusher", "Replier",
    "Request", "Requester", "Router", "Subscriber", "XPublisher", "XSubscriber", "end_context",
}  # fmt: skip


def __getattr__(name: str) -> object:
    if name in _OF_PUBLICATIONS:
        from importlib import import_module  # few need them

        return getattr(import_module(_OF_PUBLICATIONS[name]), name)
    if name in _OF_BACKENDS:
        raise ImportError(
            f"{name} is a name of both backends: import it from zmqbridge.asyncio_backend or from "
            "zmqbridge.twisted_backend"
        )
    if name in ("arguments", "proxies", "security"):  # help() refers to them
        from importlib import import_module

        return import_module(f"zmqbridge.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__version__ = "0.1.0"


def hold_io_threads(hold: bool) -> None:
    """Say whether the library may hold libzmq's I/O threads, anywhere in this process.

    It does by default, on Linux: while a socket handles one large burst of messages after another,
    the I/O threads of its context have the scheduling policy SCHED_BATCH (docs/performance.md).
    After ``hold_io_threads(False)`` no thread's policy is changed any more; only threads that are
    held at this moment get their own back, at the next turn of their loop. ``True`` is for the
    sockets that are made from then on. One socket is exempt by a ``context`` of its own.

    Raises:
        TypeError: `hold` is no bool.
    """
    from zmqbridge._bridge.iothreads import Permission

    if not isinstance(hold, bool):
        raise TypeError(f"hold_io_threads({hold!r}): give True or False")
    Permission.given = hold


__all__ = [
    "AddressError",
    "AlreadyReplied",
    "AuthenticationMissing",
    "BytesLike",
    "ConnectTimeout",
    "ContextInUse",
    "ContextTerminated",
    "Gap",
    "HandshakeFailed",
    "LoopError",
    "MalformedMessage",
    "NotAnswered",
    "OptionError",
    "OutOfMemory",
    "PeerStalled",
    "PeerUnreachable",
    "ProxyFailed",
    "ProxyStalled",
    "PublicationsMissed",
    "PublisherRestarted",
    "QueueEmpty",
    "QueueFull",
    "RequestTimeout",
    "ResourcesExhausted",
    "Restarted",
    "Sequence",
    "SocketClosed",
    "StateUnknown",
    "Subscribed",
    "TooFewSubscribers",
    "Unsubscribed",
    "UsedAfterFork",
    "WrongThread",
    "ZmqBridgeError",
    "hold_io_threads",
]
