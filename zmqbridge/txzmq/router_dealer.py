"""Router and dealer: messages in both directions; a router names the peer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from zmq import constants

from zmqbridge.core.framing import BytesLike, Message
from zmqbridge.txzmq.connection import ZmqConnection


class ZmqBase(ZmqConnection):
    """The common base of router and dealer, for any type of socket; override `gotMessage`."""

    def sendMsg(self, message: BytesLike) -> None:
        """Send a message of one part."""
        self.sendMultipart([message])

    def sendMultipart(self, parts: Iterable[BytesLike]) -> None:
        """Send a message of several parts."""
        self.send(parts)

    def messageReceived(self, message: Message) -> None:
        """Pass the parts on to `gotMessage`, each as an argument."""
        self.gotMessage(*message)

    def gotMessage(self, *args: Any, **kwargs: Any) -> None:
        """Called with the parts of each message; override it."""
        raise NotImplementedError(f"{self!r}: override gotMessage, or assign it")


class ZmqDealerConnection(ZmqBase):
    """A DEALER."""

    socketType = constants.DEALER


class ZmqRouterConnection(ZmqBase):
    """A ROUTER: the first part of each message is the routing id of the peer."""

    socketType = constants.ROUTER

    def sendMsg(self, recipientId: BytesLike, message: BytesLike) -> None:  # type: ignore[override]
        """Send a message of one part to a peer."""
        self.send([recipientId, message])

    def sendMultipart(self, recipientId: BytesLike, parts: Iterable[BytesLike]) -> None:  # type: ignore[override]
        """Send a message of several parts to a peer."""
        self.send([recipientId, *parts])

    def messageReceived(self, message: Message) -> None:
        """Pass the peer's id and the parts on to `gotMessage`."""
        sender_id = message.pop(0)
        self.gotMessage(sender_id, *message)
