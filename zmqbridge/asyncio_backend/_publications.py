"""The patterns of publications for asyncio; `zmqbridge.twisted_backend._publications` has the same.

Every call may raise `SocketClosed`, `ContextTerminated`, and `LoopError` as in `sockets`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Literal, Unpack, final, overload

import zmq

from zmqbridge._bridge.publishing import packing_of
from zmqbridge._bridge.received import high_of
from zmqbridge._bridge.subscribing import Subscribing, as_tags, subscribe, unsubscribe
from zmqbridge.asyncio_backend._base import Receiver, Socket
from zmqbridge.core.formats import (
    Body,
    FormatName,
    OneBody,
    Publication,
    Several,
    format_named,
)
from zmqbridge.core.framing import Address, BytesLike, Message, as_name
from zmqbridge.core.patterns import Pattern

if TYPE_CHECKING:
    from zmqbridge.arguments import Addresses, Options, ReceiverArguments, SenderArguments


@final
class Publisher(Socket, Generic[Body]):
    """PUB: to all subscribers that are there and want the tag; others miss the message.

    Args:
        format: in which parts publications go over the wire, see `zmqbridge.arguments.Format`.
        arguments: `zmqbridge.arguments.SenderArguments`.
    """

    kind: ClassVar[int] = zmq.PUB

    @overload
    def __init__(
        self: Publisher[BytesLike],
        *,
        format: OneBody = "joined",
        **arguments: Unpack[SenderArguments],
    ) -> None: ...

    @overload
    def __init__(
        self: Publisher[Several],
        *,
        format: Literal["parts", "raw"],
        **arguments: Unpack[SenderArguments],
    ) -> None: ...

    def __init__(
        self, *, format: FormatName = "joined", **arguments: Unpack[SenderArguments]
    ) -> None:
        self._pack = packing_of(format, arguments)
        super().__init__(Pattern(), arguments, high_of(arguments))

    def publish(self, body: Body, tag: Address = b"") -> None:
        """Publish `body` under `tag`. It never waits: a slow subscriber misses messages.

        Args:
            body: bytes-like; in the formats "parts" and "raw" a list of parts, each bytes-like.
            tag: what subscribers choose by; a ``str`` means UTF-8. A "raw" publication has none.

        Raises:
            TypeError: the body does not have the type of the format, e.g. a str.
            ValueError: the tag holds a NUL byte, which only "two-part" and "parts" allow; a "raw"
                publication has a tag, or no part.
        """
        driver = self._driver
        if driver.here() != driver.place._thread_id:
            driver.enter()
        if type(tag) is not bytes:
            tag = as_name(tag, "a tag")
        self._pump.send(self._pack(tag, body))


@final
class Subscriber(Receiver[Publication]):
    """SUB: `receive` and ``async for`` give (tag, body), or what the format says.

    Args:
        tags: one prefix or several to subscribe to, as by `subscribe`; ``""`` is all.
        format: in which parts publications come, see `zmqbridge.arguments.Format`.
        arguments: `zmqbridge.arguments.ReceiverArguments`.
    """

    kind: ClassVar[int] = zmq.SUB
    # Subscriptions are messages to the publisher, and those above this mark libzmq drops.
    defaults: ClassVar[Options] = {zmq.SNDHWM: 0}

    @overload
    def __init__(
        self: Subscriber[tuple[bytes, bytes]],
        tags: Addresses = (),
        *,
        format: OneBody = "joined",
        **arguments: Unpack[ReceiverArguments],
    ) -> None: ...

    @overload
    def __init__(
        self: Subscriber[tuple[bytes, Message]],
        tags: Addresses = (),
        *,
        format: Literal["parts"],
        **arguments: Unpack[ReceiverArguments],
    ) -> None: ...

    @overload
    def __init__(
        self: Subscriber[Message],
        tags: Addresses = (),
        *,
        format: Literal["raw"],
        **arguments: Unpack[ReceiverArguments],
    ) -> None: ...

    def __init__(
        self,
        tags: Addresses = (),
        *,
        format: FormatName = "joined",
        **arguments: Unpack[ReceiverArguments],
    ) -> None:
        wanted = as_tags(tags, arguments)
        pattern_of: Any = partial(Subscribing, format=format_named(format))
        super().__init__(arguments, pattern_of=pattern_of)
        for tag in wanted:
            self.subscribe(tag)

    subscribe: Final = subscribe
    unsubscribe: Final = unsubscribe
