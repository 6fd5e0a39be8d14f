"""Push and pull: each message to one of the pullers."""

from __future__ import annotations

from collections.abc import Iterable

from zmq import constants

from zmqbridge.core.framing import BytesLike, Message
from zmqbridge.txzmq.connection import ZmqConnection


class ZmqPushConnection(ZmqConnection):
    """Pushes messages."""

    socketType = constants.PUSH

    def push(self, message: BytesLike | Iterable[BytesLike]) -> None:
        """Push a message; see `send` for what it may be and what is raised."""
        self.send(message)


class ZmqPullConnection(ZmqConnection):
    """Pulls messages; override `onPull`."""

    socketType = constants.PULL

    def messageReceived(self, message: Message) -> None:
        """Pass the message on to `onPull`."""
        self.onPull(message)

    def onPull(self, message: Message) -> None:
        """Called with each message, a list of its parts; override it."""
        raise NotImplementedError(f"{self!r}: override onPull, or assign it")
