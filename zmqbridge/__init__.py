"""zmqbridge: ØMQ patterns for Twisted and asyncio on one sans-IO core.

This package itself holds only what belongs to no loop: the errors, and `BytesLike`, the type of
what can be sent. Importing it loads neither
zmq nor an event loop; take sockets from `zmqbridge.asyncio_backend` or
`zmqbridge.twisted_backend`, and the txZMQ API from `zmqbridge.txzmq`.
"""

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
    OptionError,
    OutOfMemory,
    PeerStalled,
    PeerUnreachable,
    QueueFull,
    RequestTimeout,
    ResourcesExhausted,
    SocketClosed,
    StateUnknown,
    UsedAfterFork,
    WrongThread,
    ZmqBridgeError,
)

__version__ = "0.1.0"

__all__ = [
    "AddressError",
    "AlreadyReplied",
    "AuthenticationMissing",
    "BytesLike",
    "ConnectTimeout",
    "ContextInUse",
    "ContextTerminated",
    "HandshakeFailed",
    "LoopError",
    "MalformedMessage",
    "OptionError",
    "OutOfMemory",
    "PeerStalled",
    "PeerUnreachable",
    "QueueFull",
    "RequestTimeout",
    "ResourcesExhausted",
    "SocketClosed",
    "StateUnknown",
    "UsedAfterFork",
    "WrongThread",
    "ZmqBridgeError",
]
