"""The patterns of publications for Twisted; `zmqbridge.asyncio_backend._publications` has the same.

What a call raises, and what comes with its Deferred, is as in `sockets`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    Protocol,
    Unpack,
    final,
    overload,
)

import zmq

from zmqbridge._bridge.publishing import OF_PUBLISHERS, packing_of
from zmqbridge._bridge.received import high_of
from zmqbridge._bridge.subscribing import (
    Changes,
    Relayed,
    Subscribing,
    as_tags,
    subscribe,
    subscribe_onward,
    unsubscribe,
    unsubscribe_onward,
)
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
from zmqbridge.core.topics import Change
from zmqbridge.twisted_backend._base import Receiver, Socket

if TYPE_CHECKING:
    from zmqbridge._bridge.link import Link
    from zmqbridge._bridge.pump import Pump
    from zmqbridge.arguments import (
        Addresses,
        Options,
        ReactorExchangeArguments,
        ReactorReceiverArguments,
        ReactorSenderArguments,
    )


class Publishing(Protocol[Body]):
    """A socket that publishes in a format."""

    _link: Link
    _pump: Pump

    @property
    def _pack(self) -> Callable[[bytes, Body], Sequence[BytesLike]]: ...


def publish(self: Publishing[Body], body: Body, tag: Address = b"") -> None:
    """Publish `body` under `tag`. It never waits: a slow subscriber misses messages.

    In the formats "parts" and "raw" the body is a list of parts; in "raw" there is no tag.

    Raises:
        TypeError: the body does not have the type of the format, e.g. a str.
        ValueError: the tag holds a NUL byte, which only "two-part" and "parts" allow; a "raw"
            publication has a tag, or no part.
    """
    self._link.check_open()
    if type(tag) is not bytes:
        tag = as_name(tag, "a tag")
    self._pump.send(self._pack(tag, body))


@final
class Publisher(Socket, Generic[Body]):
    """PUB: to all subscribers that are there and want the tag; others miss the message.

    Args:
        format: in which parts publications go over the wire, see `zmqbridge.arguments.Format`.
        arguments: `zmqbridge.arguments.ReactorSenderArguments`.
    """

    kind: ClassVar[int] = zmq.PUB
    defaults: ClassVar[Options] = OF_PUBLISHERS

    @overload
    def __init__(
        self: Publisher[BytesLike],
        *,
        format: OneBody = "joined",
        **arguments: Unpack[ReactorSenderArguments],
    ) -> None: ...

    @overload
    def __init__(
        self: Publisher[Several],
        *,
        format: Literal["parts", "raw"],
        **arguments: Unpack[ReactorSenderArguments],
    ) -> None: ...

    def __init__(
        self, *, format: FormatName = "joined", **arguments: Unpack[ReactorSenderArguments]
    ) -> None:
        self._pack: Callable[[bytes, Body], Sequence[BytesLike]] = packing_of(format, arguments)
        super().__init__(Pattern(), arguments, high_of(arguments))

    publish: Final = publish


@final
class Subscriber(Receiver[Publication]):
    """SUB: `receive` and ``async for`` give (tag, body), or what the format says.

    Args:
        tags: one prefix or several to subscribe to, as by `subscribe`; ``""`` is all.
        format: in which parts publications come, see `zmqbridge.arguments.Format`.
        arguments: `zmqbridge.arguments.ReactorReceiverArguments`.
    """

    kind: ClassVar[int] = zmq.SUB
    # Subscriptions are messages to the publisher; libzmq drops those above this mark.
    defaults: ClassVar[Options] = {zmq.SNDHWM: 0}

    @overload
    def __init__(
        self: Subscriber[tuple[bytes, bytes]],
        tags: Addresses = (),
        *,
        format: OneBody = "joined",
        **arguments: Unpack[ReactorReceiverArguments[tuple[bytes, bytes]]],
    ) -> None: ...

    @overload
    def __init__(
        self: Subscriber[tuple[bytes, Message]],
        tags: Addresses = (),
        *,
        format: Literal["parts"],
        **arguments: Unpack[ReactorReceiverArguments[tuple[bytes, Message]]],
    ) -> None: ...

    @overload
    def __init__(
        self: Subscriber[Message],
        tags: Addresses = (),
        *,
        format: Literal["raw"],
        **arguments: Unpack[ReactorReceiverArguments[Message]],
    ) -> None: ...

    def __init__(
        self,
        tags: Addresses = (),
        *,
        format: FormatName = "joined",
        **arguments: Unpack[ReactorReceiverArguments[Any]],
    ) -> None:
        wanted = as_tags(tags, arguments)
        pattern_of: Any = partial(Subscribing, format=format_named(format))
        super().__init__(arguments, pattern_of=pattern_of)
        for tag in wanted:
            self.subscribe(tag)

    subscribe: Final = subscribe
    unsubscribe: Final = unsubscribe


@final
class XPublisher(Receiver[Change], Generic[Body]):
    """XPUB: publishes as `Publisher`, and receives what subscribers want.

    `receive` and ``async for`` give `zmqbridge.Subscribed` and `zmqbridge.Unsubscribed`. By
    default, as in libzmq, these are the first subscription to a tag and the end of the last one;
    ``options={zmq.XPUB_VERBOSER: 1}`` gives all of them. Read them: unread ones wait in libzmq
    without a bound.

    Args:
        format: in which parts publications go over the wire, see `zmqbridge.arguments.Format`.
        arguments: `zmqbridge.arguments.ReactorExchangeArguments`.
    """

    kind: ClassVar[int] = zmq.XPUB
    defaults: ClassVar[Options] = OF_PUBLISHERS

    @overload
    def __init__(
        self: XPublisher[BytesLike],
        *,
        format: OneBody = "joined",
        **arguments: Unpack[ReactorExchangeArguments[Change]],
    ) -> None: ...

    @overload
    def __init__(
        self: XPublisher[Several],
        *,
        format: Literal["parts", "raw"],
        **arguments: Unpack[ReactorExchangeArguments[Change]],
    ) -> None: ...

    def __init__(
        self,
        *,
        format: FormatName = "joined",
        **arguments: Unpack[ReactorExchangeArguments[Change]],
    ) -> None:
        self._pack: Callable[[bytes, Body], Sequence[BytesLike]] = packing_of(format, arguments)
        super().__init__(arguments, high_of(arguments), Changes)

    publish: Final = publish


@final
class XSubscriber(Receiver[Publication]):
    """XSUB: receives as `Subscriber`, whose subscriptions are messages and filter nothing here.

    So it also receives publications that were under way when a tag was unsubscribed, and those that
    a publisher sends to all. It is one side of a broker, whose other side is an `XPublisher`.

    Args:
        tags: one prefix or several to subscribe to, as by `subscribe`; ``""`` is all.
        format: in which parts publications come, see `zmqbridge.arguments.Format`.
        arguments: `zmqbridge.arguments.ReactorReceiverArguments`.
    """

    kind: ClassVar[int] = zmq.XSUB
    defaults: ClassVar[Options] = {zmq.SNDHWM: 0}

    @overload
    def __init__(
        self: XSubscriber[tuple[bytes, bytes]],
        tags: Addresses = (),
        *,
        format: OneBody = "joined",
        **arguments: Unpack[ReactorReceiverArguments[tuple[bytes, bytes]]],
    ) -> None: ...

    @overload
    def __init__(
        self: XSubscriber[tuple[bytes, Message]],
        tags: Addresses = (),
        *,
        format: Literal["parts"],
        **arguments: Unpack[ReactorReceiverArguments[tuple[bytes, Message]]],
    ) -> None: ...

    @overload
    def __init__(
        self: XSubscriber[Message],
        tags: Addresses = (),
        *,
        format: Literal["raw"],
        **arguments: Unpack[ReactorReceiverArguments[Message]],
    ) -> None: ...

    def __init__(
        self,
        tags: Addresses = (),
        *,
        format: FormatName = "joined",
        **arguments: Unpack[ReactorReceiverArguments[Any]],
    ) -> None:
        wanted = as_tags(tags, arguments)
        pattern_of: Any = partial(Relayed, format=format_named(format))
        super().__init__(arguments, pattern_of=pattern_of)
        for tag in wanted:
            self.subscribe(tag)

    subscribe: Final = subscribe_onward
    unsubscribe: Final = unsubscribe_onward
