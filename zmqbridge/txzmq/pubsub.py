"""Publish and subscribe: a tag and a message in one part, with a NUL byte between them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from zmq import constants

from zmqbridge._bridge.receivingsocket import Telling
from zmqbridge.core._formats import FORMATS, Format, head_of_first
from zmqbridge.core.framing import BytesLike, Message, as_name
from zmqbridge.core.statistics import Statistics
from zmqbridge.core.subscriptions import Subscriptions
from zmqbridge.core.topics import as_prefix
from zmqbridge.errors import MalformedMessage
from zmqbridge.txzmq._driver import ConnectionDriver
from zmqbridge.txzmq._shapes import shape_of, shaped
from zmqbridge.txzmq.connection import DrivenBy, ZmqConnection


class ZmqPubConnection(ZmqConnection):
    """Publishes to all subscribers.

    Attributes:
        publicationFormat: in which parts, see `zmqbridge.arguments.Format`. txZMQ does not have it.
    """

    socketType = constants.PUB
    publicationFormat: str = "joined"

    def publish(
        self, message: str | BytesLike | Iterable[str | BytesLike], tag: str | BytesLike = b""
    ) -> None:
        """Publish a message under a tag; ``str`` is sent as UTF-8.

        With the formats "parts" and "raw" the message is a list of parts.

        Raises:
            TypeError: the message or the tag is neither ``str`` nor bytes-like.
        """
        if type(tag) is not bytes:
            tag = as_name(tag, "a tag")
        if self.publicationFormat != "joined" and (shape := shape_of(self)) is not None:
            self.send(shaped(shape, message, tag))
            return
        if type(message) is not bytes:
            message = as_name(message, "a message")
        self.send(tag + self.topicSep + message)


class _Subscribed(ConnectionDriver):
    """The driver of subscriptions, which drops messages whose tag was unsubscribed."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._subscriptions = Subscriptions(head_of_first)
        self._unwanted = 0

    def prepare(self) -> None:
        if self.socket is not None:
            # Subscriptions are messages to the publisher; libzmq drops those above this mark.
            self.socket.set(constants.SNDHWM, 0)
            if isinstance(self.socket, Telling):
                self.socket.tell(self._option_set, self._subscriptions.repeat)

    def _option_set(self, socket: object, option: int, value: Any) -> None:
        if option == constants.SUBSCRIBE:
            self._subscriptions.add(value)
        elif option == constants.UNSUBSCRIBE and self._subscriptions.remove(value):
            self._drop(value)

    def _drop(self, prefix: bytes) -> None:
        # Drop what libzmq would have dropped if we had not read it already.
        if self.socket.get(constants.INVERT_MATCHING):
            return
        kept = [
            message
            for message in self.unhandled
            if not self._subscriptions.orphaned(message, prefix)
        ]
        self._unwanted += len(self.unhandled) - len(kept)
        self.unhandled.clear()  # keep the deque: `dispatch` may be taking messages from it
        self.unhandled.extend(kept)

    def takes(self, tag: bytes) -> bool:
        """Whether this very tag is subscribed to; what is not counts as unwanted."""
        found = tag in self._subscriptions
        self._unwanted += not found
        return found

    def statistics(self) -> Statistics:
        return super().statistics()._replace(unwanted=self._unwanted)


class ZmqSubConnection(ZmqConnection):
    """Receives publications; override `gotMessage`.

    Attributes:
        publicationFormat: in which parts they come, see `zmqbridge.arguments.Format`.
        exactTags: True to call `gotMessage` only for the tags that are subscribed to, and not for
            each that begins as one of them. txZMQ has neither.
    """

    socketType = constants.SUB
    publicationFormat: str = "joined"
    exactTags: bool = False

    _zmqbridge__driver = DrivenBy(_Subscribed)

    def subscribe(self, tag: str | BytesLike) -> None:
        """Also receive publications whose tag starts with `tag`."""
        self._zmqbridge__driver.check_open()
        self.socket.set(constants.SUBSCRIBE, as_prefix(tag))

    def unsubscribe(self, tag: str | BytesLike) -> None:
        """Undo one `subscribe`; a tag that was never subscribed is fine."""
        self._zmqbridge__driver.check_open()
        self.socket.set(constants.UNSUBSCRIBE, as_name(tag, "a tag"))

    def messageReceived(self, message: Message) -> None:
        """Separate the tag from the message and call `gotMessage`.

        Two parts are the tag and the message. Of three or more parts only the first is used, like a
        single part. A single part without a separator has no tag: then `gotMessage` is called with
        the message alone if it accepts that, otherwise with an empty tag. In another
        `publicationFormat` what does not fit is malformed, and counted.
        """
        if self.publicationFormat != "joined" or self.exactTags is True:
            shape = shape_of(self)
            if shape is not None or self.exactTags is True:
                _receive(self, shape, message)
                return
        if len(message) == 2:
            self.gotMessage(message[1], message[0])
            return
        tag, separator, body = message[0].partition(self.topicSep)
        if separator:
            self.gotMessage(body, tag)
        else:
            _give_untagged(self.gotMessage, message[0])

    def gotMessage(self, message: Any, tag: bytes) -> None:
        """Called with each publication; override it.

        Args:
            message: the body; in the formats "parts" and "raw" the parts.
            tag: the tag; in the format "raw" ``b""``.
        """
        raise NotImplementedError(f"{self!r}: override gotMessage, or assign it")


def _receive(connection: ZmqSubConnection, shape: Format | None, message: Message) -> None:
    """Call `gotMessage` with a publication, if it fits the format and its tag is wanted."""
    driver = connection._zmqbridge__driver
    if shape is None:
        tag, body = _split(connection.topicSep, message)
    else:
        try:
            found = shape.split(message)
        except MalformedMessage as malformed:
            driver.reject(malformed)
            return
        tag, body = (b"", found) if shape is FORMATS["raw"] else found
    first = message[0] if shape is FORMATS["raw"] else tag
    if connection.exactTags is not True or driver.takes(first):
        connection.gotMessage(body, tag)


def _split(separator: bytes, message: Message) -> tuple[bytes, bytes]:
    if len(message) == 2:
        return message[0], message[1]
    tag, found, body = message[0].partition(separator)
    return (tag, body) if found else (b"", message[0])


def _give_untagged(hook: Callable[..., object], message: bytes) -> None:
    try:
        # Check the hook and the function that it wraps: a decorator mostly passes on its arguments.
        for follow_wrapped in (False, True):
            inspect.signature(hook, follow_wrapped=follow_wrapped).bind(message)
    except TypeError:
        hook(message, b"")
    except ValueError:  # some builtins do not show their signature
        _try_untagged(hook, message)
    else:
        hook(message)


def _try_untagged(hook: Callable[..., object], message: bytes) -> None:
    try:
        hook(message)
    except TypeError as refusal:
        if refusal.__traceback__ is None or refusal.__traceback__.tb_next is not None:
            raise  # the error comes from inside the hook
        hook(message, b"")
