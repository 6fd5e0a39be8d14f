"""Publish and subscribe: a tag and a message in one part, with a NUL byte between."""

from __future__ import annotations

import inspect

from zmq import constants

from zmqbridge.core.framing import InTwoParts, Message, as_name
from zmqbridge.core.statistics import Statistics
from zmqbridge.core.subscriptions import Subscriptions
from zmqbridge.errors import MalformedMessage
from zmqbridge.txzmq.connection import ZmqConnection


class ZmqPubConnection(ZmqConnection):
    """Publishes to all subscribers."""

    socketType = constants.PUB

    def publish(self, message: bytes | str, tag: bytes | str = b"") -> None:
        """Publish a message under a tag; ``str`` is sent as UTF-8.

        Raises:
            TypeError: one of them is neither ``str`` nor bytes-like.
        """
        if type(tag) is not bytes:
            tag = as_name(tag, "a tag")
        if type(message) is not bytes:
            message = as_name(message, "a message")
        self.send(tag + self.topicSep + message)


class ZmqSubConnection(ZmqConnection):
    """Receives publications; override `gotMessage`."""

    socketType = constants.SUB

    __unwanted = 0

    def _setOptions(self) -> None:
        super()._setOptions()
        # Subscriptions are messages to the publisher, and those above this mark libzmq drops.
        self.socket.set(constants.SNDHWM, 0)
        self.__subscriptions = Subscriptions()
        self.socket.tell(self.__optionSet)

    def __optionSet(self, socket: object, option: int, value: bytes) -> None:
        if option == constants.SUBSCRIBE:
            self.__subscriptions.add(value)
        elif option == constants.UNSUBSCRIBE and self.__subscriptions.remove(value):
            self.__drop(value)

    def __drop(self, prefix: bytes) -> None:
        # What libzmq would have dropped, had it not been read already.
        if self.socket.get(constants.INVERT_MATCHING):
            return
        unhandled = self._ZmqConnection__unhandled  # type: ignore[attr-defined]
        kept = [
            message
            for message in unhandled
            if not self.__subscriptions.orphaned(InTwoParts((message[0], b"")), prefix)
        ]
        self.__unwanted += len(unhandled) - len(kept)
        unhandled.clear()  # the same deque, from which messages are being handed over
        unhandled.extend(kept)

    def statistics(self) -> Statistics:
        """What this connection has done so far."""
        return super().statistics()._replace(unwanted=self.__unwanted)

    def subscribe(self, tag: bytes | str) -> None:
        """Take publications whose tag starts with `tag`, too."""
        self._checkOpen()
        self.socket.set(constants.SUBSCRIBE, as_name(tag, "a tag"))

    def unsubscribe(self, tag: bytes | str) -> None:
        """Undo one `subscribe`; a tag that was never subscribed is fine."""
        self._checkOpen()
        self.socket.set(constants.UNSUBSCRIBE, as_name(tag, "a tag"))

    def messageReceived(self, message: Message) -> None:
        """Part the tag from the message and call `gotMessage`.

        Two parts are tag and message. A single part without separator has no tag: `gotMessage` is
        called with the message alone if it takes that, else with an empty tag. More than two parts
        are counted in `statistics` and logged.
        """
        if len(message) == 1:
            tag, separator, body = message[0].partition(self.topicSep)
            if separator:
                self.gotMessage(body, tag)
            else:
                self._gotUntagged(message[0])
        elif len(message) == 2:
            self.gotMessage(message[1], message[0])
        else:
            self._reject(MalformedMessage("a publication has one or two parts", message))

    def _gotUntagged(self, message: bytes) -> None:
        try:
            inspect.signature(self.gotMessage).bind(message)
        except TypeError:
            self.gotMessage(message, b"")
        else:
            self.gotMessage(message)  # type: ignore[call-arg]

    def gotMessage(self, message: bytes, tag: bytes) -> None:
        """Called with each publication; override it."""
        raise NotImplementedError(self)
